"""Frames with other masks: in memory where the frames are, in a file where they are mapped from one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.uint8]
FRAMES_AT_ONCE = 256


def remasked(rgbm: NDArray[np.uint8], masks: Callable[[slice], Masks]) -> NDArray[np.uint8]:
    """The same colours with new masks; ``rgbm`` stays as it is.

    :param rgbm: (F, H, W, 4) uint8
    :param masks: of a slice of the frames, (n, H, W) uint8; asked for up to 256 frames at a time, in order
    :return: (F, H, W, 4) uint8; of frames that are mapped from a file it is mapped too, from one without a name that is
        gone with the array: beside theirs, or where that folder cannot be written in the one for temporary files
    :raises OSError: when the disk is full
    """
    mapped = rgbm.base if isinstance(rgbm.base, np.memmap) else None
    if mapped is None or not rgbm.size:
        whole = rgbm.copy()
        for part in _parts(len(rgbm)):
            whole[part, ..., 3] = masks(part)
        return whole
    return _in_file(rgbm, masks, _folder_of(mapped))


def _folder_of(mapped: np.memmap[Any, Any]) -> Path:
    """Where there is room for frames: beside those that are mapped."""
    beside = Path(mapped.filename).parent if mapped.filename else None  # what was made here has no name
    return beside if beside and os.access(beside, os.W_OK) else Path(tempfile.gettempdir())


def _parts(count: int) -> list[slice]:
    return [slice(start, start + FRAMES_AT_ONCE) for start in range(0, count, FRAMES_AT_ONCE)]


def _in_file(rgbm: NDArray[np.uint8], masks: Callable[[slice], Masks], folder: Path) -> NDArray[np.uint8]:
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            # Not into a mapped file: a full disk would end the process instead of raising an error.
            for part in _parts(len(rgbm)):
                frames = rgbm[part].copy()
                frames[..., 3] = masks(part)
                file.write(frames.data)
            file.flush()
        except OSError as error:
            raise OSError(
                error.errno,
                f"{rgbm.nbytes / 2**30:.2f} GiB of frames with new masks could not be kept in {folder} "
                f"({error.strerror}); make room there",
            ) from error
        return np.memmap(file, np.uint8, "c", shape=rgbm.shape).view(np.ndarray)
