"""What should be the same for all methods in one place with one seed, and whether it was, as results tell."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from masklam_agents.benchmark.measures import place_of
from masklam_agents.benchmark.results import Result


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that should be the same for all methods of a place and seed.

    :param name: what
    :param compared: places and seeds in which at least two methods have it
    :param unequal: in how many of these it differs
    :param values: what each method had, where it differs anywhere
    """

    name: str
    compared: int
    unequal: int
    values: dict[str, list[str]]


def _stages(name: str) -> Callable[[Result], dict[str, Any]]:
    return lambda result: {f"{name} of {stage}": value for stage, value in getattr(result.training, name).items()}


def conditions(result: Result) -> dict[str, Any]:
    """What should be the same for all methods in one place with one seed, by name; None where it is not known."""
    training, tuning = result.training, result.training.tuning
    return {
        "data": training.dataset,
        "labelled subset": training.label_subset,
        "number of labels": training.labels,
        "network": training.network,
        "precision": training.precision,
        "grid of hyperparameters": {name: sorted(values) for name, values in sorted(tuning.grid.items())},
        "tuning runs": tuning.trials,
        "evaluation seeds": result.evaluation.seeds,
        "evaluation backgrounds": result.evaluation.split,
        "normalizers": None if result.normalizers is None else (result.normalizers.expert, result.normalizers.random),
        **_stages("updates")(result),
        **_stages("samples")(result),
    }


def checks(results: Iterable[Result]) -> Iterator[Check]:
    """Compare the conditions of all methods that have a run with the same place and seed."""
    groups: dict[Any, dict[str, dict[str, Any]]] = {}
    for result in results:
        groups.setdefault((place_of(result), result.seed), {})[result.method] = conditions(result)
    names = dict.fromkeys(name for group in groups.values() for values in group.values() for name in values)
    for name in names:
        known = [{m: v[name] for m, v in group.items() if v.get(name) is not None} for group in groups.values()]
        compared = [group for group in known if len(group) > 1]
        unequal = [group for group in compared if len({json.dumps(value) for value in group.values()}) > 1]
        had: dict[str, dict[str, None]] = {}
        for group in unequal:
            for method, value in group.items():
                had.setdefault(method, {})[as_text(value)] = None
        if compared:
            yield Check(name, len(compared), len(unequal), {method: list(values) for method, values in had.items()})


def as_text(value: Any) -> str:
    """A value for people, cut where it is long."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items()) or "none"
    text = _plain(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    return json.dumps(value) if isinstance(value, list | tuple) else str(value)
