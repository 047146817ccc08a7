"""Where a result comes from: the versions, the commit and the machine of this process."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from masklam_agents.benchmark.results import PACKAGES, Machine

# Beside what every result names: what draws frames, and what training is built on.
MORE = ("numba", "stable_baselines3")
ROOT = Path(__file__).resolve().parents[2]


def installed_versions() -> dict[str, str]:
    """Python's and the packages' versions, for :attr:`Result.versions`."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in (*PACKAGES, *MORE)}


def machine() -> Machine:
    """The processor, how much of it this process may use, and the accelerator."""
    import torch as th

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    device = th.cuda.get_device_name() if th.cuda.is_available() else None
    return Machine(_processor(), cores, device)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine() or "unknown"


@functools.cache
def commit() -> str:
    """The commit of the code that runs, with ``-dirty`` after changes; ``unknown`` outside of a checkout.

    Asked once in a process, at its start: files may change while a long benchmark runs, the loaded code does not.
    """
    if not (ROOT / "pyproject.toml").exists():
        return "unknown"
    try:
        run = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, capture_output=True).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip() + ("-dirty" if changed else "")
