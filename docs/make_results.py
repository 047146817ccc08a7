"""Write the tables of docs/results/README.md from the raw scores; the words between them are written by hand.

Run ``python docs/make_results.py``; a test compares the file with what this would write.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from masklam_agents.benchmark.measures import MEASURES, Comparison, Measure, Place, Row, compare, place_of
from masklam_agents.benchmark.report.headline import write_headline
from masklam_agents.benchmark.report.summary import summarize
from masklam_agents.benchmark.result_files import Found, read_results
from masklam_agents.benchmark.results import Result
from masklam_agents.benchmark.statistics import Interval
from masklam_agents.benchmark.suite import load_suite

FOLDER = Path(__file__).parent / "results"
CORRELATED = ("action-0.6", "action-0.9", "action-1.0", "ghost")
COLUMNS = ("nmse_unseen", "r2_unseen", "normalized_return", "return_over_expert")
PAIR = ("lapo", "masklam-fixed")
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pooled(results: Sequence[Result]) -> str:
    """Every method over the places that all of them share."""
    found = {name: compare(results, MEASURES[name]) for name in COLUMNS}
    rows = {name: {row.method: row for row in comparison.rows} for name, comparison in found.items()}
    measured = ["NMSE", "ratio", "R2", "normalized return", "ratio", "return / expert: ratio"]
    methods = dict.fromkeys(row.method for name in COLUMNS for row in found[name].rows)
    lines = [[f"`{method}`", *_pooled_cells(method, rows)] for method in methods]
    return _extent(found["normalized_return"]) + "\n\n" + _table(["method", "runs", *measured], lines)


def _pooled_cells(method: str, rows: dict[str, dict[str, Row]]) -> Iterable[str]:
    error, explained, returned, over = (rows[name].get(method) for name in COLUMNS)
    yield str(max(row.runs for row in (error, returned, over) if row))
    yield "-" if error is None else _interval(error.aggregates["iqm"], 3)
    yield _ratio(error)
    yield "-" if explained is None else _interval(explained.aggregates["mean"], 2)
    yield "-" if returned is None else _interval(returned.aggregates["iqm"], 3)
    yield from map(_ratio, (returned, over))


def _ratio(row: Row | None) -> str:
    return "-" if row is None or row.ratio is None else _interval(row.ratio.ratio, 2)


def places(results: Sequence[Result]) -> str:
    """MaskLAM beside LAPO in every place where both have runs."""
    by_place: dict[Place, list[Result]] = {}
    for result in sorted(_paired(results), key=lambda result: place_of(result).order()):
        by_place.setdefault(place_of(result), []).append(result)
    head = ["task", "distractor", "seeds", "NMSE: constant", "LAPO", "MaskLAM", "ratio", "R2: LAPO", "MaskLAM"]
    head += ["normalized return: LAPO", "MaskLAM", "ratio", "return / expert: ratio"]
    return _table(head, [_place_cells(place, found) for place, found in by_place.items()])


def _paired(results: Sequence[Result]) -> list[Result]:
    """Those of both methods, of seeds that both have."""
    found = {method: {(place_of(r), r.seed): r for r in results if r.method == method} for method in PAIR}
    both = set.intersection(*(set(runs) for runs in found.values()))
    return [run for runs in found.values() for key, run in runs.items() if key in both]


def _place_cells(place: Place, found: Sequence[Result]) -> list[str]:
    rows = {name: {row.method: row for row in compare(found, MEASURES[name]).rows} for name in COLUMNS}
    cells = [place.task, place.distractor, str(rows["nmse_unseen"][PAIR[0]].runs), f"{_constant(found):.3f}"]
    for name, digits in (("nmse_unseen", 3), ("r2_unseen", 2), ("normalized_return", 3)):
        cells += [f"{rows[name][method].aggregates['mean'].estimate:.{digits}f}" for method in PAIR]
        cells += [] if name == "r2_unseen" else [_ratio_of_means(rows[name][PAIR[1]])]
    return [*cells, _ratio_of_means(rows["return_over_expert"][PAIR[1]])]


def _constant(found: Sequence[Result]) -> float:
    """NMSE of the best constant: how much held-out actions vary beside those of training."""
    errors = []
    for result in found:
        probe = None if result.metrics is None else result.metrics.action_unseen
        if probe is not None:
            pairs = zip(probe.per_dimension, probe.r2_per_dimension, strict=True)
            errors.append(np.mean([error / (1 - explained) for error, explained in pairs]))
    return float(np.mean(errors))


def _ratio_of_means(row: Row) -> str:
    assert row.ratio is not None
    floored = f" ({row.ratio.floored} of {row.ratio.pairs} pairs at the floor)" if row.ratio.floored else ""
    return _interval(row.ratio.of_means, 2) + floored


def methods(results: Sequence[Result]) -> str:
    """The IQM of every method under every distractor, over the shared tasks."""
    distractors = [name for name in load_suite("cpu").distractors if any(r.distractor == name for r in results)]
    parts = []
    for name in ("nmse_unseen", "r2_unseen", "normalized_return"):
        cells = {d: _iqms([r for r in results if r.distractor == d], name) for d in distractors}
        names = sorted({method for found in cells.values() for method in found})
        lines = [[f"`{m}`", *(cells[d].get(m, "-") for d in distractors)] for m in names]
        title = MEASURES[name].label[0].upper() + MEASURES[name].label[1:]
        parts.append(f"{title}:\n\n" + _table(["method", *distractors], lines))
    return "\n\n".join(parts)


def _iqms(results: Sequence[Result], name: str) -> dict[str, str]:
    rows = compare(results, MEASURES[name], repetitions=100).rows  # the intervals are in the report
    return {row.method: f"{row.aggregates['iqm'].estimate:.3f}" for row in rows}


def progress(results: Sequence[Result]) -> str:
    """How much of the suite is done."""
    suite = load_suite("cpu")
    of = len(suite.tasks) * len(suite.methods) * suite.seeds
    done = {name: [r for r in results if r.distractor == name] for name in suite.distractors}
    lines = [[f"`{name}`", f"{len(found)} of {of}", str(len({r.seed for r in found}))] for name, found in done.items()]
    return _table(["distractor", "runs", "seeds"], lines)


def whole(results: Sequence[Result]) -> list[Result]:
    """Those under distractors with all runs: a place with one run makes intervals narrow, for it has none itself."""
    suite = load_suite("cpu")
    of = len(suite.tasks) * len(suite.methods) * suite.seeds
    counts = collections.Counter(result.distractor for result in results)
    return [result for result in results if counts[result.distractor] == of]


def decorrelated(results: Sequence[Result]) -> str:
    """The agents of ``action-0.9`` where the background knows the actions, and where it does not."""
    probes = read_results([FOLDER / "decorrelated_probe.jsonl"])
    by_place: dict[Place, list[Result]] = {}
    for result in sorted(probes, key=lambda result: place_of(result).order()):
        by_place.setdefault(place_of(result), []).append(result)
    head = ["task", "measured under", "seeds", "R2 of the action: LAPO", "MaskLAM"]
    head += ["R2 of the background's motion: LAPO", "MaskLAM", "NMSE of the action: LAPO", "MaskLAM", "ratio"]
    return _table(head, [_decorrelated_cells(place, found) for place, found in by_place.items()])


def _decorrelated_cells(place: Place, found: Sequence[Result]) -> list[str]:
    digits_of = {"r2_unseen": 2, "distractor_r2": 2, "nmse_unseen": 3}
    rows = {name: {row.method: row for row in compare(found, MEASURES[name]).rows} for name in digits_of}
    cells = [place.task, f"`{dict(place.variables)['unseen']}`", str(rows["nmse_unseen"][PAIR[0]].runs)]
    for name, digits in digits_of.items():
        cells += [f"{rows[name][method].aggregates['mean'].estimate:.{digits}f}" for method in PAIR]
    return [*cells, _ratio_of_means(rows["nmse_unseen"][PAIR[1]])]


def student(results: Sequence[Result]) -> str:
    """Ratios of MaskLAM's returns to LAPO's over all tasks, with both intervals: of the bootstrap and Student's t."""
    found = [result for result in whole(results) if result.distractor in CORRELATED and result.method in PAIR]
    names = sorted({result.distractor for result in found})
    groups = {f"`{name}`": [result for result in found if result.distractor == name] for name in names}
    groups["all of these"] = found
    head = ["distractor", "normalized return: ratio", "Student's t", "return / expert: ratio", "Student's t"]
    return _table(head, [[name, *_student_cells(group)] for name, group in groups.items()])


