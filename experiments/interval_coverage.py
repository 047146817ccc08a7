"""How often the benchmark's 95 % intervals hold the true value, by the number of runs and of places.

    python experiments/interval_coverage.py --out docs/results/interval_coverage.json

Runs are drawn from a normal distribution, alike in all places, so the true value of the mean, and of the mean of
logarithms of paired ratios likewise, is known. A percentile bootstrap of few runs scatters less than the runs do: by
sqrt((n - 1) / n).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import tyro

from masklam_agents.benchmark.statistics import aggregates
from masklam_envs.whole import whole_file

METRICS = ("iqm", "mean")


@dataclasses.dataclass
class Args:
    """What is drawn."""

    out: Path = Path("interval_coverage.json")
    """file of the shares"""
    runs: tuple[int, ...] = (3, 4, 5, 10)
    """of a place"""
    places: tuple[int, ...] = (1, 4, 20)
    """that are pooled"""
    trials: int = 2_000
    """benchmarks of each size"""
    repetitions: int = 1_000
    """of each bootstrap"""
    seed: int = 0
    """of the draws"""


def coverage(args: Args, runs: int, places: int) -> dict[str, float]:
    """The share of intervals that hold the true value, 0, by metric."""
    random = np.random.default_rng((args.seed, runs, places))
    held = dict.fromkeys(METRICS, 0)
    for trial in range(args.trials):
        found = aggregates(random.normal(size=(places, runs)), METRICS, repetitions=args.repetitions, seed=trial)
        for metric, interval in found.items():
            held[metric] += interval.low <= 0 <= interval.high
    return {metric: count / args.trials for metric, count in held.items()}


def main(args: Args) -> None:
    """Measure, print, write."""
    rows = []
    for runs in args.runs:
        for places in args.places:
            rows.append({"runs": runs, "places": places, **coverage(args, runs, places)})
            print(rows[-1], flush=True)
    plain = {name: value for name, value in dataclasses.asdict(args).items() if name != "out"}
    with whole_file(args.out) as part:
        part.write_text(json.dumps({"settings": plain, "coverage": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
