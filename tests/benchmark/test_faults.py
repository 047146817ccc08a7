"""What goes wrong around a benchmark is told, and nothing is lost: full disks, other runners, foreign folders."""

import errno
import functools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from masklam_agents.benchmark.execute import execute, run_folder
from masklam_agents.benchmark.files import BusyError, disk_is_full, locked
from masklam_agents.benchmark.plan import make_runs
from masklam_agents.benchmark.result_files import read_results
from masklam_agents.benchmark.runner import MANIFEST, FolderError, claim_folder
from masklam_agents.benchmark.shared import AGENT, Shared
from masklam_agents.common.saving import read_header
from tests.benchmark.tiny import TINY, do, options, tiny
from tests.test_cli import masklam


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 MB and a function that leaves so many bytes of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root alone")

    def leave(left: int) -> None:
        filler = folder / "filler"
        filler.unlink(missing_ok=True)
        there = os.statvfs(folder)
        filler.write_bytes(bytes(max(there.f_bavail * there.f_frsize - left, 0)))

    yield folder, leave
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_every_way_to_say_that_the_disk_is_full_is_known(small_disk):
    folder, leave = small_disk
    leave(0)
    array = np.ones(10**6)
    with pytest.raises(OSError) as plain:
        (folder / "a").write_bytes(array.tobytes())
    with pytest.raises(OSError) as numpy, open(folder / "b", "wb") as file:
        array.tofile(file)
    with pytest.raises(Exception) as safetensors:
        save_file({"x": array}, folder / "c")
    assert all(disk_is_full(raised.value) for raised in (plain, numpy, safetensors))


def test_what_only_follows_from_a_full_disk_is_known_and_other_errors_are_not_taken_for_it():
    with pytest.raises(ValueError) as told:
        try:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        except OSError as error:
            raise ValueError("the file is damaged") from error
    assert disk_is_full(told.value)
    assert not disk_is_full(OSError(errno.EACCES, "no")) and not disk_is_full(RuntimeError("diverged"))


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 60_000, 400_000])
def test_a_disk_that_is_really_full_stops_everything_and_the_same_command_goes_on(small_disk, tmp_path, left):
    """Full from the start, while frames are drawn, while an agent is saved."""
    folder, leave = small_disk
    suite = tiny(methods="[lapo, masklam-fixed]")
    do(suite, tmp_path / "elsewhere")
    leave(left)
    summary = do(suite, folder / "out", save_every=0.0)
    assert "the disk is full" in summary.message and not summary.failed and summary.left
    assert not list(folder.glob("out/shared/agents/*/*.part"))  # a recording begun is kept: it goes on
    leave(64 * 2**20)
    assert do(suite, folder / "out", save_every=0.0).done == 2
    there, here = (read_results([path]) for path in (folder / "out", tmp_path / "elsewhere"))
    assert {r.method: r.metrics for r in there} == {r.method: r.metrics for r in here}


def test_what_another_runner_uses_is_not_removed(tmp_path):
    [run] = make_runs(tiny(methods="[lapo]"))
    shared, other = Shared(tmp_path), Shared(tmp_path)
    for key in run.shared_keys:
        (tmp_path / "frames" / key).mkdir(parents=True)
        (tmp_path / "agents" / key).mkdir(parents=True)
    with other.in_use(run), shared.in_use(run):
        for key in run.shared_keys:
            shared.drop(key)
        assert len(list(tmp_path.glob("frames/*"))) == len(run.shared_keys)
    for key in run.shared_keys:
        shared.drop(key)
    assert not list(tmp_path.glob("frames/*")) and not list(tmp_path.glob("agents/*"))


def test_a_lock_may_be_shared(tmp_path):
    path, busy = tmp_path / "lock", pytest.raises(BusyError)
    with locked(path, shared=True), locked(path, shared=True), busy, locked(path, wait=False):
        pass
    with locked(path, wait=False), busy, locked(path, wait=False, shared=True):
        pass


