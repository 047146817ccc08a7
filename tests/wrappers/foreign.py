"""An environment of somebody else: pixels and mask, no physics, no MuJoCo."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

ID = "Foreign-v0"


class ForeignEnv(gym.Env[dict[str, Any], Any]):
    """A square that moves by the action on noise; ends after ``steps``."""

    def __init__(self, height: int = 40, width: int = 48, steps: int = 7, noise: bool = True) -> None:
        self.size, self.steps, self.noise = (height, width), steps, noise
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = spaces.Dict(
            pixels=spaces.Box(0, 255, (height, width, 3), np.uint8),
            mask=spaces.Box(0, 255, (height, width, 1), np.uint8),
            place=spaces.Box(0, 100, (2,), np.float32),
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place, self.t = self.np_random.uniform(5, 25, 2), 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.place = np.clip(self.place + 3 * np.asarray(action, float), 0, 30)
        self.t += 1
        return self._observe(), float(self.place[0]), False, self.t == self.steps, {}

    def _observe(self) -> dict[str, Any]:
        y, x = self.place.astype(int)
        mask = np.zeros((*self.size, 1), np.uint8)
        mask[y : y + 10, x : x + 10] = 255
        pixels = self.np_random.integers(0, 256, (*self.size, 3), np.uint8)
        if not self.noise:
            pixels[:] = 90
        pixels[mask[..., 0] == 255] = (250, 30, 60)
        return {"pixels": pixels, "mask": mask, "place": self.place.astype(np.float32)}


def make(**kwargs: Any) -> gym.Env[Any, Any]:
    """One of it, with a spec."""
    if ID not in gym.registry:
        gym.register(ID, "tests.wrappers.foreign:ForeignEnv", disable_env_checker=True)
    return gym.make(ID, **kwargs)
