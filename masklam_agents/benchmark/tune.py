"""Choosing hyperparameters for a suite: every method tries the same grid, on a seed that no result has.

Agents are scored on training backgrounds and on seeds of their own, so the choice has seen nothing of the evaluation.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

from masklam_agents.benchmark.execute import finished
from masklam_agents.benchmark.plan import Run, accepted_options, main_rate, make_run
from masklam_agents.benchmark.results import Result
from masklam_agents.benchmark.suite import Suite, SuiteError, Tuning
from masklam_agents.benchmark.suite_checks import check_method
from masklam_agents.benchmark.tuned import Trial, Tuned
from masklam_agents.methods import get_method

# Evaluation seeds of the choice: apart from those of the results.
SEED = 2_000_000


@dataclasses.dataclass(frozen=True)
class Trials:
    """What is tried.

    :param suite: of the trials: that of the results with other evaluation seeds and training backgrounds
    :param runs: by method and setting (as sorted pairs)
    """

    suite: Suite
    runs: dict[tuple[str, tuple[tuple[str, float], ...]], list[Run]]

    def all_runs(self) -> list[Run]:
        """Every run once: settings that differ in nothing that a method has are one."""
        return list({run.hash: run for runs in self.runs.values() for run in runs}.values())


def make_trials(suite: Suite, methods: tuple[str, ...] = (), plugins: tuple[str, ...] = ()) -> Trials:
    """The trials of a suite.

    :param methods: some; empty: all
    :raises SuiteError: when the suite has no section ``tuning``
    """
    tuning = _need(suite)
    for method in methods:
        check_method(method)
    evaluation = dataclasses.replace(suite.evaluation, seed=SEED, split="train")
    if abs(suite.evaluation.seed - SEED) < evaluation.episodes:
        raise SuiteError(
            f"evaluation.seed {suite.evaluation.seed} is among the choice's, from {SEED}: take a smaller one"
        )
    trial = dataclasses.replace(suite, name=f"{suite.name}-tuning", evaluation=evaluation, vary={}, tuned=None)
    probed = _first_stage_alone(trial)
    runs = {}
    for method, setting in itertools.product(methods or suite.methods, _grid(tuning)):
        own = _own_setting(method, setting)
        tuned = Tuned(trial.name, trial.version, {}, {method: 0}, "", {method: own})
        tried = probed if tuning.by == "nmse" and _has_latents(method) else trial
        runs[method, tuple(sorted(setting.items()))] = [
            _untold(make_run(tried, method, task, distractor, tuning.seed, None, tuned, plugins))
            for task in tuning.tasks
            for distractor in tuning.distractors
        ]
    return Trials(trial, runs)


def choose(suite: Suite, trials: Trials, out: Any) -> Tuned:
    """The best setting of every method, from the trials' results.

    :param out: folder of the trials
    :raises SuiteError: when a method has no trial with scores
    """
    tuning = _need(suite)
    scores = [
        Trial(method, dict(setting), _score(tuning, runs, out)) for (method, setting), runs in trials.runs.items()
    ]
    chosen = {}
    for method in dict.fromkeys(trial.method for trial in scores):
        own = [trial for trial in scores if trial.method == method and trial.score is not None]
        if not own:
            raise SuiteError(f"no trial of {method} has scores: see the failures above")
        best = min(own, key=lambda trial: trial.score if trial.score is not None else math.inf)
        chosen[method] = _own_setting(method, best.setting)
    tasks, distractors = ", ".join(tuning.tasks), ", ".join(tuning.distractors)
    how = f"{tuning.by} on {tasks} under {distractors} (training backgrounds), data and weights of seed {tuning.seed}"
    grid: dict[str, tuple[float, ...]] = {name: tuple(float(v) for v in values) for name, values in tuning.grid.items()}
    runs = {
        method: {run.hash for (name, _), all_of in trials.runs.items() if name == method for run in all_of}
        for method in chosen
    }
    counts = {method: len(hashes) for method, hashes in runs.items()}
    return Tuned(suite.name, suite.version, grid, counts, how, chosen, tuple(scores))


def _need(suite: Suite) -> Tuning:
    if suite.tuning is None:
        raise SuiteError(f"suite {suite.name} has no section 'tuning' with a grid: nothing to choose")
    return suite.tuning


def _grid(tuning: Tuning) -> list[dict[str, float]]:
    names = sorted(tuning.grid)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(tuning.grid[n] for n in names))]


def _has_latents(method: str) -> bool:
    from masklam_agents.common.base import LatentActionAlgorithm

    return issubclass(get_method(method).load_class(), LatentActionAlgorithm)


def _first_stage_alone(suite: Suite) -> Suite:
    """For a choice by the latents' probe: one update of the later stages and one episode, which do not change it."""
    samples = dict.fromkeys(suite.training.samples, suite.training.batch_size)
    samples |= {stage: n for stage, n in suite.training.samples.items() if stage in ("segment", "pretrain")}
    training = dataclasses.replace(suite.training, samples=samples)
    return dataclasses.replace(suite, training=training, evaluation=dataclasses.replace(suite.evaluation, episodes=1))


def _own_setting(method: str, setting: dict[str, float]) -> dict[str, float]:
    """Of a setting, what the method has."""
    cls = get_method(method).load_class()
    accepted = accepted_options(cls)
    rate = main_rate(cls.stages)
    return {n: float(v) for n, v in setting.items() if (rate if n == "learning_rate" else n) in accepted}


def _untold(run: Run) -> Run:
    """A trial was not tuned itself."""
    return Run({**run.config, "tuning": {"grid": {}, "trials": 0, "chosen_by": "a trial of the choice itself"}})


def _score(tuning: Tuning, runs: list[Run], out: Any) -> float | None:
    """Mean over the runs, lower is better; None when one of them has none."""
    found = [finished(out, run) for run in runs]
    scores = [None if result is None else _of(tuning, result) for result in found]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if len(known) == len(scores) else None


def _of(tuning: Tuning, result: Result) -> float | None:
    metrics = result.metrics
    if metrics is None:
        return None
    if tuning.by == "nmse" and metrics.action is not None:
        return metrics.action.nmse
    value = metrics.normalized_return if metrics.normalized_return is not None else metrics.return_mean
    return None if value is None else -value
