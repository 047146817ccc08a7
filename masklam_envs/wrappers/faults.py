"""Faults of the mask, for environments that have none of their own.

* ``MaskFaults`` - erosion, dropout, latency and the others of ``docs/masks.md``.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from masklam_envs.masks import EpisodeFaults, make_faults
from masklam_envs.wrappers.checks import checked_spaces
from masklam_envs.wrappers.outside import wrappers_of

__all__ = ["MaskFaults"]


class MaskFaults(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """The mask with faults, as ``docs/masks.md`` defines them.

    For an environment of this package it is the same as its argument ``mask_faults``, byte for byte.  Elsewhere chance
    comes from a stream of its own, made from the seed of the last seeded reset.

    :param env: an environment with ``pixels`` and ``mask`` of one frame
    :param faults: a name, ``{"name": ..., option: value}``, or a list of these, applied in order
    :raises TypeError, ValueError: when the environment has not, or for an unknown fault or option

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import MaskFaults
    >>> env = MaskFaults(gym.make("MaskHopper-v0"), ["erosion", {"name": "latency", "frames": 2}])
    >>> env.observation_space["mask"]
    Box(0, 255, (64, 64, 1), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any], faults: Any) -> None:
        known = checked_spaces("MaskFaults", env)
        if known["mask"].shape[2:] != (1,):  # type: ignore[index]  # images have a shape
            raise ValueError(
                f"MaskFaults needs masks (H, W, 1) of one frame, got {known['mask']}; stack frames after it"
            )
        made = make_faults(faults)
        # A fault that cannot be live is an error here, not at the first reset.
        if EpisodeFaults(made, 0).needs_ghost:
            raise ValueError(
                "MaskFaults does not know a distractor's ghost; give the environment itself mask_faults='ghost'"
            )
        RecordConstructorArgs.__init__(self, faults=faults)
        gym.Wrapper.__init__(self, env)
        self._made, self._before = made, _faults_inside(env)
        self._seeds: np.random.SeedSequence | None = None
        self._episode = EpisodeFaults(made, 0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode, and its faults."""
        from masklam_envs.env import next_distractor_seed

        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None or self._seeds is None:
            self._seeds = np.random.SeedSequence(seed)
        own = next_distractor_seed(self._seeds)
        self._episode = EpisodeFaults(self._made, int(info.get("distractor_seed", own)), before=self._before)
        return self._faulty(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; its mask is the next of the episode."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._faulty(observation), reward, terminated, truncated, info

    def _faulty(self, observation: dict[str, Any]) -> dict[str, Any]:
        pixels, mask = self._episode.step(observation["pixels"], observation["mask"])
        return {**observation, "pixels": pixels, "mask": mask}


def _faults_inside(env: gym.Env[Any, Any]) -> int:
    """How many faults the masks of an environment have already."""
    own = getattr(getattr(env.unwrapped, "view", None), "faults", ())
    return len(own) + sum(len(each._made) for each in wrappers_of(env) if isinstance(each, MaskFaults))
