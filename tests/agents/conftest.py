from __future__ import annotations

import gymnasium as gym
import pytest

from masklam_envs import Frames, collect, render_frames

SIZE = 32


def make_env() -> gym.Env:
    """A small, short MaskCheetah."""
    return gym.make("MaskCheetah-v0", image_size=SIZE, max_episode_steps=20)


def make_frames(seed: int, episodes: int = 3, steps: int = 40) -> Frames:
    return render_frames(collect("MaskCheetah-v0", episodes, seed=seed, max_steps=steps), make_env())


@pytest.fixture(scope="session")
def frames() -> Frames:
    return make_frames(seed=0)


@pytest.fixture(scope="session")
def held_out() -> Frames:
    return make_frames(seed=1, episodes=2)
