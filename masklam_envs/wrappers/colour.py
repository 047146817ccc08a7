"""Other colours.

* ``MaskedPixels`` - one colour where the agent is not.
* ``Grayscale`` - brightness instead of colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from masklam_envs.wrappers.checks import changed, checked_colour, checked_spaces, image_keys

__all__ = ["Grayscale", "MaskedPixels"]

# Brightness of red, green and blue in 1 / 65536, which they sum to: the weights of Gymnasium's GrayscaleObservation.
# Whole numbers give the same bytes on every machine.
_BRIGHTNESS = np.array([13926, 46885, 4725], np.uint32)


class MaskedPixels(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """The agent's pixels on a background of one colour.

    ``pixels`` and ``clean`` keep their colour where the mask is 255, take ``colour`` where it is 0 and mix between.
    Each frame of a stack goes by its own mask.  The mask stays in the observation.

    :param env: an environment with ``pixels`` and ``mask``, in colour
    :param colour: of the background: red, green and blue in [0, 255]
    :raises TypeError, ValueError: when it has not, or the colour is none

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import MaskedPixels
    >>> env = MaskedPixels(gym.make("MaskHopper-v0"), colour=(128, 128, 128))
    >>> env.observation_space["pixels"]
    Box(0, 255, (64, 64, 3), uint8)
    >>> observation, _ = env.reset(seed=0)
    >>> bool((observation["pixels"][observation["mask"][..., 0] == 0] == 128).all())
    True
    """

    def __init__(self, env: gym.Env[Any, Any], colour: Sequence[int] = (128, 128, 128)) -> None:
        known = checked_spaces("MaskedPixels", env)
        rgb = checked_colour("MaskedPixels", colour)
        self._keys = _colour_keys("MaskedPixels", known)
        RecordConstructorArgs.__init__(self, colour=rgb)
        gym.ObservationWrapper.__init__(self, env)
        self._colour = np.array(rgb, np.uint16)

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with other pixels."""
        mask = observation["mask"][..., None].astype(np.uint16)  # (H, W, n, 1)
        return {**observation, **{key: self._masked(observation[key], mask) for key in self._keys}}

    def _masked(self, pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
        frames = pixels.reshape(*mask.shape[:3], 3)
        # At most 255 * 255 + 127, which 16 bits hold; exact where the mask is 0 or 255, rounded between.
        mixed = (frames * mask + self._colour * (255 - mask) + 127) // 255
        return mixed.astype(np.uint8).reshape(pixels.shape)


class Grayscale(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """``pixels`` and ``clean`` as brightness: 0.2125 red + 0.7154 green + 0.0721 blue, rounded; one channel a frame.

    :param env: an environment with ``pixels`` and ``mask``, in colour
    :raises TypeError, ValueError: when it has not

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import Grayscale
    >>> Grayscale(gym.make("MaskHopper-v0")).observation_space["pixels"]
    Box(0, 255, (64, 64, 1), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        known = checked_spaces("Grayscale", env)
        self._keys = _colour_keys("Grayscale", known)
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        frames: int = known["mask"].shape[2]  # type: ignore[index]  # images have a shape
        self.observation_space = changed(known, dict.fromkeys(self._keys, frames))

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with pixels (H, W, n)."""
        return {**observation, **{key: _brightness(observation[key]) for key in self._keys}}


def _brightness(pixels: np.ndarray) -> np.ndarray:
    height, width, channels = pixels.shape
    frames = pixels.reshape(height, width, channels // 3, 3).astype(np.uint32)
    # Column by column: three multiplications of whole images are faster than sums over an axis of three.
    summed = sum(frames[..., i] * _BRIGHTNESS[i] for i in range(3))
    return ((summed + 32768) >> 16).astype(np.uint8)


def _colour_keys(wrapper: str, known: dict[str, Any]) -> list[str]:
    """The keys of colour images.

    :raises ValueError: when an image has not three channels for each frame of the mask
    """
    keys = image_keys(known)
    frames = known["mask"].shape[2]
    for key in keys:
        if known[key].shape[2] != 3 * frames:
            raise ValueError(
                f"{wrapper} needs {key!r} in colour, 3 channels for each of the mask's {frames} frames, got "
                f"{known[key].shape}; apply it before Grayscale"
            )
    return keys
