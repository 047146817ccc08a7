"""Masks that come late or not at all.

* :class:`Dropout` - the whole mask is empty in some frames, alone or in bursts.
* :class:`Latency` - the mask is that of some frames ago.
"""

from __future__ import annotations

import numpy as np

from masklam_envs.masks.episode import FaultyMasks, FrameNumbers, Mask, MaskFault, Masks


class Dropout(MaskFault):
    """The mask is empty in a share ``rate`` of the frames.

    At every frame an outage of ``burst`` frames begins with probability ``1 - (1 - rate) ** (1 / burst)``; outages may
    overlap.  With ``burst`` 1 each frame is lost by itself.  An episode starts in the steady state: an outage may have
    begun before its first frame.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self.burst = burst
        self.begins = 1.0 - (1.0 - rate) ** (1.0 / burst)

    def begin(self, masks: Masks, seeds: np.random.SeedSequence) -> Masks:
        """An episode's masks with outages."""
        return _Dropping(masks, self, FrameNumbers(seeds, 1, reach=self.burst))


class _Dropping(FaultyMasks):
    def __init__(self, before: Masks, fault: Dropout, numbers: FrameNumbers) -> None:
        super().__init__(before)
        self.fault, self.numbers = fault, numbers

    def at(self, t: int) -> Mask:
        mask = self.before.at(t)
        # The numbers of frame t and of the burst - 1 frames before it; those of an episode start before frame 0.
        lost = (self.numbers.span(t, t + self.fault.burst) < self.fault.begins).any()
        return np.zeros_like(mask) if lost else mask


class Latency(MaskFault):
    """The mask of ``frames`` frames ago; the first frame's until there is one."""

    def __init__(self, frames: int) -> None:
        self.memory = frames

    def begin(self, masks: Masks, seeds: np.random.SeedSequence) -> Masks:
        """An episode's masks, late."""
        return _Late(masks, self.memory)


class _Late(FaultyMasks):
    def __init__(self, before: Masks, frames: int) -> None:
        super().__init__(before)
        self.frames = frames

    def at(self, t: int) -> Mask:
        return self.before.at(max(t - self.frames, 0))
