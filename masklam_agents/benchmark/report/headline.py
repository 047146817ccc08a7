"""The headline as one picture, for a README or a talk: black on white, the same numbers as the page's first figure."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from masklam_agents.benchmark.measures import Comparison
from masklam_agents.benchmark.report.figures import ROW, colours_of, draw_bars
from masklam_agents.benchmark.report.summary import Summary
from masklam_envs.whole import whole_file

SHOWN = ("nmse", "normalized_return")


def write_headline(path: Path, summary: Summary) -> None:
    """Probe error and return of all methods, pooled over all places, as a PNG; none where nothing was measured.

    :param path: of the file, which is written whole or not at all
    :raises OSError: when it cannot be written
    """
    found = [summary.pooled[name] for name in SHOWN if name in summary.pooled and summary.pooled[name].rows]
    if not found:  # an older picture would be of other numbers
        path.unlink(missing_ok=True)
        return
    most = max(len(comparison.rows) for comparison in found)
    figure = Figure(figsize=(4.4 * len(found), 1.1 + ROW * most), layout="constrained", facecolor="white")
    colours = colours_of(summary.methods)
    for axes, comparison in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        draw_bars(axes, comparison, colours)
        axes.set_title(_title(comparison), fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{summary.suite} {summary.version}: interquartile means, 95 % intervals", fontsize=10)
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=150, metadata={"Software": None})


def _title(comparison: Comparison) -> str:
    runs = "run" if comparison.fewest == 1 else "runs"
    return f"{len(comparison.places)} of {comparison.of_places} places, at least {comparison.fewest} {runs} in each"
