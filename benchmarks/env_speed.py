"""Steps per second of the environments on one core, beside physics alone and the renderer alone, in one run.

    python benchmarks/env_speed.py                    # MaskCheetah-v0
    python benchmarks/env_speed.py --task MaskWalker-v0 --repeats 20

Every row is the best of its repeats, interleaved, because shared machines only ever make things slower.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import tyro

import masklam_envs  # noqa: F401 - registers the environments
from masklam_envs.rendering.look import Look, Plate


@dataclasses.dataclass
class Args:
    task: str = "MaskCheetah-v0"
    """a registered id"""
    steps: int = 2_000
    """steps of a repeat"""
    repeats: int = 10
    """repeats of each row"""
    clock: Literal["wall", "cpu"] = "wall"
    """"cpu" counts this process's time on the core alone: for a core that others use at the same time"""


def stepper(env: gym.Env[Any, Any], steps: int) -> Callable[[], None]:
    """Steps an environment with actions drawn beforehand."""
    rng = np.random.default_rng(0)
    space: Any = env.action_space
    actions = rng.uniform(space.low, space.high, (steps, *space.shape)).astype(np.float32)
    env.reset(seed=0)

    def run() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return run


def drawer(env: gym.Env[Any, Any], steps: int) -> Callable[[], None]:
    """Draws one state over and over: the renderer with its kinematics, without distractor."""
    view: Any = env.unwrapped.view  # type: ignore[attr-defined]
    qpos = env.unwrapped.base.unwrapped.data.qpos.copy()  # type: ignore[attr-defined]
    look = Look(Plate(np.zeros((view.config.image_size,) * 2 + (3,), np.uint8)))

    def run() -> None:
        for _ in range(steps):
            view.renderer.draw(qpos, look)

    return run


def main(args: Args) -> None:
    """Print the table."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    base = gym.spec(args.task).kwargs["base"]
    rows = {f"physics alone ({base})": stepper(gym.make(base).unwrapped, args.steps)}
    for distractor in ("none", "video", "action"):
        env = gym.make(args.task, distractor=distractor)
        rows[f"{args.task}, distractor {distractor!r}"] = stepper(env, args.steps)
    rows["renderer alone, on a plate"] = drawer(gym.make(args.task), args.steps)
    best = dict.fromkeys(rows, np.inf)
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    for repeat in range(args.repeats + 1):
        for name, run in rows.items():
            start = clock()
            run()
            if repeat:  # the first compiles
                best[name] = min(best[name], clock() - start)
    reference = next(iter(best.values()))
    print(f"{'':44} {'per second':>11} {'us each':>9} {'x physics':>10}")
    for name, seconds in best.items():
        print(f"{name:44} {args.steps / seconds:11.0f} {seconds / args.steps * 1e6:9.1f} {seconds / reference:10.2f}")


if __name__ == "__main__":
    main(tyro.cli(Args))
