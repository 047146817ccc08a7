"""From a summary to files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from masklam_agents.benchmark.files import write_text
from masklam_agents.benchmark.measures import BASELINE
from masklam_agents.benchmark.report.gallery import gather
from masklam_agents.benchmark.report.headline import write_headline
from masklam_agents.benchmark.report.page import page
from masklam_agents.benchmark.report.summary import Summary, summarize
from masklam_agents.benchmark.report.tables import results_jsonl, scores_csv, scores_json, tables_tex
from masklam_agents.benchmark.result_files import find_results
from masklam_agents.benchmark.statistics import LEVEL, REPETITIONS

GALLERY = 24


def write_report(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    suite: str | None = None,
    baseline: str = BASELINE,
    gallery: int = GALLERY,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> Summary:
    """Write ``index.html``, ``headline.png``, ``scores.csv``, ``scores.json``, ``results.jsonl`` and ``tables.tex``.

    :param paths: as of :func:`~masklam_agents.benchmark.result_files.find_results`
    :param out: folder; files of these names in it are replaced
    :param suite: name, or ``NAME@VERSION``, where the results are of several
    :param baseline: method that ratios refer to
    :param gallery: show the pictures of at most so many runs
    :param repetitions: of every bootstrap
    :param seed: of every bootstrap
    :return: the numbers
    :raises ResultError: for a file that is no result, or two results of one run
    :raises ValueError: when it is not clear which suite is meant
    """
    summary = summarize(find_results(paths), suite=suite, baseline=baseline, repetitions=repetitions, seed=seed)
    exhibits, notes = gather(summary.found, gallery)
    options: dict[str, Any] = {"level": LEVEL, "repetitions": repetitions, "seed": seed}
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "scores.csv", scores_csv(summary.results))
    write_text(folder / "scores.json", scores_json(summary, options))
    write_text(folder / "results.jsonl", results_jsonl(summary.results))
    write_text(folder / "tables.tex", tables_tex(summary))
    write_text(folder / "index.html", page(summary, exhibits, notes, options))
    write_headline(folder / "headline.png", summary)
    return summary
