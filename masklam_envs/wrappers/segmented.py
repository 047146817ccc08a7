"""A mask for environments that have none, or a worse one.

* ``SegmentedMask`` - the mask is what a mask source of ``docs/masks.md`` finds in the pixels.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from masklam_envs.masks import EpisodeFaults
from masklam_envs.masks.sources import make_live_source
from masklam_envs.wrappers.checks import image_space, is_image

__all__ = ["SegmentedMask"]


class SegmentedMask(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """The mask is what a mask source finds in the pixels, frame by frame; a mask that is there already is replaced.

    For an environment of this package it is the same as its argument ``mask_source``, byte for byte.

    :param env: an environment whose observation is a ``Dict`` with ``pixels`` (H, W, 3) uint8
    :param source: a name, or ``{"name": ..., option: value}``, of a source that looks back only
    :raises TypeError, ValueError: when the environment has no such pixels, for an unknown source or option, or a source
        that needs the whole video

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import SegmentedMask
    >>> env = gym.make("MaskHopper-v0", observation=["pixels"])
    >>> env = SegmentedMask(env, {"name": "motion", "method": "difference"})
    >>> env.observation_space["mask"]
    Box(0, 255, (64, 64, 1), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any], source: Any) -> None:
        space = env.observation_space
        if not isinstance(space, spaces.Dict):
            raise TypeError(
                f"SegmentedMask needs a Dict observation with the key 'pixels', got {space}; apply it before wrappers "
                "that make one image"
            )
        pixels = space.spaces.get("pixels")
        if pixels is None or not is_image(pixels) or pixels.shape[2] != 3:  # type: ignore[index]  # images have a shape
            raise ValueError(
                f"SegmentedMask needs 'pixels' of one RGB frame, Box(0, 255, (H, W, 3), uint8), got {pixels}; "
                "stack frames after it"
            )
        made = make_live_source(source)
        if made is None:
            raise ValueError("SegmentedMask looks at pixels: 'simulator' is no source for it; name another one")
        RecordConstructorArgs.__init__(self, source=source)
        gym.Wrapper.__init__(self, env)
        self._source = made
        height, width, _ = pixels.shape  # type: ignore[misc]  # as above
        self.observation_space = spaces.Dict({**space.spaces, "mask": image_space(height, width, 1)})
        self._nothing = np.zeros((height, width, 1), np.uint8)
        self._episode = EpisodeFaults([], 0, source=made)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode: the source looks back no further."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._episode = EpisodeFaults([], 0, source=self._source)
        return self._segmented(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; its mask is found in its pixels."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._segmented(observation), reward, terminated, truncated, info

    def _segmented(self, observation: dict[str, Any]) -> dict[str, Any]:
        pixels: NDArray[np.uint8] = observation["pixels"]
        return {**observation, "mask": self._episode.step(pixels, self._nothing)[1]}
