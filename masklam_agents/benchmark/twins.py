"""Runs that differ in the distractor's name alone: one is done, the others have its scores.

A method that sees another scene than the suite's (``lapo-clean``, ``lapo-flat``) is trained and measured without the
distractor, so its runs under all of them are the same run.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.result_files import FILE, OUTDATED, ResultError, read_result
from masklam_agents.benchmark.results import Result

#: what a run's folder may hold beside its result that a twin shows, too
PICTURES = ("frames.png", "masks.png", "predictions.png", "rollout.webp")


def result_for(run: Run, result: Result) -> Result:
    """The result of a run, from that of itself or of a twin.

    The command repeats the run, everything else is as it was measured.
    """
    if result.config_hash == run.hash:
        return result
    command = result.command.replace(f"--run {result.config_hash}", f"--run {run.hash}")
    place = {"distractor": run.config["distractor"], "config": run.config, "config_hash": run.hash}
    return dataclasses.replace(result, command=command, **place)


def finished_twin(run: Run, folder: Path, distractors: Iterable[str], needed: Iterable[str] = ()) -> Path | None:
    """The folder of a twin that has scores.

    :param folder: of all runs
    :param distractors: names that a twin may have
    :param needed: files that it must have, too
    """
    for name in distractors:
        twin = folder / Run({**run.config, "distractor": name}).hash
        if twin.name != run.hash and _counts(twin) and all((twin / file).exists() for file in needed):
            return twin
    return None


def copy_beside(twin: Path, folder: Path, names: Iterable[str]) -> None:
    """Copy those files of a twin that are there."""
    for name in names:
        if (twin / name).exists():
            shutil.copyfile(twin / name, folder / name)


def _counts(folder: Path) -> bool:
    if not (folder / FILE).exists() or (folder / OUTDATED).exists():
        return False
    try:
        return read_result(folder).status == "ok"
    except ResultError:  # told when that run is wanted
        return False
