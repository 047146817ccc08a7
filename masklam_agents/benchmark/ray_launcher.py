"""Runs on a Ray cluster: one a CPU, on whatever machine has one free.

The benchmark's folder must be the same path on every machine (a shared file system): recordings, agents in training and
results lie there, so a run whose worker or machine is lost goes on elsewhere from what was saved.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from masklam_agents.benchmark.execute import Options, Outcome, execute
from masklam_agents.benchmark.plan import Run
from masklam_envs.optional import require


class RayLauncher:
    """A Ray cluster.

    :param options: of every run
    :param address: of the cluster, e.g. ``"auto"`` or ``"10.0.0.1:6379"``; None: one of this machine's cores
    :raises ImportError: when Ray is not installed
    """

    def __init__(self, options: Options, address: str | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.ray: Any = require("ray", "ray", "ray")
        if not self.ray.is_initialized():
            self.ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
            self._own = True
        else:
            self._own = False
        out, shared = (str(Path(folder).absolute()) for folder in (options.out, options.shared))
        Path(out).mkdir(parents=True, exist_ok=True)  # a worker that does not see it is on another file system
        self.options = dataclasses.replace(options, out=out, shared=shared)
        # Lost workers are the runner's to count: Ray's own retries would hide them.
        self._remote = self.ray.remote(num_cpus=1, max_retries=0)(_execute)
        self._running: dict[Any, Run] = {}

    def free(self) -> int:
        """CPUs of the cluster, as many as it has now, without a run."""
        return max(int(self.ray.cluster_resources().get("CPU", 0)) - len(self._running), 0)

    def submit(self, run: Run) -> None:
        """Begin a run where there is a CPU."""
        self._running[self._remote.remote(run.config, vars(self.options))] = run

    def wait(self, timeout: float) -> list[tuple[Run, Outcome]]:
        """Those that ended."""
        if not self._running:
            return []
        done, _ = self.ray.wait(list(self._running), num_returns=1, timeout=timeout)
        return [(self._running.pop(ref), self._outcome(ref)) for ref in done]

    def _outcome(self, ref: Any) -> Outcome:
        try:
            return Outcome(*self.ray.get(ref))
        except self.ray.exceptions.RayTaskError as error:  # an error of ours outside of the run, e.g. no such folder
            return Outcome("failed", str(error))
        except self.ray.exceptions.RayError as error:
            return Outcome("died", f"{type(error).__name__}: {str(error).splitlines()[0]}")

    def close(self) -> None:
        """Stop what runs; it was saved at most half a minute ago."""
        for ref in self._running:
            self.ray.cancel(ref, force=True)
        if self._own:
            self.ray.shutdown()


def _execute(config: dict[str, Any], options: dict[str, Any]) -> tuple[str, str, str]:
    """What a worker does."""
    if not Path(options["out"]).is_dir():
        raise FileNotFoundError(f"{options['out']} is not on this machine: give --out on a shared file system")
    outcome = execute(Run(config), Options(**options))
    return outcome.status, outcome.error, outcome.warning
