"""Stable-Baselines3 trains on the dict and on the stacked image of four channels."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

from masklam_envs.wrappers import ActionRepeat, FrameStack, MaskChannel, MaskedPixels, Resize


def small(env):
    return ActionRepeat(Resize(env, 36), 2)


@pytest.mark.parametrize(
    ("policy", "wrap", "channels"),
    [
        ("MultiInputPolicy", FrameStack, None),
        ("CnnPolicy", lambda env: FrameStack(MaskChannel(MaskedPixels(env)), 3), 12),
    ],
)
def test_ppo_trains(policy, wrap, channels):
    env = wrap(small(gym.make("MaskHopper-v0", distractor="action")))
    if channels is not None:
        assert env.observation_space.shape == (36, 36, channels)
    extractor = {"features_dim": 16} if channels else {"cnn_output_dim": 16}
    kwargs = {"net_arch": [16], "features_extractor_kwargs": extractor}
    agent = PPO(policy, env, n_steps=64, batch_size=32, n_epochs=1, seed=0, device="cpu", policy_kwargs=kwargs)
    before = {name: value.clone() for name, value in agent.policy.state_dict().items()}
    agent.learn(256)
    assert agent.num_timesteps == 256
    # Every layer that sees the images has moved, and nothing has gone to infinity.
    after = agent.policy.state_dict()
    assert all(bool(value.isfinite().all()) for value in after.values())
    assert all(bool((after[name] != before[name]).any()) for name in after if "cnn" in name and "weight" in name)
    action, _ = agent.predict(env.reset(seed=0)[0])
    assert np.isfinite(action).all()
