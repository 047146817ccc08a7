"""Windows per second, bytes on disk and time to the first batch of three ways to the same frames.

    python benchmarks/data_speed.py                       # 20 episodes of MaskCheetah-v0
    python benchmarks/data_speed.py --episodes 100 --batch 128

* **on the fly**: physics on disk, frames drawn when a window asks for them;
* **block by block**: the same, drawn whole episodes at a time, as training does (``LazyFrames`` and ``Blocks``), over
  as many batches as share a block, so that the drawing of one is among them;
* **frame cache**: drawn once into a file, mapped;
* **HDF5, its loader**: LAOM's layout, read as its loader does: every trajectory becomes a tensor in memory, torch's
  ``DataLoader`` asks for one shuffled sample after the other, and each is three stacks (at t, t + 1 and t + k, k drawn
  from 1 to 10) with action and state.  That is 9 frames, without masks, where our window has 13 with masks;
* **HDF5, our windows**: whole windows cut from the same file, out of memory and out of the file, without masks.

A window is MaskLAM's: a stack of three frames and the ten after it, RGB and mask, 64 x 64.  All rows are measured in
one run, one thread, and repeated in turn.  Rates are told by the process's own seconds (CPU time), so that other work
on the machine does not count, and by the clock; the best of each repeat.  The time to the first batch is the clock's,
from nothing open.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
import tyro

from masklam_envs import LazyFrames, Trajectories, Windows, collect
from masklam_envs.data import Blocks, open_frames
from masklam_envs.data.formats import laom


@dataclasses.dataclass
class Args:
    task: str = "MaskCheetah-v0"
    """a registered id"""
    distractor: str = "action"
    """what the frames show"""
    episodes: int = 20
    """episodes of the dataset"""
    batch: int = 128
    """windows of a batch"""
    batches: int = 10
    """batches of a repeat"""
    repeats: int = 3
    """repeats of each row, in turn"""
    frame_stack: int = 3
    """frames of a stack"""
    future_offset: int = 10
    """frames after it"""


BLOCK = 5  # episodes drawn at a time
Way = Callable[[np.random.Generator], Any]


def main(args: Args) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


def measure(args: Args, folder: Path) -> None:
    """Make the data, measure every way to it."""
    env = gym.make(args.task, distractor=args.distractor)
    collect(args.task, args.episodes, out=folder / "physics")
    warm = LazyFrames(Trajectories.load(folder / "physics"), env)
    warm.rows(np.arange(2))  # compiles the renderer
    steps = len(warm.trajectories)
    started = time.perf_counter()
    open_frames(warm.trajectories, env, folder=folder / "cache", cache=True)
    drawing = time.perf_counter() - started
    length = int(warm.trajectories.lengths.min())
    laom.export(warm, folder / "laom.hdf5", length=length)

    ways = {
        "physics, on the fly": (on_the_fly, folder / "physics"),
        "physics, block by block": (block_by_block, folder / "physics"),
        "frame cache, mapped": (cached, folder / "cache"),
        "HDF5 (LAOM), its loader": (their_loader, folder / "laom.hdf5"),
        "HDF5 (LAOM), our windows, memory": (in_memory, folder / "laom.hdf5"),
        "HDF5 (LAOM), our windows, file": (from_file, folder / "laom.hdf5"),
    }
    updates = Blocks(LazyFrames(warm.trajectories, env, block=BLOCK), batch_size=args.batch, seed=0).updates
    th.set_num_threads(1)
    found: dict[str, list[Timing]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, (make, _) in ways.items():
            batches = updates if make is block_by_block else args.batches
            found[name].append(timed(args, folder, env, make, batches))
    print(f"{steps} transitions of {args.task}; drawing the cache took {drawing:.1f} s once")
    print(f"{'':34} {'windows/s (CPU)':>16} {'(clock)':>9} {'first batch, s':>15} {'bytes a transition':>19}")
    for name, (_, place) in ways.items():
        cpu, clock = (max(getattr(each, rate) for each in found[name]) for rate in ("cpu", "clock"))
        first = min(each.first for each in found[name])
        print(f"{name:34} {cpu:16.0f} {clock:9.0f} {first:15.3f} {size_of(place) / steps:19.0f}")


@dataclasses.dataclass
class Timing:
    """One repeat of one row: windows per second by CPU time and by the clock, and seconds to the first batch."""

    cpu: float
    clock: float
    first: float


def timed(args: Args, folder: Path, env: Any, make: Callable[..., Way], batches: int) -> Timing:
    """Measure a way to windows, from nothing open."""
    started = time.perf_counter()
    batch = make(args, folder, env)
    rng = np.random.default_rng(0)
    batch(rng)
    first = time.perf_counter() - started
    started, spent = time.perf_counter(), time.process_time()
    for _ in range(batches):
        batch(rng)
    windows = batches * args.batch
    return Timing(windows / (time.process_time() - spent), windows / (time.perf_counter() - started), first)


def on_the_fly(args: Args, folder: Path, env: Any) -> Way:
    return of_windows(args, LazyFrames(Trajectories.load(folder / "physics"), env))


def cached(args: Args, folder: Path, env: Any) -> Way:
    recorded = Trajectories.load(folder / "physics")
    return of_windows(args, open_frames(recorded, env, folder=folder / "cache", cache=True))


def of_windows(args: Args, frames: Any) -> Way:
    windows = Windows(frames, frame_stack=args.frame_stack, future_offset=args.future_offset)
    return lambda rng: windows.batch(windows.anchors[rng.integers(len(windows), size=args.batch)])


def block_by_block(args: Args, folder: Path, env: Any) -> Way:
    """As training reads: the cost of drawing a block is shared by as many windows as it has transitions."""
    frames = LazyFrames(Trajectories.load(folder / "physics"), env, block=BLOCK)
    blocks = Blocks(frames, batch_size=args.batch, seed=0)
    state: dict[str, Any] = {"update": 0, "number": -1}

    def batch(rng: np.random.Generator) -> Any:
        number = blocks.number(state["update"])
        if number != state["number"]:
            state["number"], state["batch"] = number, of_windows(args, blocks.load(number))
        state["update"] += 1
        return state["batch"](rng)

    return batch


class TheirDataset(th.utils.data.Dataset):
    """Samples by the rules of LAOM's loader: every trajectory a tensor in memory, stacks padded by the first frame.

    :param path: of the file
    :param frame_stack: frames of a stack
    :param max_offset: frames ahead of the third stack, at most
    """

    def __init__(self, path: Path, frame_stack: int, max_offset: int) -> None:
        import h5py

        with h5py.File(path) as file:
            names = ("obs", "actions", "states")
            self.rows = [{name: th.tensor(group[name][:]) for name in names} for group in file.values()]
        self.frame_stack, self.max_offset = frame_stack, max_offset
        self.length = len(self.rows[0]["obs"]) - max_offset  # the first one's for all

    def __len__(self) -> int:
        return len(self.rows) * self.length

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        number, t = divmod(index, self.length)
        rows, offset = self.rows[number], random.randint(1, self.max_offset)
        stacks = [self.stack(rows["obs"], end) for end in (t, t + 1, t + offset)]
        return *stacks, rows["actions"][t], rows["states"][t], offset - 1

    def stack(self, frames: th.Tensor, end: int) -> th.Tensor:
        """(H, W, 3 * frame_stack), oldest first."""
        chosen = frames[max(0, end - self.frame_stack + 1) : end + 1]
        missing = self.frame_stack - len(chosen)
        chosen = th.cat([chosen[:1]] * missing + [chosen]) if missing else chosen
        return chosen.permute(1, 2, 0, 3).reshape(*chosen.shape[1:3], -1)


def their_loader(args: Args, folder: Path, env: Any) -> Way:
    data = TheirDataset(folder / "laom.hdf5", args.frame_stack, args.future_offset)
    loader = th.utils.data.DataLoader(data, args.batch, shuffle=True, drop_last=True)
    batches = (batch for _ in itertools.count() for batch in loader)
    return lambda rng: next(batches)


def in_memory(args: Args, folder: Path, env: Any) -> Way:
    """Every trajectory becomes an array; a window is cut from one."""
    import h5py

    with h5py.File(folder / "laom.hdf5") as file:
        observations = [group["obs"][:] for group in file.values()]
        actions = [group["actions"][:] for group in file.values()]
    return lambda rng: np.stack([one(args, rng, observations, actions) for _ in range(args.batch)])


def from_file(args: Args, folder: Path, env: Any) -> Way:
    """The file stays open; a window is read from it."""
    import h5py

    file = h5py.File(folder / "laom.hdf5")
    observations, actions = ([group[name] for group in file.values()] for name in ("obs", "actions"))
    return lambda rng: np.stack([one(args, rng, observations, actions) for _ in range(args.batch)])


def one(args: Args, rng: np.random.Generator, observations: Any, actions: Any) -> np.ndarray:
    """A window (T, H, W, 3) of a random trajectory, padded on the left by its first frame."""
    number = int(rng.integers(len(observations)))
    length = len(observations[number])
    t = int(rng.integers(length - args.future_offset))
    first = max(0, t - args.frame_stack + 1)
    frames = observations[number][first : t + args.future_offset + 1]
    actions[number][first : t + args.future_offset]
    missing = args.frame_stack + args.future_offset - len(frames)
    return np.concatenate([np.repeat(frames[:1], missing, axis=0), frames]) if missing else frames


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(os.path.getsize(file) for file in path.iterdir())


if __name__ == "__main__":
    main(tyro.cli(Args))
