"""The same numbers for other programs: CSV, JSON lines, JSON and LaTeX."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from masklam_agents.benchmark.measures import MEASURES, Comparison, Row
from masklam_agents.benchmark.report.summary import Comparisons, Summary
from masklam_agents.benchmark.results import Result, to_json
from masklam_agents.benchmark.statistics import Interval

HEADLINE = ("nmse", "nmse_unseen", "distractor_r2", "normalized_return")
_LATEX = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def scores_csv(results: Sequence[Result]) -> str:
    """One line a run, failed ones too; empty where nothing was measured."""
    variables = sorted({name for result in results for name in result.variables})
    more = sorted({name for result in results if result.metrics for name in result.metrics.more})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    fixed = ("suite", "suite_version", "task", "distractor", "method", "seed", "status")
    tail = ("return_mean", "episodes", "wall_seconds", "cpu_seconds", "config_hash", "commit")
    writer.writerow([*fixed, *variables, *MEASURES, *more, *tail])
    for result in results:
        metrics = result.metrics
        writer.writerow(
            [
                *(getattr(result, name) for name in fixed),
                *(result.variables.get(name, "") for name in variables),
                *(measure.get(result) for measure in MEASURES.values()),
                *(metrics.more.get(name, "") if metrics else "" for name in more),
                *(metrics.return_mean if metrics else None, len(metrics.returns) if metrics else 0),
                *(result.wall_seconds, result.cpu_seconds, result.config_hash, result.commit),
            ]
        )
    return stream.getvalue()


def results_jsonl(results: Iterable[Result]) -> str:
    """All results, one a line: the report can be made again from it, and leaderboards take it."""
    return "".join(json.dumps(to_json(result), allow_nan=False) + "\n" for result in results)


def scores_json(summary: Summary, options: dict[str, Any]) -> str:
    """Every number of the page.

    :param options: what they were computed with
    """
    document = {
        "suite": summary.suite,
        "suite_version": summary.version,
        "baseline": summary.baseline,
        "statistics": options,
        "runs": len(summary.found),
        "failed": len(summary.failed),
        "pooled": _comparisons(summary.pooled),
        "by_task": {name: _comparisons(found) for name, found in summary.by_task.items()},
        "by_distractor": {name: _comparisons(found) for name, found in summary.by_distractor.items()},
        "by_place": [{"place": _place(place), **_comparisons(found)} for place, found in summary.by_place.items()],
        "series": [dataclasses.asdict(series) for series in summary.series],
        "fairness": [dataclasses.asdict(check) for check in summary.facts.checks],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def tables_tex(summary: Summary) -> str:
    """A table of all places and one for each task, for ``booktabs``."""
    parts = [f"% Suite {summary.suite} {summary.version}; needs \\usepackage{{booktabs}}"]
    parts.append(_table(summary.pooled, f"All tasks, ratios to {summary.baseline}"))
    if len(summary.by_task) > 1:
        parts += [_table(found, task) for task, found in summary.by_task.items()]
    return "\n\n".join(parts) + "\n"


def _table(comparisons: Comparisons, caption: str) -> str:
    shown = [comparisons[name] for name in HEADLINE if name in comparisons]
    rows = {c.measure.name: {row.method: row for row in c.rows} for c in shown}
    methods = list(dict.fromkeys(row.method for comparison in shown for row in comparison.rows))
    heads, columns = ["method"], "l"
    for comparison in shown:
        ratio = comparison.measure.floor is not None
        heads += [comparison.measure.label, *(["ratio"] if ratio else [])]
        columns += "rr" if ratio else "r"
    lines = [" & ".join([latex(method), *_cells(shown, rows, method)]) + r" \\" for method in methods]
    head = " & ".join(latex(text) for text in heads) + r" \\"
    body = [r"\toprule", head, r"\midrule", *lines, r"\bottomrule"]
    caption = latex(f"{caption}: interquartile mean with 95% interval")
    return "\n".join(
        [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{{columns}}}"]
        + body
        + [r"\end{tabular}", r"\end{table}"]
    )


def _cells(shown: Sequence[Comparison], rows: dict[str, dict[str, Row]], method: str) -> list[str]:
    cells = []
    for comparison in shown:
        row = rows[comparison.measure.name].get(method)
        cells.append("--" if row is None else _latex_interval(row.aggregates["iqm"]))
        if comparison.measure.floor is not None:
            cells.append("--" if row is None or row.ratio is None else _latex_interval(row.ratio.ratio, 2))
    return cells


def _latex_interval(found: Interval, digits: int = 3) -> str:
    return f"{found.estimate:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def latex(text: str) -> str:
    """Text whose special characters are printed and not obeyed."""
    return "".join(_LATEX.get(char, char) for char in text)


def _comparisons(found: Comparisons) -> dict[str, Any]:
    return {name: _comparison(comparison) for name, comparison in found.items()}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "places": [_place(place) for place in comparison.places],
        "of_places": comparison.of_places,
        "fewest_runs": comparison.fewest,
        "left_out": comparison.left_out,
        "methods": {row.method: _row(row) for row in comparison.rows},
    }


def _row(row: Row) -> dict[str, Any]:
    numbers = dataclasses.asdict(row)
    del numbers["method"]
    return numbers


def _place(place: Any) -> dict[str, Any]:
    return {"task": place.task, "distractor": place.distractor, "variables": dict(place.variables)}
