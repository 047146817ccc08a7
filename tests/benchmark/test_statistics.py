"""Statistics of few runs: against arrays computed by hand, and what holds for any scores."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masklam_agents.benchmark.statistics import (
    METRICS,
    aggregate,
    aggregates,
    iqm,
    paired_difference,
    paired_ratio,
    performance_profile,
    probability_of_improvement,
)

# Four runs of two tasks.
SCORES = [[0.0, 0.2, 0.4, 1.4], [0.5, 0.5, 0.7, 0.9]]
OTHERS = [[0.1, 0.2, 0.3, 0.3], [0.9, 0.9, 0.9, 0.9]]

runs = st.lists(st.floats(-1, 2).map(lambda x: round(x, 3)), min_size=1, max_size=6)
strata = st.lists(runs, min_size=1, max_size=4)
FEW = {"repetitions": 200}


@pytest.mark.parametrize(
    ("metric", "by_hand"),
    [
        ("iqm", (0.4 + 0.5 + 0.5 + 0.7) / 4),  # of 8, two are left out at each end: 0.0, 0.2 and 0.9, 1.4
        ("mean", (0.5 + 0.65) / 2),
        ("median", (0.5 + 0.65) / 2),
        ("optimality_gap", ((1 + 0.8 + 0.6 + 0) / 4 + (0.5 + 0.5 + 0.3 + 0.1) / 4) / 2),
    ],
)
def test_aggregates_by_hand(metric, by_hand):
    assert aggregate(SCORES, metric).estimate == pytest.approx(by_hand)


def test_several_metrics_at_once_are_those_asked_for_one_by_one():
    assert aggregates(SCORES) == {metric: aggregate(SCORES, metric) for metric in METRICS}


def test_the_median_of_one_task_is_over_its_runs():
    assert aggregate([[0.0, 1.0, 5.0]], "median").estimate == 1.0
    assert aggregate([[0.0], [1.0], [5.0]], "median").estimate == 1.0


def test_intervals_of_two_runs_by_hand():
    # Means of two draws from {0, 1}: 0, 0.5, 1 with probabilities 1/4, 1/2, 1/4.
    assert aggregate([[0.0, 1.0]], "mean", level=0.4).low == 0.5
    interval = aggregate([[0.0, 1.0]], "mean", level=0.6)
    assert (interval.low, interval.estimate, interval.high) == (0.0, 0.5, 1.0)
    # Runs are drawn within their task: no run of the other task stands in for one.
    assert aggregate([[0.0], [1.0]], "mean").low == aggregate([[0.0], [1.0]], "mean").high == 0.5


def test_the_interval_of_a_mean_is_near_the_normal_one():
    scores = np.random.default_rng(0).normal(size=400)
    interval = aggregate([scores], "mean")
    half = 1.96 * scores.std() / 20
    assert interval.low == pytest.approx(scores.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(scores.mean() + half, abs=0.01)


def test_intervals_cover_what_they_should():
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        interval = aggregate(random.normal(size=(6, 10)), "mean", repetitions=500)
        covered += interval.low <= 0 <= interval.high
    assert 0.89 <= covered / 300 <= 0.99


def test_paired_ratio_by_hand():
    found = paired_ratio([[2.0, 8.0], [3.0]], [[1.0, 1.0], [1.0]], floor=0.01)
    assert found.ratio.estimate == pytest.approx(np.exp((np.log([2, 8]).mean() + np.log(3)) / 2))
    assert found.of_means.estimate == pytest.approx((5 + 3) / 2)
    assert (found.pairs, found.floored) == (3, 0)
    assert found.ratio.low == pytest.approx(np.sqrt(2 * 3))
    assert found.ratio.high == pytest.approx(np.sqrt(8 * 3))


def test_paired_difference_by_hand():
    found = paired_difference([[2.0, 8.0], [3.0]], [[1.0, 1.0], [1.0]])
    assert (found.low, found.estimate, found.high) == ((1 + 2) / 2, (4 + 2) / 2, (7 + 2) / 2)
    pairs = paired_difference([[1.0, 10.0, 100.0]], [[0.0, 9.0, 99.0]])
    assert (pairs.low, pairs.high) == (1.0, 1.0)  # pairs are drawn together


def test_ratios_over_nothing_are_held_back():
    found = paired_ratio([[0.5, -0.2]], [[-0.1, 0.001]], floor=0.01)
    assert found.ratio.estimate == pytest.approx(np.sqrt(50 * 1))  # 0.5 / 0.01 and 0.01 / 0.01
    assert found.floored == 2
    with pytest.raises(ValueError, match="floor must be above 0"):
        paired_ratio([[1.0]], [[1.0]], floor=0)


def test_pairs_are_drawn_together():
    ratio = paired_ratio([[1.0, 10.0, 100.0]], [[0.5, 5.0, 50.0]], floor=0.01).ratio
    assert (ratio.low, ratio.high) == pytest.approx((2.0, 2.0))


def test_probability_of_improvement_by_hand():
    # First task: 0 beats none, 0.2 beats 0.1 and ties once, 0.4 and 1.4 beat all. Second: one tie with four.
    by_hand = ((0 + 1.5 + 4 + 4) / 16 + (0 + 0 + 0 + 2) / 16) / 2
    found = probability_of_improvement(SCORES, OTHERS)
    assert found.estimate == pytest.approx(by_hand)
    assert found.low < by_hand < found.high


def test_probability_of_improvement_against_itself_is_a_half():
    assert probability_of_improvement(SCORES, SCORES).estimate == 0.5


def test_performance_profile_by_hand():
    profile = performance_profile(SCORES, [-1, 0.0, 0.5, 1.0, 2.0])
    assert profile.share.tolist() == [1, 7 / 8, 3 / 8, 1 / 8, 0]
    assert (profile.low[0], profile.high[0], profile.low[-1], profile.high[-1]) == (1, 1, 0, 0)
    assert 0 <= profile.low[2] < 3 / 8 < profile.high[2] < 1


def test_an_interval_is_widened_to_contain_its_estimate():
    # Means of skewed runs lie below their own mean more often than not, and so does the median of many such means.
    skewed = np.exp(np.linspace(-2, 3, 9))
    interval = aggregate([skewed] * 2001, "median", repetitions=500)
    assert interval.low < interval.high == interval.estimate == pytest.approx(skewed.mean())


@given(strata, st.sampled_from(sorted(METRICS)))
def test_an_interval_contains_its_estimate(scores, metric):
    interval = aggregate(scores, metric, **FEW)
    assert interval.low <= interval.estimate <= interval.high


@given(strata)
def test_the_middle_lies_between_the_extremes(scores):
    every = np.concatenate(scores)
    assert every.min() - 1e-12 <= iqm(every) <= every.max() + 1e-12
    interval = aggregate(scores, "iqm", **FEW)
    assert every.min() - 1e-12 <= interval.low <= interval.high <= every.max() + 1e-12


@given(strata, st.sampled_from(sorted(METRICS)), st.randoms(use_true_random=False))
def test_the_order_of_tasks_and_runs_does_not_matter(scores, metric, random):
    shuffled = [random.sample(task, len(task)) for task in random.sample(scores, len(scores))]
    assert aggregate(shuffled, metric, **FEW) == aggregate(scores, metric, **FEW)


@given(st.lists(st.tuples(runs, runs), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_does_not_matter_between_two_methods(tasks, random):
    pairs = [list(zip(x, y, strict=False)) for x, y in tasks]
    shuffled = [random.sample(task, len(task)) for task in random.sample(pairs, len(pairs))]

    def columns(tasks, place):
        return [[pair[place] for pair in task] for task in tasks]

    found = [paired_ratio(columns(p, 0), columns(p, 1), 0.01, **FEW) for p in (pairs, shuffled)]
    assert found[0] == found[1]
    chances = [probability_of_improvement(columns(p, 0), columns(p, 1), **FEW) for p in (pairs, shuffled)]
    assert chances[0] == chances[1]
    assert 0 <= chances[0].low <= chances[0].high <= 1


@given(st.lists(st.tuples(runs, runs), min_size=1, max_size=4))
def test_two_methods_improve_on_each_other_by_one_together(tasks):
    x, y = [list(column) for column in zip(*tasks, strict=True)]
    there, back = (probability_of_improvement(*pair, **FEW).estimate for pair in ((x, y), (y, x)))
    assert there + back == pytest.approx(1)


@given(strata, st.lists(st.floats(-1, 2), min_size=2, max_size=8).map(sorted))
def test_profiles_fall(scores, thresholds):
    profile = performance_profile(scores, thresholds, **FEW)
    assert (np.diff(profile.share) <= 1e-12).all()
    assert (profile.low <= profile.share).all()
    assert (profile.share <= profile.high).all()


def test_the_middle_of_tasks_with_unequal_runs_weighs_tasks_alike():
    # Many good runs of an easy task do not make up for a hard one: as if each task had as many runs as the other.
    easy, hard = [0.5] * 20, [0.1, 0.3]
    assert aggregate([easy, hard], "iqm").estimate == pytest.approx(aggregate([[0.5] * 2, hard], "iqm").estimate)
    # Half the weight is each task's: a quarter is cut at each end, 0.1 and half of the easy ones.
    assert aggregate([easy, hard], "iqm").estimate == pytest.approx((0.5 + 0.3) / 2)
    assert performance_profile([easy, hard], [0.4]).share.tolist() == [0.5]


@given(strata, st.integers(2, 4))
def test_the_same_runs_in_several_tasks_tell_nothing_new(scores, times):
    """Whatever is asked for: each run several times over makes the interval no narrower."""
    labels = [label for label in range(len(scores)) for _ in range(times)]
    again = [runs for runs in scores for _ in range(times)]
    for metric in ("mean", "optimality_gap"):  # what the IQM cuts is rounded down; the median of one task is another
        once, often = aggregate(scores, metric, **FEW), aggregate(again, metric, same=labels, **FEW)
        assert (often.estimate, often.low, often.high) == pytest.approx((once.estimate, once.low, once.high))
    at = [0.0, 0.5, 1.0]
    one, more = performance_profile(scores, at, **FEW), performance_profile(again, at, same=labels, **FEW)
    for name in ("share", "low", "high"):
        assert getattr(more, name) == pytest.approx(getattr(one, name))
    half = probability_of_improvement(again, again, same=(labels, labels), **FEW)
    plain = probability_of_improvement(scores, scores, **FEW)
    assert (half.low, half.high) == pytest.approx((plain.low, plain.high))


def test_the_same_runs_drawn_apart_would_make_a_narrow_interval():
    scores = np.random.default_rng(0).normal(size=5)
    apart = aggregate([scores] * 9, "iqm")
    together = aggregate([scores] * 9, "iqm", same=["one"] * 9)
    assert apart.estimate == together.estimate
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_pairs_with_the_same_runs_on_one_side_are_drawn_together():
    ours, others = [[1.0, 2.0, 4.0]] * 2, [[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]]
    found = paired_ratio(ours, others, 0.01, same=["a", "a"])
    # The first pair of both tasks alone, or the last: never the first here and the last there.
    assert (found.ratio.low, found.ratio.high) == pytest.approx((1.0, 2.0))
    assert found.of_means.low == pytest.approx((1 + 1) / (1 + 1))
    difference = paired_difference(ours, others, same=["a", "a"])
    assert (difference.low, difference.high) == (0.0, 1.5)


def test_seeds_repeat_and_differ():
    scores = np.random.default_rng(0).normal(size=(3, 5))
    assert aggregate(scores, seed=1) == aggregate(scores, seed=1) != aggregate(scores, seed=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aggregate([], "iqm"), "at least one run"),
        (lambda: aggregate([[]], "iqm"), "at least one run"),
        (lambda: aggregate([[np.nan]], "iqm"), "finite"),
        (lambda: aggregate([[1.0]], "iqn"), "Did you mean 'iqm'"),
        (lambda: aggregate([[1.0]], level=1.0), "level must lie"),
        (lambda: paired_ratio([[1.0]], [[1.0, 2.0]], 0.1), "same shape"),
        (lambda: probability_of_improvement([[1.0]], []), "1 tasks against 0"),
        (lambda: aggregate([[1.0], [1.0, 2.0]], same=["a", "a"]), "one label 'a' hold the same runs, got 1 and 2"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_whole_table_takes_seconds():
    scores = np.random.default_rng(0).normal(size=(24, 5))
    start = time.process_time()
    for metric in METRICS:
        aggregate(scores, metric)
    assert time.process_time() - start < 5  # about 0.3 s: ten thousand repetitions of 120 runs, four times


@pytest.fixture
def rliable(monkeypatch):
    try:
        from rliable import library, metrics
    except (ImportError, TypeError) as error:  # rliable 1.2.0 with pandas 3: TypeError while importing arch
        pytest.skip(f"rliable cannot be imported ({error}): `make test-rliable` has an environment for it")
    from arch.bootstrap import IIDBootstrap

    original = IIDBootstrap.__init__

    def without_random_state(self, *args, random_state=None, **kwargs):
        # rliable 1.2.0 still passes what arch dropped in its version 6; it draws from NumPy's global state anyway.
        original(self, *args, **kwargs)

    monkeypatch.setattr(IIDBootstrap, "__init__", without_random_state)
    np.random.seed(0)
    return library, metrics


# Runs x tasks; a quarter of five runs of three tasks is no whole number.
@pytest.mark.parametrize(("shape", "tolerance"), [((10, 6), 0.01), ((5, 3), 0.02)])
def test_the_same_as_rliable(rliable, shape, tolerance):
    library, metrics = rliable
    scores = np.random.default_rng(0).gamma(2.0, 0.3, size=shape)
    others = np.random.default_rng(1).gamma(2.0, 0.25, size=shape)
    theirs = {
        "iqm": metrics.aggregate_iqm,
        "mean": metrics.aggregate_mean,
        "median": metrics.aggregate_median,
        "optimality_gap": metrics.aggregate_optimality_gap,
    }
    for name, function in theirs.items():
        ours = aggregate(scores.T, name)
        assert ours.estimate == pytest.approx(float(function(scores)))
        _, interval = library.get_interval_estimates({"x": scores}, lambda x, f=function: np.array([f(x)]), reps=5_000)
        assert [ours.low, ours.high] == pytest.approx(interval["x"].ravel().tolist(), abs=tolerance)
    ours = probability_of_improvement(scores.T, others.T)
    assert ours.estimate == pytest.approx(float(metrics.probability_of_improvement(scores, others)))
    at = np.linspace(0, 2, 9)
    shares, bands = library.create_performance_profile({"x": scores}, at, reps=2_000)
    profile, one_run = performance_profile(scores.T, at), 1.01 / scores.size
    assert profile.share == pytest.approx(shares["x"])
    assert profile.low == pytest.approx(bands["x"][0], abs=one_run)
    assert profile.high == pytest.approx(bands["x"][1], abs=one_run)
