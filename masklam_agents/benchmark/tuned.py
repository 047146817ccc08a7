"""Hyperparameters that were chosen for a suite: the file of what was chosen, from what grid, with what scores."""

from __future__ import annotations

import dataclasses
import os
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from masklam_agents.benchmark.suite import Suite, SuiteError, read_yaml, validated
from masklam_envs.whole import whole_file

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_STRICT)
class Trial:
    """One setting of one method.

    :param method: its name
    :param setting: values of the grid
    :param score: what decided; lower is better
    """

    method: str
    setting: dict[str, float]
    score: float | None


@dataclass(frozen=True, config=_STRICT)
class Tuned:
    """What was chosen.

    :param suite: name of the suite
    :param version: of the suite
    :param grid: the same for every method
    :param trials: runs that the choice took, by method: fewer for one that lacks a hyperparameter of the grid
    :param chosen_by: what decided, in words
    :param chosen: by method, values of the grid
    :param scores: of all trials
    """

    suite: str
    version: str
    grid: dict[str, tuple[float, ...]]
    trials: dict[str, int]
    chosen_by: str
    chosen: dict[str, dict[str, float]]
    scores: tuple[Trial, ...] = ()

    def of(self, method: str) -> dict[str, Any]:
        """What was chosen for a method; empty when nothing was."""
        found = self.chosen.get(method, {})
        return {name: round(value) if name == "latent_dim" else value for name, value in found.items()}


def load_tuned(
    suite: Suite,
    beside: str | os.PathLike[str] | None = None,
    file: str | os.PathLike[str] | None = None,
    command: str = "",
) -> Tuned | None:
    """The file that a suite names, or another one; None where the suite names none or it is not there yet.

    :param beside: the suite's own file; None: a suite of the package
    :param file: instead of the one that the suite names; it must be there
    :param command: of the whole suite, for what is to be done; empty: that of a suite of the package
    :raises SuiteError: when it is damaged, of another suite, or ``file`` is not there
    """
    command = command or f"masklam benchmark {suite.name}"
    if file is not None:
        if not Path(file).is_file():
            raise SuiteError(f"{file}: no such file; `{command} --tune` writes one")
        return _read(suite, Path(file), os.fspath(file), command)
    if suite.tuned is None:
        return None
    folder = resources.files(__package__) / "suites" if beside is None else Path(beside).parent
    path: Any = folder / suite.tuned
    return _read(suite, path, suite.tuned, command) if path.is_file() else None


def _read(suite: Suite, path: Any, name: str, command: str) -> Tuned:
    tuned: Tuned = validated(read_yaml(path.read_text("utf-8"), name), Tuned, _ADAPTER, name)
    if (tuned.suite, tuned.version) != (suite.name, suite.version):
        raise SuiteError(
            f"{name} was made for suite {tuned.suite} {tuned.version}, this is {suite.name} {suite.version}: "
            f"move it away and run `{command} --tune` again"
        )
    if unknown := sorted(tuned.chosen.keys() - tuned.trials.keys()):
        raise SuiteError(f"{name}: trials lacks {', '.join(unknown)}, for which something was chosen")
    return tuned


def merged(before: Tuned | None, found: Tuned) -> Tuned:
    """What was chosen now, and before for other methods.

    :raises SuiteError: when the two were not chosen alike
    """
    if before is None:
        return found
    if (before.grid, before.chosen_by) != (found.grid, found.chosen_by):
        raise SuiteError(
            f"what was tuned before ({', '.join(before.chosen)}) was chosen from another grid or by other runs: tune "
            "all methods anew, without --tuned and without a file beside the suite; trials that are done are kept"
        )
    return dataclasses.replace(
        found,
        trials={**before.trials, **found.trials},
        chosen={**before.chosen, **found.chosen},
        scores=(*(trial for trial in before.scores if trial.method not in found.chosen), *found.scores),
    )


def write_tuned(path: Path, tuned: Tuned) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = _ADAPTER.dump_python(tuned, mode="json")
    with whole_file(path) as part:
        part.write_text(yaml.safe_dump(plain, sort_keys=False, width=120), "utf-8")


_ADAPTER: TypeAdapter[Tuned] = TypeAdapter(Tuned)
