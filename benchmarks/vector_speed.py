"""Steps per second of the vector environment beside physics alone, a single environment, and Gymnasium's own ways.

    python benchmarks/vector_speed.py                                  # MaskCheetah-v0, 64 environments
    python benchmarks/vector_speed.py --task MaskAnt-v0 --seconds 60
    python benchmarks/vector_speed.py --distractor none --envs 16

All rows are measured in one run, in turns of a few milliseconds, and the best turn counts: other work on the machine
only ever makes things slower.  "One core" and "one thread" hold the process to one core meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

import masklam_envs  # noqa: F401 - registers the environments


@dataclasses.dataclass
class Args:
    task: str = "MaskCheetah-v0"
    """a registered id"""
    envs: int = 64
    """environments of a batch"""
    distractor: str = "action"
    """a distractor's name"""
    cores: int = 2
    """cores of the rows that use several"""
    seconds: float = 40.0
    """how long"""
    gymnasium: bool = True
    """measure Gymnasium's SyncVectorEnv and AsyncVectorEnv as well"""


Row = Callable[[], int]  # runs a turn and says how many steps it was


def single(env: gym.Env[Any, Any], actions: np.ndarray) -> Row:
    """A turn of one environment: one action of each in the batch."""
    env.reset(seed=0)

    def run() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return run


def batch(envs: Any, actions: np.ndarray) -> Row:
    """A turn of a batch, of either interface: one step of all."""
    envs.reset()

    def run() -> int:
        envs.step(actions)
        return len(actions)

    return run


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Hold this process, its threads included, to some of its cores (Linux)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    threads = [int(thread) for thread in os.listdir("/proc/self/task")]
    before = {thread: os.sched_getaffinity(thread) for thread in threads}
    try:
        for thread in threads:
            os.sched_setaffinity(thread, sorted(os.sched_getaffinity(0) | before[thread])[:count])
        yield
    finally:
        for thread, cores in before.items():
            os.sched_setaffinity(thread, cores)


def make_rows(args: Args) -> dict[str, tuple[int, Row]]:
    """What is measured: for each name the number of cores, and a turn."""
    spec = gym.spec(args.task)
    base = gym.make(spec.kwargs["base"]).unwrapped
    space: Any = base.action_space
    actions = np.random.default_rng(0).uniform(space.low, space.high, (args.envs, *space.shape)).astype(np.float32)

    def ours(**kwargs: Any) -> Any:
        return gym.make_vec(args.task, num_envs=args.envs, distractor=args.distractor, **kwargs)

    rows: dict[str, tuple[int, Row]] = {
        "physics alone, one core": (1, single(base, actions)),
        "single environment, one core": (1, single(gym.make(args.task, distractor=args.distractor), actions)),
        "vector environment, one core": (1, batch(ours(threads=1), actions)),
        f"vector environment, {args.cores} cores": (args.cores, batch(ours(threads=args.cores), actions)),
    }
    with contextlib.suppress(ImportError):
        from masklam_agents.common.vec_env import MaskVecEnv

        adapted = MaskVecEnv(ours(threads=args.cores, autoreset_mode="SameStep"))
        rows[f"stable-baselines3 adapter, {args.cores} cores"] = (args.cores, batch(adapted, actions))
    if args.gymnasium:
        rows["Gymnasium's SyncVectorEnv, one core"] = (1, batch(ours(vectorization_mode="sync"), actions))
        several = batch(ours(vectorization_mode="async"), actions)
        rows[f"Gymnasium's AsyncVectorEnv, {args.envs} processes"] = (args.cores, several)
    return rows


def main(args: Args) -> None:
    """Print the table."""
    rows = make_rows(args)
    for _, run in rows.values():  # compiles
        run()
    best = dict.fromkeys(rows, np.inf)
    end = time.perf_counter() + args.seconds
    while time.perf_counter() < end:
        for name, (cores, run) in rows.items():
            with on_cores(cores):
                start = time.perf_counter()
                steps = run()
                best[name] = min(best[name], (time.perf_counter() - start) / steps)
    physics, alone, together, *_ = best.values()
    several = best[f"vector environment, {args.cores} cores"]
    print(f"{args.task}, distractor {args.distractor!r}, {args.envs} environments")
    print(f"{'':48} {'per second':>11} {'us a step':>10} {'x physics':>10}")
    for name, seconds in best.items():
        print(f"{name:48} {1 / seconds:11.0f} {1e6 * seconds:10.1f} {physics / seconds:10.2f}")
    print(f"vector environment, {args.cores} cores over one: {together / several:.2f}; single: {alone / several:.2f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
