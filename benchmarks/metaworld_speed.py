"""Steps per second of a Meta-World task with frames and masks, beside MuJoCo's own renderer, in one run on one core.

    .venv-metaworld/bin/python benchmarks/metaworld_speed.py                  # MaskMetaWorld/push-v3, 128 x 128
    .venv-metaworld/bin/python benchmarks/metaworld_speed.py --task door-open-v3

``mujoco.Renderer`` draws the RGB image and then the segmentation, from the same physics and camera, in the quality that
Meta-World's model asks for: what environments with a mask do.  Every row is the best of its repeats, interleaved,
because shared machines only ever make things slower.  On a busy machine ``--cpu-time`` counts the processor's time
instead; software OpenGL draws in the calling thread here, so without others the two are the same.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

# MuJoCo's own renderer reads this when it is imported; ours does not need it.
os.environ.setdefault("MUJOCO_GL", "egl")

import gymnasium as gym
import mujoco
import numpy as np

import masklam_envs  # noqa: F401 - registers the environments
from masklam_envs.suites.catalog import METAWORLD_TASKS


@dataclasses.dataclass
class Args:
    task: str = "push-v3"
    """one of Meta-World's MT10"""
    image_size: int = 128
    """side of the frames, pixels"""
    steps: int = 300
    """steps of a repeat of ours"""
    slow_steps: int = 15
    """steps of a repeat of MuJoCo's renderer"""
    repeats: int = 4
    """repeats of each row"""
    cpu_time: bool = False
    """count the processor's time, not the clock's"""


class Row:
    """The best time of a step."""

    def __init__(self, name: str, step: Callable[[], None], steps: int) -> None:
        self.name, self.step, self.steps, self.best = name, step, steps, float("inf")

    def repeat(self, clock: Callable[[], float]) -> None:
        start = clock()
        for _ in range(self.steps):
            self.step()
        self.best = min(self.best, (clock() - start) / self.steps)


def stepper(env: gym.Env[Any, Any]) -> Callable[[], None]:
    """One step of an environment with a random action."""
    space: Any = env.action_space
    rng = np.random.default_rng(0)
    env.reset(seed=0)

    def step() -> None:
        if any(env.step(rng.uniform(space.low, space.high).astype(np.float32))[2:4]):
            env.reset()

    return step


def mujoco_drawer(physics: Any, size: int) -> Callable[[], None]:
    """RGB and segmentation of a physics by ``mujoco.Renderer``."""
    renderer = mujoco.Renderer(physics.model, size, size)

    def draw() -> None:
        renderer.update_scene(physics.data, "corner")
        renderer.render()
        renderer.enable_segmentation_rendering()
        renderer.render()
        renderer.disable_segmentation_rendering()

    return draw


def rows(args: Args) -> tuple[Row, Row, Row, Row]:
    """Physics alone; physics and our frame; physics and MuJoCo's pictures; our frame alone."""
    ours = gym.make(f"MaskMetaWorld/{args.task}", image_size=args.image_size, distractor="action")
    alone, theirs = (gym.make(f"MetaWorld/{args.task}") for _ in range(2))
    step, draw = stepper(theirs), mujoco_drawer(theirs.unwrapped._env, args.image_size)  # type: ignore[attr-defined]
    ours.reset(seed=0)
    view: Any = ours.unwrapped.view  # type: ignore[attr-defined]
    qpos, row = ours.unwrapped.base.data.qpos.copy(), view.distractor.live(0).row  # type: ignore[attr-defined]

    def both() -> None:
        step()
        draw()

    return (
        Row("physics alone", stepper(alone), args.steps),
        Row("MaskMetaWorld: pixels and mask", stepper(ours), args.steps),
        Row("mujoco.Renderer: RGB, then segmentation", both, args.slow_steps),
        Row("our frame and mask alone", lambda: view.frame(qpos, row), args.steps),
    )


def main(args: Args) -> None:
    try:
        made = rows(args)
    except ImportError as error:
        print(error)
        return
    for _ in range(args.repeats):
        for row in made:
            row.repeat(time.process_time if args.cpu_time else time.perf_counter)
    physics, ours, theirs, frame = (row.best for row in made)
    print(f"{args.task}, {args.image_size} x {args.image_size}, MuJoCo {mujoco.__version__}")
    for row in made:
        print(f"{row.name:<40} {1 / row.best:8.0f} /s  {row.best * 1000:7.2f} ms")
    print(f"a step with frame and mask: {theirs / ours:.1f} times as fast as with mujoco.Renderer")
    print(f"the drawing alone: {(theirs - physics) / frame:.1f} times as fast")


def parsed() -> Args:
    """The command line; argparse, because the environment of Meta-World's tests has no more than they need."""
    import argparse

    parser = argparse.ArgumentParser(description="Steps per second of a Meta-World task with frames and masks.")
    parser.add_argument("--task", default=Args.task, choices=METAWORLD_TASKS)
    for name in ("image_size", "steps", "slow_steps", "repeats"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Args, name))
    parser.add_argument("--cpu-time", action="store_true")
    return Args(**vars(parser.parse_args()))


if __name__ == "__main__":
    main(parsed())
