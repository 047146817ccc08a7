"""The last frames side by side on channels.

* ``FrameStack`` - for every image of the observation.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from masklam_envs.wrappers.checks import checked_whole, image_space, is_image
from masklam_envs.wrappers.outside import wrappers_of

__all__ = ["FrameStack"]


class FrameStack(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """The last frames on channels, oldest first; at a reset the first frame is repeated.

    Every image (H, W, C) of the observation becomes (H, W, C * n): ``pixels``, ``mask`` and ``clean`` of a ``Dict``, or
    the observation itself where it is one image.  Other keys stay as they are.  It is what
    :meth:`masklam_envs.data.Windows.observation` shows of recorded frames, and what Stable-Baselines3 reads as one
    image; Gymnasium's ``FrameStackObservation`` adds an axis instead, which SB3 would flatten.

    :param env: an environment with image observations
    :param frame_stack: n, how many frames, in [1, 64]
    :raises ValueError: when the number is out of range, the observation holds no image, or frames are stacked already

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import FrameStack
    >>> env = FrameStack(gym.make("MaskHopper-v0"), frame_stack=3)
    >>> env.observation_space["pixels"]
    Box(0, 255, (64, 64, 9), uint8)
    >>> env.observation_space["mask"]
    Box(0, 255, (64, 64, 3), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any], frame_stack: int = 3) -> None:
        frame_stack = checked_whole("FrameStack", "frame_stack", frame_stack, 1, 64)
        if inner := next((each for each in wrappers_of(env) if isinstance(each, FrameStack)), None):
            raise ValueError(
                f"FrameStack: the frames are stacked already, {inner.frame_stack} of them; give that wrapper another "
                "frame_stack instead"
            )
        space = env.observation_space
        found = space.spaces if isinstance(space, spaces.Dict) else {"": space}
        keys = [key for key, part in found.items() if is_image(part)]
        if not keys:
            raise ValueError(f"FrameStack needs images Box(0, 255, (H, W, C), uint8) in the observation, got {space}")
        RecordConstructorArgs.__init__(self, frame_stack=frame_stack)
        gym.Wrapper.__init__(self, env)
        self.frame_stack: int = frame_stack
        stacked: dict[str, Any] = {**found, **{key: _stacked(found[key], frame_stack) for key in keys}}
        self.observation_space = spaces.Dict(stacked) if isinstance(space, spaces.Dict) else stacked[""]
        self._frames: dict[str, deque[np.ndarray]] = {key: deque(maxlen=frame_stack) for key in keys}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode: every frame of the stack is the first one."""
        observation, info = self.env.reset(seed=seed, options=options)
        for _ in range(self.frame_stack - 1):
            self._push(observation)
        return self._push(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The newest frame joins the stack, the oldest leaves it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._push(observation), reward, terminated, truncated, info

    def _push(self, observation: Any) -> Any:
        seen = observation if isinstance(observation, dict) else {"": observation}
        shown = dict(seen)
        for key, frames in self._frames.items():
            frames.append(seen[key])
            shown[key] = np.concatenate(frames, axis=-1)
        return shown if isinstance(observation, dict) else shown[""]


def _stacked(space: Any, count: int) -> spaces.Box:
    height, width, channels = space.shape
    return image_space(height, width, channels * count)
