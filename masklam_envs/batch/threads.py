"""A few threads that share out a batch, the caller among them."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

# The least that is taken at a time: less would cost too much Python for each step of MuJoCo.
CHUNK = 2


def usable_cores() -> int:
    """Cores this process may run on (``taskset`` and containers lower it)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chunks(size: int, count: int) -> list[deque[tuple[int, int]]]:
    """Ranges that make up ``range(size)``, for each of ``count`` threads those that it does first, in order.

    A thread has the same environments in every step, unless one is held up: their memory stays in its core's cache.
    Large ranges cost less in Python; small ones at the end can be taken over by a thread that is done.

    >>> [list(own) for own in chunks(32, 2)]
    [[(0, 8), (8, 12), (12, 14), (14, 16)], [(16, 24), (24, 28), (28, 30), (30, 32)]]
    """
    edges = [size * worker // count for worker in range(count + 1)]
    return [deque(_halves(first, last, count > 1)) for first, last in itertools.pairwise(edges)]


def _halves(first: int, last: int, divided: bool) -> Iterator[tuple[int, int]]:
    """Half of a range, half of what is left, and so on; or the whole of it."""
    while first < last:
        share = max(CHUNK, (last - first) // 2) if divided else last - first
        yield first, min(first + share, last)
        first += share


def _next(shares: list[deque[tuple[int, int]]], worker: int) -> tuple[int, int] | None:
    """The first of a thread's own ranges, else the last of another's; each is handed out once."""
    with contextlib.suppress(IndexError):
        return shares[worker].popleft()
    for own in shares:
        with contextlib.suppress(IndexError):
            return own.pop()
    return None


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

        def take(worker: int) -> None:
            while (share := _next(shares, worker)) is not None:
                work(worker, *share)

        helpers = min(self.count, -(-size // CHUNK)) - 1
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
