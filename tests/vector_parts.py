"""Parts of distractors that a batch cannot move or draw together, for the tests of the vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np

from masklam_envs.distractors import Backdrop, Part
from masklam_envs.rendering.look import LightChange


class Walk(Part):
    """A bounded walk, which needs a loop, that darkens the picture's place."""

    width = 1

    def start(self, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-1, 1, 1)

    def advance(self, rng: np.random.Generator, row: Any, actions: Any, states: Any) -> np.ndarray:
        rows = []
        for action, state, step in zip(actions, states, rng.standard_normal((len(actions), 1)), strict=True):
            row = np.clip(row + 0.1 * step + 0.1 * action[:1] + 0.01 * state[-1:], -1, 1)
            rows.append(row)
        return np.array(rows)

    def paint(self, row: Any, backdrop: Backdrop) -> None:
        backdrop.x += 10 * float(row[0])


class Turn(Part):
    """Footage that turns by whole numbers drawn at random."""

    width = 1

    def start(self, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(1)

    def increments(self, rng: np.random.Generator, actions: Any, states: Any) -> np.ndarray:
        return 0.1 * rng.integers(0, 3, size=(len(actions), 1))

    def paint(self, row: Any, backdrop: Backdrop) -> None:
        backdrop.turn += float(row[0])


class Light(Part):
    """Light that comes and goes with the body's height."""

    width = 0

    def start(self, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(0)

    def paint(self, row: Any, backdrop: Backdrop) -> None:
        if backdrop.qpos[1] > 0:
            backdrop.light = LightChange(gain=(0.5, 1.0, 1.0))
