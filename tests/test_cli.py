"""The `masklam` command."""

import importlib

import pytest
from typer.testing import CliRunner

from masklam_agents.cli import app
from masklam_envs import Trajectories
from masklam_envs.documentation import describe
from masklam_envs.registration import ANY_ID
from masklam_envs.rendering import gl
from masklam_envs.suites.catalog import suite_ids
from masklam_envs.tasks import TASKS, Task


def masklam(*arguments):
    # Wide and plain, so that Rich wraps no message and colours none.
    environment = {"COLUMNS": "400", "TERMINAL_WIDTH": "400", "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def test_envs_lists_every_task_with_its_base_and_expert():
    done = masklam("envs")
    lines = [line.split() for line in done.output.splitlines()]
    assert done.exit_code == 0
    tasks = [(task.id, task.base, "yes" if task.expert else "no") for task in TASKS.values()]
    suites = [(row.id, row.base, row.extra) for row in suite_ids()]
    assert [(line[0], line[1], line[-1]) for line in lines] == tasks + suites


def test_envs_tells_everything_about_one():
    done = masklam("envs", "MaskPusher-v0")
    assert done.exit_code == 0
    assert done.output == describe("MaskPusher-v0") + "\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [("MaskPuser-v0", "Did you mean"), ("CartPole-v1", "unknown environment of masklam_envs 'CartPole-v1'")],
)
def test_envs_of_another_id_is_a_message_and_no_traceback(name, message):
    done = masklam("envs", name)
    assert done.exit_code == 2
    assert message in done.output and "Traceback" not in done.output


def test_envs_draws_a_gallery(tmp_path):
    done = masklam("envs", "MaskHopper-v0", "--gallery", tmp_path / "gallery.png")
    assert done.exit_code == 0
    assert f"{tmp_path / 'gallery.png'}: {(tmp_path / 'gallery.png').stat().st_size / 1000:.0f} kB" in done.output
    assert "Traceback" not in (again := masklam("envs", "--gallery", tmp_path / "no" / "folder.png")).output
    assert again.exit_code == 2


def test_collect_writes_a_dataset_and_says_so(tmp_path):
    done = masklam("collect", "MaskHopper-v0", "--out", tmp_path / "data", "--episodes", 2, "--seed", 3)
    recorded = Trajectories.load(tmp_path / "data")
    assert done.exit_code == 0
    assert f"2 episodes, {len(recorded)} steps, mean return {recorded.returns.mean():.1f}" in done.output
    assert (recorded.episodes, recorded.meta["seed"], recorded.meta["base"]) == (2, 3, "Hopper-v5")


def test_collect_takes_the_id_of_any_mujoco_environment(tmp_path):
    done = masklam("collect", "Swimmer-v5", "--out", tmp_path / "data", "--episodes", 1, "--max-steps", 4)
    assert done.exit_code == 0, done.output
    meta = Trajectories.load(tmp_path / "data").meta
    assert (meta["task"], meta["base"]) == (ANY_ID, "Swimmer-v5")


def test_collect_goes_on_with_an_interrupted_recording(tmp_path):
    command = ("collect", "MaskHopper-v0", "--out", tmp_path / "data", "--max-steps", 5)
    assert masklam(*command, "--episodes", 2).exit_code == 0
    assert masklam(*command, "--episodes", 4, "--workers", 2).exit_code == 0
    assert Trajectories.load(tmp_path / "data").episodes == 4
    other = masklam(*command, "--seed", 1)
    assert other.exit_code == 2
    assert "was made otherwise (seed differ" in other.output


@pytest.mark.parametrize(
    ("options", "workers"),
    [((), 1), (("--episodes", 200), 4), (("--episodes", 35), 3), (("--episodes", 200, "--workers", 2), 2)],
)
def test_collect_uses_every_core_where_there_is_work_for_it(tmp_path, monkeypatch, options, workers):
    def collect(task, episodes, *, workers, **_):
        raise ValueError(f"{episodes} episodes by {workers}")

    monkeypatch.setattr("masklam_envs.collect", collect, raising=False)
    monkeypatch.setattr(importlib.import_module("masklam_envs.data.collect"), "usable_cores", lambda: 4)
    options = options or ("--episodes", 2)
    done = masklam("collect", "MaskHopper-v0", "--out", tmp_path / "data", *options)
    assert f"{options[1]} episodes by {workers}" in done.output


def test_collect_s_options_reach_the_recording(tmp_path):
    options = ("--policy", "random", "--noise", 0.5, "--episodes", 1)
    assert masklam("collect", "MaskHopper-v0", "--out", tmp_path / "data", *options).exit_code == 0
    meta = Trajectories.load(tmp_path / "data").meta
    assert (meta["policy"], meta["noise"]) == ("random", 0.5)


def test_a_task_without_an_expert_is_a_message(tmp_path, monkeypatch):
    monkeypatch.setattr(Task, "expert_file", lambda self, strength: None)
    for policy, kind in (("expert", "expert"), ("medium", "medium expert")):
        done = masklam("collect", "MaskHopper-v0", "--policy", policy, "--out", tmp_path / "data")
        assert done.exit_code == 2
        assert f"this task ships no {kind}" in done.output and "Traceback" not in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MaskCheeta-v0"], "Did you mean: `MaskCheetah`?"),
        (["CartPole-v1"], "CartPoleEnv is no MuJoCo environment"),
        (["MaskHopper-v0", "--policy", "exprt"], "Did you mean 'expert'?"),
        (["MaskHopper-v0", "--noise", -1], "noise must be a standard deviation >= 0"),
        (["MaskHopper-v0", "--episodes", 0], "Invalid value for '--episodes'"),
        (["MaskHopper-v0", "--seed", -1], "Invalid value for '--seed'"),
    ],
)
def test_a_mistake_is_a_message_and_no_traceback(tmp_path, arguments, message):
    done = masklam("collect", *arguments, "--out", tmp_path / "data")
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "data").exists()


def test_collect_does_not_replace_what_is_no_dataset(tmp_path):
    (tmp_path / "thesis.tex").write_text("months of work")
    done = masklam("collect", "MaskHopper-v0", "--out", tmp_path / "thesis.tex", "--episodes", 1)
    assert done.exit_code == 2
    assert "exists and is no dataset" in done.output
    assert (tmp_path / "thesis.tex").read_text() == "months of work"


def test_doctor_prints_versions():
    done = masklam("doctor")
    assert done.exit_code == 0
    for name in ("python ", "masklam ", "gymnasium ", "mujoco ", "numba ", "torch ", "rembg ", "OpenGL "):
        assert name in done.output


def test_doctor_tells_why_there_is_no_opengl(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "off")
    monkeypatch.setattr("masklam_envs.rendering.gl._process", gl._Process())
    done = masklam("doctor")
    assert done.exit_code == 0
    assert "OpenGL not available: MUJOCO_GL=off turns OpenGL off" in done.output


def test_without_arguments_the_commands_are_listed():
    done = masklam()
    for command in ("envs", "collect", "doctor"):
        assert command in done.output
