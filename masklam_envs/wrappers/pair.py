"""The same step with and without distractor.

* ``CleanPair`` - ``clean`` beside ``pixels``.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from masklam_envs.wrappers.checks import checked_spaces
from masklam_envs.wrappers.colour import MaskedPixels
from masklam_envs.wrappers.outside import wrappers_of

__all__ = ["CleanPair"]


class CleanPair(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Adds the key ``clean``: the frame of the same step without distractor.

    An environment of this package draws it from the same state; wrap that before others change the frames.  Any other
    environment is stepped in two copies: ``twin`` names the arguments of ``gymnasium.make`` that switch the distraction
    off, the copy gets the same seeds and actions, and its ``pixels`` are the clean ones.

    :param env: an environment with ``pixels`` and ``mask``
    :param twin: arguments of the undistracted copy, e.g. ``{"distraction": False}``; None for environments of this
        package
    :raises TypeError, ValueError: when the environment has not, cannot be copied, or has ``clean`` already

    >>> import gymnasium as gym, masklam_envs
    >>> from masklam_envs.wrappers import CleanPair
    >>> env = CleanPair(gym.make("MaskHopper-v0"))
    >>> env.observation_space["clean"]
    Box(0, 255, (64, 64, 3), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any], twin: dict[str, Any] | None = None) -> None:
        known = checked_spaces("CleanPair", env)
        if "clean" in known:
            raise ValueError("CleanPair: the observation has the key 'clean' already; use it as it is")
        RecordConstructorArgs.__init__(self, twin=twin)
        gym.Wrapper.__init__(self, env)
        if any(isinstance(wrapper, MaskedPixels) for wrapper in wrappers_of(env)):
            raise ValueError(
                "CleanPair: MaskedPixels inside it paints the background over, and the clean frames would keep theirs; "
                "apply CleanPair before it"
            )
        self._twin = _Drawn(env) if twin is None else _Copy(env, twin)
        self._seeded = False
        if known["pixels"] != self._twin.space:
            raise ValueError(
                f"CleanPair: the clean frames are {self._twin.space}, the pixels {known['pixels']}; apply it before "
                "wrappers that change frames"
            )
        self.observation_space = spaces.Dict({**known, "clean": known["pixels"]})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode, in both copies."""
        if seed is None and not self._seeded:
            # Two copies need one seed even where the caller does not care which.
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._seeded = True
        observation, info = self.env.reset(seed=seed, options=options)
        return {**observation, "clean": self._twin.reset(seed, options)}, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step, in both copies.

        :raises RuntimeError: when the copies have parted
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        clean = self._twin.step(action, (float(reward), terminated, truncated))
        return {**observation, "clean": clean}, reward, terminated, truncated, info

    def close(self) -> None:
        """Close both copies."""
        self._twin.close()
        super().close()


class _Drawn:
    """Clean frames of an environment that can draw them itself."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        base: Any = env.unwrapped
        if not hasattr(base, "draw_clean"):
            raise TypeError(
                f"CleanPair: {type(base).__name__} cannot draw the frame without distractor; name the arguments of "
                "gymnasium.make that switch the distraction off: CleanPair(env, twin={...})"
            )
        self.base = base
        image: Any = base.observation_space["pixels"]
        self.space = spaces.Box(image.low, image.high, image.shape, image.dtype)

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Any:
        return self.base.draw_clean()

    def step(self, action: Any, outcome: tuple[float, bool, bool]) -> Any:
        return self.base.draw_clean()

    def close(self) -> None:
        """The environment is the wrapper's to close."""


class _Copy:
    """Clean frames of a second environment in step with the first."""

    def __init__(self, env: gym.Env[Any, Any], changes: dict[str, Any]) -> None:
        if env.spec is None:
            raise TypeError("CleanPair: twin needs an environment made by gymnasium.make, whose copy can be made")
        self.env = gym.make(env.spec, **changes)
        self.space: Any = checked_spaces("CleanPair's twin", self.env)["pixels"]

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Any:
        return self.env.reset(seed=seed, options=options)[0]["pixels"]

    def step(self, action: Any, outcome: tuple[float, bool, bool]) -> Any:
        observation, reward, terminated, truncated, _ = self.env.step(action)
        if (float(reward), terminated, truncated) != outcome:
            raise RuntimeError(
                f"CleanPair: after the same actions the copy without distractor gives (reward, terminated, truncated) "
                f"{(float(reward), terminated, truncated)} instead of {outcome}: it is another environment, or not "
                "fixed by its seed"
            )
        return observation["pixels"]

    def close(self) -> None:
        self.env.close()
