"""The observation as one image.

* ``MaskChannel`` - the pixels with the mask as a channel more.
* ``MaskOnly`` - the mask.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from masklam_envs.wrappers.checks import checked_spaces, image_space

__all__ = ["MaskChannel", "MaskOnly"]


class MaskChannel(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """One image: red, green, blue and, as fourth channel, the mask.  Other keys are left out.

    Of n stacked frames the n masks come after all colours; to have each frame's mask beside its colours, stack after
    this wrapper.

    :param env: an environment with ``pixels`` and ``mask``
    :raises TypeError, ValueError: when it has not

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import FrameStack, MaskChannel
    >>> env = MaskChannel(gym.make("MaskHopper-v0"))
    >>> env.observation_space
    Box(0, 255, (64, 64, 4), uint8)
    >>> FrameStack(env, frame_stack=3).observation_space
    Box(0, 255, (64, 64, 12), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        known: dict[str, Any] = checked_spaces("MaskChannel", env)
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        height, width, colours = known["pixels"].shape
        self.observation_space = image_space(height, width, colours + known["mask"].shape[2])

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        """Pixels and mask (H, W, C + n) uint8."""
        return np.concatenate((observation["pixels"], observation["mask"]), axis=-1)


class MaskOnly(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """One image: the mask.  What a policy can do that sees the agent's outline and nothing else.

    :param env: an environment with ``pixels`` and ``mask``
    :raises TypeError, ValueError: when it has not

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import MaskOnly
    >>> MaskOnly(gym.make("MaskHopper-v0")).observation_space
    Box(0, 255, (64, 64, 1), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        known = checked_spaces("MaskOnly", env)
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        self.observation_space = known["mask"]

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        """The mask (H, W, n) uint8."""
        mask: np.ndarray = observation["mask"]
        return mask
