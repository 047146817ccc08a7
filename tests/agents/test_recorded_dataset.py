"""An agent that is given recorded physics sees it through its environment, from a file or drawn on the fly."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from masklam_agents import BC, MaskLAM
from masklam_agents.common.vec_env import MaskVecEnv
from masklam_agents.methods import make_agent
from masklam_envs import Frames, LazyFrames, collect, render_frames
from masklam_envs.data import cache
from masklam_envs.wrappers import FrameStack, Grayscale, MaskedPixels, MaskFaults
from tests.agents.conftest import SIZE, make_env
from tests.agents.test_training import TINY, equal, weights

FILES = "*.rgbm"


@pytest.fixture(scope="module")
def recorded():
    return collect("MaskCheetah-v0", 2, max_steps=20)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKLAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make(env, dataset, method=MaskLAM):
    return method("MultiInputPolicy", env, dataset=dataset, **(TINY if method is MaskLAM else {"batch_size": 16}))


@pytest.mark.parametrize(
    "env", [make_env, lambda: DummyVecEnv([make_env]), lambda: MaskVecEnv("MaskCheetah-v0", 2, image_size=SIZE)]
)
def test_frames_are_those_of_the_environment_from_a_file_that_is_shared(recorded, folder, env):
    agent = make(env(), recorded)
    assert not folder.exists()  # nothing is drawn before it is asked for
    assert isinstance(agent.dataset, Frames)
    assert np.array_equal(agent.dataset.rgbm, render_frames(recorded, make_env()).rgbm)
    other = make(make_env(), recorded)
    assert np.array_equal(other.dataset.rgbm, agent.dataset.rgbm)
    assert len(list(folder.glob(FILES))) == 1
    assert agent.dataset is agent.dataset


def test_what_is_too_large_for_a_file_is_drawn_on_the_fly(recorded, folder, monkeypatch):
    monkeypatch.setattr(cache, "CACHE_LIMIT", 1000)
    assert isinstance(make(make_env(), recorded).dataset, LazyFrames)
    assert not folder.exists()


def test_training_on_physics_is_training_on_its_frames(recorded, folder):
    agents = [make(make_env(), each, BC).learn(64) for each in (recorded, render_frames(recorded, make_env()))]
    assert equal(*(weights(agent) for agent in agents))


def test_it_may_be_set_later_and_when_an_agent_is_loaded(recorded, folder):
    agent = make(make_env(), None, BC)
    agent.dataset = recorded
    assert isinstance(agent.dataset, Frames)
    agent.save("agent")
    assert isinstance(BC.load("agent", env=make_env(), dataset=recorded).dataset, Frames)


@pytest.mark.parametrize(("method", "scene"), [("lapo-clean", "none"), ("lapo-flat", "flat")])
def test_methods_of_other_frames_draw_theirs(recorded, folder, method, scene):
    env = gym.make("MaskCheetah-v0", image_size=SIZE, distractor="video")
    agent = make_agent(method, env=env, dataset=recorded, network="small")
    other = gym.make("MaskCheetah-v0", image_size=SIZE, distractor=scene)
    assert np.array_equal(agent.dataset.rgbm, render_frames(recorded, other).rgbm)


@pytest.mark.parametrize("make_other", [lambda: None, lambda: FakeImageEnv(SIZE, SIZE, n_channels=3, discrete=False)])
def test_without_an_environment_of_ours_the_cure_is_named(recorded, make_other):
    with pytest.raises(ValueError, match=r"seen through an environment: pass env=.*dataset=open_frames"):
        BC("MultiInputPolicy", make_other(), dataset=recorded)._need_dataset()


WRAPPED = [lambda env: env, lambda env: DummyVecEnv([lambda: env])]


@pytest.mark.parametrize("around", WRAPPED, ids=["one", "several"])
@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (MaskedPixels, "MaskedPixels, which changes the frames: leave it out"),
        (lambda env: MaskFaults(env, "erosion"), "MaskFaults, which changes the frames: give the environment mask_f"),
        (lambda env: RescaleAction(env, -2, 2), "RescaleAction, which changes the actions: put it round the base"),
    ],
)
def test_physics_is_not_seen_through_wrappers_that_would_be_left_out(recorded, wrap, message, around):
    agent = make(around(wrap(make_env())), recorded, BC)
    with pytest.raises(ValueError, match=f"recorded physics is that of the environment inside {message}"):
        agent.learn(16)
    with pytest.raises(ValueError, match=message):
        make_agent("lapo-flat", env=around(wrap(make_env())), dataset=recorded, network="small")


@pytest.mark.parametrize("around", WRAPPED, ids=["one", "several"])
def test_an_agent_sees_colours(frames, around):
    env = around(FrameStack(Grayscale(make_env()), 3))  # three channels, and no red, green and blue
    message = "agents are for the environment inside Grayscale, which changes the colours: leave it out"
    with pytest.raises(ValueError, match=message):
        BC(env=env)
    agent = BC(dataset=frames, batch_size=16)
    with pytest.raises(ValueError, match=message):
        agent.set_env(env)
    with pytest.raises(ValueError, match=message):
        agent.finetune(env, 10)


def test_stacks_and_statistics_round_the_environment_are_no_matter(recorded, folder):
    env = Monitor(FrameStack(make_env(), 3))
    assert np.array_equal(make(env, recorded, BC).dataset.rgbm, render_frames(recorded, make_env()).rgbm)


@pytest.mark.slow
def test_wrappers_of_environments_in_other_processes_are_found_too(recorded):
    env = SubprocVecEnv([masked_pixels])
    with pytest.raises(ValueError, match="inside MaskedPixels, which changes the frames"):
        make(env, recorded, BC).learn(16)
    env.close()


def masked_pixels():
    return MaskedPixels(make_env())
