"""Estimates with intervals from few runs of many tasks, after Agarwal et al. 2021 (arXiv 2108.13264).

Scores are a list of *strata*: one array for each task, a number for each run; tasks may have different numbers of runs.
Intervals are percentile intervals of a stratified bootstrap: runs are drawn anew, with replacement, within each task.
With five runs a task such intervals are on the narrow side (``experiments/interval_coverage.py`` measures how much);
they say how much the runs scatter, not what other tasks would give.

Where several tasks hold the same runs, because a method sees nothing of what differs between them, drawing each anew
would make many independent runs of few: ``same`` names such tasks alike, and they are drawn together.

>>> aggregate([[0.0, 0.5, 0.5, 9.0], [1.0, 1.0, 1.0, 1.0]], "iqm").estimate
0.875
>>> probability_of_improvement([[2.0, 3.0]], [[1.0, 2.0]]).estimate
0.875

The numbers are a function of the scores and ``seed``: the order of tasks, and of runs within a task, does not matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklam_envs.errors import unknown_name

REPETITIONS = 10_000
LEVEL = 0.95
_AT_ONCE = 4_000_000  # numbers drawn at a time
Floats = NDArray[np.float64]
#: a label for each stratum; those with one label hold the same runs in the same order
Labels = Sequence[Hashable]


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and its bootstrap interval, which is widened where it would not contain the estimate.

    :param estimate: of all runs
    :param low: lower end
    :param high: upper end
    """

    estimate: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class PairedRatio:
    """How many times larger one of two paired scores is.

    :param ratio: geometric mean over pairs, tasks weighing alike
    :param of_means: mean of one over the mean of the other, tasks weighing alike
    :param pairs: how many
    :param floored: pairs in which a score was below the floor and counted as the floor
    """

    ratio: Interval
    of_means: Interval
    pairs: int
    floored: int


@dataclasses.dataclass(frozen=True)
class Profile:
    """Share of runs above each threshold, with pointwise intervals.

    :param thresholds: (T,)
    :param share: (T,), in [0, 1]
    :param low: (T,)
    :param high: (T,)
    """

    thresholds: Floats
    share: Floats
    low: Floats
    high: Floats


def iqm(scores: Floats) -> Floats:
    """Mean of the middle half of the last axis: a quarter of the numbers, rounded down, is left out at each end."""
    cut = scores.shape[-1] // 4
    return np.sort(scores, axis=-1)[..., cut : scores.shape[-1] - cut].mean(-1)


# Each takes strata of (R, n) and returns (R,).
def _iqm(strata: Sequence[Floats]) -> Floats:
    scores = np.concatenate(strata, axis=-1)
    if len({runs.shape[-1] for runs in strata}) == 1:
        return iqm(scores)
    return _weighted_iqm(scores, np.concatenate([np.full(runs.shape[-1], 1 / runs.shape[-1]) for runs in strata]))


def _weighted_iqm(scores: Floats, weights: Floats) -> Floats:
    """Mean of the middle half of the weight: a task counts alike whether it has few runs or many."""
    order = np.argsort(scores, axis=-1)
    weight = (weights / weights.sum())[order]
    end = np.cumsum(weight, axis=-1)
    middle = np.clip(end, 0.25, 0.75) - np.clip(end - weight, 0.25, 0.75)
    return (np.take_along_axis(scores, order, axis=-1) * middle).sum(-1) / middle.sum(-1)


def _mean(strata: Sequence[Floats]) -> Floats:
    return np.stack([runs.mean(-1) for runs in strata]).mean(0)


def _median(strata: Sequence[Floats]) -> Floats:
    if len(strata) == 1:
        return np.asarray(np.median(strata[0], axis=-1))
    return np.asarray(np.median(np.stack([runs.mean(-1) for runs in strata]), axis=0))


def _optimality_gap(strata: Sequence[Floats]) -> Floats:
    return np.stack([np.maximum(1.0 - runs, 0).mean(-1) for runs in strata]).mean(0)


METRICS: dict[str, Callable[[Sequence[Floats]], Floats]] = {
    "iqm": _iqm,
    "mean": _mean,
    "median": _median,
    "optimality_gap": _optimality_gap,
}


