"""Whether methods had the same, and where results come from: facts that a reader of a comparison asks for."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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


@dataclasses.dataclass(frozen=True)
class Effort:
    """What a method took.

    :param method: its name
    :param networks: families
    :param parameters: smallest and largest number; None where unknown
    :param updates: of the stages, as text
    :param rates: learning rates of the stages, as text
    :param trials: tuning runs, of all places together
    :param chosen_by: what decided
    :param wall: mean seconds of a run
    :param cpu: mean CPU seconds of a run
    """

    method: str
    networks: str
    parameters: tuple[int, int] | None
    updates: str
    rates: str
    trials: str
    chosen_by: str
    wall: float
    cpu: float


@dataclasses.dataclass(frozen=True)
class Facts:
    """Fairness and provenance.

    :param checks: what should be equal
    :param efforts: one a method
    :param commits: with the number of runs; likewise versions, machines
    :param versions: as text
    :param machines: as text
    :param commands: all that made the runs, each once
    """

    checks: tuple[Check, ...]
    efforts: tuple[Effort, ...]
    commits: dict[str, int]
    versions: dict[str, int]
    machines: dict[str, int]
    commands: tuple[str, ...]


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
        "grid of learning rates": sorted(tuning.grid["learning_rate"]) if "learning_rate" in tuning.grid else "none",
        "tuning runs": tuning.trials,
        "evaluation seeds": result.evaluation.seeds,
        "evaluation backgrounds": result.evaluation.split,
        "normalizers": None if result.normalizers is None else (result.normalizers.expert, result.normalizers.random),
        **_stages("updates")(result),
        **_stages("samples")(result),
    }


def gather_facts(results: Sequence[Result]) -> Facts:
    """Everything at once.

    :param results: of one version of one suite
    """
    return Facts(
        checks=tuple(_checks(results)),
        efforts=tuple(_efforts(results)),
        commits=_counted(result.commit for result in results),
        versions=_counted(", ".join(f"{n} {v}" for n, v in sorted(result.versions.items())) for result in results),
        machines=_counted(_machine(result) for result in results),
        commands=tuple(dict.fromkeys(result.command for result in results)),
    )


def _checks(results: Sequence[Result]) -> Iterator[Check]:
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
                had.setdefault(method, {})[_text(value)] = None
        if compared:
            yield Check(name, len(compared), len(unequal), {method: list(values) for method, values in had.items()})


def _efforts(results: Sequence[Result]) -> Iterator[Effort]:
    for method in sorted({result.method for result in results}):
        runs = [result for result in results if result.method == method]
        training = [run.training for run in runs]
        known = [each.parameters for each in training if each.parameters is not None]
        yield Effort(
            method=method,
            networks=_several(each.network for each in training),
            parameters=(min(known), max(known)) if known else None,
            updates=_several(_text(each.updates) for each in training),
            rates=_several(_text(each.learning_rate) for each in training),
            trials=_several(str(each.tuning.trials) for each in training),
            chosen_by=_several(each.tuning.chosen_by or "not tuned" for each in training),
            wall=sum(run.wall_seconds for run in runs) / len(runs),
            cpu=sum(run.cpu_seconds for run in runs) / len(runs),
        )


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _several(values: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def _machine(result: Result) -> str:
    machine = result.machine
    return f"{machine.cpu}, {machine.cores} cores" + (f", {machine.accelerator}" if machine.accelerator else "")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return (
            ", ".join(
                f"{name} {number:g}" if isinstance(number, float) else f"{name} {number:,}"
                for name, number in value.items()
            )
            or "none"
        )
    text = json.dumps(value) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
