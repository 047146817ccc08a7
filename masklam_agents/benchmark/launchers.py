"""Who does the runs: this process, processes of this machine, or a Ray cluster.

A launcher takes runs and says how each ended.  A process that ends in the middle (killed, out of memory, machine gone)
is an outcome ``"died"``: the runner gives the run out again, and it goes on from what was saved.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections import deque
from multiprocessing import connection
from typing import Any, Protocol

from masklam_agents.benchmark.execute import Options, Outcome, execute
from masklam_agents.benchmark.plan import Run
from masklam_agents.benchmark.provenance import commit
from masklam_agents.benchmark.stop import Stop
from masklam_envs.errors import unknown_name
from masklam_envs.variables import ONE_THREAD, environment

LAUNCHERS = ("local", "ray")
# A worker that was asked to stop has so many seconds to save what it trains.
PATIENCE = 30.0


class Launcher(Protocol):
    """Does runs."""

    def free(self) -> int:
        """How many more runs it takes now."""

    def submit(self, run: Run) -> None:
        """Begin a run."""

    def wait(self, timeout: float) -> list[tuple[Run, Outcome]]:
        """The runs that ended, after at most so many seconds."""

    def close(self) -> None:
        """Ask what still runs to save and stop."""


def make_launcher(name: str, options: Options, *, workers: int | None = None, address: str | None = None) -> Launcher:
    """A launcher by name.

    :param name: ``"local"`` or ``"ray"``
    :param options: of every run
    :param workers: processes of ``local``; None: one a core, 0: none, runs are done in this process
    :param address: of the Ray cluster; None: one of this machine
    :raises ValueError: for an unknown name, or an argument of another launcher
    :raises ImportError: when Ray is not installed
    """
    if name not in LAUNCHERS:
        raise ValueError(unknown_name("launcher", name, LAUNCHERS))
    if name == "ray":
        from masklam_agents.benchmark.ray_launcher import RayLauncher

        if workers is not None:
            raise ValueError("--workers is of the local launcher: a Ray cluster has as many as its CPUs")
        return RayLauncher(options, address)
    if address is not None:
        raise ValueError("--address is of the ray launcher: give --launcher ray too")
    return HereLauncher(options) if workers == 0 else LocalLauncher(options, workers)


class HereLauncher:
    """Runs one after the other in this process: for tests and debuggers.

    :param options: of every run
    """

    def __init__(self, options: Options) -> None:
        self.options, self._waiting = options, deque[Run]()

    def free(self) -> int:
        """One at a time."""
        return 0 if self._waiting else 1

    def submit(self, run: Run) -> None:
        """Remember it."""
        self._waiting.append(run)

    def wait(self, timeout: float) -> list[tuple[Run, Outcome]]:
        """Do it."""
        return [(run, execute(run, self.options)) for run in [self._waiting.popleft()]] if self._waiting else []

    def close(self) -> None:
        """Nothing runs between two calls."""


class LocalLauncher:
    """Processes of this machine, each pinned to a core of its own, with one thread for arithmetic.

    Fewer of them than cores have several each, for the threads that draw and gather frames: what a GPU waits for.

    :param options: of every run
    :param workers: how many; None: one a core that this process may use
    """

    def __init__(self, options: Options, workers: int | None = None) -> None:
        cores = (
            sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
        )
        count = len(cores) if workers is None else workers
        if count < 1:
            raise ValueError(f"workers must be at least 0, got {workers}")
        self.options = options
        self.workers = [
            _Worker(set(cores[place::count]) or {cores[place % len(cores)]}, options) for place in range(count)
        ]

    def free(self) -> int:
        """Processes without a run."""
        return sum(worker.run is None for worker in self.workers)

    def submit(self, run: Run) -> None:
        """Give it to a process without one."""
        next(worker for worker in self.workers if worker.run is None).submit(run)

    def wait(self, timeout: float) -> list[tuple[Run, Outcome]]:
        """Those that ended."""
        busy = [worker for worker in self.workers if worker.run is not None]
        if not busy:
            return []
        connection.wait([worker.pipe for worker in busy], timeout)
        return [ended for worker in busy for ended in worker.ended()]

    def close(self) -> None:
        """Let every process save, then end."""
        for worker in self.workers:
            worker.ask_to_stop()
        until = time.monotonic() + PATIENCE
        for worker in self.workers:
            worker.end(max(until - time.monotonic(), 0.1))


class _Worker:
    """One process, started when it is first needed and again after its death."""

    def __init__(self, cores: set[int], options: Options) -> None:
        self.cores, self.options = cores, options
        self.run: Run | None = None
        self.process: Any = None
        self.pipe: Any = None

    def submit(self, run: Run) -> None:
        if self.process is None or not self.process.is_alive():
            self._start()
        self.run = run
        with contextlib.suppress(OSError):  # it died just now, which `ended` tells
            self.pipe.send(run.config)

    def ended(self) -> list[tuple[Run, Outcome]]:
        """The run and how it ended, if it did."""
        assert self.run is not None
        if not self.pipe.poll():
            return []
        try:
            outcome = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            outcome, self.process = Outcome("died", f"its process {how}"), None
        run, self.run = self.run, None
        return [(run, outcome)]

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.is_alive():
            self.process.terminate()

    def end(self, patience: float) -> None:
        if self.process is None:
            return
        self.pipe.close()
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, self.cores, self.options), daemon=True)
        with environment(**ONE_THREAD):
            self.process.start()
        theirs.close()


def _work(pipe: Any, cores: set[int], options: Options) -> None:
    """What a process does: runs, until it is told to stop or its parent is gone."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    stop = Stop()
    stop.on_signals()
    commit()  # that of the code which this process loads
    threading.Thread(target=_follow_parent, args=(stop,), daemon=True).start()
    while not stop.asked:
        if not pipe.poll(0.5):
            continue
        try:
            run = Run(pipe.recv())
        except EOFError:
            return
        outcome = execute(run, options, stop)
        with contextlib.suppress(OSError):
            pipe.send(outcome)


def _follow_parent(stop: Stop) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        stop.set()
