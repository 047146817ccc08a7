"""What sources that run on ONNX Runtime share.

* :func:`stamp` - tells whether a file is still the same.
* :func:`shortage_told` - its errors of missing memory as Python's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

# What ONNX Runtime, CUDA and the C++ library say.
_SHORTAGE = ("allocate memory", "out of memory", "bad_alloc")


def stamp(file: Path) -> tuple[int, int]:
    """Of a file; one that is written anew under the same name is another network."""
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size


@contextlib.contextmanager
def shortage_told(frames: int) -> Iterator[None]:
    """What runs in it on so many frames at a time says when memory is short, with the cure.

    :raises MemoryError: instead of ONNX Runtime's own error, of which there is no class
    """
    try:
        yield
    except Exception as error:
        if not any(words in str(error) for words in _SHORTAGE):
            raise
        cure = f"give fewer at a time (batch={frames // 2})" if frames > 1 else "give smaller frames"
        raise MemoryError(f"ONNX Runtime has not enough memory for {frames} frames at a time: {cure}") from error
