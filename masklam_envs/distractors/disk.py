"""Decoded clips on disk: decoded once a machine, mapped into memory by every process that shows them.

The folder is ``$MASKLAM_CACHE/clips``, by default ``masklam/clips`` in the user's cache folder; an empty
``MASKLAM_CACHE`` turns the cache off.  An entry is a uint8 ``.npy`` file with a checksum behind the data.  Its name is
a hash of the source's path, size and time of change, and the image size, so another source or size is another entry.
It is written under a temporary name and renamed: no process sees half of one.  An entry that is cut short or damaged is
made again, and where the folder cannot be written clips stay in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from masklam_envs.cache_folder import cache_folder
from masklam_envs.distractors.base import Image
from masklam_envs.whole import whole_file

# Part of every entry's name: raise it when decoding gives other pixels.
VERSION = 1
CHECKSUM_BYTES = 4


def cached_clip(source: Path, size: int, decode: Callable[[], Image]) -> Image:
    """A decoded clip (n, size, size, 3) uint8, read-only: mapped from its entry, which is made when there is none.

    :param source: a file, or a folder of images
    :param size: side of the image in pixels
    :param decode: makes the clip
    """
    folder = cache_folder()
    if folder is None:
        return decode()
    entry = folder / "clips" / f"{_key(source, size)}.npy"
    found = _mapped(entry, size)
    if found is not None:
        return found
    clip = decode()
    with contextlib.suppress(OSError):
        _write(entry, clip)
    found = _mapped(entry, size)
    return clip if found is None else found


def _key(source: Path, size: int) -> str:
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    parts = [f"{VERSION} {size} {source.resolve()}"]
    for file in files:
        about = file.stat()
        parts.append(f"{file.name} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _mapped(entry: Path, size: int) -> Image | None:
    """The clip of an entry, None where it does not exist or is damaged."""
    try:
        with entry.open("rb") as file:
            version = npy.read_magic(file)
            shape, fortran, dtype = npy.read_array_header_1_0(file) if version == (1, 0) else ((), True, None)
            start, length = file.tell(), int(np.prod(shape))
            if fortran or dtype != np.uint8 or len(shape) != 4 or shape[1:] != (size, size, 3) or not length:
                return None
            if os.fstat(file.fileno()).st_size != start + length + CHECKSUM_BYTES:
                return None
            # As a plain array: Numba takes a longer way for subclasses.
            clip = np.memmap(file, np.uint8, "r", start, shape).view(np.ndarray)
            file.seek(start + length)
            return clip if _checksum(clip) == file.read() else None
    except (OSError, ValueError, EOFError):
        return None


def _write(entry: Path, clip: Image) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(entry) as part, part.open("wb") as file:
        npy.write_array(file, clip, version=(1, 0), allow_pickle=False)
        file.write(_checksum(clip))
        file.flush()
        os.fsync(file.fileno())


def _checksum(clip: Image) -> bytes:
    return zlib.crc32(np.ascontiguousarray(clip).data).to_bytes(CHECKSUM_BYTES, "little")
