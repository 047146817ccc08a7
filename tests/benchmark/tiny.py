"""A suite whose runs take a second, and methods that misbehave; also imported by processes that tests start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from masklam_agents.benchmark.execute import Options
from masklam_agents.benchmark.launchers import HereLauncher
from masklam_agents.benchmark.plan import Run, make_runs
from masklam_agents.benchmark.runner import Summary, run_all
from masklam_agents.benchmark.suite import Suite, parse_suite
from masklam_agents.lapo import LAPO

TINY = """
name: tiny
version: "1"
summary: for tests
tasks: [MaskCheetah-v0]
distractors: [none]
methods: [lapo, masklam-fixed]
seeds: 1
data: {steps: 80, held_out_steps: 60, max_steps: 40}
training:
  image_size: 16
  batch_size: 8
  labels: 32
  latent_dim: 8
  samples: {pretrain: 40, clone: 40, decode: 40}
  learning_rate: {pretrain: 0.001, clone: 0.002, decode: 0.001}
  options: {future_offset: 1}
evaluation: {episodes: 2, max_steps: 25, transitions: 60}
"""


class Broken(LAPO):
    """Fails in stage 1."""

    def _begin_pretrain(self, frames: Any) -> Any:
        raise RuntimeError("this method is broken")


class Undrawable(LAPO):
    """Learns, and cannot say what it predicts."""

    def predict_next(self, obs: Any, next_obs: Any) -> Any:
        raise KeyError("mask")


def tiny(**changes: str) -> Suite:
    """The suite with some of its lines replaced."""
    lines = TINY.splitlines()
    for key, value in changes.items():
        places = [place for place, line in enumerate(lines) if line.strip().startswith(f"{key}:")]
        if places:
            indent = lines[places[0]][: len(lines[places[0]]) - len(lines[places[0]].lstrip())]
            lines[places[0]] = f"{indent}{key}: {value}"
        else:
            lines.append(f"{key}: {value}")
    return parse_suite("\n".join(lines), "tiny.yaml")


def options(out: Path, **changes: Any) -> Options:
    return Options(str(out), str(out / "shared"), **{"pictures": False, **changes})


def do(suite: Suite | list[Run], out: Path, **changes: Any) -> Summary:
    """All runs of a suite in this process."""
    runs = suite if isinstance(suite, list) else make_runs(suite)
    given = options(out, **changes)
    return run_all(runs, given, HereLauncher(given))


if __name__ == "__main__":  # a long run that a test interrupts: python tiny.py OUT SAMPLES
    out, samples = Path(sys.argv[1]), sys.argv[2]
    summary = do(tiny(samples=f"{{pretrain: 40, clone: {samples}, decode: 40}}", methods="[lapo]"), out, save_every=0.1)
    print(summary)
