"""A task's reference policy, and the statistics of its actions and of the velocities it leads to.

A distractor's correlation is exact under the reference policy: the shipped expert with Gaussian action noise where a
task has an expert, uniform random actions everywhere else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import DelayObservation, NormalizeObservation

from masklam_envs.distractors import ActionReference
from masklam_envs.distractors.facts import GROUND_ALPHA
from masklam_envs.distractors.reference import Whitening
from masklam_envs.experts import Expert, load_expert
from masklam_envs.quiet import quiet_mujoco
from masklam_envs.tasks import task_of_base
from masklam_envs.wrappers.outside import wrappers_of

# By a word of the environment's id.  The suite itself has no hopper; LAOM and MaskLAM give it what walker has.
# Distracting Meta-World puts the video in the floor's place.
GROUND_ALPHAS = {"cheetah": 1.0, "walker": 1.0, "hopper": 1.0, "reacher": 0.0, "metaworld": 0.0}
# Steps of the rollout that finds the velocities' statistics, and where an episode without a limit is cut.
VELOCITY_STEPS = 10_000
EPISODE_STEPS = 1_000
_WRAP = (
    "wrap the base environment: make_masked(gymnasium.wrappers.TransformAction(base, function, "
    "gymnasium.spaces.Box(low, high, (A,), numpy.float32)))"
)


def reference_expert(base: gym.Env[Any, Any], strength: str = "expert") -> Expert | None:
    """The expert of the task whose physics ``base`` is, or None: also when its states or actions are scaled or cut."""
    task = task_of_base(base.spec.id) if base.spec is not None else None
    if task is None or task.expert_file(strength) is None:
        return None
    expert = load_expert(task.id, strength)
    bound = expert.info.action_bound
    own_actions = spaces.Box(-bound, bound, expert.action_mean.shape, np.float32)
    fits = base.action_space == own_actions and base.observation_space.shape == expert.obs_mean.shape
    return expert if fits and not any(map(_changes_states, wrappers_of(base))) else None


def _changes_states(wrapper: gym.Wrapper[Any, Any, Any, Any]) -> bool:
    """Whether what a wrapper observes are no longer the states that an expert knows."""
    return isinstance(wrapper, gym.ObservationWrapper | NormalizeObservation | DelayObservation)


def action_reference(base: gym.Env[Any, Any]) -> ActionReference:
    """Mean and whitening of the reference policy's actions.

    :raises TypeError: when the action space is no bounded box of numbers
    """
    space = base.action_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or not np.issubdtype(space.dtype, np.floating):
        raise TypeError(
            f"the action space must be a Box of floats (A,) under every distractor, got {space}: actions are kept as "
            f"vectors of them; {_WRAP} with a function that makes the environment's action of a vector"
        )
    expert = reference_expert(base)
    if expert is not None:
        return ActionReference.from_covariance(expert.action_mean, expert.action_covariance)
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise TypeError(
            f"the action space must be bounded under every distractor, so that actions can be whitened, got {space}; "
            f"{_WRAP} with the bounds that matter (RescaleAction needs some itself, ClipAction leaves none)"
        )
    return ActionReference.uniform(space.low, space.high)


def ground_alpha_of(base: gym.Env[Any, Any]) -> float:
    """How opaque the ground is over a background in the Distracting Control Suite and its followers, for this robot."""
    name = base.spec.id.lower() if base.spec is not None else ""
    return next((alpha for robot, alpha in GROUND_ALPHAS.items() if robot in name), GROUND_ALPHA)


def velocity_reference(base: gym.Env[Any, Any]) -> Callable[[int], Whitening] | None:
    """A function that finds the whitening of joint velocities under the reference policy; None without a spec.

    Its argument says how many steps late they are heard of: an episode's last ones never are.  The first call in a
    process rolls out some thousand steps of an environment of its own, a second or two, with a fixed seed: the same
    numbers every time on the same machine.
    """
    return None if base.spec is None else functools.partial(_velocities_of, base.spec)


_EPISODES: dict[str, list[Any]] = {}


def _velocities_of(spec: Any, lag: int) -> Whitening:
    key = repr(spec)
    if key not in _EPISODES:
        _EPISODES[key] = _rolled_out(spec)
    heard = [episode[: max(len(episode) - lag, 0)] for episode in _EPISODES[key]]
    enough = sum(map(len, heard)) > len(_EPISODES[key][0][0])  # not where the lag is longer than episodes
    return Whitening.from_samples(np.concatenate(heard if enough else _EPISODES[key]))


def _rolled_out(spec: Any) -> list[Any]:
    """Velocities (T, nv) before each step of some episodes of the reference policy."""
    # How long episodes are is in the statistics.  The base of a masked environment has no limit if it is given by id:
    # then the task's own.
    limit = spec.max_episode_steps
    if limit is None and spec.id in gym.registry:
        limit = gym.registry[spec.id].max_episode_steps
    with quiet_mujoco():
        base: gym.Env[Any, Any] = gym.make(spec, disable_env_checker=True, max_episode_steps=limit or EPISODE_STEPS)
    expert, rng, data = reference_expert(base), np.random.default_rng(0), base.unwrapped.data  # type: ignore[attr-defined]
    episodes: list[Any] = []
    while sum(map(len, episodes)) < VELOCITY_STEPS:
        state, _ = base.reset(seed=len(episodes))
        velocities, ended = [], False
        while not ended:
            velocities.append(data.qvel.copy())
            state, _, terminated, truncated, _ = base.step(_reference_action(expert, base.action_space, state, rng))
            ended = terminated or truncated
        episodes.append(np.array(velocities))
    base.close()
    return episodes


def _reference_action(expert: Expert | None, space: Any, state: Any, rng: np.random.Generator) -> Any:
    if expert is None:
        return rng.uniform(space.low, space.high).astype(space.dtype)
    noisy = expert.predict(state) + expert.info.reference_noise * rng.standard_normal(space.shape)
    return np.clip(noisy, space.low, space.high).astype(space.dtype)
