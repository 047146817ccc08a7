"""Losses whose batches a thread prepares while the loop trains on the ones before."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch as th

LossOf = Callable[[np.random.Generator], th.Tensor]


@dataclasses.dataclass(frozen=True)
class PreparedLoss:
    """A loss in two steps; called with an update's random numbers it takes both.

    :param prepare: random numbers -> the batch.  It must read no weights: it may run before the update ahead of it
    :param loss: batch, the same random numbers from where ``prepare`` left them -> scalar
    """

    prepare: Callable[[np.random.Generator], Any]
    loss: Callable[[Any, np.random.Generator], th.Tensor]

    def __call__(self, rng: np.random.Generator) -> th.Tensor:
        """The loss of an update."""
        return self.loss(self.prepare(rng), rng)

    def ready(self, rngs: Iterable[np.random.Generator], ahead: int) -> Generator[LossOf, None, None]:
        """The loss of update after update, with its batch in hand; each ignores the random numbers it is called with.

        Close the iterator to end its thread early.  An error in ``prepare`` is raised when its update's turn comes.

        :param rngs: the random numbers of each update
        :param ahead: batches that a thread prepares ahead; 0: none, and no thread
        """
        with contextlib.closing(_in_order(lambda rng: (self.prepare(rng), rng), rngs, ahead)) as prepared:
            for batch, rng in prepared:
                yield lambda _, batch=batch, rng=rng: self.loss(batch, rng)  # type: ignore[misc]


def _in_order(make: Callable[[Any], Any], of: Iterable[Any], ahead: int) -> Generator[Any, None, None]:
    """``map``, so many results ahead on a thread."""
    if not ahead:
        yield from map(make, of)
        return
    items = iter(of)
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Any]] = deque(pool.submit(make, item) for item in itertools.islice(items, ahead))
        try:
            while waiting:
                made = waiting.popleft().result()
                waiting.extend(pool.submit(make, item) for item in itertools.islice(items, 1))
                yield made
        finally:
            for future in waiting:
                future.cancel()
