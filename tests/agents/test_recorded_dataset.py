"""An agent that is given recorded physics sees it through its environment, from a file or drawn on the fly."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from masklam_agents import BC, MaskLAM
from masklam_agents.common.vec_env import MaskVecEnv
from masklam_agents.methods import make_agent
from masklam_envs import Frames, LazyFrames, collect, render_frames
from masklam_envs.data import cache
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
