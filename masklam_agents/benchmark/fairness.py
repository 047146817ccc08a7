"""The rules by which methods are compared: checked before anything runs, printed, and checked again on the results."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable, Iterator
from typing import Any

from masklam_agents.benchmark.plan import RATES, Run
from masklam_agents.benchmark.results import Result
from masklam_agents.benchmark.suite import Suite
from masklam_agents.methods import get_method

#: options in which the methods of a place may not differ, where they have them
EQUAL = (
    *("network", "batch_size", "labels", *RATES.values(), "latent_dim", "frame_stack", "weight_decay"),
    *("shift", "whiten", "max_grad_norm", "precision", "policy_kwargs"),
)
PARTS = ("data", "evaluation")


class UnfairError(ValueError):
    """A suite would give some methods more than others."""


def check_fair(suite: Suite, runs: Iterable[Run]) -> list[str]:
    """Compare what the methods of every place get.

    :return: the rules in words, for the terminal
    :raises UnfairError: naming the option, the methods and their values, unless the suite says that and why it may be
    """
    told: dict[str, str] = {}
    for place in _places(runs).values():
        for name, values in _differing(place):
            if name in suite.may_differ:
                told[name] = f"{name} differs: {suite.may_differ[name]}"
            elif name in _tuned_names(place):
                told[name] = f"{name} differs: chosen for each method from the same grid"
            else:
                listed = ", ".join(f"{method}: {value}" for method, value in values.items())
                raise UnfairError(
                    f"{name} is not the same for all methods ({listed}): give it in training.options, or say in "
                    "may_differ why it is fair"
                )
    return [*_rules(suite), *told.values(), *_exceptions(runs)]


def check_results(results: Iterable[Result]) -> list[str]:
    """What in finished runs was not the same for all methods of a place, in words; empty when everything was."""
    places: dict[str, dict[str, dict[str, Any]]] = collections.defaultdict(lambda: collections.defaultdict(dict))
    for result in results:
        if result.status != "ok":
            continue
        key = json.dumps([result.task, result.distractor, result.seed, result.variables], sort_keys=True)
        facts: dict[str, Any] = {"dataset": result.training.dataset, "evaluation seeds": result.evaluation.seeds}
        if not get_method(result.method).all_labels:
            facts["label subset"] = result.training.label_subset
        facts |= {f"updates of {stage}": count for stage, count in result.training.updates.items()}
        for name, value in facts.items():
            places[key][name][result.method] = value
    return [
        f"{name} differs in {key}: {values}"
        for key, facts in places.items()
        for name, values in facts.items()
        if len({json.dumps(value) for value in values.values()}) > 1
    ]


def _places(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs that are compared: all that differs is the method."""
    places = collections.defaultdict(list)
    for run in runs:
        names = ("task", "distractor", "seed", "variables")
        places[json.dumps([run.config[name] for name in names], sort_keys=True)].append(run)
    return places


def _differing(place: list[Run]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in EQUAL:
        have = [run for run in place if name in run.config["options"] and not _exempt(run, name)]
        values = {run.config["method"]: run.config["options"][name] for run in have}
        if _several(values):
            yield name, values
    for stage in RATES:
        values = {run.config["method"]: run.config["samples"][stage] for run in place if stage in run.config["samples"]}
        if _several(values):
            yield f"samples of {stage}", values
    for part in PARTS:
        values = {run.config["method"]: run.config[part] for run in place if not get_method(run.config["method"]).clean}
        if _several(values):
            yield part, values


def _exempt(run: Run, name: str) -> bool:
    return name == "labels" and get_method(run.config["method"]).all_labels


def _several(values: dict[str, Any]) -> bool:
    return len({json.dumps(value, sort_keys=True) for value in values.values()}) > 1


def _tuned_names(place: list[Run]) -> set[str]:
    """Options that the place's methods were tuned in, all by one grid."""
    grids = {json.dumps(run.config["tuning"]["grid"], sort_keys=True) for run in place}
    grid = json.loads(min(grids)) if len(grids) == 1 else {}
    names = set(grid)
    return names | {"policy_learning_rate"} if "learning_rate" in names else names


def _rules(suite: Suite) -> list[str]:
    data, training, evaluation = suite.data, suite.training, suite.evaluation
    samples = ", ".join(f"{stage} {count:,}" for stage, count in training.samples.items())
    return [
        f"same data: {data.steps:,} transitions of policy {data.policy!r} for each task and seed",
        f"same samples: {samples}; batches of {training.batch_size}",
        f"same network: {training.network}; same learning rates: "
        + ", ".join(f"{stage} {rate:g}" for stage, rate in training.learning_rate.items()),
        f"same label subset: {training.labels:,} transitions, drawn by the seed",
        f"evaluated on {evaluation.episodes} episodes from seed {evaluation.seed:,}, backgrounds of split "
        f"{evaluation.split!r}; no training episode has one of these seeds",
        "normalised: 0 is random actions, 1 the expert, on the same seeds without distractor",
    ]


def _exceptions(runs: Iterable[Run]) -> list[str]:
    told, trials = [], {}
    for run in runs:
        method = run.config["method"]
        row, trials[method] = get_method(method), run.config["tuning"]["trials"]
        if row.clean and (line := f"{method} sees no distractor: an upper bound") not in told:
            told.append(line)
        if row.all_labels and (line := f"{method} sees every label: an upper bound") not in told:
            told.append(line)
    several = len(set(trials.values())) > 1
    each = ", ".join(f"{method} {count}" for method, count in trials.items()) if several else str(max(trials.values()))
    return [*told, f"tuning: {each} trials {'' if several else 'for each method'}".rstrip()]
