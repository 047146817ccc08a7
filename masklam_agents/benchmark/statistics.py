"""Estimates with intervals from few runs of many tasks, after Agarwal et al. 2021 (arXiv 2108.13264).

Scores are a list of *strata*: one array for each task, a number for each run; tasks may have different numbers of runs.
Intervals are percentile intervals of a stratified bootstrap: runs are drawn anew, with replacement, within each task.
With five runs a task such intervals are on the narrow side; they say how much the runs scatter, not what other tasks
would give.

>>> aggregate([[0.0, 0.5, 0.5, 9.0], [1.0, 1.0, 1.0, 1.0]], "iqm").estimate
0.875
>>> probability_of_improvement([[2.0, 3.0]], [[1.0, 2.0]]).estimate
0.875

The numbers are a function of the scores and ``seed``: the order of tasks, and of runs within a task, does not matter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklam_envs.errors import unknown_name

REPETITIONS = 10_000
LEVEL = 0.95
_AT_ONCE = 4_000_000  # numbers drawn at a time
Floats = NDArray[np.float64]


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
    return iqm(np.concatenate(strata, axis=-1))


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
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """One number for all runs of all tasks.

    :param scores: strata
    :param metric: ``"iqm"`` of all runs, ``"mean"`` of the tasks' means, ``"median"`` of the tasks' means (of one task:
        of its runs), or ``"optimality_gap"``, by how much runs stay below 1 on average
    :param repetitions: of the bootstrap
    :param level: of the interval, in (0, 1)
    :param seed: of the bootstrap
    :raises ValueError: for an unknown metric, no scores, or scores that are not finite
    """
    return aggregates(scores, (metric,), repetitions=repetitions, level=level, seed=seed)[metric]


def aggregates(
    scores: Sequence[ArrayLike],
    metrics: Sequence[str] = tuple(METRICS),
    *,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Several metrics of :func:`aggregate` from the same bootstrap; equal to asking for each."""
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(unknown_name("metric", metric, METRICS))
    strata = _strata(scores)
    drawn: dict[str, list[Floats]] = {metric: [] for metric in metrics}
    for sample in _resampled(strata, repetitions, seed):
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
    :param repetitions: as in :func:`aggregate`; pairs are drawn together
    :param level: likewise
    :param seed: likewise
    :raises ValueError: when shapes differ or the floor is not positive
    """
    if not floor > 0:
        raise ValueError(f"floor must be above 0, got {floor}")
    pairs = _paired(numerators, denominators)
    floored = sum(int((both < floor).any(-1).sum()) for both in pairs)

    def ratios(sample: Sequence[Floats]) -> tuple[Floats, Floats]:
        logs = [np.log(np.maximum(both, floor)) for both in sample]
        means = np.maximum(np.stack([both.mean(-2) for both in sample]).mean(0), floor)
        geometric = np.exp(np.stack([(log[..., 0] - log[..., 1]).mean(-1) for log in logs]).mean(0))
        return geometric, means[..., 0] / means[..., 1]

    first = ratios([both[None] for both in pairs])
    drawn = [ratios(sample) for sample in _resampled(pairs, repetitions, seed)]
    geometric, of_means = (
        _interval(estimate[0], np.concatenate(samples), level)
        for estimate, samples in zip(first, zip(*drawn, strict=True), strict=True)
    )
    return PairedRatio(geometric, of_means, sum(len(both) for both in pairs), floored)


def paired_difference(
    scores: Sequence[ArrayLike],
    others: Sequence[ArrayLike],
    *,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Mean of the differences of paired scores, tasks weighing alike; unlike a ratio it has a meaning near zero.

    :param scores: strata
    :param others: strata of the same shape, which are taken away
    :param repetitions: as in :func:`aggregate`; pairs are drawn together
    :param level: likewise
    :param seed: likewise
    :raises ValueError: when shapes differ
    """
    differences = [both[:, 0] - both[:, 1] for both in _paired(scores, others)]
    return aggregate(differences, "mean", repetitions=repetitions, level=level, seed=seed)


