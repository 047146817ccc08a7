"""Frames of another size.

* ``Resize`` - averaged over areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from masklam_envs.masks.threshold import hard
from masklam_envs.optional import opencv
from masklam_envs.wrappers.checks import checked_spaces, checked_whole, image_keys, image_space

__all__ = ["Resize"]


class Resize(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """``pixels``, ``mask`` and ``clean`` in another size, by OpenCV.

    Averaged over areas when both sides shrink, linear between pixels otherwise.

    :param env: an environment with ``pixels`` and ``mask``
    :param size: side in pixels, or height and width, in [1, 4096]
    :param soft_mask: True: the mask is the share of the agent in each pixel, in 1 / 255; False: 255 where that is at
        least half (128), else 0
    :raises TypeError, ValueError: when the environment has not, or the size is out of range
    :raises ImportError: when OpenCV cannot be imported

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import Resize
    >>> env = Resize(gym.make("MaskHopper-v0", image_size=128), size=48)
    >>> env.observation_space["pixels"], env.observation_space["mask"]
    (Box(0, 255, (48, 48, 3), uint8), Box(0, 255, (48, 48, 1), uint8))
    """

    def __init__(self, env: gym.Env[Any, Any], size: int | Sequence[int], soft_mask: bool = False) -> None:
        known = checked_spaces("Resize", env)
        height, width = _checked_size(size)
        if not isinstance(soft_mask, bool):
            raise ValueError(f"Resize: soft_mask must be True or False, got {soft_mask!r}")
        RecordConstructorArgs.__init__(self, size=[height, width], soft_mask=soft_mask)
        gym.ObservationWrapper.__init__(self, env)
        self.size, self.soft_mask = (height, width), soft_mask
        self._keys = [*image_keys(known), "mask"]
        images: dict[str, Any] = {key: known[key] for key in self._keys}
        new = {key: image_space(height, width, space.shape[2]) for key, space in images.items()}
        self.observation_space = spaces.Dict({**known, **new})
        frames = images["mask"].shape[2]
        channels = {key: space.shape[2] // frames for key, space in images.items()}
        self._channels = {key: count if count <= 4 else 1 for key, count in channels.items()}

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation in the other size."""
        resized = {key: resize(observation[key], self.size, self._channels[key]) for key in self._keys}
        if not self.soft_mask:
            resized["mask"] = hard(resized["mask"])
        return {**observation, **resized}


def resize(image: np.ndarray, size: tuple[int, int], channels: int) -> np.ndarray:
    """An image (h, w, C) uint8 as (H, W, C): averaged over areas where both sides shrink, else linear.

    So many channels at a time, at most 4: OpenCV rounds halves by the number of channels, and a frame of a stack is to
    look as it does alone.
    """
    cv2 = opencv()
    height, width = image.shape[:2]
    method = cv2.INTER_AREA if size[0] <= height and size[1] <= width else cv2.INTER_LINEAR
    out = np.empty((*size, image.shape[2]), np.uint8)
    for first in range(0, image.shape[2], channels):
        some = slice(first, first + channels)
        part = cv2.resize(np.ascontiguousarray(image[..., some]), size[::-1], interpolation=method)
        out[..., some] = part.reshape(*size, -1)
    return out


def _checked_size(size: Any) -> tuple[int, int]:
    sides = [size, size] if isinstance(size, (int, np.integer)) else size
    if not isinstance(sides, Sequence) or isinstance(sides, str) or len(sides) != 2:
        raise ValueError(f"Resize: size must be one side in pixels, or height and width, got {size!r}")
    height, width = (checked_whole("Resize", "size", side, 1, 4096) for side in sides)
    return height, width
