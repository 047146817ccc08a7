"""Do the runs of a suite: what is done is skipped, what was interrupted goes on, what fails is recorded.

Two runners may work on one folder: each run has a lock, and who does not get it goes on with another.
"""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import masklam_envs
from masklam_agents.benchmark import results
from masklam_agents.benchmark.execute import Options, Outcome, failure, finished, in_a_line, run_folder
from masklam_agents.benchmark.files import BusyError, disk_is_full, locked, read_json, write_json
from masklam_agents.benchmark.launchers import Launcher
from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.result_files import FILE, ResultError, write_result
from masklam_agents.benchmark.shared import Shared
from masklam_agents.benchmark.suite import Suite
from masklam_agents.benchmark.table import Table

# A run whose process ended in the middle is given out so many times before it counts as failed.
ATTEMPTS = 3
POLL = 0.5
MANIFEST = "benchmark.json"
FULL = "the disk is full ({}): make room, the same command goes on"


class FolderError(ValueError):
    """A folder holds something else."""


@dataclasses.dataclass
class Summary:
    """How it ended.

    :param done: runs with scores
    :param failed: runs without, by hash and label, and why
    :param before: how many of these failed in an earlier call and were not run again
    :param warnings: what runs with scores lack, by hash and label
    :param left: runs that are not finished
    :param message: why it stopped before all were done; empty when it did not
    """

    done: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    before: int = 0
    warnings: dict[str, str] = dataclasses.field(default_factory=dict)
    left: int = 0
    message: str = ""


def claim_folder(suite: Suite, out: Path) -> None:
    """Say what a folder is for, or see that it is for this.

    :raises FolderError: when it is of another suite, version of the suite, or version of masklam
    """
    mine = {
        "suite": suite.name,
        "suite_version": suite.version,
        "schema": results.SCHEMA,
        "masklam": masklam_envs.__version__,
    }
    path = out / MANIFEST
    out.mkdir(parents=True, exist_ok=True)
    there = _manifest(path)
    if there is None:
        write_json(path, mine)
    elif there != mine:
        other = ", ".join(f"{key} {there.get(key)!r}" for key in mine if there.get(key) != mine[key])
        here = ", ".join(f"{key} {mine[key]!r}" for key in mine if there.get(key) != mine[key])
        raise FolderError(f"{out} holds runs of {other}, this is {here}: give another --out, or remove that folder")


def _manifest(path: Path) -> dict[str, Any] | None:
    """What a folder says it is for; None when it says nothing."""
    try:
        there = read_json(path)
    except ValueError as error:
        raise FolderError(
            f"{path} is damaged ({error}): remove it if {path.parent} holds runs of this suite"
        ) from error
    if there is not None and not isinstance(there, dict):
        raise FolderError(f"{path} is no benchmark's: give another --out")
    return there


def run_all(runs: list[Run], options: Options, launcher: Launcher, table: Table | None = None) -> Summary:
    """Do runs.

    Ctrl-C, SIGTERM and a full disk stop it: what was trained is saved and the same call goes on.

    :param runs: in the order in which they are begun, as far as shared parts allow
    :param options: of every run; the launcher's too
    :param launcher: does them
    :param table: shows them
    """
    runner = _Runner(runs, options, launcher, table)
    try:
        runner.skip_finished()
        runner.loop()
    except KeyboardInterrupt:
        runner.summary.message = "interrupted: what was trained is saved, the same command goes on"
    except OSError as error:
        if not disk_is_full(error):
            raise
        runner.summary.message = FULL.format(error)
    finally:
        launcher.close()
        runner.account()
    return runner.summary


