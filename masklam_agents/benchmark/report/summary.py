"""Every number of a report, computed once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from masklam_agents.benchmark.measures import (
    BASELINE,
    MEASURES,
    Comparison,
    Place,
    collect,
    compare,
    place_of,
    sorting_key,
    strata_of,
    without_repeats,
)
from masklam_agents.benchmark.report.fairness import Facts, gather_facts
from masklam_agents.benchmark.result_files import Found
from masklam_agents.benchmark.results import Result
from masklam_agents.benchmark.statistics import Interval, Profile, performance_profile
from masklam_envs.errors import unknown_name

PROFILED = ("r2", "normalized_return")
CURVED = ("nmse", "nmse_unseen", "distractor_r2", "normalized_return")
NUMBERED = re.compile(r"(.+)-([0-9]+(?:\.[0-9]+)?)")
THRESHOLDS = np.linspace(0, 1, 51)
Comparisons = dict[str, Comparison]


@dataclasses.dataclass(frozen=True)
class Series:
    """A measure by method along one variable of the suite.

    :param variable: its name
    :param measure: name of the measure
    :param values: of the variable, sorted
    :param numeric: whether they are numbers: a curve; otherwise groups of bars
    :param lines: by method, IQM at each value; None where the method has no comparable runs
    """

    variable: str
    measure: str
    values: tuple[Any, ...]
    numeric: bool
    lines: dict[str, list[Interval | None]]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a report says.

    :param suite: name
    :param version: of the suite
    :param found: all runs, failed ones too
    :param pooled: comparisons over all places, by measure; likewise within each task, distractor and place
    :param by_task: by task
    :param by_distractor: by distractor; empty where there is one
    :param by_place: by place
    :param profiles: by measure, by method
    :param series: along the suite's variables
    :param facts: on fairness and provenance
    :param baseline: method that ratios refer to
    """

    suite: str
    version: str
    found: tuple[Found, ...]
    pooled: Comparisons
    by_task: dict[str, Comparisons]
    by_distractor: dict[str, Comparisons]
    by_place: dict[Place, Comparisons]
    profiles: dict[str, dict[str, Profile]]
    series: tuple[Series, ...]
    facts: Facts
    baseline: str

    @property
    def results(self) -> list[Result]:
        """All runs."""
        return [item.result for item in self.found]

    @property
    def failed(self) -> list[Found]:
        """Runs that failed."""
        return [item for item in self.found if item.result.status == "failed"]

    @property
    def methods(self) -> list[str]:
        """All methods, in the order in which figures colour them: the baseline first."""
        names = {result.method for result in self.results}
        return sorted(names, key=lambda name: (name != self.baseline, name))


def summarize(
    found: Iterable[Found],
    *,
    suite: str | None = None,
    baseline: str = BASELINE,
    repetitions: int = 10_000,
    seed: int = 0,
) -> Summary:
    """Compute everything.

    :param found: results of one version of one suite, or of several and ``suite``
    :param suite: name, or ``NAME@VERSION`` where there are several versions
    :param baseline: method that ratios refer to
    :param repetitions: of every bootstrap
    :param seed: of every bootstrap
    :raises ValueError: when it is not clear which suite is meant, or no run is of the baseline that was named
    """
    chosen = _chosen(without_repeats(found), suite)
    results = [item.result for item in chosen]
    methods = {result.method for result in results}
    if baseline not in methods | {BASELINE}:  # without LAPO there are no ratios, unless another method is named
        raise ValueError(unknown_name("baseline", baseline, methods))

    def comparisons(part: Sequence[Result]) -> Comparisons:
        made = (
            compare(part, measure, baseline=baseline, repetitions=repetitions, seed=seed)
            for measure in MEASURES.values()
        )
        return {comparison.measure.name: comparison for comparison in made if comparison.of_places}

    results.sort(key=lambda result: place_of(result).order())
    by_distractor = _split(results, lambda result: result.distractor, comparisons)
    pooled = comparisons(results)
    return Summary(
        suite=results[0].suite,
        version=results[0].suite_version,
        found=tuple(chosen),
        pooled=pooled,
        by_task=_split(results, lambda result: result.task, comparisons),
        by_distractor=by_distractor if len(by_distractor) > 1 else {},
        by_place=_split(results, place_of, comparisons),
        profiles={name: _profiles(results, pooled[name], seed) for name in PROFILED if name in pooled},
        series=tuple(_series(results, comparisons)),
        facts=gather_facts(results),
        baseline=baseline,
    )


def _chosen(found: Sequence[Found], suite: str | None) -> list[Found]:
    names = sorted({f"{item.result.suite}@{item.result.suite_version}" for item in found})
    wanted = [name for name in names if suite is None or suite in (name, name.rpartition("@")[0])]
    if len(wanted) != 1:
        raise ValueError(f"the results are of {', '.join(names) or 'nothing'}; choose one with --suite NAME@VERSION")
    return [item for item in found if f"{item.result.suite}@{item.result.suite_version}" == wanted[0]]


def _split(
    results: Sequence[Result], key: Callable[[Result], Any], make: Callable[[Sequence[Result]], Comparisons]
) -> dict[Any, Comparisons]:
    """Comparisons within each value of ``key``, in the order in which the values come."""
    groups: dict[Any, list[Result]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return {value: make(part) for value, part in groups.items()}


def _profiles(results: Sequence[Result], comparison: Comparison, seed: int) -> dict[str, Profile]:
    scores = collect(results, comparison.measure)
    strata = {row.method: strata_of(scores[row.method], comparison.places) for row in comparison.rows}
    return {
        method: performance_profile(runs, THRESHOLDS, same=labels, seed=seed)
        for method, (runs, labels) in strata.items()
    }


def _series(results: Sequence[Result], make: Callable[[Sequence[Result]], Comparisons]) -> Iterable[Series]:
    for variable, chosen in _varied(results).items():
        by_value: dict[Any, list[Result]] = {}
        for result, value in chosen:
            by_value.setdefault(value, []).append(result)
        values = tuple(sorted(by_value, key=sorting_key))
        if len(values) < 2:
            continue
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        groups = [make(by_value[value]) for value in values]
        for measure in CURVED:
            rows = [{row.method: row for row in found[measure].rows} if measure in found else {} for found in groups]
            methods = sorted({method for row in rows for method in row})
            lines = {m: [row[m].aggregates["iqm"] if m in row else None for row in rows] for m in methods}
            if lines:
                yield Series(variable, measure, values, numeric, lines)


def _varied(results: Sequence[Result]) -> dict[str, list[tuple[Result, Any]]]:
    """Runs with their value of each variable; numbers at the end of distractors' names, as of action-0.6, count too."""
    varied: dict[str, list[tuple[Result, Any]]] = {}
    for result in results:
        for name, value in result.variables.items():
            varied.setdefault(name, []).append((result, value))
        found = NUMBERED.fullmatch(result.distractor)
        if found and float(found[2]) not in result.variables.values():  # else it is a variable's number
            varied.setdefault(f"number of distractor {found[1]}", []).append((result, float(found[2])))
    return dict(sorted(varied.items()))
