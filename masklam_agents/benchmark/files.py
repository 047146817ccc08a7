"""Locks and small files of a benchmark's folder: nothing half written, nobody in each other's way, full disks known.

A lock is the kernel's (``flock``): it ends with the process that holds it, however that ends, so none is ever stale.
The file names its holder for people.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from masklam_envs.whole import whole_file

_FULL = (errno.ENOSPC, errno.EDQUOT)
# How libraries say it that have no errno: safetensors, NumPy's `tofile`.
_FULL_WORDS = re.compile(rf"{os.strerror(errno.ENOSPC)}|{os.strerror(errno.EDQUOT)}|\d+ requested and \d+ written")


class BusyError(RuntimeError):
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold a lock.

    :param path: of its file, which stays
    :param wait: for the process that holds it; False: an error
    :param shared: others may hold it too if they also share it
    :raises BusyError: naming who holds it
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: run one runner a folder there
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            raise BusyError(f"{path.parent} is in use by {file.read().strip() or 'another process'}") from None
        if not shared:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        yield


def disk_is_full(error: BaseException) -> bool:
    """Whether a full disk, or a used-up quota, is behind an error, however a library says it."""
    behind: BaseException | None = error
    while behind is not None:
        if (isinstance(behind, OSError) and behind.errno in _FULL) or _FULL_WORDS.search(str(behind)):
            return True
        behind = behind.__cause__ or behind.__context__
    return False


def write_text(path: Path, text: str) -> None:
    """Write a small file in one step, in UTF-8."""
    with whole_file(path) as part:
        part.write_text(text, "utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=1, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> Any:
    """The contents of a JSON file, None where there is none."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
