"""The masks of one episode, and what faults make of them.

A fault with memory (a late mask, an outage of several frames) is still a pure function of the seed and the true masks:
it may be asked for any frame in any order and answers the same.  So a live environment, which shows one frame after the
other, and recorded data, which is drawn in any order, get the same bytes.

* :class:`Seen` - the true masks of a frame.
* :class:`Masks` - the masks of an episode by the number of the frame.
* :class:`TrueMasks` - those before any fault.
* :class:`FoundMasks` - those a mask source finds in the pixels instead of the true ones.
* :class:`FaultyMasks` - base of what a fault makes of the masks before it.
* :class:`MaskFault`, :class:`FrameFault` - a fault as configured, for all episodes.
* :class:`FrameNumbers` - random numbers by the number of the frame.
* :class:`EpisodeFaults` - all faults of an episode in order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklam_envs.masks.sources import MaskSource, memory_of, segment
from masklam_envs.masks.threshold import hard

Mask = NDArray[np.uint8]
Pixels = NDArray[np.uint8]

# Spawn keys of faults start with this number: apart from those of a distractor's parts, which have one small number.
STREAM = 0x6D61736B


class Seen(NamedTuple):
    """What is true of a frame: the agent's mask and, where a fault asks for it, the pixels of a distractor's ghosts.

    Both are (H, W, 1) uint8, 255 or 0.  ``pixels`` (H, W, 3) uint8 are there where a mask source looks at them.
    """

    mask: Mask
    ghost: Mask | None = None
    pixels: Pixels | None = None


class Masks(ABC):
    """The masks (H, W, 1) uint8 of an episode.

    ``length`` is the number of its frames, or None while the episode runs: then only frames seen so far exist.
    """

    length: int | None

    @abstractmethod
    def at(self, t: int) -> Mask:
        """The mask of frame ``t``, counted from 0; not to be written to."""

    @abstractmethod
    def ghost(self, t: int) -> Mask:
        """The pixels of ghosts in frame ``t``; not to be written to."""

    def paint(self, t: int, pixels: Pixels) -> Pixels:
        """What is left to see of frame ``t``'s pixels (H, W, 3)."""
        return pixels


class TrueMasks(Masks):
    """Masks before any fault: the last few are kept, others are drawn again.

    :param keep: how many are kept
    :param length: frames of the episode, None while it runs
    :param draw: draws the masks of a frame, None where the episode cannot be drawn again
    """

    def __init__(self, keep: int, length: int | None = None, draw: Callable[[int], Seen] | None = None) -> None:
        self.keep, self.length, self.draw = keep, length, draw
        self._kept: dict[int, Seen] = {}

    def put(self, t: int, seen: Seen) -> None:
        """Keep the masks of frame ``t`` and forget those kept longest."""
        self._kept.pop(t, None)
        self._kept[t] = seen
        if len(self._kept) > self.keep:
            del self._kept[next(iter(self._kept))]

    def at(self, t: int) -> Mask:
        """The mask of frame ``t``.

        :raises LookupError: when it is not kept and cannot be drawn
        """
        return self._seen(t).mask

    def ghost(self, t: int) -> Mask:
        """The pixels of ghosts in frame ``t``.

        :raises LookupError: when they were not given
        """
        ghost = self._seen(t).ghost
        if ghost is None:
            raise LookupError("the mask fault 'ghost' was not told which pixels are the ghost's")
        return ghost

    def pixels(self, t: int) -> Pixels:
        """The pixels of frame ``t``.

        :raises LookupError: when they were not given
        """
        pixels = self._seen(t).pixels
        if pixels is None:
            raise LookupError(f"the mask source was not told the pixels of frame {t}")
        return pixels

    def _seen(self, t: int) -> Seen:
        if t not in self._kept:
            if self.draw is None:
                raise LookupError(f"the mask of frame {t} is no longer kept; show the frames one after the other")
            self.put(t, self.draw(t))
        return self._kept[t]


class FoundMasks(Masks):
    """What a mask source finds in the pixels of an episode, instead of the true masks.

    :param true: has the pixels
    :param source: looks at a frame and at so many before it
    :param memory: how many before it
    :param keep: how many masks are kept for faults that look back
    """

    def __init__(self, true: TrueMasks, source: MaskSource, memory: int, keep: int) -> None:
        self.true, self.source, self.memory, self.keep = true, source, memory, keep
        self.length = true.length
        self._kept: dict[int, Mask] = {}

    def at(self, t: int) -> Mask:
        """The mask of frame ``t``."""
        if t not in self._kept:
            frames = np.stack([self.true.pixels(s) for s in range(max(t - self.memory, 0), t + 1)])
            if len(self._kept) == self.keep:
                del self._kept[next(iter(self._kept))]
            self._kept[t] = hard(segment(self.source, frames)[-1])[..., None]
        return self._kept[t]

    def ghost(self, t: int) -> Mask:
        """The pixels of ghosts in frame ``t``."""
        return self.true.ghost(t)


class FaultyMasks(Masks):
    """What a fault makes of the masks before it; subclasses override ``at``, and ``paint`` where pixels change too.

    :param before: the masks it sees
    """

    def __init__(self, before: Masks) -> None:
        self.before, self.length = before, before.length

    def ghost(self, t: int) -> Mask:
        """The pixels of ghosts in frame ``t``."""
        return self.before.ghost(t)

    def paint(self, t: int, pixels: Pixels) -> Pixels:
        """What is left to see of frame ``t``'s pixels (H, W, 3)."""
        return self.before.paint(t, pixels)


