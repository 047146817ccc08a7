"""Results of other machines and other days: runs that have one need not be done again."""

from __future__ import annotations

import os
from collections.abc import Iterable

from masklam_agents.benchmark.execute import run_folder
from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.result_files import FILE, read_results, write_result


def take_over(
    paths: Iterable[str | os.PathLike[str]], runs: Iterable[Run], out: str | os.PathLike[str]
) -> tuple[int, int]:
    """Put results into the folders of the runs that they are of; a run that has one keeps its own.

    What a run depends on is its hash, so a result of the same hash is of the same run.  Failures are left out.

    :param paths: folders or files of results
    :param runs: that are wanted
    :param out: folder of the benchmark
    :return: how many were put there, and how many results are of no run that is wanted
    :raises ResultError: naming the file, when one is damaged
    """
    wanted = {run.hash: run for run in runs}
    results = [result for result in read_results(paths) if result.status == "ok"]
    mine = [result for result in results if result.config_hash in wanted]
    taken = 0
    for result in mine:
        folder = run_folder(out, wanted[result.config_hash])
        if not (folder / FILE).exists():
            write_result(folder, result)
            taken += 1
    return taken, len(results) - len(mine)
