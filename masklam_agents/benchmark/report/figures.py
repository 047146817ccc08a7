"""Figures as SVG that stands inside a page: text stays text, and black and white follow the page's colours.

Every panel is narrow enough for a telephone; the page puts as many beside each other as fit.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from masklam_agents.benchmark.measures import Comparison, Measure
from masklam_agents.benchmark.report.summary import Series
from masklam_agents.benchmark.statistics import Interval, Profile

# Each has a contrast of at least 3 to a white and to a nearly black page.
COLOURS = ("#7d848c", "#2f7fc1", "#d0621f", "#2c9158", "#cf4654", "#8f68c9", "#a06f45", "#c2549c", "#0f8f9b", "#7d8410")
MARKERS = "osD^vPX*<>"
DASHES = ("-", "--", "-.", ":")
WIDTH, ROW = 3.6, 0.3  # inches, of a panel and of a bar
_INK = "#010203"  # becomes the page's text colour


def colours_of(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method, the same in all figures; after ten they repeat, and markers and dashes tell apart."""
    return {method: COLOURS[place % len(COLOURS)] for place, method in enumerate(methods)}


class Panel(NamedTuple):
    """A figure of one panel.

    :param title: what stands above it
    :param svg: the element
    """

    title: str
    svg: str


def bars(
    comparison: Comparison, methods: Sequence[str], title: str, extent: tuple[float, float] | None = None
) -> Panel:
    """IQM of every method with its interval, best on top.

    :param methods: all of the report, for the colours
    :param extent: of the axis, see :func:`extent_of`; that of the panel
    """

    def draw(axes: Axes) -> None:
        draw_bars(axes, comparison, colours_of(methods), extent, _INK)

    return _panel(draw, title, height=0.7 + ROW * len(comparison.rows), description=_words(comparison))


def draw_bars(
    axes: Axes,
    comparison: Comparison,
    colours: Mapping[str, str],
    extent: tuple[float, float] | None = None,
    ink: str = "black",
) -> None:
    """IQM of every method with its interval, best on top, into axes.

    :param colours: by method
    :param extent: of the axis, see :func:`extent_of`; None: that of the comparison
    :param ink: colour of the intervals
    """
    rows = comparison.rows[::-1]
    for place, row in enumerate(rows):
        found = row.aggregates["iqm"]
        axes.barh(place, found.estimate, color=colours[row.method], height=0.7)
        axes.plot([found.low, found.high], [place, place], color=ink, linewidth=1.4)
    axes.set_yticks(range(len(rows)), [row.method for row in rows])
    axes.set_xlim(extent or extent_of([comparison]))
    axes.set_xlabel(_axis(comparison.measure))


def extent_of(comparisons: Iterable[Comparison]) -> tuple[float, float]:
    """An axis that holds the intervals of several panels, and zero."""
    found = [row.aggregates["iqm"] for comparison in comparisons for row in comparison.rows]
    low, high = min(0.0, *(each.low for each in found)), max(1e-3, *(each.high for each in found))
    return low * 1.05, high * 1.05


def curves(series: Series, measure: Measure, methods: Sequence[str], title: str) -> Panel:
    """A measure along a variable of the suite: lines for numbers, groups of points for names."""
    colours = colours_of(methods)
    values = series.values if series.numeric else range(len(series.values))

    def draw(axes: Axes) -> None:
        for method, line in series.lines.items():
            at = methods.index(method)
            shown = [(x, interval) for x, interval in zip(values, line, strict=True) if interval is not None]
            xs, middle = [x for x, _ in shown], [interval.estimate for _, interval in shown]
            low, high = [interval.low for _, interval in shown], [interval.high for _, interval in shown]
            style = DASHES[at % len(DASHES)] if series.numeric else ""
            look: dict[str, Any] = {"color": colours[method], "marker": MARKERS[at % len(MARKERS)], "linestyle": style}
            axes.plot(xs, middle, label=method, markersize=4, **look)
            if series.numeric:
                axes.fill_between(xs, low, high, color=colours[method], alpha=0.15, linewidth=0)
            else:
                axes.vlines(xs, low, high, color=colours[method], linewidth=1)
        if not series.numeric:
            axes.set_xticks(list(values), [str(value) for value in series.values], rotation=30, ha="right")
        elif min(series.values) > 0 and max(series.values) >= 8 * min(series.values):
            axes.set_xscale("log", base=2)
            axes.set_xticks(list(values), [f"{value:,}" for value in values], rotation=30, ha="right")
            axes.minorticks_off()
        axes.set(xlabel=series.variable, ylabel=_axis(measure))
        _legend(axes, len(series.lines))

    return _panel(draw, title, height=3.0 + 0.17 * len(series.lines), description=_words_of_series(series))


def profiles(found: Mapping[str, Profile], measure: Measure, methods: Sequence[str], title: str) -> Panel:
    """Share of runs above each threshold, with its pointwise interval."""
    colours = colours_of(methods)

    def draw(axes: Axes) -> None:
        for method, profile in found.items():
            dash = DASHES[methods.index(method) % len(DASHES)]
            axes.plot(profile.thresholds, profile.share, color=colours[method], linestyle=dash, label=method)
            band = (profile.thresholds, profile.low, profile.high)
            axes.fill_between(*band, color=colours[method], alpha=0.12, linewidth=0)
        axes.set(xlabel=f"{measure.label} above", ylabel="share of runs", ylim=(-0.02, 1.02))
        _legend(axes, len(found))

    half = {method: profile.share[len(profile.share) // 2] for method, profile in found.items()}
    middle = ", ".join(f"{method} {share:.0%}" for method, share in half.items())
    return _panel(draw, title, height=3.0 + 0.17 * len(found), description=f"Share of runs above 0.5: {middle}.")


def _legend(axes: Axes, entries: int) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2 if entries > 3 else 1, frameon=False)


def _axis(measure: Measure) -> str:
    return f"{measure.label} ({'higher' if measure.higher else 'lower'} is better)"


def _words(comparison: Comparison) -> str:
    return "; ".join(f"{row.method} {_interval(row.aggregates['iqm'])}" for row in comparison.rows)


def _words_of_series(series: Series) -> str:
    parts = []
    for method, line in series.lines.items():
        told = [f"{v} {i.estimate:.3g}" for v, i in zip(series.values, line, strict=True) if i is not None]
        parts.append(f"{method}: {', '.join(told)}")
    return f"By {series.variable}. " + "; ".join(parts)


def _interval(found: Interval) -> str:
    return f"{found.estimate:.3g} from {found.low:.3g} to {found.high:.3g}"


def _panel(draw: Callable[[Axes], None], title: str, height: float, description: str) -> Panel:
    """Draw one panel; its name and its numbers are there for those who cannot see it."""
    style: dict[Any, Any] = {
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": title,
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    }
    with rc_context(style):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        stream = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    return Panel(title, _embedded(stream.getvalue(), title, description))


def _embedded(svg: str, title: str, description: str) -> str:
    """The element alone, named for screen readers, with identifiers that no other figure of the page has."""
    prefix = re.sub(r"\W+", "-", title) + "-"
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{prefix}", svg).replace(_INK, "currentColor")
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    label = escape(f"{title}: {description}")
    opening = f'<svg viewBox="{box[1]}" width="{WIDTH * 96:.0f}" role="img" aria-label="{label}">'
    return (opening + svg[svg.index(">") + 1 :]).strip()
