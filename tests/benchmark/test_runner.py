"""The runner: what is done is skipped, what is shared is made once, what fails is recorded, locks hold."""

import errno
import gc
import io
import os
import shlex
import threading

import numpy as np
import pytest
from imageio.v3 import imread
from rich.console import Console
from typer.testing import CliRunner

from masklam_agents import methods
from masklam_agents.benchmark import execute as execute_module
from masklam_agents.benchmark import runner
from masklam_agents.benchmark.execute import Options, Outcome, execute, finished, run_folder
from masklam_agents.benchmark.files import BusyError, locked
from masklam_agents.benchmark.launchers import HereLauncher, make_launcher
from masklam_agents.benchmark.plan import Chosen, Run, make_runs
from masklam_agents.benchmark.result_files import read_results
from masklam_agents.benchmark.runner import FolderError, claim_folder, describe, run_all
from masklam_agents.benchmark.shared import Shared
from masklam_agents.benchmark.suite import load_suite
from masklam_agents.benchmark.table import Table
from masklam_agents.benchmark.tuned import load_tuned
from masklam_agents.cli import app
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.saving import read_agent
from masklam_envs.data import cache
from masklam_envs.tasks import Task
from tests.benchmark.tiny import TINY, do, options, tiny
from tests.test_cli import masklam


@pytest.fixture
def broken():
    """A method that fails, known for one test."""
    methods.register_method("broken", "tests.benchmark.tiny:Broken", "fails")
    yield
    del methods.METHODS["broken"]


@pytest.fixture
def trained(monkeypatch):
    """The agents that are trained, as they are."""
    found = []
    learn = Shared._learn
    monkeypatch.setattr(
        Shared, "_learn", lambda self, agent, path, n: found.append(path) or learn(self, agent, path, n)
    )
    return found


def test_a_run_leaves_a_result_with_all_that_the_rules_ask_for(tmp_path):
    suite = tiny(methods="[masklam-fixed]", distractors="[still]")
    assert do(suite, tmp_path, pictures=True, keep_agents=True) == runner.Summary(done=1)
    [run] = make_runs(suite)
    result = finished(tmp_path, run)
    assert result.config == run.config and result.config_hash == run_folder(tmp_path, run).name
    assert result.evaluation.seeds == (1_000_000, 1_000_001) and result.evaluation.split == "test"
    assert len(result.metrics.returns) == 2 and result.metrics.action is not None
    assert result.metrics.action_unseen != result.metrics.action  # other backgrounds
    assert result.metrics.distractor is None  # a still picture does not move
    assert result.normalizers.expert > result.normalizers.random
    assert result.training.updates == {"pretrain": 5, "clone": 5, "decode": 5}
    assert result.training.precision in ("bf16", "fp32")  # as the machine has it
    assert result.training.labels == 32 and result.training.parameters > 0
    assert result.wall_seconds > 0 and result.cpu_seconds > 0
    assert f"--run {run.hash}" in result.command
    assert {path.name for path in run_folder(tmp_path, run).iterdir()} == {
        *("result.json", "config.json", "lock", "agent.safetensors", "predictions.png", "rollout.webp"),
    }
    assert not list((tmp_path / "shared" / "frames").iterdir())  # nobody needs them any more
    assert not list((tmp_path / "shared" / "agents").glob("*/"))


def test_a_worker_keeps_no_agent_of_a_run_that_is_done(tmp_path):
    made = [thing for thing in gc.get_objects() if isinstance(thing, OfflineAlgorithm)]
    gc.disable()
    try:
        assert do(tiny(methods="[masklam-fixed]", distractors="[still]"), tmp_path).done == 1
        kept = [thing for thing in gc.get_objects() if isinstance(thing, OfflineAlgorithm)]
    finally:
        gc.enable()
    assert len(kept) <= len(made)


