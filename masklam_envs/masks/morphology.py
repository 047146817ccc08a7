"""Masks that are too large or too small, always or in some frames.

* :class:`Dilation`, :class:`Erosion` - by a square of side ``2 * radius + 1``, as in the MaskLAM paper's question 6.
* :class:`Flicker` - in frames taken at random.
"""

from __future__ import annotations

import numpy as np

from masklam_envs.masks.episode import FaultyMasks, FrameFault, FrameNumbers, Mask, MaskFault, Masks


class Dilation(FrameFault):
    """Every pixel takes the largest value within ``radius`` pixels, rows and columns alike."""

    def __init__(self, radius: int) -> None:
        self.radius = radius

    def __call__(self, mask: Mask) -> Mask:
        """The dilated mask."""
        for axis in (0, 1):
            mask = _running_max(mask, self.radius, axis)
        return mask


class Erosion(FrameFault):
    """Every pixel takes the smallest value within ``radius`` pixels; outside the frame counts as agent."""

    def __init__(self, radius: int) -> None:
        self._dilate = Dilation(radius)

    def __call__(self, mask: Mask) -> Mask:
        """The eroded mask."""
        return 255 - self._dilate(255 - mask)


class Flicker(MaskFault):
    """In a share ``rate`` of the frames, each by itself, the mask is eroded or dilated.

    Both are equally likely, by a radius uniform in 1 .. ``radius``.
    """

    def __init__(self, rate: float, radius: int) -> None:
        self.rate, self.radius = rate, radius

    def begin(self, masks: Masks, seeds: np.random.SeedSequence) -> Masks:
        """An episode's flickering masks."""
        return _Flickering(masks, self, FrameNumbers(seeds, 3))


class _Flickering(FaultyMasks):
    def __init__(self, before: Masks, fault: Flicker, numbers: FrameNumbers) -> None:
        super().__init__(before)
        self.fault, self.numbers = fault, numbers

    def at(self, t: int) -> Mask:
        mask = self.before.at(t)
        happens, kind, size = self.numbers[t]
        if happens >= self.fault.rate or self.fault.radius == 0:
            return mask
        radius = 1 + int(size * self.fault.radius)
        return Erosion(radius)(mask) if kind < 0.5 else Dilation(radius)(mask)


def _running_max(mask: Mask, radius: int, axis: int) -> Mask:
    size = mask.shape[axis]
    out = mask.copy()
    for shift in range(1, min(radius, size - 1) + 1):
        low = [slice(None)] * mask.ndim
        high = [slice(None)] * mask.ndim
        low[axis], high[axis] = slice(0, size - shift), slice(shift, size)
        np.maximum(out[tuple(low)], mask[tuple(high)], out=out[tuple(low)])
        np.maximum(out[tuple(high)], mask[tuple(low)], out=out[tuple(high)])
    return out