def command(suite, out, repo, *more):
    """The benchmark as a user starts it, in a group of processes of its own as a terminal does."""
    words = [sys.executable, "-m", "masklam_agents.cli", "benchmark", str(suite), "--out", str(out), *more]
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # Where the tests run in the background, ctrl-C is ignored, and the children inherit that.
    hears = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(words, env=environment, start_new_session=True, preexec_fn=hears, **pipe)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_runners_on_one_folder_share_the_work(tmp_path, repo):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(TINY.replace("[lapo, masklam-fixed]", "[lapo, masklam-fixed, laom, bc-labels]"))
    both = [command(suite, tmp_path / "out", repo, "--workers", "1", *more) for more in ((), ("--method", "lapo"))]
    ended = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert "4 done, 0 failed, 0 left" in ended[0] and "1 done, 0 failed, 0 left" in ended[1]
    do(tiny(methods="[lapo, masklam-fixed, laom, bc-labels]"), tmp_path / "alone")
    there, here = (read_results([tmp_path / name]) for name in ("out", "alone"))
    assert {r.method: r.metrics for r in there} == {r.method: r.metrics for r in here}
    assert not list((tmp_path / "out" / "shared" / "agents").glob("*/"))  # whoever was last put them away


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_in_a_terminal_saves_and_the_same_command_goes_on(tmp_path, repo):
    """The whole group of processes hears it: the runner, and workers in the middle of training."""
    suite, out = tmp_path / "tiny.yaml", tmp_path / "out"
    long = TINY.replace("[lapo, masklam-fixed]", "[lapo]").replace("clone: 40, decode", "clone: 30_000, decode")
    suite.write_text(long)
    process = command(suite, out, repo, "--workers", "1")
    until = time.monotonic() + 300
    while not list(out.glob("shared/agents/*.lock")) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    time.sleep(2.0)  # into the training, which takes several seconds
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=120)[0]
    assert process.returncode == 1 and "Traceback" not in told, told
    assert "interrupted: what was trained is saved, the same command goes on" in told and "0 failed, 1 left" in told
    saved = list(out.glob("shared/agents/*/agent.safetensors"))
    progress = sum(sum(read_header(path)["progress"].values()) for path in saved)
    again = command(suite, out, repo, "--workers", "1").communicate(timeout=600)[0]
    assert "1 done, 0 failed, 0 left" in again, again
    assert progress > 0
    changed = tiny(methods="[lapo]", samples="{pretrain: 40, clone: 30_000, decode: 40}")
    do(changed, tmp_path / "undisturbed")
    assert read_results([out])[0].metrics == read_results([tmp_path / "undisturbed"])[0].metrics


def test_a_folder_of_another_version_or_of_something_else_is_refused(tmp_path):
    claim_folder(tiny(), tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    for key, value in {"masklam": "0.0.1", "schema": 99, "suite": "other"}.items():
        (tmp_path / MANIFEST).write_text(json.dumps({**manifest, key: value}))
        with pytest.raises(FolderError, match=f"holds runs of {key} '?{value}'?, this is .* give another --out"):
            claim_folder(tiny(), tmp_path)
    for text, message in {"{": "benchmark.json is damaged", "[]": "is no benchmark's"}.items():
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(FolderError, match=message):
            claim_folder(tiny(), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quik"], "unknown suite 'quik'. Did you mean 'quick'?"),
        (["nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["quick", "--method", "masklam-fxed"], "unknown method 'masklam-fxed'. Did you mean 'masklam-fixed'?"),
        (["quick", "--task", "MaskCheeta-v0"], "Did you mean 'MaskCheetah-v0'?"),
        (["quick", "--distractor", "action-0.8"], "unknown distractor of this suite 'action-0.8'"),
        (["quick", "--run", "zzz"], "no run of this suite has a hash that begins with 'zzz'"),
        (
            ["quick", "--plugin", "no_such_module"],
            "or elsewhere; PYTHONPATH says where modules of yours are",
        ),
        (["quick", "--tuned", "nowhere.yaml"], "nowhere.yaml: no such file; `masklam benchmark quick --tune` writes"),
        (["quick", "--tune"], "has no section 'tuning' with a grid"),
        (["quick", "--launcher", "locl"], "unknown launcher 'locl'. Did you mean 'local'?"),
        (["quick", "--address", "auto"], "--address is of the ray launcher"),
        (["quick", "--seeds", "0"], "Invalid value for '--seeds'"),
    ],
)
def test_a_mistake_in_a_command_is_a_message_and_no_run(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    ended = masklam("benchmark", *arguments)
    assert ended.exit_code == 2
    told = " ".join(ended.output.replace("\u2502", " ").split())
    assert message in told and "Traceback" not in told
    assert not list(tmp_path.rglob("result.json")) and not list(tmp_path.rglob("*.safetensors"))


def test_a_damaged_agent_is_trained_anew(tmp_path):
    """As a machine that loses its power in the middle of a save may leave one."""
    [run] = make_runs(tiny(methods="[lapo]"))
    shared = Shared(tmp_path)
    agent, _ = shared.agent(run)
    for key in run.agent_keys:
        path = tmp_path / "agents" / key / AGENT
        path.write_bytes(path.read_bytes()[:1_000])
    again, _ = shared.agent(run)
    mine, its = agent.policy.state_dict(), again.policy.state_dict()
    assert again.progress == agent.progress and all(np.array_equal(mine[name], its[name]) for name in its)


def test_training_that_another_commit_began_is_told(tmp_path, monkeypatch):
    from masklam_agents.benchmark import effort

    [run] = make_runs(tiny(methods="[lapo]"))
    monkeypatch.setattr(effort, "commit", lambda: "0" * 40)
    Shared(tmp_path / "shared").agent(run)
    monkeypatch.undo()
    do([run], tmp_path)
    [result] = read_results([tmp_path])
    assert result.versions["training commit 1"] == "0" * 40 != result.commit
    assert result.cpu_seconds > 0


def test_a_run_whose_folder_cannot_be_used_fails_and_no_process_ends(tmp_path):
    [run] = make_runs(tiny(methods="[lapo]"))
    folder = run_folder(tmp_path, run)
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    outcome = execute(run, options(tmp_path))
    assert outcome.status == "failed" and str(folder) in outcome.error
    assert list(do([run], tmp_path).failed) == [f"{run.hash} {run.label}"]
