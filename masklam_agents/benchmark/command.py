"""What ``masklam benchmark`` does, from a suite's name to the end of the last run."""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
from pathlib import Path
from typing import Any

from rich.console import Console

from masklam_agents.benchmark.execute import Options, finished
from masklam_agents.benchmark.fairness import check_fair, check_results
from masklam_agents.benchmark.known import take_over
from masklam_agents.benchmark.launchers import make_launcher
from masklam_agents.benchmark.plan import Chosen, Run, make_runs
from masklam_agents.benchmark.run_checks import check_runs
from masklam_agents.benchmark.runner import Summary, claim_folder, describe, run_all
from masklam_agents.benchmark.stored import check_stored
from masklam_agents.benchmark.suite import Suite, load_suite
from masklam_agents.benchmark.table import Table
from masklam_agents.benchmark.tune import choose, make_trials
from masklam_agents.benchmark.tuned import load_tuned, merged, write_tuned
from masklam_agents.plugins import load_plugins


@dataclasses.dataclass(frozen=True)
class How:
    """How runs are done.

    :param launcher: ``"local"`` or ``"ray"``
    :param workers: of ``local``
    :param address: of a Ray cluster
    :param plugins: modules that register methods, tasks or distractors
    :param keep_agents: copy agents into the runs' folders
    :param retry: run again what failed
    :param tuned: file of hyperparameters that were chosen, instead of the suite's
    :param known: folders or files of results that are there already
    """

    launcher: str = "local"
    workers: int | None = None
    address: str | None = None
    plugins: tuple[str, ...] = ()
    keep_agents: bool = False
    retry: bool = False
    tuned: Path | None = None
    known: tuple[Path, ...] = ()


def benchmark(name: str, out: Path | None, chosen: Chosen, how: How, console: Console | None = None) -> Summary:
    """Do the runs of a suite.

    :param name: of the suite, or its file
    :param out: folder of the results; None: ``runs/benchmark/NAME``
    :param chosen: a part of the suite
    :param how: they are done
    :raises ValueError: for anything that cannot be, before anything runs
    """
    console = console or Console()
    load_plugins(list(how.plugins))
    suite = load_suite(name)
    tuned = load_tuned(suite, name if _is_file(name) else None, how.tuned, _command(name, how, tuned=False))
    runs = make_runs(suite, chosen, tuned, how.plugins)
    check_runs(runs)
    _print_rules(suite, runs, _command(name, how), console)
    if suite.tuned and tuned is None:
        console.print(f"  {suite.tuned} is not there: nothing is tuned ({_command(name, how)} --tune)", soft_wrap=True)
    folder = out or default_folder(suite)
    claim_folder(suite, folder)
    for line in check_stored(suite, runs, folder, tuned, how.plugins):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    summary = _do(_command(name, how), runs, folder, how, console, tuple(suite.distractors))
    results = [result for run in runs if (result := finished(folder, run)) is not None]
    for line in check_results(suite, results):
        console.print(f"[bold]unfair:[/] {line}")
    console.print(f"{folder}: results; `masklam report {folder}` draws them", soft_wrap=True)
    return summary


def tune(name: str, out: Path | None, chosen: Chosen, how: How, console: Console | None = None) -> Summary:
    """Choose the hyperparameters of a suite's methods; arguments as of :func:`benchmark`.

    The choice, and what was chosen before for other methods, is written to ``tuned.yaml`` in the trials' folder when
    all trials are done.
    """
    console = console or Console()
    load_plugins(list(how.plugins))
    suite = load_suite(name)
    before = load_tuned(suite, name if _is_file(name) else None, how.tuned, _command(name, how, tuned=False))
    trials = make_trials(suite, chosen.methods, how.plugins)
    check_runs(trials.all_runs())
    folder = out or default_folder(trials.suite)
    claim_folder(trials.suite, folder)
    summary = _do(f"{_command(name, how)} --tune", trials.all_runs(), folder, how, console)
    if not summary.left:
        found = merged(before, choose(suite, trials, folder))
        write_tuned(folder / "tuned.yaml", found)
        for method, setting in found.chosen.items():
            console.print(f"{method}: {', '.join(f'{key} {value:g}' for key, value in setting.items()) or 'nothing'}")
        console.print(
            f"{folder / 'tuned.yaml'}: give it by --tuned, or put it beside the suite as {suite.tuned}", soft_wrap=True
        )
    return summary


def default_folder(suite: Suite) -> Path:
    """Where a suite's results go."""
    return Path("runs") / "benchmark" / suite.name


def _do(
    command: str, runs: list[Run], folder: Path, how: How, console: Console, distractors: tuple[str, ...] = ()
) -> Summary:
    if how.known:
        taken, others = take_over(how.known, runs, folder)
        console.print(f"{taken} results taken over; {others} others are of no run of these", soft_wrap=True)
    shared = str(folder / "shared")
    more: dict[str, Any] = {"keep_agents": how.keep_agents, "retry": how.retry, "plugin_folder": os.getcwd()}
    options = Options(str(folder), shared, command=command, distractors=distractors, **more)
    launcher = make_launcher(how.launcher, options, workers=how.workers, address=how.address)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Table(runs, console) as table:
            summary = run_all(runs, options, launcher, table)
    finally:
        signal.signal(signal.SIGTERM, before)
    for line in describe(summary, folder):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return summary


def _command(name: str, how: How, tuned: bool = True) -> str:
    """The command of the whole suite, as far as what runs compute depends on it.

    :param tuned: with its file of hyperparameters, where there is one
    """
    words = ["masklam", "benchmark", name, *(word for plugin in how.plugins for word in ("--plugin", plugin))]
    return shlex.join([*words, *(["--tuned", str(how.tuned)] if tuned and how.tuned is not None else [])])


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _print_rules(suite: Suite, runs: list[Run], command: str, console: Console) -> None:
    console.print(f"{suite.name} {suite.version}: {suite.summary}; {len(runs)} runs", soft_wrap=True)
    for line in check_fair(suite, runs, command):
        console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)


def _is_file(name: str) -> bool:
    return os.fspath(name).endswith((".yaml", ".yml"))
