"""A few threads that share out a batch, the caller among them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

# The least that is taken at a time: less would cost too much Python for each step of MuJoCo.
CHUNK = 2


def usable_cores() -> int:
    """Cores this process may run on (``taskset`` and containers lower it)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chunks(size: int, count: int) -> list[tuple[int, int]]:
    """Ranges that make up ``range(size)``, large ones first, for ``count`` threads that take one after the other.

    Large ones cost less in Python; small ones at the end leave no thread waiting long for another that is held up.

    >>> chunks(32, 2)
    [(0, 8), (8, 14), (14, 18), (18, 21), (21, 23), (23, 25), (25, 27), (27, 29), (29, 31), (31, 32)]
    """
    ranges, first = [], 0
    while first < size:
        share = size if count == 1 else max(CHUNK, (size - first) // (2 * count))
        ranges.append((first, min(first + share, size)))
        first += share
    return ranges


class Threads:
    """Runs a function over the chunks of a batch; a thread takes the next chunk when it is done with its own.

    :param count: threads, the caller's included; 1 starts none
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def run(self, work: Callable[[int, int, int], None], size: int) -> None:
        """Call ``work(worker, first, last)`` until all of ``range(size)`` is done; ``worker`` is in [0, count).

        No two calls with the same worker run at once.  The first exception of a worker is raised when all have stopped.
        """
        shares = chunks(size, self.count)
        left = iter(shares)  # `next` of it is atomic

        def take(worker: int) -> None:
            for first, last in left:
                work(worker, first, last)

        helpers = min(self.count, len(shares)) - 1
        if helpers <= 0:
            take(0)
            return
        others = [self._executor().submit(take, worker + 1) for worker in range(helpers)]
        try:
            take(0)
        finally:
            failures = [other.exception() for other in others]
        for failure in failures:
            if failure is not None:
                raise failure

    def close(self) -> None:
        """End the threads; a later :meth:`run` starts new ones."""
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown()
        self._pool = None

    def _executor(self) -> ThreadPoolExecutor:
        # A forked child inherits the pool without its threads.
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.count - 1, thread_name_prefix="masklam")
            self._process = os.getpid()
        return self._pool
