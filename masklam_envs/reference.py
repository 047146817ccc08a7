"""A task's reference policy, and the statistics of its actions.

A distractor's correlation is exact under the reference policy: the shipped expert with Gaussian action noise where a
task has an expert, uniform random actions everywhere else.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from masklam_envs.distractors import ActionReference
from masklam_envs.experts import Expert, load_expert
from masklam_envs.tasks import task_of_base


def reference_expert(base: gym.Env[Any, Any]) -> Expert | None:
    """The expert of the task whose physics ``base`` is, or None: also when its states or actions are scaled or cut."""
    task = task_of_base(base.spec.id) if base.spec is not None else None
    if task is None or task.expert is None:
        return None
    expert = load_expert(task.id)
    own_actions = spaces.Box(-1.0, 1.0, expert.action_mean.shape, np.float32)
    fits = base.action_space == own_actions and base.observation_space.shape == expert.obs_mean.shape
    return expert if fits else None


def action_reference(base: gym.Env[Any, Any]) -> ActionReference:
    """Mean and whitening of the reference policy's actions.

    :raises TypeError: when the action space is no bounded box of numbers
    """
    space = base.action_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise TypeError(f"the action space must be a Box of shape (A,), got {space}")
    expert = reference_expert(base)
    if expert is not None:
        return ActionReference.from_covariance(expert.action_mean, expert.action_covariance)
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise TypeError(f"the action space must be bounded so that actions can be whitened, got {space}")
    return ActionReference.uniform(space.low, space.high)
