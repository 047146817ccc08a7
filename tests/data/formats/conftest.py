"""Small datasets that every layout is tried with."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import Frames, LazyFrames, collect
from masklam_envs.data import pixel_trajectories


@pytest.fixture(scope="session")
def drawn() -> LazyFrames:
    """Three episodes of unequal lengths, some of which the task ends."""
    env = gym.make("MaskHopper-v0", distractor="video", image_size=36)
    return LazyFrames(collect(env, 3, policy="random", max_steps=18, seed=1), env)


@pytest.fixture(scope="session")
def equal() -> LazyFrames:
    """Three episodes of one length."""
    env = gym.make("MaskHopper-v0", distractor="video", image_size=36)
    return LazyFrames(collect(env, 3, policy="random", max_steps=6, seed=3), env)


@pytest.fixture
def video_only() -> Frames:
    """Two clips without actions; the right half is the agent."""
    rng = np.random.default_rng(0)
    rgbm = rng.integers(0, 256, (11, 36, 36, 4), np.uint8)
    rgbm[..., 3] = 0
    rgbm[:, :, 18:, 3] = 255
    meta = {"base": None, "masks": "dataset", "action_low": [], "action_high": []}
    return Frames(pixel_trajectories(meta, [5, 4]), rgbm, [np.zeros((6, 0)), np.zeros((5, 0))])
