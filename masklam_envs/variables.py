"""Environment variables for processes that are about to be started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

#: what keeps numerical libraries to one thread in a process that starts under them
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Environment variables as processes that are started in the block see them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