def aggregate(
    scores: Sequence[ArrayLike],
    metric: str = "iqm",
    *,
    same: Labels | None = None,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """One number for all runs of all tasks.

    :param scores: strata
    :param metric: ``"iqm"`` of all runs, tasks weighing alike, ``"mean"`` of the tasks' means, ``"median"`` of the
        tasks' means (of one task: of its runs), or ``"optimality_gap"``, by how much runs stay below 1 on average
    :param same: a label for each task, where several hold the same runs; None: all runs are different ones
    :param repetitions: of the bootstrap
    :param level: of the interval, in (0, 1)
    :param seed: of the bootstrap
    :raises ValueError: for an unknown metric, no scores, or scores that are not finite
    """
    return aggregates(scores, (metric,), same=same, repetitions=repetitions, level=level, seed=seed)[metric]


def aggregates(
    scores: Sequence[ArrayLike],
    metrics: Sequence[str] = tuple(METRICS),
    *,
    same: Labels | None = None,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Several metrics of :func:`aggregate` from the same bootstrap; equal to asking for each."""
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(unknown_name("metric", metric, METRICS))
    strata, labels = _strata(scores, same)
    drawn: dict[str, list[Floats]] = {metric: [] for metric in metrics}
    for sample in _resampled(strata, labels, repetitions, seed):
        for metric in metrics:
            drawn[metric].append(METRICS[metric](sample))
    whole = [runs[None] for runs in strata]
    return {
        metric: _interval(METRICS[metric](whole)[0], np.concatenate(parts), level) for metric, parts in drawn.items()
    }


def paired_ratio(
    numerators: Sequence[ArrayLike],
    denominators: Sequence[ArrayLike],
    floor: float,
    *,
    same: Labels | None = None,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> PairedRatio:
    """Ratios of paired scores: run i of a task in both.

    A ratio over almost nothing, or over a negative number, means nothing. So scores below ``floor`` count as ``floor``
    in both places: two runs that reached nothing have the ratio 1, and a baseline at nothing makes a ratio of at most
    score / floor, less than it was.

    :param numerators: strata
    :param denominators: strata of the same shape
    :param floor: smallest score that is told from nothing, above 0
    :param same: as in :func:`aggregate`, where the numerators or the denominators of tasks are the same runs
    :param repetitions: as in :func:`aggregate`; pairs are drawn together
    :param level: likewise
    :param seed: likewise
    :raises ValueError: when shapes differ or the floor is not positive
    """
    if not floor > 0:
        raise ValueError(f"floor must be above 0, got {floor}")
    pairs, labels = _paired(numerators, denominators, same)
    floored = sum(int((both < floor).any(-1).sum()) for both in pairs)

    def ratios(sample: Sequence[Floats]) -> tuple[Floats, Floats]:
        logs = [np.log(np.maximum(both, floor)) for both in sample]
        means = np.maximum(np.stack([both.mean(-2) for both in sample]).mean(0), floor)
        geometric = np.exp(np.stack([(log[..., 0] - log[..., 1]).mean(-1) for log in logs]).mean(0))
        return geometric, means[..., 0] / means[..., 1]

    first = ratios([both[None] for both in pairs])
    drawn = [ratios(sample) for sample in _resampled(pairs, labels, repetitions, seed)]
    geometric, of_means = (
        _interval(estimate[0], np.concatenate(samples), level)
        for estimate, samples in zip(first, zip(*drawn, strict=True), strict=True)
    )
    return PairedRatio(geometric, of_means, sum(len(both) for both in pairs), floored)


def paired_difference(
    scores: Sequence[ArrayLike],
    others: Sequence[ArrayLike],
    *,
    same: Labels | None = None,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Mean of the differences of paired scores, tasks weighing alike; unlike a ratio it has a meaning near zero.

    :param scores: strata
    :param others: strata of the same shape, which are taken away
    :param same: as in :func:`paired_ratio`
    :param repetitions: as in :func:`aggregate`; pairs are drawn together
    :param level: likewise
    :param seed: likewise
    :raises ValueError: when shapes differ
    """
    pairs, labels = _paired(scores, others, same)
    drawn = [
        np.mean([both.mean(-1) for both in sample], axis=0)
        for sample in _resampled([both[:, 0] - both[:, 1] for both in pairs], labels, repetitions, seed)
    ]
    estimate = np.mean([(both[:, 0] - both[:, 1]).mean() for both in pairs])
    return _interval(estimate, np.concatenate(drawn), level)


def probability_of_improvement(
    scores: Sequence[ArrayLike],
    others: Sequence[ArrayLike],
    *,
    same: tuple[Labels, Labels] | None = None,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """How likely a run beats a run of the other method on the same task; ties count half; mean over tasks.

    :param scores: strata
    :param others: strata of the same tasks in the same order; the number of runs may differ
    :param same: labels as in :func:`aggregate`, of both
    :param repetitions: as in :func:`aggregate`; both methods' runs are drawn independently
    :param level: likewise
    :param seed: likewise
    :raises ValueError: when the numbers of tasks differ
    """
    if len(scores) != len(others):
        raise ValueError(f"{len(scores)} tasks against {len(others)}: give both methods' scores of the same tasks")
    ours, theirs = (
        zip(_checked(strata), _labels(strata, given), strict=True)
        for strata, given in zip((scores, others), same or (None, None), strict=True)
    )
    tasks = sorted(zip(ours, theirs, strict=True), key=lambda pair: _order([runs for runs, _ in pair]))
    counted: dict[Hashable, Floats] = {}
    random = np.random.default_rng(seed)
    estimates, drawn = [], []
    for (x, of), (y, against) in tasks:
        wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        for side, runs, label in ((0, x, of), (1, y, against)):
            if (side, label) not in counted:
                counted[side, label] = _counts(random, len(runs), repetitions) / len(runs)
        of_x, of_y = counted[0, of], counted[1, against]
        estimates.append(wins.mean())
        drawn.append(((of_x @ wins) * of_y).sum(-1))
    return _interval(np.mean(estimates), np.mean(drawn, axis=0), level)


def performance_profile(
    scores: Sequence[ArrayLike],
    thresholds: ArrayLike,
    *,
    same: Labels | None = None,
    repetitions: int = 2_000,
    level: float = LEVEL,
    seed: int = 0,
) -> Profile:
    """Share of runs whose score is above each threshold, tasks weighing alike.

    :param scores: strata
    :param thresholds: (T,)
    :param same: as in :func:`aggregate`
    :param repetitions: as in :func:`aggregate`
    :param level: of the pointwise intervals
    :param seed: as in :func:`aggregate`
    """
    (strata, labels), at = _strata(scores, same), np.asarray(thresholds, np.float64)
    random, counted = np.random.default_rng(seed), dict[Hashable, Floats]()
    share, drawn = np.zeros(len(at)), np.zeros((repetitions, len(at)))
    for runs, label in zip(strata, labels, strict=True):
        above = (runs[:, None] > at).astype(np.float64)
        if label not in counted:
            counted[label] = _counts(random, len(runs), repetitions)
        share += above.mean(0) / len(strata)
        drawn += counted[label] @ above / (len(runs) * len(strata))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Profile(at, share, np.minimum(low, share), np.maximum(high, share))


def _checked(scores: Sequence[ArrayLike]) -> list[Floats]:
    """Sorted runs of each task."""
    strata = [np.sort(np.asarray(runs, np.float64)) for runs in scores]
    if not strata or any(runs.ndim != 1 or not len(runs) for runs in strata):
        raise ValueError("scores must be a list with an array (runs,) for each task, and at least one run in each")
    if not all(np.isfinite(runs).all() for runs in strata):
        raise ValueError("scores must be finite; leave runs out that have none")
    return strata


def _labels(strata: Sequence[ArrayLike], same: Labels | None) -> Labels:
    """One for each stratum."""
    labels = range(len(strata)) if same is None else same
    lengths: dict[Hashable, int] = {}
    for label, runs in zip(labels, strata, strict=True):
        if lengths.setdefault(label, np.shape(runs)[0]) != np.shape(runs)[0]:
            raise ValueError(f"tasks with one label {label!r} hold the same runs, got {lengths[label]} and {len(runs)}")  # type: ignore[arg-type]
    return labels


def _order(strata: Sequence[Floats]) -> tuple[float, ...]:
    """A key under which the order of tasks does not matter."""
    return (*map(len, strata), *(x for runs in strata for x in runs.ravel()))


def _strata(scores: Sequence[ArrayLike], same: Labels | None) -> tuple[list[Floats], list[Hashable]]:
    """Tasks and runs in an order of their own, with their labels."""
    both = sorted(zip(_checked(scores), _labels(scores, same), strict=True), key=lambda each: _order(each[:1]))
    return [runs for runs, _ in both], [label for _, label in both]


def _paired(
    numerators: Sequence[ArrayLike], denominators: Sequence[ArrayLike], same: Labels | None
) -> tuple[list[Floats], list[Hashable]]:
    """Pairs (n, 2) of each task, and labels."""
    shapes = [[np.shape(runs) for runs in strata] for strata in (numerators, denominators)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"paired scores must have the same shape, got {shapes[0]} and {shapes[1]}")
    pairs = [np.stack([a, b], axis=-1).astype(np.float64) for a, b in zip(numerators, denominators, strict=True)]
    _checked([both.ravel() for both in pairs])
    labels = list(_labels(pairs, same))
    # Pairs of tasks that are drawn together stay in their common order.
    ordered = [
        both if labels.count(label) > 1 else both[np.lexsort(both.T)] for both, label in zip(pairs, labels, strict=True)
    ]
    both = sorted(zip(ordered, labels, strict=True), key=lambda each: _order(each[:1]))
    return [runs for runs, _ in both], [label for _, label in both]


def _resampled(strata: Sequence[Floats], labels: Labels, repetitions: int, seed: int) -> Iterator[list[Floats]]:
    """Runs drawn anew within each stratum, (R, n, ...) each, in parts that fit into memory."""
    random = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // sum(runs.size for runs in strata))
    for start in range(0, repetitions, at_once):
        count = min(at_once, repetitions - start)
        drawn: dict[Hashable, NDArray[np.int64]] = {}
        for runs, label in zip(strata, labels, strict=True):
            if label not in drawn:
                drawn[label] = random.integers(len(runs), size=(count, len(runs)))
        yield [runs[drawn[label]] for runs, label in zip(strata, labels, strict=True)]


def _counts(random: np.random.Generator, runs: int, repetitions: int) -> Floats:
    """How often each run is drawn: (repetitions, runs)."""
    return random.multinomial(runs, np.full(runs, 1 / runs), size=repetitions).astype(np.float64)


def _interval(estimate: float | np.floating, drawn: Floats, level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(min(low, estimate)), float(max(high, estimate)))
