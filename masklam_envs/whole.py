"""Files and folders that are whole or not there: written under a temporary name beside their own, then renamed."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

#: seconds without a change after which a temporary file is one that a killed process has left: no writer pauses so long
ABANDONED = 86_400


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], ending: str = "") -> Iterator[Path]:
    """A name to write to; what is there becomes ``path`` when the block ends well, else it is removed.

    What processes that were killed have left of the same file is removed first, once it is a day old: only their age
    tells, since their writers may be on another machine.

    :param path: of the file; its folder must exist
    :param ending: of the temporary name, for writers that go by it, e.g. ``".mp4"``
    :raises OSError: when the file cannot be written or renamed

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "scores.json")
    >>> with whole_file(path) as part:
    ...     _ = part.write_text("{}")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('{}', 1)
    """
    target = Path(path)
    part = _beside(target, f"part{ending}")
    try:
        yield part
        os.replace(part, target)
    finally:
        _remove(part)  # a full disk shall not stay full of halves


@contextlib.contextmanager
def whole_new(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The same for a file or a folder that does not exist yet, nor need the folder that it is in.

    :param path: of the file or folder
    :raises FileExistsError: when it exists: nothing is replaced
    :raises OSError: when it cannot be written, as on a full disk
    """
    target = Path(path)
    if target.exists():
        raise FileExistsError(f"{target} exists; give another name or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole_file(target) as part:
            yield part
    except OSError as error:
        if error.errno is None or error.filename2 is not None:
            raise
        raise OSError(
            error.errno, f"{target} could not be written ({error.strerror}); make room and try again"
        ) from error


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The same for a folder, which takes the place of the one that is there.

    :param path: of the folder; the one that it is in must exist
    :raises OSError: when it cannot be renamed; the old one is where it was
    """
    target = Path(path)
    part, old = _beside(target, "part"), _name_beside(target, "old")
    try:
        yield part
        if target.exists():
            _remove(old)  # of a killed process that had the same number
            os.replace(target, old)
        os.replace(part, target)
    finally:
        if old.exists() and not target.exists():
            os.replace(old, target)
        _remove(part)
        _remove(old)


def _beside(target: Path, end: str) -> Path:
    """A name to write to, once what killed processes have left is removed."""
    remove_abandoned(target.parent, f".{glob.escape(target.name)}.*.part*")
    path = _name_beside(target, end)
    _remove(path)
    return path


def _name_beside(target: Path, end: str) -> Path:
    """A name that no other process and thread takes."""
    return target.with_name(f".{target.name}.{os.getpid()}-{threading.get_native_id()}.{end}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Remove the temporary files, and folders, of a folder that have not changed for a day.

    :param folder: where they are
    :param pattern: of their names, as for ``Path.glob``
    """
    for left in folder.glob(pattern):
        with contextlib.suppress(OSError):  # another process was quicker, or it is not ours
            if time.time() - _last_change(left) > ABANDONED:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _last_change(path: Path) -> float:
    """Of a file, or of the youngest file in a folder: seconds since 1970."""
    return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
