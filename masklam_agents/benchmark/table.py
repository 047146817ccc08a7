"""What a benchmark is doing, live: methods by how many of their runs are done, what runs now, when it will end."""

from __future__ import annotations

import collections
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from masklam_agents.benchmark.plan import Run

SHOWN = 8  # running runs, and failures, at most


class Table:
    """A live table in a terminal; a line for every event elsewhere.

    :param runs: all of them
    :param console: where to
    """

    def __init__(self, runs: list[Run], console: Console | None = None) -> None:
        self.console = console or Console()
        self.total = collections.Counter(run.config["method"] for run in runs)
        self.counts: dict[str, collections.Counter[str]] = {name: collections.Counter() for name in self.total}
        self.running: dict[str, tuple[Run, float]] = {}
        self.failures: list[str] = []
        self.elsewhere: set[str] = set()
        self.began, self.finished = time.monotonic(), 0
        self.live = Live(console=self.console, auto_refresh=False, get_renderable=self.render)

    def __enter__(self) -> Table:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def note(self, what: str, run: Run, why: str = "") -> None:
        """Something happened to a run.

        :param what: ``"running"``, ``"ok"``, ``"failed"``, ``"skipped"``, ``"elsewhere"`` (another runner has it),
            ``"again"`` (its process ended, and it is given out anew)
        :param why: of a failure
        """
        if what == "running":
            self.running[run.hash] = run, time.monotonic()
        else:
            self.running.pop(run.hash, None)
        if what in ("ok", "failed", "skipped"):
            self.counts[run.config["method"]]["failed" if why else "done"] += 1
            self.finished += what != "skipped"
        if why and what != "skipped":
            self.failures.append(f"{what}: {run.label}: {why}")
        known = run.hash in self.elsewhere and what in ("running", "elsewhere")  # asked again every other second
        self.elsewhere |= {run.hash} if what == "elsewhere" else set()
        if not self.console.is_terminal and what != "skipped" and not known:
            told = f"{what:9} {run.hash} {run.label}{': ' + why if why else ''}{self._left()}"
            self.console.print(told, soft_wrap=True, markup=False, highlight=False)

    def refresh(self) -> None:
        """Draw it anew."""
        if self.console.is_terminal:
            self.live.refresh()

    def eta(self) -> float | None:
        """Seconds until everything is done, from the pace so far; None before the first run has ended."""
        left = sum(self.total.values()) - sum(count.total() for count in self.counts.values())
        return (time.monotonic() - self.began) / self.finished * left if self.finished else None

    def render(self) -> Group:
        """The table."""
        table = RichTable("method", "done", "failed", "running", "waiting")
        for method, total in self.total.items():
            count = self.counts[method]
            now = sum(run.config["method"] == method for run, _ in self.running.values())
            waiting = total - count.total() - now
            table.add_row(
                method, f"{count['done']} / {total}", str(count["failed"] or ""), str(now or ""), str(waiting)
            )
        now = time.monotonic()
        lines = [f"{run.label}  {_minutes(now - since)}" for run, since in list(self.running.values())[:SHOWN]]
        return Group(
            table,
            *(Text(line) for line in (*lines, *self.failures[-SHOWN:], f"{_minutes(now - self.began)}{self._left()}")),
        )

    def _left(self) -> str:
        eta = self.eta()
        return "" if eta is None else f"  ({_minutes(eta)} left)"


def _minutes(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60}:{rest % 60:02}"
