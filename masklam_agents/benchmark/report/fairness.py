"""Whether methods had the same, and where results come from: facts that a reader of a comparison asks for."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from masklam_agents.benchmark.conditions import Check, as_text, checks
from masklam_agents.benchmark.results import Result


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


def gather_facts(results: Sequence[Result]) -> Facts:
    """Everything at once.

    :param results: of one version of one suite
    """
    return Facts(
        checks=tuple(checks(results)),
        efforts=tuple(_efforts(results)),
        commits=_counted(result.commit for result in results),
        versions=_counted(", ".join(f"{n} {v}" for n, v in sorted(result.versions.items())) for result in results),
        machines=_counted(_machine(result) for result in results),
        commands=tuple(dict.fromkeys(result.command for result in results)),
    )


def _efforts(results: Sequence[Result]) -> Iterator[Effort]:
    for method in sorted({result.method for result in results}):
        runs = [result for result in results if result.method == method]
        training = [run.training for run in runs]
        known = [each.parameters for each in training if each.parameters is not None]
        yield Effort(
            method=method,
            networks=_several(each.network for each in training),
            parameters=(min(known), max(known)) if known else None,
            updates=_several(as_text(each.updates) for each in training),
            rates=_several(as_text(each.learning_rate) for each in training),
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
    more = [each for each in (machine.accelerator, result.training.precision) if each]
    return ", ".join((machine.cpu, f"{machine.cores} cores", *more))
