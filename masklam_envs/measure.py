"""Read back how much of a distractor's motion the action, or the state, decides."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from masklam_envs.correlation import Correlation, correlation_of
from masklam_envs.data.collect import StatePolicy, collect
from masklam_envs.env import make_by_id


def measure_correlation(
    env: str | gym.Env[Any, Any], *, steps: int = 20_000, policy: str | StatePolicy = "reference", seed: int = 0
) -> Correlation:
    """Correlation of an environment's distractor with what drives it, under a policy.

    The distractor's motion of every step is regressed on the action of that step, ``lag`` steps ago where it is late,
    or on the joint velocities where it follows the state; an episode's first ``lag`` steps, in which nothing drives it
    yet, are left out.  Physics is simulated, frames are not drawn: a distractor's rows are a function of its seed, the
    actions and the states.

    :param env: an environment of this package, or its id, or that of any other MuJoCo environment
    :param steps: at least so many transitions; the measured number's standard error is about ``1 / sqrt(steps)``
    :param policy: as in :func:`masklam_envs.collect`; the set correlation holds under ``"reference"``
    :param seed: of the rollouts
    :raises ValueError: when the distractor is later than episodes are long, or there are too few steps
    :return: for ``action`` and ``state`` distractors ``multiple_correlation`` is their ``correlation``; 0 where nothing
        moves
    """
    if isinstance(env, str):
        env = make_by_id(env)
    motions, actions, longest, count, i = [], [], 0, 0, 0
    while count < steps:
        part = collect(env, 1, policy=policy, seed=seed + i)
        longest = max(longest, len(part))
        if len(part) == part.meta["max_steps"]:  # no episode is longer
            _check_lag(env, longest)
        moved, acted = motion_of(part, env)
        motions.append(moved)
        actions.append(acted)
        count, i = count + len(part), i + 1
    _check_lag(env, longest)
    return correlation_of(np.concatenate(motions), np.concatenate(actions))


def _check_lag(env: gym.Env[Any, Any], longest: int) -> None:
    """Complain of a distractor that hears of nothing before its longest episode ends."""
    lag = env.unwrapped.view.distractor.silent_steps  # type: ignore[attr-defined]
    if lag >= longest:
        raise ValueError(
            f"the distractor is {lag} steps late and the longest episode has {longest}: nothing drives it; give it a "
            f"lag below {longest}, or the environment longer episodes (max_episode_steps)"
        )


def motion_of(trajectories: Any, env: gym.Env[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Displacements (N, K) of the environment's distractor along recorded physics, and what drives them (N, A).

    One row a transition, without an episode's first ones where the distractor is late.
    """
    distractor = env.unwrapped.view.distractor  # type: ignore[attr-defined]
    moved, driven, silent = [], [], distractor.silent_steps
    for e in range(trajectories.episodes):
        actions, states = trajectories.episode_actions(e), trajectories.states(e)
        rows = distractor.track(int(trajectories.distractor_seeds[e]), actions, states)
        motion = distractor.motion(rows)
        moved.append((np.zeros((len(actions), 1)) if motion is None else motion)[silent:])
        driven.append(distractor.drivers(actions, states[:-1])[silent:])
    return np.concatenate(moved), np.concatenate(driven)
