"""Results of other machines and other days: runs that have one need not be done again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import masklam_envs
from masklam_agents.benchmark.execute import run_folder
from masklam_agents.benchmark.plan import Run, scores_key
from masklam_agents.benchmark.result_files import FILE, ResultError, find_results, read_result, write_result
from masklam_agents.benchmark.results import Result


def take_over(
    paths: Iterable[str | os.PathLike[str]], runs: Iterable[Run], out: str | os.PathLike[str]
) -> tuple[int, int]:
    """Put results into the folders of the runs that they are of; a run that has scores keeps its own.

    What a run depends on is its hash, so a result of the same hash is of the same run.  A result of a wanted run's twin
    (:mod:`masklam_agents.benchmark.twins`) is put there too: the run has its scores when its turn comes, and not before
    the others of its place have theirs.  Failures are left out.

    :param paths: folders or files of results
    :param runs: that are wanted
    :param out: folder of the benchmark
    :return: how many were put there, and how many results are of no run that is wanted
    :raises ResultError: naming the file, when one is damaged or of another version of masklam
    """
    wanted, taken, others = {run.scores_key for run in runs}, 0, 0
    for found in find_results(paths):
        result = found.result
        if result.status != "ok":
            continue
        if scores_key(result.config) not in wanted:
            others += 1
            continue
        _check_version(result, found.where)
        folder = run_folder(out, Run(result.config))
        if not _has_scores(folder):
            write_result(folder, result)
            taken += 1
    return taken, others


def _has_scores(folder: Path) -> bool:
    return (folder / FILE).exists() and read_result(folder).status == "ok"


def _check_version(result: Result, where: str) -> None:
    """A configuration's hash does not hold the version: another one may make other numbers of it."""
    if result.versions["masklam"] != masklam_envs.__version__:
        raise ResultError(
            f"{where}: of masklam {result.versions['masklam']}, this is {masklam_envs.__version__}: leave it out of "
            "--known and run it again, or go on with that version"
        )
