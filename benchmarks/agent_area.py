"""How large the agent is in the frame, and how often it touches the frame's edge: the table of docs/environments.md.

    python benchmarks/agent_area.py                              # every task, 64 x 64
    python benchmarks/agent_area.py --tasks MaskAnt-v0 --episodes 500
    python benchmarks/agent_area.py --max-steps 1 --tasks MaskDMC/swimmer-swimmer6-v0   # how episodes start

Each task is seen through its own camera in episodes of uniform random actions, from so many resets; where the task ends
an episode when the agent falls, once more without that; and with the shipped expert where there is one (with its
reference noise).  Frames are taken evenly from all episodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

from masklam_envs import collect
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.masks import target_bodies
from masklam_envs.tasks import TASKS


@dataclasses.dataclass
class Args:
    tasks: tuple[str, ...] = tuple(TASKS)
    """registered ids"""
    episodes: int = 100
    """resets of each row"""
    long_episodes: int = 20
    """resets of the rows without falling and of the expert's, whose episodes last until the time limit"""
    frames: int = 4_000
    """frames drawn of each row"""
    max_steps: int | None = None
    """cut every episode after so many steps"""
    image_size: int = 64
    """side of a frame, pixels"""


@dataclasses.dataclass
class Row:
    task: str
    rollouts: str
    frames: int
    pixels: float
    least: int
    edge: float
    hidden: float | None


def rollouts(task: str, args: Args) -> Iterator[tuple[str, Trajectories]]:
    """What the agent does, and the episodes of it."""
    yield f"random, {args.episodes} episodes", collect(task, args.episodes, policy="random", max_steps=args.max_steps)
    masked: Any = gym.make(task).unwrapped
    if hasattr(masked.base.unwrapped, "_terminate_when_unhealthy"):
        standing = gym.make(task, base_kwargs={"terminate_when_unhealthy": False})
        yield (
            f"random, {args.long_episodes} that go on after a fall",
            collect(standing, args.long_episodes, policy="random", max_steps=args.max_steps),
        )
    if task in TASKS and TASKS[task].expert:
        yield f"expert, {args.long_episodes} episodes", collect(task, args.long_episodes, max_steps=args.max_steps)


def measure(task: str, name: str, trajectories: Trajectories, args: Args) -> Row:
    """Draw frames of one task's episodes."""
    poses = trajectories.qpos[:: max(1, len(trajectories.qpos) // args.frames)]
    masks = drawn(task, poses, args, "agent")
    area = masks.sum(axis=(1, 2))
    edge = masks[:, [0, -1]].any(axis=(1, 2)) | masks[:, :, [0, -1]].any(axis=(1, 2))
    hidden = None
    if has_objects(task):
        hidden = float(1 - drawn(task, poses, args, "object").any(axis=(1, 2)).mean())
    return Row(task, name, len(poses), float(area.mean()), int(area.min()), float(edge.mean()), hidden)


def has_objects(task: str) -> bool:
    """Whether there is anything that ``mask_target="object"`` could show."""
    env: Any = gym.make(task).unwrapped
    config = env.view.config
    try:
        return bool(target_bodies(env.view.model, "object", config.agent_bodies, config.object_bodies))
    except ValueError:
        return False


def drawn(task: str, poses: np.ndarray, args: Args, target: str) -> np.ndarray:
    """Masks (N, H, W) bool of positions (N, nq)."""
    env: Any = gym.make(task, image_size=args.image_size, mask_target=target).unwrapped
    return np.stack([env.view.renderer.draw(qpos)[1][..., 0] > 0 for qpos in poses])


def main(args: Args) -> None:
    """Print the table."""
    whole = args.image_size**2
    print("| task | rollouts | frames | mean agent pixels | least | touches the edge | object hidden |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for task in args.tasks:
        for name, trajectories in rollouts(task, args):
            row = measure(task, name, trajectories, args)
            hidden = "-" if row.hidden is None else f"{100 * row.hidden:.1f} %"
            share = f"{row.pixels:.0f} ({100 * row.pixels / whole:.1f} %)"
            edge = f"{100 * row.edge:.2f} %"
            print(f"| {row.task} | {row.rollouts} | {row.frames} | {share} | {row.least} | {edge} | {hidden} |")


if __name__ == "__main__":
    main(tyro.cli(Args))
