"""What an agent's environment shows, through whatever wrappers lie between the two."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from masklam_envs import wrappers
from masklam_envs.view import View
from masklam_envs.wrappers.outside import ACTIONS, COLOURS, FRAMES, check_outside, complaint


def shown_view(env: Any) -> View | None:
    """The view through which an environment shows recorded physics; None where it is none of ``masklam_envs``.

    :param env: an environment, a ``VecEnv``, or None
    :raises ValueError: when a wrapper between agent and view changes frames or actions
    """
    inner = env.unwrapped if env is not None else None
    if isinstance(inner, VecEnv):
        view = inner.get_attr("view")[0] if inner.has_attr("view") else None
    else:
        view = getattr(inner, "view", None)
    if not isinstance(view, View):
        return None
    _check(env, "recorded physics is that of", (ACTIONS, FRAMES))
    return view


def check_single(env: Any) -> None:
    """Complain of Gymnasium's vector environments.

    :raises TypeError: for one of them
    """
    if isinstance(env, gym.vector.VectorEnv):
        raise TypeError(
            "env is one of Gymnasium's vector environments, and agents take those of Stable-Baselines3: use "
            "masklam_agents.MaskVecEnv(id, num_envs), DummyVecEnv, or a single environment"
        )


def check_colours(env: Any) -> None:
    """Complain of wrappers by which an agent would not see red, green and blue under ``pixels``.

    :raises ValueError: naming the wrapper
    """
    _check(env, "agents are for", (COLOURS,))


def _check(env: Any, taken: str, matters: Collection[str]) -> None:
    inner = env.unwrapped if isinstance(env, VecEnv) else env
    if isinstance(inner, DummyVecEnv):
        inner = inner.envs[0]
    if not isinstance(inner, VecEnv):
        check_outside(inner, taken, matters)
        return
    # Environments in other processes can only be asked for wrappers that are known here.
    for kind in (gym.ActionWrapper, *(getattr(wrappers, name) for name in wrappers.__all__)):
        if any(inner.env_is_wrapped(kind)):
            complaint(kind, taken, matters, "base")
