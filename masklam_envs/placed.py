"""Environments whose goals and fixtures are moved by writing into the model, or are mocap bodies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import mujoco
from gymnasium.utils import EzPickle

from masklam_envs.drawn_model import DrawnModel, ShowsDrawnModel
from masklam_envs.env import physics_env


class PlacedEnv(ShowsDrawnModel, gym.Env[Any, Any], EzPickle):
    """An environment with a model for drawing in which what its task moves about is a part of the positions.

    Frames are drawn from positions (``qpos``), live and again from recordings.  A goal that ``reset`` puts elsewhere by
    ``model.body("goal").pos = ...``, or a mocap body, is in none of them.  Here each hangs on a free joint, so it is
    drawn where it is, recorded, and can be shown by a mask (``mask_target="object"``).  Visible sites, the usual goal
    markers, are drawn too.  Physics, observations and rewards are the environment's own.

    ::

        env = make_masked(PlacedEnv(MyArm(), ["body:goal"]), distractor="video", mask_target="object")

    :param env: a Gymnasium environment whose ``unwrapped`` has MuJoCo's ``model`` and ``data``
    :param placed: what is moved, all of it fixed in the world: ``"body:goal"`` (also a mocap body), ``"geom:target"``,
        ``"site:goal"``, ``"light:sun"``; empty: sites are drawn, nothing else changes
    :param source: the file that the model was compiled from, or its XML; None: the file that the environment names as
        Gymnasium's do (``fullpath``)
    :raises TypeError: when the environment is no MuJoCo environment, or masked already
    :raises ValueError: when a thing does not exist, is not fixed in the world or has joints, the source is unknown, or
        it is not the environment's
    """

    def __init__(
        self, env: gym.Env[Any, Any], placed: Sequence[str] = (), source: str | os.PathLike[str] | None = None
    ) -> None:
        EzPickle.__init__(self, env, placed, source)
        physics = physics_env(env)
        self.env = env
        self._drawn = DrawnModel(_spec(physics, source), physics.model, [placed] if isinstance(placed, str) else placed)
        self.metadata = env.metadata
        self.action_space, self.observation_space = env.action_space, env.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode of the environment."""
        super().reset(seed=seed)
        state, info = self.env.reset(seed=seed, options=options)
        self._follow()
        return state, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        outcome = self.env.step(action)
        self._follow()
        return outcome

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _follow(self) -> None:
        self._drawn.place()
        self._drawn.follow(self.env.unwrapped.data)  # type: ignore[attr-defined]


def _spec(physics: Any, source: str | os.PathLike[str] | None) -> Any:
    """What the model was compiled from."""
    if source is None:
        source = getattr(physics, "fullpath", None)
        if source is None:
            raise ValueError(
                f"{type(physics).__name__} does not say which file its model is of (no `fullpath`): give source=, a "
                "path or the XML"
            )
    text = os.fspath(source)
    return (mujoco.MjSpec.from_string if text.lstrip().startswith("<") else mujoco.MjSpec.from_file)(text)
