"""Files that are whole or not there: written under a temporary name beside their own, then renamed."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
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
    remove_abandoned(target.parent, f".{glob.escape(target.name)}.*.part*")
    part = target.with_name(f".{target.name}.{os.getpid()}.part{ending}")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)  # a full disk shall not stay full of halves


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