def _student_cells(found: Sequence[Result]) -> Iterable[str]:
    for name in ("normalized_return", "return_over_expert"):
        yield _ratio({row.method: row for row in compare(found, MEASURES[name]).rows}[PAIR[1]])
        yield _student_interval(_log_ratios(found, MEASURES[name]))


def _log_ratios(found: Sequence[Result], measure: Measure) -> NDArray[np.float64]:
    """Of every seed, the mean over tasks and distractors of the logarithm of MaskLAM's number over LAPO's."""
    assert measure.floor is not None
    logs: dict[tuple[str, int], list[float]] = collections.defaultdict(list)
    for result in found:
        value = measure.get(result)
        assert value is not None
        logs[result.method, result.seed].append(float(np.log(max(value, measure.floor))))
    seeds = sorted({seed for _, seed in logs})
    return np.array([np.mean(logs[PAIR[1], seed]) - np.mean(logs[PAIR[0], seed]) for seed in seeds])


def _student_interval(logs: NDArray[np.float64]) -> str:
    """Of 95 %, for the exponential of the mean."""
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    low, high = np.exp((logs.mean() - half, logs.mean() + half))
    return f"[{low:.2f}, {high:.2f}]"


TABLES: dict[str, Callable[[Sequence[Result]], str]] = {
    "decorrelated": decorrelated,
    "correlated": lambda results: pooled([result for result in whole(results) if result.distractor in CORRELATED]),
    "places": places,
    "student": student,
    "methods": methods,
    "progress": progress,
}


def _extent(comparison: Comparison) -> str:
    count, of = len(comparison.places), comparison.of_places
    return f"{count} of {of} places (task and distractor), each method has at least {comparison.fewest} in each."


def _interval(found: Interval, digits: int) -> str:
    if found.low == found.high:  # one run in every place: nothing to draw anew
        return f"{found.estimate:.{digits}f}"
    return f"{found.estimate:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines))


def done() -> list[Result]:
    """All results that did not fail."""
    return [result for result in read_results([FOLDER / "cpu" / "results.jsonl"]) if result.status == "ok"]


def draw(path: Path) -> None:
    """All methods under the distractors with all runs, as one picture."""
    found = [Found(result, "", None) for result in whole(done())]
    write_headline(path, summarize(found))


def document(text: str) -> str:
    """The page with its tables as the raw scores have them now."""
    results = done()
    made = {name: make(results) for name, make in TABLES.items() if f"<!-- table: {name} -->" in text}
    return BLOCK.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[3]}", text)


if __name__ == "__main__":
    page = FOLDER / "README.md"
    page.write_text(document(page.read_text()))
    draw(FOLDER / "headline.png")
