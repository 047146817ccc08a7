"""Killed, interrupted, orphaned: the same command goes on, with the scores of a run that nobody disturbed."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from masklam_agents.benchmark.launchers import LocalLauncher
from masklam_agents.benchmark.plan import make_runs
from masklam_agents.benchmark.result_files import read_results
from masklam_agents.benchmark.runner import run_all
from masklam_agents.common.saving import read_header
from tests.benchmark.tiny import do, options, tiny

LONG = "{pretrain: 40, clone: 30_000, decode: 40}"  # some seconds of stage 2
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")]


def long_suite():
    return tiny(samples=LONG, methods="[lapo]")


def wait_for_stage_2(out: Path, alive) -> Path:
    """The file of an agent in the middle of stage 2."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        assert alive(), "it ended before it could be interrupted"
        for path in out.glob("shared/agents/*/agent.safetensors"):
            if 0 < read_header(path)["progress"]["clone"] < 900:
                return path
        time.sleep(0.05)
    raise AssertionError("no agent was saved in stage 2")


@pytest.fixture
def undisturbed(tmp_path):
    """Scores of the same run without interruption."""
    do(long_suite(), tmp_path / "undisturbed")
    return read_results([tmp_path / "undisturbed"])[0].metrics


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_runner_that_is_killed_or_interrupted_goes_on(tmp_path, repo, undisturbed, how):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tests.benchmark.tiny", str(out), "30_000"]
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    # A shell starts its background jobs, and so perhaps these tests, with ctrl-C ignored.
    hears = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL, preexec_fn=hears)
    saved = wait_for_stage_2(out, lambda: process.poll() is None)
    process.send_signal(how)
    process.wait(60)
    assert not list(out.glob("runs/*/result.json"))
    before = read_header(saved)["progress"]["clone"]
    spent = json.loads(saved.with_name("spent.json").read_text())
    assert before > 0
    assert do(long_suite(), out).done == 1
    [result] = read_results([out])
    assert result.metrics == undisturbed
    assert result.cpu_seconds > spent["cpu"] > 0


def test_a_worker_that_is_killed_is_replaced_and_its_run_goes_on(tmp_path, undisturbed):
    runs, given = make_runs(long_suite()), options(tmp_path / "out", save_every=0.1)
    launcher = LocalLauncher(given, workers=1)
    [worker] = launcher.workers
    killed = []

    def wait(timeout, real=launcher.wait):
        if not killed:
            wait_for_stage_2(tmp_path / "out", worker.process.is_alive)
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)
        return real(timeout)

    launcher.wait = wait
    assert run_all(runs, given, launcher).done == 1
    assert worker.process is None or worker.process.pid != killed[0]
    assert read_results([tmp_path / "out"])[0].metrics == undisturbed


def test_closing_a_launcher_saves_what_its_workers_train(tmp_path):
    endless = tiny(samples="{pretrain: 40, clone: 800_000, decode: 40}", methods="[lapo]")
    [run], given = make_runs(endless), options(tmp_path, save_every=0.1)
    launcher = LocalLauncher(given, workers=1)
    launcher.submit(run)
    [worker] = launcher.workers
    saved = wait_for_stage_2(tmp_path, worker.process.is_alive)
    launcher.close()
    assert worker.process.exitcode == 0
    assert read_header(saved)["progress"]["clone"] > 0
    assert not saved.with_name("done.json").exists()


def test_workers_are_pinned_to_cores_and_take_one_thread(tmp_path):
    cores = sorted(os.sched_getaffinity(0))
    launcher = LocalLauncher(options(tmp_path))
    assert [worker.cores for worker in launcher.workers] == [{core} for core in cores]
    assert [worker.cores for worker in LocalLauncher(options(tmp_path), 1).workers] == [set(cores)]
    assert len(LocalLauncher(options(tmp_path), len(cores) + 1).workers[-1].cores) == 1
    run = next(run for run in make_runs(tiny(methods="[bc-labels, lapo]")) if run.config["method"] == "bc-labels")
    launcher.submit(run)
    pid = launcher.workers[0].process.pid
    until = time.monotonic() + 60
    while os.sched_getaffinity(pid) != {cores[0]} and time.monotonic() < until:
        time.sleep(0.05)
    assert os.sched_getaffinity(pid) == {cores[0]}
    assert b"OMP_NUM_THREADS=1" in Path(f"/proc/{pid}/environ").read_bytes()
    while not (ended := launcher.wait(1.0)):
        pass
    launcher.close()
    assert [(each.hash, outcome.status) for each, outcome in ended] == [(run.hash, "ok")]
