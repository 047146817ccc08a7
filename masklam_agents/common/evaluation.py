"""Returns of an agent in its environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv


def episode_returns(
    agent: Any, make_env: Callable[[], gym.Env[Any, Any]], episodes: int, seed: int
) -> NDArray[np.float64]:
    """Undiscounted returns of one episode in each of so many environments, stepped side by side.

    :param agent: anything with SB3's ``predict(obs, state, episode_start, deterministic)``
    :param make_env: makes one environment
    :param episodes: how many, at least 1
    :param seed: environment ``i`` is reset with ``seed + i``
    :return: (episodes,)
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes}")
    envs = DummyVecEnv([lambda: Monitor(make_env())] * episodes)
    envs.seed(seed)
    returns, _ = evaluate_policy(agent, envs, n_eval_episodes=episodes, return_episode_rewards=True)
    envs.close()
    return np.asarray(returns, np.float64)
