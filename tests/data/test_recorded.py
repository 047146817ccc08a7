"""A dataset knows its environment again, however that was made."""

import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction

from masklam_envs import Frames, Trajectories, collect, make_masked, render_frames
from masklam_envs.data.formats.convert import open_own
from masklam_envs.data.frames import episode_track
from masklam_envs.data.recorded import make_recorded, recorded_in
from masklam_envs.data.replay import check_replay
from tests.test_cli import masklam

SMALL = {"image_size": 20}
ARM = """
import gymnasium
gymnasium.register("MyArm-v0", "gymnasium.envs.mujoco.reacher_v5:ReacherEnv", max_episode_steps=6)
"""


def forget_arm():
    gym.registry.pop("MyArm-v0", None)
    sys.modules.pop("my_arm", None)


@pytest.fixture
def my_arm(tmp_path, monkeypatch):
    """The id of a base environment that a module registers, as in a process that has not imported it."""
    (tmp_path / "my_arm.py").write_text(ARM)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_arm:MyArm-v0"
    forget_arm()


def record(env, out, **kwargs):
    return collect(env, 2, policy="random", out=out, max_steps=12, **kwargs)


def test_the_command_records_a_base_of_your_own_and_opens_it(tmp_path, my_arm):
    done = masklam("collect", my_arm, "--out", tmp_path / "data", "--episodes", 1)
    assert done.exit_code == 0, done.output
    recorded = Trajectories.load(tmp_path / "data")
    assert (recorded.lengths.tolist(), recorded.meta["base"]) == ([6], my_arm)
    forget_arm()
    assert masklam("inspect", tmp_path / "data", "--plugin", "my_arm").exit_code == 0


def test_a_module_that_a_dataset_names_is_not_imported(tmp_path, my_arm):
    record(my_arm, tmp_path / "data")
    forget_arm()
    done = masklam("inspect", tmp_path / "data")
    assert done.exit_code == 2
    assert "no module is imported because a file names it: import 'my_arm' yourself (--plugin my_arm)" in done.output
    assert "my_arm" not in sys.modules
    with pytest.raises(ValueError, match=r"or give env='my_arm:MyArm-v0' \(--env\)"):
        check_replay(Trajectories.load(tmp_path / "data"))
    assert "my_arm" not in sys.modules


@pytest.mark.parametrize("base", ["Swimmer-v5", "my_arm:MyArm-v0"])
def test_the_commands_open_what_was_recorded_through_make_masked(tmp_path, my_arm, base):
    record(make_masked(base), tmp_path / "data")
    forget_arm()
    module, _, _ = base.rpartition(":")
    plugin = ("--plugin", module) if module else ()
    assert masklam("inspect", tmp_path / "data", *plugin).exit_code == 0
    view = '{"image_size": 20, "distractor": "video"}'
    done = masklam("convert", tmp_path / "data", tmp_path / "pixels", "--to", "masklam", "--view", view)
    assert done.exit_code == 0, done.output
    drawn = render_frames(Trajectories.load(tmp_path / "data"), make_masked(base, distractor="video", **SMALL))
    assert np.array_equal(Frames.load(tmp_path / "pixels").rgbm, drawn.rgbm)


def test_masks_are_added_to_it_and_minari_makes_its_environment_again(tmp_path, monkeypatch):
    record(make_masked("Swimmer-v5"), tmp_path / "data")
    view = ("--view", '{"image_size": 20}')
    assert masklam("segment", tmp_path / "data", "--mask-source", "simulator", *view).exit_code == 0
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    done = masklam("convert", tmp_path / "data", "masklam/swimmer-v0", "--to", "minari", *view)
    assert done.exit_code == 0, done.output
    spec = minari.load_dataset("masklam/swimmer-v0").recover_environment().spec
    assert (spec.kwargs["base"], spec.max_episode_steps) == ("Swimmer-v5", 1000)


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_masked("Swimmer-v5", base_kwargs={"frame_skip": 2}),
        lambda: gym.make("MaskSwimmer-v0", base_kwargs={"frame_skip": 2}),
        lambda: make_masked(gym.make("Swimmer-v5", frame_skip=2)),
    ],
    ids=["make_masked", "task", "object"],
)
def test_the_base_is_made_as_it_was(make):
    meta = collect(make(), 1, policy="random", max_steps=2).meta
    assert make_recorded(meta, SMALL).unwrapped.base.unwrapped.frame_skip == 2
    assert make_recorded(meta, {"base_kwargs": {"frame_skip": 3}}).unwrapped.base.unwrapped.frame_skip == 3


def test_what_wrappers_of_the_base_make_of_actions_is_kept(tmp_path):
    env = make_masked(RescaleAction(gym.make("Swimmer-v5"), -3, 3), **SMALL)
    recorded = record(env, tmp_path / "data")
    again = open_own(tmp_path / "data", view=SMALL)
    assert np.array_equal(episode_track(again.view, recorded, 0), episode_track(env.view, recorded, 0))


def test_a_base_that_nobody_registers_here_asks_for_its_module(tmp_path, my_arm):
    record(make_masked(gym.make(my_arm)), tmp_path / "data")
    forget_arm()
    done = masklam("inspect", tmp_path / "data")
    assert done.exit_code == 2
    assert "recorded in MyArm-v0, which nothing that was imported here registers" in done.output
    assert "env='module:MyArm-v0' (--env)" in done.output
    assert masklam("inspect", tmp_path / "data", "--env", my_arm).exit_code == 0


def test_where_nothing_is_known_nothing_is_guessed():
    assert recorded_in({}) is None
    with pytest.raises(ValueError, match="does not say in which environment it was recorded: give env"):
        make_recorded({"task": None, "base": None}, {})
