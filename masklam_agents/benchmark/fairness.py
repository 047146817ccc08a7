"""The rules by which methods are compared: checked before anything runs, printed, and checked again on the results."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from masklam_agents.benchmark.conditions import checks
from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.results import Result
from masklam_agents.benchmark.suite import Suite
from masklam_agents.common.schedules import RATES
from masklam_agents.methods import get_method

#: options in which the methods of a place may not differ, where they have them
EQUAL = (
    *("network", "batch_size", "labels", *RATES.values(), "latent_dim", "frame_stack", "weight_decay"),
    *("shift", "whiten", "max_grad_norm", "precision", "policy_kwargs"),
)
#: how it is told that all methods have the same of an option
SAID = {
    "network": "same network: {}",
    "batch_size": "same batches: {:,} samples",
    **{rate: f"same learning rate of {stage}: {{:g}}" for stage, rate in RATES.items()},
    "latent_dim": "same size of latents: {:,}",
    "labels": "same label subset, drawn by the seed, of transitions: {:,}",
}
PARTS = ("data", "evaluation")
#: what :attr:`Suite.may_differ` calls the grid that hyperparameters are chosen from
TUNING = "tuning"
#: conditions that methods which see every label are not held to
OF_LABELS = ("labelled subset", "number of labels")


class UnfairError(ValueError):
    """A suite would give some methods more than others."""


def check_fair(suite: Suite, runs: Iterable[Run], command: str = "") -> list[str]:
    """Compare what the methods of every place get.

    :param command: of the whole suite, for what is to be done; empty: that of a suite of the package
    :return: the rules in words, for the terminal
    :raises UnfairError: naming the option, the methods and their values, unless the suite says that and why it may be;
        or when backgrounds of the evaluation are not held out
    """
    if suite.evaluation.split != "test":
        raise UnfairError(
            f"evaluation.split is {suite.evaluation.split!r}: agents are compared under backgrounds that training did "
            "not show; leave it out (only --tune looks at training backgrounds)"
        )
    told: dict[str, str] = {}
    runs = list(runs)
    for place in _places(runs).values():
        told |= _check_grids(suite, place, command or f"masklam benchmark {suite.name}")
        for name, values in _differing(place):
            if name in suite.may_differ:
                told[name] = f"{name} differs: {suite.may_differ[name]}"
            elif name in _tuned_names(place):
                told[name] = f"{name} differs: chosen for each method from the same grid"
            else:
                listed = ", ".join(f"{method}: {value}" for method, value in values.items())
                raise UnfairError(
                    f"{name} is not the same for all methods ({listed}): give it to all under `training`, or say in "
                    "may_differ why it is fair"
                )
    return [*_rules(suite, runs), *told.values(), *_exceptions(runs)]


def check_results(suite: Suite, results: Iterable[Result]) -> list[str]:
    """What in finished runs was not the same for all methods of a place, in words; empty when everything was.

    :param suite: what may differ according to it is left out
    """
    finished = [result for result in results if result.status == "ok"]
    few = [result for result in finished if not get_method(result.method).all_labels]
    unequal = [
        *(check for check in checks(finished) if check.unequal and check.name not in OF_LABELS),
        *(check for check in checks(few) if check.unequal and check.name in OF_LABELS),
    ]
    return [
        f"{check.name} differs in {check.unequal} of {check.compared} places and seeds: "
        + "; ".join(f"{method} {' / '.join(values)}" for method, values in check.values.items())
        for check in unequal
        if not _explained(suite, check.name)
    ]


def _explained(suite: Suite, name: str) -> bool:
    """Whether a suite says why a condition may differ; methods without a hyperparameter need fewer trials of a grid."""
    samples = name.replace("updates of", "samples of")
    wanted = {name, samples, *(["batch_size"] if name != samples else [])}
    return name == "tuning runs" or bool(wanted & suite.may_differ.keys())


def _check_grids(suite: Suite, place: list[Run], command: str) -> dict[str, str]:
    """All methods of a place are tuned by one grid, or none is."""
    grids = {run.config["method"]: run.config["tuning"]["grid"] for run in place}
    if not _several(grids):
        return {}
    if TUNING in suite.may_differ:
        return {TUNING: f"{TUNING} differs: {suite.may_differ[TUNING]}"}
    untuned = [method for method, grid in grids.items() if not grid]
    raise UnfairError(
        f"hyperparameters were chosen from a grid for other methods and not for {', '.join(untuned)}: run "
        f"`{command} --tune{''.join(f' --method {name}' for name in untuned)}` and give its file by --tuned, or say in "
        f"may_differ under {TUNING!r} why it is fair"
    )


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
        values = {run.config["method"]: run.config[part] for run in place if not get_method(run.config["method"]).scene}
        if _several(values):
            yield part, values


def _exempt(run: Run, name: str) -> bool:
    return name == "labels" and get_method(run.config["method"]).all_labels


def _several(values: dict[str, Any]) -> bool:
    return len({json.dumps(value, sort_keys=True) for value in values.values()}) > 1


def _tuned_names(place: list[Run]) -> set[str]:
    """Options that the place's methods were tuned in."""
    names = {name for run in place for name in run.config["tuning"]["grid"]}
    return names | {"policy_learning_rate"} if "learning_rate" in names else names


def _rules(suite: Suite, runs: Iterable[Run]) -> list[str]:
    data, evaluation = suite.data, suite.evaluation
    samples = ", ".join(f"{stage} {count:,}" for stage, count in suite.training.samples.items())
    return [
        f"same data: {data.steps:,} transitions of policy {data.policy!r} for each task and seed",
        f"same samples: {samples}",
        *_same_options(suite, list(runs)),
        f"evaluated on {evaluation.episodes} episodes from seed {evaluation.seed:,}, backgrounds of split "
        f"{evaluation.split!r}; no training episode has one of these seeds",
        "normalised: 0 is random actions, 1 the expert, on the same seeds without distractor",
    ]


def _same_options(suite: Suite, runs: Sequence[Run]) -> Iterator[str]:
    """What all methods of a place have alike, as the runs have it; what differs is told with its reason."""
    for name, words in SAID.items():
        have = (run.config["options"][name] for run in runs if name in run.config["options"] and not _exempt(run, name))
        values = sorted(set(have))
        if len(values) == 1:
            yield words.format(values[0])
        elif values and name in suite.vary:
            yield f"{words.format(values[0])} to {values[-1]:,}, the same for all methods of a place"


def _exceptions(runs: Iterable[Run]) -> list[str]:
    told: dict[str, None] = {}
    trials = {}
    for run in runs:
        method = run.config["method"]
        row, trials[method] = get_method(method), run.config["tuning"]["trials"]
        if row.scene:
            told[f"{method} sees the scene {row.scene!r}, whatever the distractor: an upper bound"] = None
        if row.all_labels:
            told[f"{method} sees every label: an upper bound"] = None
    each = ", ".join(f"{method} {count}" for method, count in trials.items())
    return [
        *told,
        "tuning: none, all have the suite's settings" if not any(trials.values()) else f"trials of the grid: {each}",
    ]
