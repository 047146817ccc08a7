"""What to say of a keyword argument that the environments do not take: what was meant, most likely."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from masklam_envs.errors import unknown_name

# Arguments of others, and what takes their place here.
ELSEWHERE = {
    "frame_stack": "frames are stacked by a wrapper, masklam_envs.wrappers.FrameStack(env, frame_stack={value!r})",
    "max_episode_steps": "a time limit is a wrapper of the base, gymnasium.wrappers.TimeLimit(base, {value!r})",
    "num_envs": "several environments are made by gymnasium.make_vec(id, num_envs={value!r})",
    "seed": "the seed is given to env.reset(seed={value!r})",
}


def unknown_argument(name: str, value: Any, known: Iterable[str], base: Any) -> str:
    """The message for a keyword argument that is not known.

    :param name: of the argument
    :param value: what was given for it
    :param known: the names of those that are
    :param base: the base environment, or the entry point that its id is registered with
    """
    if name in ELSEWHERE:
        return f"{name!r} is no argument of a masked environment: {ELSEWHERE[name].format(value=value)}"
    made = isinstance(base, gym.Env)
    if name in base_arguments(type(base.unwrapped) if made else base):
        cure = "give it where you make the base" if made else f"give base_kwargs={{{name!r}: {value!r}}}"
        return f"{name!r} is an argument of the base environment: {cure}"
    return unknown_name("argument", name, known)


def base_arguments(creator: Any) -> tuple[str, ...]:
    """The names of what a base environment is made with.

    :param creator: its class, a function that makes it, or ``"module:name"`` of one
    """
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(each.name for each in inspect.signature(creator).parameters.values() if each.kind in named)
