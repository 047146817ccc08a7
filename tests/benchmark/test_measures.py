"""Which runs are compared with which."""

import numpy as np
import pytest

from masklam_agents.benchmark.measures import MEASURES, compare, place_of, strata_of, without_repeats
from masklam_agents.benchmark.result_files import Found, ResultError
from masklam_agents.benchmark.results import Normalizers
from masklam_agents.benchmark.statistics import aggregate
from tests.benchmark.helpers import make_result, make_results

NMSE, RETURN = MEASURES["nmse"], MEASURES["normalized_return"]
FEW = {"repetitions": 200}


def test_measures_of_one_run():
    result = make_result(0.4, (30.0, 50.0))
    found = {name: measure.get(result) for name, measure in MEASURES.items()}
    assert found == pytest.approx(
        {
            "nmse": 0.4,
            "nmse_unseen": 0.4,
            "r2": 0.6,
            "r2_unseen": 0.6,
            "distractor_r2": 0.2,
            "normalized_return": 0.3,
            "return_over_expert": 40 / 110,
        }
    )
    assert all(measure.get(make_result(status="failed")) is None for measure in MEASURES.values())
    assert all(measure.get(make_result(None, ())) is None for measure in MEASURES.values())


def test_the_expert_must_earn_something_to_divide_by():
    losing = Normalizers(expert=-10.0, random=-110.0)
    result = make_result(metrics=make_result(returns=()).metrics, returns=(), normalizers=losing)
    assert MEASURES["return_over_expert"].get(result) is None


def test_ratios_are_of_runs_with_the_same_seed_and_point_up():
    runs = [("lapo", 0, 0.8), ("lapo", 1, 0.4), ("masklam", 0, 0.4), ("masklam", 1, 0.1), ("masklam", 2, 0.01)]
    results = [make_result(nmse, method=method, seed=seed) for method, seed, nmse in runs]
    comparison = compare(results, NMSE, **FEW)
    assert [row.method for row in comparison.rows] == ["masklam", "lapo"]
    ratio = comparison.rows[0].ratio
    assert ratio.pairs == 2  # seed 2 has no partner
    assert ratio.ratio.estimate == pytest.approx((2 * 4) ** 0.5)
    assert comparison.rows[0].difference.estimate == pytest.approx((-0.4 - 0.3) / 2)
    assert comparison.rows[0].improvement.estimate == pytest.approx(5.5 / 6)
    assert comparison.rows[1].ratio is None


def test_returns_point_up_as_they_are():
    results = [
        make_result(returns=returns, method=method)
        for method, returns in (("lapo", (20.0,)), ("masklam", (60.0,)), ("bc-labels", (10.0,)))
    ]
    rows = {row.method: row for row in compare(results, RETURN, **FEW).rows}
    assert list(rows) == ["masklam", "lapo", "bc-labels"]
    assert rows["masklam"].ratio.ratio.estimate == pytest.approx(5)
    assert rows["masklam"].improvement.estimate == 1
    assert rows["bc-labels"].ratio.ratio.estimate == pytest.approx(0.1)  # 0 counts as 0.01
    assert rows["bc-labels"].ratio.floored == 1


def test_pooled_numbers_are_over_the_places_that_all_share():
    results = [result for result in make_results(seeds=2) if not (result.method == "laom" and "Cheetah" in result.task)]
    extra = make_result(0.001, method="one-place", task="MaskHopper-v0")
    comparison = compare([*results, extra], NMSE, **FEW)
    assert {place.task for place in comparison.places} == {"MaskHopper-v0"}
    assert (len(comparison.places), comparison.of_places) == (2, 4)
    assert comparison.left_out == {"one-place": 1}
    assert comparison.fewest == 2
    assert {row.method: row.runs for row in comparison.rows} == {"lapo": 4, "laom": 4, "masklam": 4}


