"""Transitions a second and core that `masklam_envs.collect` records without drawing, and their bytes on disk.

    python benchmarks/collect_speed.py

Seconds are the process's own (CPU time), so that other processes on the machine are not counted; one thread.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy is imported

import tyro  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import masklam_envs  # noqa: E402


@dataclasses.dataclass
class Args:
    """What to record."""

    task: str = "MaskCheetah-v0"
    """an id of the suite"""
    policies: tuple[str, ...] = ("expert", "mixed")
    """as of `collect`"""
    episodes: int = 10
    """of each recording"""
    repeats: int = 5
    """recordings of each policy, in turns; the median counts"""
    out: Path | None = None
    """JSON file for the figures"""


def recorded(args: Args, policy: str, folder: Path) -> dict[str, Any]:
    """Seconds and bytes a transition of one recording."""
    start = time.process_time()
    episodes = masklam_envs.collect(args.task, args.episodes, policy=policy, out=folder)
    seconds = time.process_time() - start
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"policy": policy, "steps": len(episodes), "cpu_seconds": seconds, "bytes": size}


def main(args: Args) -> None:
    """Measure in turns and print the medians."""
    masklam_envs.collect(args.task, 1, policy=args.policies[0], max_steps=10)  # imports and caches are not the subject
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(args.repeats):
            rows += [recorded(args, policy, Path(folder) / f"{policy}{repeat}") for policy in args.policies]
    table = Table("policy", "transitions/s a core (median)", "slowest", "fastest", "bytes a transition")
    for policy in args.policies:
        own = [row for row in rows if row["policy"] == policy]
        speeds = sorted(row["steps"] / row["cpu_seconds"] for row in own)
        size = sum(row["bytes"] for row in own) / sum(row["steps"] for row in own)
        figures = (speeds[len(speeds) // 2], speeds[0], speeds[-1])
        table.add_row(policy, *(f"{figure:,.0f}" for figure in figures), f"{size:.1f}")
    Console().print(table)
    if args.out is not None:
        args.out.write_text(json.dumps({"task": args.task, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
