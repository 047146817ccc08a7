"""Masks with pixels that are not the agent's.

* :class:`FalsePositives` - discs anywhere.
* :class:`GhostTaken` - part of a distractor's ghost.
"""

from __future__ import annotations

import math

import numpy as np

from masklam_envs.exact import sincos
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
        mask = self.before.at(t).copy()
        for y, x in self.numbers[t // self.fault.hold].reshape(-1, 2) * mask.shape[:2]:
            _add_disc(mask, y, x, self.fault.radius)
        return mask


def _add_disc(mask: Mask, y: float, x: float, radius: int) -> None:
    """Set the pixels whose centres lie at most ``radius`` from (y, x)."""
    top, left = max(int(y) - radius, 0), max(int(x) - radius, 0)
    near = mask[top : int(y) + radius + 1, left : int(x) + radius + 1, 0]
    rows, columns = np.arange(near.shape[0]) + (top + 0.5 - y), np.arange(near.shape[1]) + (left + 0.5 - x)
    near[rows[:, None] ** 2 + columns**2 <= radius**2] = 255


class GhostTaken(MaskFault):
    """A share of the ghost's pixels is taken for agent: those on one side of it.

    In each frame ``round(share * n)`` of the n pixels that ghosts change and that are not the agent's: the first ones
    in a direction of the image that is drawn once an episode, uniform over all angles.
    """

    needs_ghost = True

    def __init__(self, share: float) -> None:
        self.share = share

    def begin(self, masks: Masks, seeds: np.random.SeedSequence) -> Masks:
        """An episode's masks with part of the ghost."""
        return _WithGhost(masks, self.share, 2 * math.pi * float(FrameNumbers(seeds, 1)[0][0]))


class _WithGhost(FaultyMasks):
    def __init__(self, before: Masks, share: float, angle: float) -> None:
        super().__init__(before)
        self.share, (self.down, self.right) = share, sincos(angle)

    def at(self, t: int) -> Mask:
        mask = self.before.at(t).copy()
        rows, columns = np.nonzero(self.before.ghost(t)[..., 0])
        order = np.argsort(self.down * rows + self.right * columns, kind="stable")
        first = order[: round(self.share * len(order))]
        mask[rows[first], columns[first]] = 255
        return mask
