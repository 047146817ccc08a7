"""Resident memory while environments are stepped and reset at random, made and closed; or of a batch in one process.

    python benchmarks/memory.py --minutes 10                  # single environments, one after the other
    python benchmarks/memory.py --envs 64 --steps 1000000     # a vector environment

Prints one line every tenth of the time or of the steps. After the first line (caches of background clips are bounded
and filled early) nothing should grow.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import tyro

import masklam_envs  # noqa: F401 - registers the environments


@dataclasses.dataclass
class Args:
    task: str = "MaskCheetah-v0"
    """a registered id"""
    minutes: float = 10.0
    """how long, for single environments"""
    envs: int = 0
    """environments of a vector environment, 0 for single ones"""
    steps: int = 1_000_000
    """steps of all environments together, for a vector environment"""
    distractor: str = "video"
    """a distractor's name, for a vector environment"""


def resident_mib() -> float:
    """Resident set of this process, MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def batch(args: Args) -> None:
    """Print the table of a vector environment, whose episodes end at random lengths."""
    rng = np.random.default_rng(0)
    envs = gym.make_vec(args.task, num_envs=args.envs, distractor=args.distractor, max_episode_steps=200)
    envs.reset(seed=0)
    print(f"{0:9d} steps {0:6d} ends {resident_mib():8.1f} MiB")
    space, steps, ends = envs.action_space, 0, 0
    for line in range(1, 11):
        while steps < line * args.steps // 10:
            _, _, terminations, truncations, _ = envs.step(rng.uniform(space.low, space.high).astype(np.float32))
            steps, ends = steps + args.envs, ends + int((terminations | truncations).sum())
            if rng.random() < 0.01:
                envs.reset(seed=int(rng.integers(2**31)), options={"reset_mask": rng.random(args.envs) < 0.9})
        print(f"{steps:9d} steps {ends:6d} ends {resident_mib():8.1f} MiB")


def single(args: Args) -> None:
    """Print the table of single environments."""
    rng = np.random.default_rng(0)
    start, line, steps, resets = time.monotonic(), 0, 0, 0
    while line < 10:
        env = gym.make(args.task, distractor=("none", "video", "action")[resets // 10 % 3])
        for _ in range(10):
            env.reset(seed=int(rng.integers(2**31)))
            resets += 1
            for _ in range(int(rng.integers(1, 400))):
                _, _, terminated, truncated, _ = env.step(env.action_space.sample())
                steps += 1
                if terminated or truncated:
                    break
        env.close()
        if time.monotonic() - start >= (line + 1) * args.minutes * 6:
            line += 1
            print(f"{line * args.minutes / 10:5.1f} min {steps:9d} steps {resets:6d} resets {resident_mib():8.1f} MiB")


if __name__ == "__main__":
    arguments = tyro.cli(Args)
    batch(arguments) if arguments.envs else single(arguments)
