"""The page: a template filled with a summary and its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from masklam_agents.benchmark.measures import MEASURES, Place, Row
from masklam_agents.benchmark.report import figures
from masklam_agents.benchmark.report.gallery import Exhibit
from masklam_agents.benchmark.report.summary import Comparisons, Summary
from masklam_agents.benchmark.report.tables import HEADLINE
from masklam_agents.benchmark.statistics import Interval

DRAWN = ("nmse", "nmse_unseen", "normalized_return")


class Largest(NamedTuple):
    """The place where a method is furthest above the baseline."""

    measure: str
    method: str
    place: str
    ratio: Interval


def page(summary: Summary, exhibits: Sequence[Exhibit], notes: Sequence[str], options: dict[str, Any]) -> str:
    """One HTML document that loads nothing.

    :param exhibits: of the gallery
    :param notes: on pictures that are not in it
    :param options: what the statistics were computed with
    """
    environment = environment_of_pages()
    return environment.get_template("page.html.j2").render(
        summary=summary,
        measures=MEASURES,
        headline=[name for name in HEADLINE if name in summary.pooled],
        figures=[(title, panels) for title, panels in _figures(summary) if panels],
        largest=list(_largest(summary)),
        exhibits=exhibits,
        notes=notes,
        options=options,
    )


def environment_of_pages() -> Environment:
    """Templates of the benchmark; everything put into a page is escaped."""
    environment = Environment(
        loader=PackageLoader("masklam_agents.benchmark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = resources.files("masklam_agents.benchmark.report") / "templates"
    environment.globals["style"] = Markup((files / "style.css").read_text("utf-8"))
    environment.globals["script"] = Markup((files / "script.js").read_text("utf-8"))
    environment.globals["by_method"] = by_method
    environment.filters["counted"] = counted
    return environment


def counted(number: int, thing: str) -> str:
    """A number of things: ``"1 run"``, ``"24 runs"``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def by_method(comparisons: Comparisons, names: Sequence[str]) -> dict[str, dict[str, Row | None]]:
    """Rows by method, then by measure, in the order of the first measure; None where a method lacks one."""
    found = {name: {row.method: row for row in comparisons[name].rows} for name in names if name in comparisons}
    methods = dict.fromkeys(method for rows in found.values() for method in rows)
    return {method: {name: found.get(name, {}).get(method) for name in names} for method in methods}


def _figures(summary: Summary) -> Iterator[tuple[str, list[figures.Panel]]]:
    methods = summary.methods
    pooled = [
        figures.bars(summary.pooled[name], methods, f"{MEASURES[name].label}, all places")
        for name in (*DRAWN, "distractor_r2")
        if name in summary.pooled and summary.pooled[name].rows
    ]
    yield "All places", pooled
    for name in DRAWN:
        groups = {d: found[name] for d, found in summary.by_distractor.items() if name in found and found[name].rows}
        title, extent = MEASURES[name].label, figures.extent_of(groups.values()) if groups else None
        panels = [figures.bars(found, methods, f"{title}, {d}", extent) for d, found in groups.items()]
        yield f"{title} by distractor", panels
    for variable in dict.fromkeys(series.variable for series in summary.series):
        drawn = [
            figures.curves(series, MEASURES[series.measure], methods, f"{MEASURES[series.measure].label} by {variable}")
            for series in summary.series
            if series.variable == variable
        ]
        yield f"By {variable}", drawn
    yield (
        "Performance profiles",
        [
            figures.profiles(found, MEASURES[name], methods, f"Profile of {MEASURES[name].label}")
            for name, found in summary.profiles.items()
            if found
        ],
    )


def _largest(summary: Summary) -> Iterator[Largest]:
    for name in ("nmse", "nmse_unseen", "normalized_return", "return_over_expert"):
        best: dict[str, tuple[Place, Interval]] = {}
        for place, found in summary.by_place.items():
            for row in found[name].rows if name in found else ():
                if row.ratio and (row.method not in best or row.ratio.of_means.estimate > best[row.method][1].estimate):
                    best[row.method] = place, row.ratio.of_means
        for method, (place, ratio) in sorted(best.items(), key=lambda item: -item[1][1].estimate):
            yield Largest(name, method, place.label, ratio)
