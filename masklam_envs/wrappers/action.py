"""Actions that last longer.

* ``ActionRepeat`` - each for some steps.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from masklam_envs.wrappers.checks import checked_whole

__all__ = ["ActionRepeat"]


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """An action is taken ``repeat`` times; the rewards are summed, the last observation and info are returned.

    It stops early at the episode's end.  A time limit inside counts the single steps.  Gymnasium has the same since 1.3
    as ``RepeatAction``.

    :param env: any environment
    :param repeat: how many times, in [1, 1000]
    :raises ValueError: when the number is out of range

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import ActionRepeat
    >>> env = ActionRepeat(gym.make("MaskHopper-v0"), repeat=4)
    >>> env.observation_space["pixels"]
    Box(0, 255, (64, 64, 3), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any], repeat: int) -> None:
        repeat = checked_whole("ActionRepeat", "repeat", repeat, 1, 1000)
        RecordConstructorArgs.__init__(self, repeat=repeat)
        gym.Wrapper.__init__(self, env)
        self.repeat = repeat

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Up to ``repeat`` steps of the environment."""
        summed = 0.0
        for _ in range(self.repeat):
            observation, reward, terminated, truncated, info = self.env.step(action)
            summed += float(reward)
            if terminated or truncated:
                break
        return observation, summed, terminated, truncated, info
