"""Random walks between bounds: what ``camera``, ``colour`` and ``light`` are made of."""

from __future__ import annotations

import numpy as np

from masklam_envs.distractors.base import Context, Float32Array, Float64Array, Part


class BoundedWalk(Part):
    """Columns that start anywhere between their bounds, uniformly, and take clipped Gaussian steps.

    :param low: (width,) lower bounds
    :param high: (width,) upper bounds
    :param std: standard deviation of a step, one number or (width,)
    """

    def __init__(self, context: Context, low: Float64Array, high: Float64Array, std: float | Float64Array) -> None:
        super().__init__(context)
        self.width = len(low)
        self.low, self.high, self.std = low, high, std

    def start(self, rng: np.random.Generator) -> Float64Array:
        """Anywhere: (width,)."""
        return self.low + rng.random(self.width) * (self.high - self.low)

    def advance(
        self, rng: np.random.Generator, row: Float64Array, actions: Float64Array, states: Float32Array
    ) -> Float64Array:
        """One clipped step after the other: (T, width)."""
        steps = self.std * rng.standard_normal((len(actions), self.width))
        for step in steps:
            step += row
            np.minimum(np.maximum(step, self.low, out=step), self.high, out=step)
            row = step
        return steps
