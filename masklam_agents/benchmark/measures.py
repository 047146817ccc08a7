"""From results to numbers that can be compared: what is measured, where, and between whom.

A *place* of a suite is a task, a distractor and the values of what the suite varies; methods are compared within a
place, and a pooled number is over the places where every method has runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from masklam_agents.benchmark.result_files import Found, ResultError
from masklam_agents.benchmark.results import Probe, Result
from masklam_agents.benchmark.statistics import (
    METRICS,
    Interval,
    PairedRatio,
    aggregates,
    paired_difference,
    paired_ratio,
    probability_of_improvement,
)

BASELINE = "lapo"


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number of a run.

    :param name: for files
    :param label: for people
    :param get: None where a run has none
    :param higher: whether higher is better
    :param gap: whether 1 is what can be reached, so that an optimality gap has a meaning
    :param floor: smallest value that ratios tell from nothing; None: ratios have no meaning
    :param meaning: one sentence
    """

    name: str
    label: str
    get: Callable[[Result], float | None]
    higher: bool
    gap: bool
    floor: float | None
    meaning: str


def _probe(name: str, number: str) -> Callable[[Result], float | None]:
    def get(result: Result) -> float | None:
        probe: Probe | None = None if result.metrics is None else getattr(result.metrics, name)
        return None if probe is None else float(getattr(probe, number))

    return get


def _normalized(result: Result) -> float | None:
    return None if result.metrics is None else result.metrics.normalized_return


def _over_expert(result: Result) -> float | None:
    metrics, normalizers = result.metrics, result.normalizers
    if metrics is None or normalizers is None or metrics.return_mean is None or normalizers.expert <= 0:
        return None
    return metrics.return_mean / normalizers.expert


MEASURES: dict[str, Measure] = {
    "nmse": Measure(
        "nmse",
        "probe NMSE",
        _probe("action", "nmse"),
        higher=False,
        gap=False,
        floor=1e-3,
        meaning="error of a linear probe from latent to action on held-out episodes, over the actions' variance",
    ),
    "nmse_unseen": Measure(
        "nmse_unseen",
        "probe NMSE, unseen",
        _probe("action_unseen", "nmse"),
        higher=False,
        gap=False,
        floor=1e-3,
        meaning="the same under backgrounds that training did not show",
    ),
    "r2": Measure(
        "r2",
        "probe R2",
        _probe("action", "r2"),
        higher=True,
        gap=True,
        floor=None,
        meaning="share of the actions' variance that the probe explains on held-out episodes",
    ),
    "distractor_r2": Measure(
        "distractor_r2",
        "distractor R2",
        _probe("distractor", "r2"),
        higher=False,
        gap=False,
        floor=None,
        meaning="share of the distractor's motion that a linear probe reads from the latent",
    ),
    "normalized_return": Measure(
        "normalized_return",
        "normalized return",
        _normalized,
        higher=True,
        gap=True,
        floor=0.01,
        meaning="return, with 0 for random actions and 1 for the expert",
    ),
    "return_over_expert": Measure(
        "return_over_expert",
        "return / expert",
        _over_expert,
        higher=True,
        gap=True,
        floor=0.01,
        meaning="return over the expert's, as the paper normalizes",
    ),
}


class Place(NamedTuple):
    """Where methods are compared."""

    task: str
    distractor: str
    variables: tuple[tuple[str, Any], ...]

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.task}, {self.within_task}"

    @property
    def within_task(self) -> str:
        """For people, without the task."""
        return ", ".join([self.distractor, *(f"{name} {value}" for name, value in self.variables)])

    def order(self) -> tuple[Any, ...]:
        """A key that sorts numbers as numbers, and the plain scene first."""
        plain = self.distractor != "none"
        return self.task, plain, self.distractor, [(name, sorting_key(value)) for name, value in self.variables]


def sorting_key(value: Any) -> tuple[bool, float, str]:
    """Sorts a suite's values: numbers as numbers, then everything else as text."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return not number, float(value) if number else 0.0, str(value)


def place_of(result: Result) -> Place:
    """Where a run stands in its suite."""
    return Place(result.task, result.distractor, tuple(sorted(result.variables.items())))


@dataclasses.dataclass(frozen=True)
class Row:
    """A method's numbers over the places of a comparison.

    :param method: its name
    :param runs: how many
    :param aggregates: by metric; ``optimality_gap`` only where 1 is what can be reached
    :param difference: its scores minus the baseline's, run by run of one place and seed; None for the baseline
    :param ratio: how many times better than the baseline, likewise; None for the baseline
    :param improvement: probability that a run is better than one of the baseline; None for the baseline
    """

    method: str
    runs: int
    aggregates: dict[str, Interval]
    difference: Interval | None
    ratio: PairedRatio | None
    improvement: Interval | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Methods beside each other.

    :param measure: what
    :param places: where every method in ``rows`` has runs
    :param of_places: how many places any method has runs in
    :param fewest: runs of a method in a place, at least; 0 without rows
    :param rows: best first
    :param left_out: methods with runs in fewer than half the places, or sharing none with the others: how many places
    """

    measure: Measure
    places: tuple[Place, ...]
    of_places: int
    fewest: int
    rows: tuple[Row, ...]
    left_out: dict[str, int]


