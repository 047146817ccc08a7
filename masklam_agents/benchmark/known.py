"""Results of other machines and other days: runs that have one need not be done again."""

from __future__ import annotations

import os
from collections.abc import Iterable

from masklam_agents.benchmark.execute import run_folder
from masklam_agents.benchmark.plan import Run, scores_key
from masklam_agents.benchmark.result_files import FILE, read_results, write_result
from masklam_agents.benchmark.twins import result_for


def take_over(
    paths: Iterable[str | os.PathLike[str]], runs: Iterable[Run], out: str | os.PathLike[str]
) -> tuple[int, int]:
    """Put results into the folders of the runs that they are of; a run that has one keeps its own.

    What a run depends on is its hash, so a result of the same hash is of the same run, and one of a twin
    (:mod:`masklam_agents.benchmark.twins`) has its scores.  Failures are left out.

    :param paths: folders or files of results
    :param runs: that are wanted
    :param out: folder of the benchmark
    :return: how many were put there, and how many results are of no run that is wanted
    :raises ResultError: naming the file, when one is damaged
    """
    runs, results = list(runs), [result for result in read_results(paths) if result.status == "ok"]
    keys = [scores_key(result.config) for result in results]
    found = dict(zip(keys, results, strict=True)) | {result.config_hash: result for result in results}
    wanted, taken = {run.scores_key for run in runs}, 0
    for run in runs:
        result, folder = found.get(run.hash) or found.get(run.scores_key), run_folder(out, run)
        if result is not None and not (folder / FILE).exists():
            write_result(folder, result_for(run, result))
            taken += 1
    return taken, sum(key not in wanted for key in keys)