def test_methods_without_a_place_in_common_are_all_left_out():
    results = [make_result(method=method, task=f"Mask{method}-v0") for method in ("lapo", "laom")]
    comparison = compare(results, NMSE, **FEW)
    assert (comparison.rows, comparison.left_out) == ((), {"lapo": 1, "laom": 1})


def test_without_the_baseline_there_are_no_ratios():
    rows = compare([make_result(method="laom")], NMSE, **FEW).rows
    assert (rows[0].difference, rows[0].ratio, rows[0].improvement) == (None, None, None)
    assert compare([make_result(), make_result(method="laom")], NMSE, baseline="laom", **FEW).rows[0].ratio is not None


def test_a_run_counts_once_and_two_versions_of_it_not_at_all():
    one, same = Found(make_result(), "a.json", None), Found(make_result(), "b.json", None)
    assert without_repeats([one, same]) == [one]
    other = Found(make_result(0.5), "c.json", None)
    with pytest.raises(ResultError, match="c.json: another result of lapo, MaskCheetah-v0.*a.json; remove one"):
        without_repeats([one, other])
    edited = Found(make_result(config={**other.result.config, "plugin_code": {"mine": "0"}}), "d.json", None)
    with pytest.raises(ResultError, match=r"remove one of them \(the benchmark's command, given again, says which"):
        without_repeats([one, edited])


def test_places_are_sorted_as_people_do():
    choices = [("none", 2048), ("action-0.9", 10_000), ("action-0.9", 512)]
    places = [place_of(make_result(distractor=d, variables={"labels": n})) for d, n in choices]
    assert sorted(places, key=lambda place: place.order()) == [places[0], places[2], places[1]]
    assert places[0].label == "MaskCheetah-v0, none, labels 2048"


def test_without_common_seeds_there_is_a_probability_and_no_ratio():
    row = compare([make_result(0.8, seed=0), make_result(0.4, method="laom", seed=1)], NMSE, **FEW).rows[0]
    assert (row.method, row.difference, row.ratio, row.improvement.estimate) == ("laom", None, None, 1.0)


def test_runs_that_are_the_same_in_several_places_count_once():
    """As those of a method that sees another scene, or of a baseline that reads no masks."""
    random = np.random.default_rng(0)
    base, clean = random.uniform(0.5, 0.9, (4, 5)), random.uniform(0.3, 0.7, 5)
    results = []
    for place in range(4):
        for seed in range(5):
            where = {"distractor": f"video-{place}", "seed": seed}
            results.append(make_result(base[place, seed], method="lapo", **where))
            results.append(make_result(clean[seed], method="lapo-clean", **where))
    pooled = {row.method: row for row in compare(results, NMSE).rows}
    assert {method: row.runs for method, row in pooled.items()} == {"lapo": 20, "lapo-clean": 5}
    [alone] = [row for row in compare(results[:10], NMSE).rows if row.method == "lapo-clean"]
    assert pooled["lapo-clean"].aggregates["mean"] == alone.aggregates["mean"]
    drawn_apart = aggregate([list(clean)] * 4, "iqm")
    interval = pooled["lapo-clean"].aggregates["iqm"]
    assert interval.high - interval.low > 1.5 * (drawn_apart.high - drawn_apart.low)
    swapped = {row.method: row for row in compare(results, NMSE, baseline="lapo-clean").rows}
    there, back = pooled["lapo-clean"].ratio.ratio, swapped["lapo"].ratio.ratio
    assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low))


def test_other_tasks_with_the_same_scores_are_other_runs():
    places = [place_of(make_result(task=task, distractor=name)) for task in ("a-v0", "b-v0") for name in ("x", "y")]
    _, labels = strata_of({place: {0: 0.5, 1: 0.25} for place in places}, places)
    assert labels[0] == labels[1] != labels[2] == labels[3]
    _, [one, other] = strata_of({places[0]: {0: 0.5, 1: 0.25}, places[1]: {0: 0.5, 1: 0.75}}, places[:2])
    assert one != other