def probability_of_improvement(
    scores: Sequence[ArrayLike],
    others: Sequence[ArrayLike],
    *,
    repetitions: int = REPETITIONS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """How likely a run beats a run of the other method on the same task; ties count half; mean over tasks.

    :param scores: strata
    :param others: strata of the same tasks in the same order; the number of runs may differ
    :param repetitions: as in :func:`aggregate`; both methods' runs are drawn independently
    :param level: likewise
    :param seed: likewise
    :raises ValueError: when the numbers of tasks differ
    """
    if len(scores) != len(others):
        raise ValueError(f"{len(scores)} tasks against {len(others)}: give both methods' scores of the same tasks")
    tasks = [(x, y) for x, y in zip(_strata(scores, sort=False), _strata(others, sort=False), strict=True)]
    tasks.sort(key=lambda pair: (*map(len, pair), *(x for runs in pair for x in runs)))
    random = np.random.default_rng(seed)
    estimates, drawn = [], []
    for x, y in tasks:
        wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        of_x, of_y = (_counts(random, len(runs), repetitions) / len(runs) for runs in (x, y))
        estimates.append(wins.mean())
        drawn.append(((of_x @ wins) * of_y).sum(-1))
    return _interval(np.mean(estimates), np.mean(drawn, axis=0), level)


def performance_profile(
    scores: Sequence[ArrayLike],
    thresholds: ArrayLike,
    *,
    repetitions: int = 2_000,
    level: float = LEVEL,
    seed: int = 0,
) -> Profile:
    """Share of all runs whose score is above each threshold.

    :param scores: strata
    :param thresholds: (T,)
    :param repetitions: as in :func:`aggregate`
    :param level: of the pointwise intervals
    :param seed: as in :func:`aggregate`
    """
    strata, at = _strata(scores), np.asarray(thresholds, np.float64)
    random, total = np.random.default_rng(seed), sum(len(runs) for runs in strata)
    share, drawn = np.zeros(len(at)), np.zeros((repetitions, len(at)))
    for runs in strata:
        above = (runs[:, None] > at).astype(np.float64)
        share += above.sum(0) / total
        drawn += _counts(random, len(runs), repetitions) @ above / total
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Profile(at, share, np.minimum(low, share), np.maximum(high, share))


def _strata(scores: Sequence[ArrayLike], sort: bool = True) -> list[Floats]:
    strata = [np.sort(np.asarray(runs, np.float64)) for runs in scores]
    if not strata or any(runs.ndim != 1 or not len(runs) for runs in strata):
        raise ValueError("scores must be a list with an array (runs,) for each task, and at least one run in each")
    if not all(np.isfinite(runs).all() for runs in strata):
        raise ValueError("scores must be finite; leave runs out that have none")
    return sorted(strata, key=lambda runs: (len(runs), *runs)) if sort else strata


def _paired(numerators: Sequence[ArrayLike], denominators: Sequence[ArrayLike]) -> list[Floats]:
    shapes = [[np.shape(runs) for runs in strata] for strata in (numerators, denominators)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"paired scores must have the same shape, got {shapes[0]} and {shapes[1]}")
    pairs = [np.stack([a, b], axis=-1).astype(np.float64) for a, b in zip(numerators, denominators, strict=True)]
    _strata([both.ravel() for both in pairs])
    ordered = [both[np.lexsort(both.T)] for both in pairs]
    return sorted(ordered, key=lambda both: (len(both), *both.ravel()))


def _resampled(strata: Sequence[Floats], repetitions: int, seed: int) -> Iterator[list[Floats]]:
    """Runs drawn anew within each stratum, (R, n, ...) each, in parts that fit into memory."""
    random = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // sum(runs.size for runs in strata))
    for start in range(0, repetitions, at_once):
        count = min(at_once, repetitions - start)
        yield [runs[random.integers(len(runs), size=(count, len(runs)))] for runs in strata]


def _counts(random: np.random.Generator, runs: int, repetitions: int) -> Floats:
    """How often each run is drawn: (repetitions, runs)."""
    return random.multinomial(runs, np.full(runs, 1 / runs), size=repetitions).astype(np.float64)


def _interval(estimate: float | np.floating, drawn: Floats, level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(min(low, estimate)), float(max(high, estimate)))