def test_methods_that_predict_no_frames_leave_pictures_of_what_they_saw(tmp_path):
    suite = tiny(methods="[bc-labels, laom]", distractors="[video]")
    assert do(suite, tmp_path, pictures=True).done == 2
    for run in make_runs(suite):
        shown = {name: imread(run_folder(tmp_path, run) / name) for name in ("frames.png", "masks.png")}
        assert shown["frames.png"].shape == shown["masks.png"].shape == (2 * 16, 6 * 2 * 16, 3)
        assert set(np.unique(shown["masks.png"])) == {0, 255} and len(np.unique(shown["frames.png"])) > 20
        assert (run_folder(tmp_path, run) / "rollout.webp").is_file()


def test_scores_are_kept_where_pictures_cannot_be_drawn(tmp_path, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "undrawable", methods.Method("tests.benchmark.tiny:Undrawable", "no pictures"))
    [run] = make_runs(tiny(methods="[undrawable]"))
    summary = do([run], tmp_path, pictures=True)
    assert (summary.done, summary.failed) == (1, {}) and finished(tmp_path, run).metrics.action is not None
    kept = run_folder(tmp_path, run) / "no_pictures.txt"
    assert "KeyError: 'mask'" in kept.read_text() and (run_folder(tmp_path, run) / "rollout.webp").is_file()
    [line] = [line for line in describe(summary, tmp_path) if line.startswith("warning")]
    assert line.startswith(f"warning: {run.hash} {run.label}: no pictures (KeyError: 'mask')")


def test_finished_runs_are_skipped(tmp_path, trained):
    suite = tiny(methods="[lapo]")
    do(suite, tmp_path)
    before = [path.read_bytes() for path in tmp_path.glob("runs/*/result.json")]
    count = len(trained)
    assert do(suite, tmp_path).done == 1
    assert len(trained) == count
    assert [path.read_bytes() for path in tmp_path.glob("runs/*/result.json")] == before


def test_a_failure_is_recorded_and_the_rest_goes_on(tmp_path, broken):
    suite = tiny(methods="[broken, lapo]")
    summary = do(suite, tmp_path)
    assert (summary.done, summary.left) == (1, 0)
    assert list(summary.failed.values()) == ["RuntimeError: this method is broken"]
    failed, done = sorted(read_results([tmp_path]), key=lambda result: result.method)
    assert (failed.status, done.status) == ("failed", "ok")
    assert "Traceback" in failed.error and "RuntimeError: this method is broken" in failed.error
    told, where = describe(summary, tmp_path)[1:]
    assert told.startswith("failed: ") and told.endswith(": RuntimeError: this method is broken")
    assert where.endswith(str(run_folder(tmp_path, Run(failed.config)) / "result.json"))


def test_what_failed_is_tried_again_only_when_asked(tmp_path, monkeypatch, broken):
    suite = tiny(methods="[broken]")
    do(suite, tmp_path)
    monkeypatch.delattr("tests.benchmark.tiny.Broken._begin_pretrain")  # repaired
    again = do(suite, tmp_path)
    assert list(again.failed.values()) == ["RuntimeError: this method is broken"]
    assert "1 of these failed before and were not run again: --retry tries them again" in describe(again, tmp_path)
    assert do(suite, tmp_path, retry=True).done == 1


def test_a_task_without_expert_is_told_and_others_go_on(tmp_path, monkeypatch):
    real = Task.expert_file
    monkeypatch.setattr(Task, "expert_file", lambda self, s: None if "Hopper" in self.id else real(self, s))
    suite = tiny(methods="[lapo]", tasks="[MaskHopper-v0, MaskCheetah-v0]")
    summary = do(suite, tmp_path)
    assert summary.done == 1
    assert next(iter(summary.failed.values())).startswith("ValueError: this task ships no expert")


