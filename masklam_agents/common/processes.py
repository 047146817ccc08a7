"""Training on several GPUs or machines: each process takes its share of every batch.

    torchrun --nproc-per-node 2 train.py        # train.py: join_torchrun() first, then as with one process

Samples are drawn for the whole batch in every process, each of which keeps its own part; PyTorch's
``DistributedDataParallel`` averages the gradients.  What else depends on the whole batch (inputs' statistics,
codebooks, the published loss's normaliser) is taken over all of them too, so losses and weights are those of one
process, up to the order of sums.  Only the first process logs, calls callbacks and writes files.
"""

from __future__ import annotations

import atexit
import dataclasses
import gc
import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch as th
from torch import distributed, nn

Rows = TypeVar("Rows")


@dataclasses.dataclass(frozen=True)
class Processes:
    """The processes that train together.

    :param rank: of this one, from 0
    :param count: all of them; 1: everything here does nothing
    """

    rank: int = 0
    count: int = 1

    def share(self, rows: Rows) -> Rows:
        """This process's part of a whole batch, an array or tensor (B, ..).

        :raises ValueError: when it has no equal parts
        """
        if self.count == 1:
            return rows
        whole: Any = rows
        each, rest = divmod(len(whole), self.count)
        if rest:
            raise ValueError(f"{len(whole)} samples have no {self.count} equal parts: let batch_size be a multiple")
        part: Rows = whole[self.rank * each : (self.rank + 1) * each]
        return part

    def whole(self, rows: th.Tensor) -> th.Tensor:
        """The batch (B, ..) whose parts the processes have."""
        if self.count == 1:
            return rows
        parts = [th.empty_like(rows) for _ in range(self.count)]
        distributed.all_gather(parts, rows.contiguous())
        return th.cat(parts)

    def mean(self, x: th.Tensor) -> th.Tensor:
        """The mean over processes; no gradient flows through it."""
        if self.count == 1:
            return x
        total = x.detach().clone()
        distributed.all_reduce(total)
        return total / self.count

    def agreed(self, answer: bool) -> bool:
        """The first process's answer."""
        if self.count == 1:
            return answer
        told = th.tensor(int(answer))
        distributed.broadcast(told, 0)
        return bool(told)

    def averaging(
        self, modules: Iterable[nn.Module], some_unused: bool = False
    ) -> Callable[[Callable[[], th.Tensor]], th.Tensor]:
        """Calls a loss, whose ``backward`` then leaves the mean gradient in the modules' parameters.

        Parameters and buffers of the first process are given to the others.

        :param modules: what the loss trains
        :param some_unused: losses may leave parameters out
        """
        if self.count == 1:
            return called
        return nn.parallel.DistributedDataParallel(_Called(modules), find_unused_parameters=some_unused)


def called(loss: Callable[[], th.Tensor]) -> th.Tensor:
    """The loss."""
    return loss()


class _Called(nn.Module):
    """Holds modules and calls what it is given: what DDP wraps."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.held = nn.ModuleList(modules)

    def forward(self, loss: Callable[[], th.Tensor]) -> th.Tensor:
        return called(loss)


_joined = Processes()


def processes() -> Processes:
    """Those that train together; one where none were joined."""
    return _joined


def join_torchrun() -> Processes:
    """Let every ``learn`` of this process share its batches with the others that ``torchrun`` started.

    Call it before agents are made: each process gets its own GPU, where there are enough.  Started without
    ``torchrun`` there is one process, and nothing changes.
    """
    global _joined
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or _joined.count > 1:
        return _joined
    backend = "gloo"
    if th.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"]):
        th.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    # Functions of this module take the group as a default, so imported later (by an optimiser, say) it would hold it.
    # The group's threads would then outlive the interpreter, and abort it when they drop a tensor.
    importlib.import_module("torch.distributed.nn.functional")
    distributed.init_process_group(backend)
    atexit.register(_leave)
    _joined = Processes(distributed.get_rank(), count)
    return _joined


def _leave() -> None:
    """End the group and its threads; wrapped modules hold it, and lie in reference cycles."""
    gc.collect()
    distributed.destroy_process_group()
