"""Resident memory while an environment is stepped and reset at random, and while environments are made and closed.

    python benchmarks/memory.py --minutes 10

Prints one line every tenth of the time. After the first line (caches of background clips are bounded and filled early)
nothing should grow.
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
    """how long"""


def resident_mib() -> float:
    """Resident set of this process, MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main(args: Args) -> None:
    """Print the table."""
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
    main(tyro.cli(Args))