def test_stages_without_labels_are_trained_once_for_all_budgets(tmp_path, trained):
    suite = tiny(methods="[lapo]", vary="{labels: [8, 16, 32]}")
    assert do(suite, tmp_path, keep_agents=True).done == 3
    assert len(trained) == 1 + 3
    by_labels = {r.variables["labels"]: r for r in read_results([tmp_path])}
    assert {labels: result.training.labels for labels, result in by_labels.items()} == {8: 8, 16: 16, 32: 32}
    agents = [read_agent(path)[1] for path in tmp_path.glob("runs/*/agent.safetensors")]
    names = {name: all(np.array_equal(a[name], agents[0][name]) for a in agents) for name in agents[0]}
    assert all(same for name, same in names.items() if "decoder" not in name)
    assert not all(names.values())


def test_an_agent_from_shared_stages_is_the_one_that_learn_makes(tmp_path):
    suite = tiny(methods="[masklam-fixed]")
    [run] = make_runs(suite)
    shared = Shared(tmp_path)
    agent, _ = shared.agent(run)
    from masklam_agents import MaskLAM

    alone = MaskLAM("MultiInputPolicy", None, shared.frames(run, "train"), **run.config["options"]).learn(120)
    assert alone.progress == agent.progress
    mine, its = agent.policy.state_dict(), alone.policy.state_dict()
    assert all(np.array_equal(mine[name], its[name]) for name in its)


def test_methods_have_the_same_data_and_labels_and_frames_are_drawn_once(tmp_path, monkeypatch):
    drawn = []
    real = cache._draw_to
    monkeypatch.setattr(cache, "_draw_to", lambda path, *rest: drawn.append(path) or real(path, *rest))
    do(tiny(methods="[lapo, masklam-fixed, laom, idm, bc-labels]"), tmp_path)
    results = read_results([tmp_path])
    assert len(results) == 5
    assert len({result.training.label_subset for result in results}) == 1
    assert len({result.training.dataset for result in results}) == 1
    assert len(drawn) == len(set(drawn)) == 3  # training; held-out under training and under test backgrounds


def test_a_run_that_another_runner_has_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "POLL", 0.05)
    suite = tiny(methods="[lapo]")
    [run] = make_runs(suite)
    held, free = threading.Event(), threading.Event()

    def hold():
        with locked(run_folder(tmp_path, run) / "lock"):
            held.set()
            free.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    assert execute(run, options(tmp_path)).status == "busy"
    threading.Timer(0.3, free.set).start()
    assert do(suite, tmp_path).done == 1
    holder.join()


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    busy = pytest.raises(BusyError, match=f"in use by process {os.getpid()} on")
    with locked(tmp_path / "lock"), busy, locked(tmp_path / "lock", wait=False):
        pass
    if (child := os.fork()) == 0:  # takes the lock and dies with it
        with locked(tmp_path / "lock"):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert f"process {child}" in (tmp_path / "lock").read_text()
    with locked(tmp_path / "lock", wait=False):
        pass


def test_a_full_disk_stops_everything_and_nothing_is_lost(tmp_path, monkeypatch):
    suite = tiny(methods="[lapo, masklam-fixed]")
    real = execute_module.write_result

    def full(folder, result):
        if result.method == "masklam-fixed":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(folder, result)

    monkeypatch.setattr(execute_module, "write_result", full)
    summary = do(suite, tmp_path)
    assert (summary.done, summary.failed, summary.left) == (1, {}, 1)
    assert "the disk is full" in summary.message
    monkeypatch.setattr(execute_module, "write_result", real)
    assert do(suite, tmp_path).done == 2


def test_a_folder_of_something_else_is_refused(tmp_path):
    claim_folder(tiny(), tmp_path)
    claim_folder(tiny(), tmp_path)
    with pytest.raises(FolderError, match="suite_version '1', this is suite_version '2': give another --out"):
        claim_folder(tiny(version='"2"'), tmp_path)


def test_a_damaged_result_is_told(tmp_path):
    suite = tiny(methods="[lapo]")
    do(suite, tmp_path)
    [path] = tmp_path.glob("runs/*/result.json")
    path.write_text(path.read_text()[:100])
    with pytest.raises(FolderError, match="cut off"):
        do(suite, tmp_path)