Scores = dict[str, dict[Place, dict[int, float]]]


def collect(results: Iterable[Result], measure: Measure) -> Scores:
    """Scores by method, place and seed; without runs that failed or lack the measure."""
    scores: Scores = {}
    for result in results:
        value = measure.get(result)
        if value is not None:
            scores.setdefault(result.method, {}).setdefault(place_of(result), {})[result.seed] = value
    return scores


def shared_places(scores: Scores) -> tuple[list[Place], dict[str, int]]:
    """Where every method has runs, and which methods have too few places to be asked."""
    every = {place for places in scores.values() for place in places}
    left_out = {method: len(places) for method, places in scores.items() if 2 * len(places) < len(every)}
    kept = [set(places) for method, places in scores.items() if method not in left_out]
    return sorted(set.intersection(*kept), key=Place.order) if kept else [], left_out


def compare(
    results: Iterable[Result],
    measure: Measure,
    *,
    baseline: str = BASELINE,
    repetitions: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Aggregate every method over the places that all share.

    :param results: of one version of one suite
    :param measure: one of :data:`MEASURES`
    :param baseline: method that ratios and probabilities refer to; they are left out where it has no runs
    :param repetitions: of the bootstrap
    :param seed: of the bootstrap
    """
    scores = collect(results, measure)
    places, left_out = shared_places(scores)
    every = {place for found in scores.values() for place in found}
    methods = [method for method in scores if method not in left_out] if places else []
    left_out |= {} if places else {method: len(found) for method, found in scores.items()}
    options = {"repetitions": repetitions, "seed": seed}
    bases = dict.fromkeys(methods, scores[baseline]) | {baseline: None} if baseline in methods else {}
    rows = [_row(method, scores[method], bases.get(method), places, measure, options) for method in methods]
    rows.sort(key=lambda row: (-1 if measure.higher else 1) * row.aggregates["iqm"].estimate)
    fewest = min((len(scores[method][place]) for method in methods for place in places), default=0)
    return Comparison(measure, tuple(places), len(every), fewest, tuple(rows), left_out)


def _row(
    method: str,
    scores: Mapping[Place, Mapping[int, float]],
    base: Mapping[Place, Mapping[int, float]] | None,
    places: Sequence[Place],
    measure: Measure,
    options: dict[str, Any],
) -> Row:
    names = [name for name in METRICS if measure.gap or name != "optimality_gap"]
    strata = [list(scores[place].values()) for place in places]
    runs, found = sum(map(len, strata)), aggregates(strata, names, **options)
    if base is None:
        return Row(method, runs, found, None, None, None)
    difference = ratio = None
    if pairs := _pairs([(scores[place], base[place]) for place in places]):
        ours, theirs = pairs
        difference = paired_difference(ours, theirs, **options)
        if measure.floor is not None:
            ratio = paired_ratio(*(pairs if measure.higher else (theirs, ours)), measure.floor, **options)
    both = (strata, [list(base[place].values()) for place in places])
    better = probability_of_improvement(*(both if measure.higher else both[::-1]), **options)
    return Row(method, runs, found, difference, ratio, better)


def _pairs(
    places: Sequence[tuple[Mapping[int, float], Mapping[int, float]]],
) -> tuple[list[list[float]], list[list[float]]] | None:
    """Strata of the runs that have a partner with the same seed in the same place; None when there is none."""
    shared = [(ours, theirs, sorted(set(ours) & set(theirs))) for ours, theirs in places]
    pairs = [
        ([ours[seed] for seed in seeds], [theirs[seed] for seed in seeds]) for ours, theirs, seeds in shared if seeds
    ]
    return ([ours for ours, _ in pairs], [theirs for _, theirs in pairs]) if pairs else None


def without_repeats(found: Iterable[Found]) -> list[Found]:
    """Each run once.

    :raises ResultError: when two different results claim to be the same method, place and seed of one suite
    """
    seen: dict[Any, Found] = {}
    for item in found:
        result = item.result
        key = (result.suite, result.suite_version, result.method, place_of(result), result.seed)
        other = seen.setdefault(key, item)
        if other.result != result:
            run = f"{result.method}, {place_of(result).label}, seed {result.seed}"
            edited = other.result.config.get("plugin_code") != result.config.get("plugin_code")
            hint = " (the benchmark's command, given again, says which is of older code)" if edited else ""
            raise ResultError(f"{item.where}: another result of {run} than in {other.where}; remove one of them{hint}")
    return list(seen.values())
