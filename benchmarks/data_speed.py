"""Windows per second, bytes on disk and time to the first batch of three ways to the same frames.

    python benchmarks/data_speed.py                       # 20 episodes of MaskCheetah-v0
    python benchmarks/data_speed.py --episodes 100 --batch 128

* **on the fly**: physics on disk, frames drawn when a window asks for them;
* **block by block**: the same, drawn whole episodes at a time, as training does (``LazyFrames`` and ``Blocks``);
* **frame cache**: drawn once into a file, mapped;
* **HDF5**: LAOM's layout, read as its loader does: all of it into memory first, then one window after the other, each
  cut from its trajectory; and the same file without loading it.

A window is MaskLAM's: a stack of three frames and the ten after it, RGB and mask, 64 x 64; HDF5 has no masks and reads
RGB alone.  All rows are measured in one run, one thread, and repeated in turn; the best of each is told.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
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
        "HDF5 (LAOM), all in memory": (in_memory, folder / "laom.hdf5"),
        "HDF5 (LAOM), read at each window": (from_file, folder / "laom.hdf5"),
    }
    found = {name: timed(args, folder, env, make) for name, (make, _) in ways.items()}
    for _ in range(args.repeats - 1):
        for name, (make, _) in ways.items():
            again = timed(args, folder, env, make)
            found[name] = (max(found[name][0], again[0]), min(found[name][1], again[1]))
    print(f"{steps} transitions of {args.task}; drawing the cache took {drawing:.1f} s once")
    print(f"{'':34} {'windows/s':>10} {'first batch, s':>15} {'bytes a transition':>19}")
    for name, (_, place) in ways.items():
        rate, first = found[name]
        print(f"{name:34} {rate:10.0f} {first:15.3f} {size_of(place) / steps:19.0f}")


def timed(args: Args, folder: Path, env: Any, make: Callable[..., Way]) -> tuple[float, float]:
    """Windows per second, and seconds from nothing open to the first batch."""
    started = time.perf_counter()
    batch = make(args, folder, env)
    rng = np.random.default_rng(0)
    batch(rng)
    first = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(args.batches):
        batch(rng)
    return args.batches * args.batch / (time.perf_counter() - started), first


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
    frames = LazyFrames(Trajectories.load(folder / "physics"), env, block=5)
    blocks = Blocks(frames, batch_size=args.batch, seed=0)
    state: dict[str, Any] = {"update": 0, "number": -1}

    def batch(rng: np.random.Generator) -> Any:
        number = blocks.number(state["update"])
        if number != state["number"]:
            state["number"], state["batch"] = number, of_windows(args, blocks.load(number))
        state["update"] += 1
        return state["batch"](rng)

    return batch


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