class _Runner:
    """The state of one call of :func:`run_all`."""

    def __init__(self, runs: list[Run], options: Options, launcher: Launcher, table: Table | None) -> None:
        self.runs, self.options, self.launcher, self.table = runs, options, launcher, table
        self.shared = Shared(Path(options.shared))
        self.pending = collections.deque(runs)
        self.running: dict[str, Run] = {}
        self.elsewhere: dict[str, float] = {}
        self.deaths: collections.Counter[str] = collections.Counter()
        self.users = collections.Counter(key for run in runs for key in run.shared_keys)
        self.summary = Summary()

    def skip_finished(self) -> None:
        """Leave out what has a result."""
        for run in list(self.pending):
            try:
                result = finished(self.options.out, run)
            except ResultError as error:
                raise FolderError(f"{error}; remove {run_folder(self.options.out, run)} to run it again") from error
            if result is not None and not (self.options.retry and result.status == "failed"):
                self.pending.remove(run)
                self.settle(run, Outcome(result.status, in_a_line(result.error)), skipped=True)

    def loop(self) -> None:
        """Give out and take back, until nothing is left or something stops it."""
        while (self.pending or self.running) and not self.summary.message:
            for run in self.next_runs():
                self.launcher.submit(run)
                self.running[run.hash] = run
                self.show("running", run)
            ended = self.launcher.wait(POLL)
            if not ended and not self.running:
                time.sleep(POLL)  # all that is left is another runner's
            for run, outcome in ended:
                del self.running[run.hash]
                self.take(run, outcome)
            if self.table is not None:
                self.table.refresh()

    def next_runs(self) -> Iterator[Run]:
        """As many as the launcher takes: rather one whose shared stages nobody is training at this moment."""
        for _ in range(self.launcher.free()):
            now = time.monotonic()
            ready = [run for run in self.pending if self.elsewhere.get(run.hash, 0) <= now]
            if not ready:
                return
            making = {key for run in self.running.values() for key in run.agent_keys if not self.shared.made(key)}
            run = next((run for run in ready if not making & run.agent_keys), ready[0])
            self.pending.remove(run)
            yield run

    def take(self, run: Run, outcome: Outcome) -> None:
        """What becomes of a run that ended."""
        if outcome.status == "busy":
            self.elsewhere[run.hash] = time.monotonic() + 4 * POLL
            self.pending.append(run)
            self.show("elsewhere", run)
        elif outcome.status == "full":
            self.summary.message = FULL.format(outcome.error)
        elif outcome.status == "died" and self.deaths[run.hash] + 1 < ATTEMPTS:
            self.deaths[run.hash] += 1
            self.pending.appendleft(run)
            self.show("again", run, outcome.error)
        elif outcome.status == "died":
            self.record_death(run, outcome)
        elif outcome.status == "stopped":
            self.pending.append(run)
        else:
            self.settle(run, outcome)

    def record_death(self, run: Run, outcome: Outcome) -> None:
        """A run that always ends its process has failed."""
        message = f"{outcome.error}, {ATTEMPTS} times; out of memory?"
        folder = run_folder(self.options.out, run)
        try:
            with locked(folder / "lock", wait=False):
                write_result(folder, failure(run, message, command=self.options.command))
        except BusyError:
            pass
        self.settle(run, Outcome("failed", message))

    def settle(self, run: Run, outcome: Outcome, skipped: bool = False) -> None:
        """Count a finished run, and let go of what was shared for the last one that needed it."""
        if outcome.status == "ok":
            self.summary.done += 1
            self.summary.warnings |= {f"{run.hash} {run.label}": outcome.warning} if outcome.warning else {}
        else:
            self.summary.failed[f"{run.hash} {run.label}"] = outcome.error
            self.summary.before += skipped
        self.show("skipped" if skipped else outcome.status, run, outcome.error)
        for key in run.shared_keys:
            self.users[key] -= 1
            if not self.users[key]:
                self.shared.drop(key)

    def show(self, what: str, run: Run, why: str = "") -> None:
        """Tell the table."""
        if self.table is not None:
            self.table.note(what, run, why)

    def account(self) -> None:
        """Count what is left."""
        self.summary.left = len(self.runs) - self.summary.done - len(self.summary.failed)


def describe(summary: Summary, out: Path) -> list[str]:
    """The end in words.

    :param out: folder of the benchmark
    """
    lines = [f"{summary.done} done, {len(summary.failed)} failed, {summary.left} left"]
    for labels, why in _by_reason(summary.failed):
        told = out / "runs" / labels[0].split()[0] / FILE
        lines.append(f"failed: {_first(labels)}: {why}")
        lines += [f"  its traceback is in {told}"] if told.exists() else []
    if summary.before:
        lines.append(f"{summary.before} of these failed before and were not run again: --retry tries them again")
    lines += [f"warning: {_first(labels)}: {why}" for labels, why in _by_reason(summary.warnings)]
    return [*lines, *([summary.message] if summary.message else [])]


def _by_reason(told: dict[str, str]) -> list[tuple[list[str], str]]:
    """The labels of all runs of which the same is told, and what that is."""
    reasons: dict[str, list[str]] = collections.defaultdict(list)
    for label, why in told.items():
        reasons[why].append(label)
    return [(labels, why) for why, labels in reasons.items()]


def _first(labels: list[str]) -> str:
    return labels[0] + (f" and {len(labels) - 1} more" if len(labels) > 1 else "")
