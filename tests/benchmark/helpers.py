"""Results that nobody trained for: what a report, a leaderboard and their tests are fed with."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from masklam_agents.benchmark.result_files import write_result
from masklam_agents.benchmark.results import (
    PACKAGES,
    Evaluation,
    Machine,
    Metrics,
    Normalizers,
    Probe,
    Result,
    Training,
    Tuning,
    hash_config,
)
from masklam_envs.pictures import write_video


def make_probe(nmse: float = 0.4, dimensions: int = 2) -> Probe:
    each, r2 = (nmse,) * dimensions, (1 - nmse,) * dimensions
    return Probe(nmse, 1 - nmse, nmse / 3, each, 1e-3, r2, 0.9 * nmse, 1 - 0.9 * nmse)


def make_result(nmse: float | None = 0.4, returns: Any = (30.0, 50.0), **changes: Any) -> Result:
    """A valid result with some of its fields replaced."""
    normalizers = Normalizers(expert=110.0, random=10.0)
    probe, distractor = (None, None) if nmse is None else (make_probe(nmse), make_probe(0.8))
    fields: dict[str, Any] = {
        "suite": "synthetic",
        "suite_version": "1",
        "method": "lapo",
        "task": "MaskCheetah-v0",
        "distractor": "action-0.9",
        "seed": 0,
        "variables": {},
        "status": "ok",
        "error": "",
        "metrics": Metrics.of(returns, normalizers, action=probe, action_unseen=probe, distractor=distractor),
        "normalizers": normalizers,
        "training": Training(
            network="small",
            parameters=120_000,
            updates={"pretrain": 1_000, "clone": 2_000, "decode": 500},
            samples={"pretrain": 64_000, "clone": 128_000, "decode": 32_000},
            learning_rate={"pretrain": 1e-3, "clone": 2e-3, "decode": 1e-3},
            labels=4_096,
            label_subset="c0ffee",
            dataset="facade",
            tuning=Tuning(grid={"learning_rate": (5e-4, 1e-3)}, trials=2, chosen_by="NMSE on validation episodes"),
            precision="fp32",
        ),
        "evaluation": Evaluation(tuple(range(len(returns))), "test", (5_000, 2_000)),
        "versions": dict.fromkeys(("python", *PACKAGES), "1.2.3"),
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "machine": Machine("A processor", 2),
        "wall_seconds": 60.0,
        "cpu_seconds": 100.0,
        **changes,
    }
    named = ("suite", "suite_version", "method", "task", "distractor", "seed", "variables")
    config = {key: fields[key] for key in named}
    where = f"--method {fields['method']} --task {fields['task']} --seeds {fields['seed'] + 1}"
    fields.setdefault("command", f"masklam benchmark {fields['suite']} {where}")
    if fields["status"] == "failed":
        fields |= {"metrics": None, "error": fields["error"] or "RuntimeError: the loss is not finite"}
    return Result(**{"config": config, "config_hash": hash_config(fields.get("config", config)), **fields})


METHODS = {"lapo": (0.8, 0.05), "masklam": (0.35, 0.4), "laom": (0.6, 0.1), "bc-labels": (None, 0.3)}


def make_results(
    methods: Any = METHODS, tasks: Any = ("MaskCheetah-v0", "MaskHopper-v0"), seeds: int = 5, variables: Any = ({},)
) -> list[Result]:
    """A whole suite: ``methods`` maps a name to its NMSE (None: no latents) and normalized return, on average."""
    random = np.random.default_rng(0)
    results = []
    for task, distractor, choice, method, seed in itertools.product(
        tasks, ("none", "action-0.9"), variables, methods, range(seeds)
    ):
        nmse, reached = methods[method]
        nmse = None if nmse is None else float(nmse * random.uniform(0.8, 1.2))
        returns = 10 + 100 * reached * random.uniform(0.5, 1.5, size=4)
        place = {"task": task, "distractor": distractor, "variables": choice}
        results.append(make_result(nmse, returns.tolist(), method=method, seed=seed, **place))
    return results


def write_results(folder: Path, results: list[Result], pictures: bool = True) -> Path:
    """A folder as a runner leaves it: one run in one folder, some with pictures."""
    for result in results:
        run = folder / result.config_hash
        write_result(run, result)
        if pictures and result.status == "ok" and result.seed == 0:
            draw_pictures(run)
    return folder


def draw_pictures(run: Path) -> None:
    from PIL import Image

    shade = np.linspace(0, 255, 60 * 180 * 3).reshape(60, 180, 3).astype(np.uint8)
    Image.fromarray(shade).save(run / "predictions.png")
    write_video(run / "rollout.webp", [shade[:, :60], shade[:, 60:120]], fps=5)
