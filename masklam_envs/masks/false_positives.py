"""Masks with pixels that are not the agent's."""

from __future__ import annotations

import numpy as np

from masklam_envs.masks.episode import FaultyMasks, FrameNumbers, Mask, MaskFault, Masks


class FalsePositives(MaskFault):
    """``count`` discs of ``radius`` pixels are taken for agent.

    Their centres are uniform over the frame and stay for ``hold`` frames; then new ones are drawn.
    """

    def __init__(self, count: int, radius: int, hold: int) -> None:
        self.count, self.radius, self.hold = count, radius, hold

    def begin(self, masks: Masks, seeds: np.random.SeedSequence) -> Masks:
        """An episode's masks with discs added."""
        return _WithDiscs(masks, self, FrameNumbers(seeds, 2 * self.count))


class _WithDiscs(FaultyMasks):
    def __init__(self, before: Masks, fault: FalsePositives, numbers: FrameNumbers) -> None:
        super().__init__(before)
        self.fault, self.numbers = fault, numbers

    def at(self, t: int) -> Mask:
        mask = self.before.at(t)
        height, width = mask.shape[:2]
        centres = self.numbers[t // self.fault.hold].reshape(-1, 2) * (height, width)
        rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
        far = (rows[:, None] - centres[:, 0]) ** 2
        aside = (columns[:, None] - centres[:, 1]) ** 2
        near = (far[:, None] + aside[None] <= self.fault.radius**2).any(axis=2, keepdims=True)
        return np.where(near, np.uint8(255), mask)
