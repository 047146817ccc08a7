"""Batches of windows in an order that the seed decides, prepared ahead by threads."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.windows import WindowBatch, Windows, warn_of_short_episodes

#: batches that each worker prepares ahead
AHEAD = 2


class WindowLoader:
    """Every window once a pass, shuffled anew for every pass.

    Batch ``number`` is a function of the seed and the number alone: not of ``workers``, and not of where one begins, so
    an interrupted training goes on with the batch it would have seen.

    It is a loader already: iterate it, and give ``windows`` itself, not this, to torch's ``DataLoader``.

    :param windows: of frames in memory, mapped from a file, or drawn on the fly
    :param batch_size: windows of a batch; a pass leaves out what does not fill one
    :param seed: of the order
    :param workers: threads that prepare batches ahead; 0: each is prepared when it is asked for
    :raises ValueError: when the dataset does not fill a batch
    """

    def __init__(self, windows: Windows, batch_size: int = 128, *, seed: int = 0, workers: int = 0) -> None:
        if batch_size < 1 or workers < 0:
            raise ValueError(f"batch_size must be at least 1 and workers at least 0, got {batch_size} and {workers}")
        if batch_size > len(windows):
            raise ValueError(f"{len(windows)} windows do not fill a batch of {batch_size}; collect more or lower it")
        warn_of_short_episodes(windows.frames.trajectories, windows.future_offset)
        self.windows, self.batch_size, self.seed, self.workers = windows, batch_size, seed, workers
        self._local = threading.local()
        self._kept: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        """Batches of a pass."""
        return len(self.windows) // self.batch_size

    def batch(self, number: int) -> WindowBatch:
        """The batch of a number, counted from the first batch of the first pass."""
        turn, place = divmod(number, len(self))
        chosen = self._order(turn)[place * self.batch_size : (place + 1) * self.batch_size]
        return self._own_windows().batch(self.windows.anchors[chosen])

    def _order(self, turn: int) -> NDArray[np.int64]:
        """The windows in the order of a pass; that of the last pass asked for is kept."""
        kept = self._kept
        if kept is None or kept[0] != turn:
            kept = self._kept = turn, np.random.default_rng((self.seed, turn)).permutation(len(self.windows))
        return kept[1]

    def __iter__(self) -> Iterator[WindowBatch]:
        """One pass: the first one."""
        return self.batches(0, len(self))

    def batches(self, first: int = 0, last: int | None = None) -> Iterator[WindowBatch]:
        """The batches ``first`` up to but without ``last``; None: for ever."""
        numbers = itertools.count(first) if last is None else iter(range(first, last))
        if not self.workers:
            yield from map(self.batch, numbers)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: deque[Future[WindowBatch]] = deque(
                pool.submit(self.batch, number) for number in itertools.islice(numbers, AHEAD * self.workers)
            )
            try:
                while waiting:
                    ready = waiting.popleft().result()
                    waiting.extend(pool.submit(self.batch, number) for number in itertools.islice(numbers, 1))
                    yield ready
            finally:
                for future in waiting:
                    future.cancel()

    def _own_windows(self) -> Windows:
        """The windows of this thread: a renderer serves one thread at a time."""
        if not self.workers:
            return self.windows
        if not hasattr(self._local, "windows"):
            self._local.windows = self.windows.twin()
        own: Windows = self._local.windows
        return own
