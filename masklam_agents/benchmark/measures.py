"""From results to numbers that can be compared: what is measured, where, and between whom.

A *place* of a suite is a task, a distractor and the values of what the suite varies; methods are compared within a
place, and a pooled number is over the places where every method has runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
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
        meaning="error of a linear probe from latent to action on held-out episodes, over the training data's variance",
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
        meaning="share of the held-out actions' variance that the probe explains: 0 is no better than a constant",
    ),
    "r2_unseen": Measure(
        "r2_unseen",
        "probe R2, unseen",
        _probe("action_unseen", "r2"),
        higher=True,
        gap=True,
        floor=None,
        meaning="the same under backgrounds that training did not show",
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
    :param runs: how many; runs that are the same in several places, see :func:`same_runs`, count once
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
    strata, labels = strata_of(scores, places)
    runs = sum(dict(zip(labels, map(len, strata), strict=True)).values())
    found = aggregates(strata, names, same=labels, **options)
    if base is None:
        return Row(method, runs, found, None, None, None)
    difference = ratio = None
    if pairs := _pairs(scores, base, places):
        ours, theirs, alike = pairs
        difference = paired_difference(ours, theirs, same=alike, **options)
        if measure.floor is not None:
            sides = (ours, theirs) if measure.higher else (theirs, ours)
            ratio = paired_ratio(*sides, measure.floor, same=alike, **options)
    both = ((strata, labels), strata_of(base, places))
    (first, of), (second, against) = both if measure.higher else both[::-1]
    better = probability_of_improvement(first, second, same=(of, against), **options)
    return Row(method, runs, found, difference, ratio, better)


Seeds = Mapping[int, float]


def strata_of(scores: Mapping[Place, Seeds], places: Iterable[Place]) -> tuple[list[list[float]], list[Hashable]]:
    """The runs of each place, in the order of their seeds, and labels that say which places have the same runs."""
    chosen = {place: dict(sorted(scores[place].items())) for place in places}
    return [list(found.values()) for found in chosen.values()], [same_runs(*each) for each in chosen.items()]


def same_runs(place: Place, found: Seeds) -> Hashable:
    """Equal for places of one task in which every seed has the same score to the last bit.

    Such scores are of one run: a method that sees nothing of what differs between the places, as ``lapo-clean`` does
    under all distractors and LAPO with all mask sources.
    """
    return place.task, tuple(sorted(found.items()))


def _pairs(
    scores: Mapping[Place, Seeds], base: Mapping[Place, Seeds], places: Iterable[Place]
) -> tuple[list[list[float]], list[list[float]], list[Hashable]] | None:
    """Strata of the runs that have a partner with the same seed in the same place, and their labels; None without."""
    pairs = []
    for place in places:
        seeds = sorted(set(scores[place]) & set(base[place]))
        ours, theirs = ({seed: side[place][seed] for seed in seeds} for side in (scores, base))
        if seeds:
            pairs.append((list(ours.values()), list(theirs.values()), same_runs(place, ours), same_runs(place, theirs)))
    if not pairs:
        return None
    ours_of, theirs_of, labels, others = (list(column) for column in zip(*pairs, strict=True))
    # Where the baseline's runs are the same in several places, and only there, its labels say so.
    alike = [a if labels.count(a) > 1 else b for a, b in zip(labels, others, strict=True)]
    return ours_of, theirs_of, alike


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