class MaskFault(ABC):
    """A fault as configured.

    ``memory`` is how many frames it looks back: its masks at frame t depend on frames t - memory .. t, and on what it
    noted of earlier frames when they were shown.  ``needs_ghost``: it asks which pixels are a ghost's.  ``paints``: it
    changes pixels, too.
    """

    memory: int = 0
    needs_ghost: bool = False
    paints: bool = False

    @abstractmethod
    def begin(self, masks: Masks, seeds: np.random.SeedSequence) -> Masks:
        """What it makes of an episode's masks.

        :param seeds: the fault's own in this episode
        :raises ValueError: when it needs the whole episode and the episode still runs
        """


class FrameFault(MaskFault):
    """A fault of every frame by itself, without chance: ``fault(mask)``."""

    @abstractmethod
    def __call__(self, mask: Mask) -> Mask:
        """The faulty mask, a fresh array of the same shape."""

    def begin(self, masks: Masks, seeds: np.random.SeedSequence) -> Masks:
        """The same change of every mask."""
        return _EveryFrame(masks, self)


class _EveryFrame(FaultyMasks):
    def __init__(self, before: Masks, fault: FrameFault) -> None:
        super().__init__(before)
        self.fault = fault

    def at(self, t: int) -> Mask:
        return self.fault(self.before.at(t))


class FrameNumbers:
    """Uniform random numbers in [0, 1) by the number of the frame, the same in whatever order they are asked for.

    :param seeds: of the stream
    :param width: numbers of a frame
    :param reach: frames of the longest span that will be asked for
    """

    _BLOCK = 64  # frames whose numbers are drawn together

    def __init__(self, seeds: np.random.SeedSequence, width: int, reach: int = 1) -> None:
        self.seeds, self.width = seeds, width
        self._kept = 2 + reach // self._BLOCK  # blocks: as many as a span touches
        self._blocks: dict[int, NDArray[np.float64]] = {}

    def __getitem__(self, t: int) -> NDArray[np.float64]:
        """The numbers (width,) of frame ``t``."""
        return self._block(t // self._BLOCK)[t % self._BLOCK]

    def span(self, first: int, end: int) -> NDArray[np.float64]:
        """The numbers (end - first, width) of some frames in a row."""
        blocks = range(first // self._BLOCK, (end - 1) // self._BLOCK + 1)
        skip = first - blocks.start * self._BLOCK
        return np.concatenate([self._block(b) for b in blocks])[skip : skip + end - first]

    def _block(self, number: int) -> NDArray[np.float64]:
        if number not in self._blocks:
            seeds = np.random.SeedSequence(self.seeds.entropy, spawn_key=(*self.seeds.spawn_key, number))
            if len(self._blocks) == self._kept:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = np.random.Generator(np.random.PCG64(seeds)).random((self._BLOCK, self.width))
        return self._blocks[number]


class EpisodeFaults:
    """The masks of one episode as they are observed: a source's or the true ones, then the faults in their order.

    :param faults: from :func:`~masklam_envs.masks.faults.make_faults`
    :param seed: of the episode's distractor; each fault has a random stream of its own, made from it
    :param length: frames of the episode, None while it runs
    :param draw: draws what is true of any frame, None where the episode cannot be drawn again
    :param source: finds masks in the pixels, from :func:`~masklam_envs.masks.sources.make_live_source`; None: the true
        masks
    :param before: how many other faults this episode's masks had already, whose random streams are not drawn again
    :raises ValueError: when a fault needs the whole episode and the episode still runs
    """

    def __init__(
        self,
        faults: Sequence[MaskFault],
        seed: int,
        *,
        length: int | None = None,
        draw: Callable[[int], Seen] | None = None,
        source: MaskSource | None = None,
        before: int = 0,
    ) -> None:
        #: whether a fault asks which pixels are a ghost's
        self.needs_ghost = any(fault.needs_ghost for fault in faults)
        memory = (memory_of(source) or 0) if source is not None else 0
        self._looks_back = memory > 0
        keep = 1 + sum(fault.memory for fault in faults)
        self._true = TrueMasks(keep + memory, length, draw)
        self._masks: Masks = self._true if source is None else FoundMasks(self._true, source, memory, keep)
        for k, fault in enumerate(faults, before):
            self._masks = fault.begin(self._masks, np.random.SeedSequence(seed, spawn_key=(STREAM, k)))
        self._next = 0

    def at(self, t: int, pixels: Pixels, mask: Mask, ghost: Mask | None = None) -> tuple[Pixels, Mask]:
        """Frame ``t`` with its faults.

        :param pixels: (H, W, 3), not changed
        :param mask: (H, W, 1), the true one, not changed
        :param ghost: (H, W, 1), 255 in the pixels of a distractor's ghosts, where ``needs_ghost``
        :return: pixels and mask; without source and faults the given ones
        """
        if self._masks is self._true:
            return pixels, mask
        # What a source looks back to must not change with the observation.
        self._true.put(t, Seen(mask, ghost, pixels.copy() if self._looks_back else pixels))
        # A copy: what is kept may be shown again later, whatever is done to the observation.
        return self._masks.paint(t, pixels), self._masks.at(t).copy()

    def step(self, pixels: Pixels, mask: Mask, ghost: Mask | None = None) -> tuple[Pixels, Mask]:
        """The next frame of a running episode with its faults: frame 0 first."""
        self._next += 1
        return self.at(self._next - 1, pixels, mask, ghost)