class Mortal(HereLauncher):
    """Its process dies so many times."""

    def __init__(self, options: Options, deaths: int) -> None:
        super().__init__(options)
        self.deaths = deaths

    def wait(self, timeout: float):
        if self.deaths and self._waiting:
            self.deaths -= 1
            return [(self._waiting.popleft(), Outcome("died", "its process was ended by signal 9"))]
        return super().wait(timeout)


def test_a_run_whose_process_dies_is_given_out_again(tmp_path):
    runs = make_runs(tiny(methods="[lapo]"))
    assert run_all(runs, options(tmp_path), Mortal(options(tmp_path), 2)).done == 1


def test_a_run_whose_process_always_dies_has_failed(tmp_path):
    runs = make_runs(tiny(methods="[lapo]"))
    summary = run_all(runs, options(tmp_path), Mortal(options(tmp_path), 9))
    assert list(summary.failed.values()) == ["its process was ended by signal 9, 3 times; out of memory?"]
    assert finished(tmp_path, runs[0]).status == "failed"


def test_launchers_by_name(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'local'"):
        make_launcher("locl", options(tmp_path))
    with pytest.raises(ValueError, match="--address is of the ray launcher"):
        make_launcher("local", options(tmp_path), address="auto")


def test_masks_of_a_source_that_needs_the_whole_video(tmp_path):
    suite = tiny(methods="[masklam-fixed]", vary="{mask_source: {simulator: simulator, motion: motion}}")
    assert do(suite, tmp_path).done == 2
    by_source = {result.variables["mask_source"]: result.metrics for result in read_results([tmp_path])}
    assert by_source["motion"].action != by_source["simulator"].action
    assert 0 <= by_source["motion"].more["mask_iou"] < 1 and not by_source["simulator"].more


def test_the_table_tells_what_runs_what_failed_and_when_it_ends(tmp_path):
    first, second, third = make_runs(tiny(seeds="3", methods="[lapo]"))
    console = Console(width=120, force_terminal=True, record=True, file=io.StringIO())
    with Table([first, second, third], console) as table:
        assert table.eta() is None
        for what, run in (("running", first), ("ok", first), ("running", second), ("running", third)):
            table.note(what, run)
        table.note("failed", second, "broken")
        table.refresh()
        console.print(table.render())
        assert table.eta() is not None
    shown = console.export_text()
    assert "1 / 3" in shown and "failed: lapo MaskCheetah-v0 none seed 1: broken" in shown
    assert "lapo MaskCheetah-v0 none seed 2  0:00" in shown and "left)" in shown


def test_without_a_terminal_every_event_is_a_line_and_waiting_for_another_runner_is_one(tmp_path):
    runs = make_runs(tiny(methods="[lapo, idm]"))
    console = Console(width=200, file=io.StringIO(), record=True)
    with Table(runs, console) as table:
        for what, why in (("running", ""), *[("elsewhere", ""), ("running", "")] * 5, ("again", "killed"), ("ok", "")):
            table.note(what, runs[0], why)
            table.refresh()
    lines = [line.split()[0] for line in console.export_text().splitlines()]
    assert lines == ["running", "elsewhere", "again", "ok"]


def test_the_command(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(TINY)
    cli = CliRunner()
    done = cli.invoke(app, ["benchmark", str(path), "--method", "bc-labels", "--out", "out", "--workers", "0"])
    assert done.exit_code == 0, done.output
    assert (
        "same label subset, drawn by the seed, of transitions: 32" in done.output
        and "1 done, 0 failed, 0 left" in done.output
    )
    [result] = read_results(["out"])
    alone = shlex.split(result.command)[1:]
    assert alone[:2] == ["benchmark", str(path)]
    again = cli.invoke(app, [*alone, "--out", "out", "--workers", "0"])
    assert again.exit_code == 0 and "1 done, 0 failed, 0 left" in again.output
    assert "q7-correlation" in cli.invoke(app, ["benchmark", "--list"]).output
    wrong = cli.invoke(app, ["benchmark", "quik"])
    assert wrong.exit_code == 2 and "Traceback" not in wrong.output


def test_hyperparameters_are_chosen_used_recorded_and_added_to(tmp_path):
    path, tuned = tmp_path / "mine.yaml", tmp_path / "trials" / "tuned.yaml"
    grid = "{grid: {learning_rate: [0.001, 0.002]}, tasks: [MaskCheetah-v0], distractors: [none]}"
    path.write_text(TINY.replace("[lapo, masklam-fixed]", "[bc-labels, lapo]") + f"tuning: {grid}\n")
    alone = ["benchmark", path, "--workers", "0"]
    done = masklam(*alone, "--tune", "--out", tmp_path / "trials", "--method", "bc-labels")
    assert (
        done.exit_code == 0
        and "2 done, 0 failed, 0 left" in done.output
        and "bc-labels: learning_rate 0.00" in done.output
    )
    assert load_tuned(load_suite(path), file=tuned).trials == {"bc-labels": 2}
    unfair = masklam(*alone, "--tuned", tuned, "--out", tmp_path / "out")
    told = " ".join(unfair.output.replace("\u2502", " ").split())
    assert unfair.exit_code == 2 and "--tune --method lapo` and give its file by --tuned" in told
    added = masklam(*alone, "--tune", "--out", tmp_path / "trials", "--method", "lapo", "--tuned", tuned)
    assert added.exit_code == 0 and "bc-labels: learning_rate" in added.output and "lapo: learning_rate" in added.output
    done = masklam(*alone, "--tuned", tuned, "--out", tmp_path / "out")
    assert (
        done.exit_code == 0 and "trials of the grid: bc-labels 2, lapo 2" in done.output and "unfair" not in done.output
    )
    for result in read_results([tmp_path / "out"]):
        assert (result.training.tuning.trials, result.training.tuning.grid) == (2, {"learning_rate": (0.001, 0.002)})
        assert "NMSE" in result.training.tuning.chosen_by.upper() and f"--tuned {tuned}" in result.command
        again = masklam(*shlex.split(result.command)[1:], "--out", tmp_path / "out", "--workers", "0")
        assert again.exit_code == 0 and "1 done, 0 failed, 0 left" in again.output


def test_results_that_are_known_are_not_computed_again(tmp_path, trained):
    path = tmp_path / "mine.yaml"
    path.write_text(TINY.replace("[lapo, masklam-fixed]", "[bc-labels, lapo]"))
    alone = ["benchmark", path, "--workers", "0"]
    assert masklam(*alone, "--out", tmp_path / "first", "--method", "bc-labels").exit_code == 0
    [known] = read_results([tmp_path / "first"])
    sent = tmp_path / "sent.jsonl"
    sent.write_bytes(b" ".join((tmp_path / "first" / "runs" / known.config_hash / "result.json").read_bytes().split()))
    trained.clear()
    done = masklam(*alone, "--out", tmp_path / "second", "--known", sent)
    assert done.exit_code == 0 and "1 results taken over; 0 others" in done.output and "2 done" in done.output
    [lapo] = make_runs(load_suite(path), Chosen(methods=("lapo",)))
    assert {path.parent.name for path in trained} == lapo.agent_keys
    assert known in read_results([tmp_path / "second"])
    trained.clear()
    other = masklam(*alone, "--out", tmp_path / "third", "--method", "lapo", "--known", tmp_path / "second")
    assert "1 results taken over; 1 others are of no run of these" in other.output and not trained
    broken = masklam(*alone, "--out", tmp_path / "third", "--known", tmp_path / "nowhere.jsonl")
    assert broken.exit_code == 2 and "nowhere.jsonl" in broken.output
