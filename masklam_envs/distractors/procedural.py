"""Procedural footage: natural-looking moving pictures from a seed, without a file.

The amplitude spectrum falls like 1 / frequency as in photographs (Field 1987, https://doi.org/10.1364/JOSAA.4.002379),
every octave drifts with a velocity of its own and changes in time, and the canvas is periodic, so it can pan for ever.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklam_envs.distractors.base import REFERENCE_SIZE, Image, part_of_training
from masklam_envs.distractors.cache import FRAMES

TRAIN_CLIPS = 24
TEST_CLIPS = 12
CLIP_FRAMES = 128
# The canvas is twice the image on each side: a pan shows new ground for a while before it comes round.
CANVAS = 2

_MASK = 2**64 - 1


class ProceduralFootage:
    """Clips 0 to 23 for training, 24 to 35 for testing, 128 frames each; clip c looks the same at any image size.

    :param image_size: side of the image in pixels; frames are twice as large
    """

    wraps = True

    def __init__(self, image_size: int) -> None:
        self.size = CANVAS * image_size

    def clips(self, split: str) -> tuple[int, ...]:
        """The clip numbers of a split: 0 to 17 for "fit" and 18 to 23 for "validation", which together are "train"."""
        if split == "test":
            return tuple(range(TRAIN_CLIPS, TRAIN_CLIPS + TEST_CLIPS))
        return part_of_training(tuple(range(TRAIN_CLIPS)), split)

    def length(self, clip: int) -> int:
        """128 for every clip."""
        return CLIP_FRAMES

    def frame(self, clip: int, index: int) -> Image:
        """Frame ``index`` of a clip: (2 image_size, 2 image_size, 3) uint8 RGB, read-only, made on first use."""
        return FRAMES.get(("procedural", self.size, clip, index), lambda: self._make(clip, index))

    def _make(self, clip: int, index: int) -> Image:
        # Imported here: numba costs a second that a run without pixels need not pay.
        from masklam_envs.distractors.texture import paint_frame

        return paint_frame(self.size, index, *_recipe(clip, self.size))


class _Recipe(NamedTuple):
    """What :func:`~masklam_envs.distractors.texture.paint_frame` needs to know of a clip."""

    regions: NDArray[np.int64]
    shade: NDArray[np.int64]
    tint: NDArray[np.int64]
    palette: NDArray[np.int32]
    tint_colour: NDArray[np.int32]


class _Random:
    """splitmix64 in Python integers: the same on every machine and in every NumPy."""

    def __init__(self, seed: int) -> None:
        self.state = seed
        # Neighbouring seeds would walk the same sequence one step apart; their hashes do not.
        self.state = self.bits()

    def bits(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        value = (self.state ^ self.state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
        return value ^ value >> 31

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + (self.bits() >> 16) % (high - low + 1)


@lru_cache(maxsize=256)
def _recipe(clip: int, size: int) -> _Recipe:
    random = _Random(clip + 1)
    wind = random.between(-160, 160), random.between(-96, 96)
    return _Recipe(
        regions=_octaves(random, size, wind, cells=(2, 4, 8, 16, 32), weights=(10, 10, 7, 4, 3)),
        shade=_octaves(random, size, wind, cells=(4, 8, 16, 32, 64), weights=(8, 8, 8, 8, 8)),
        tint=_octaves(random, size, wind, cells=(2, 4, 8), weights=(12, 9, 6)),
        palette=_palette(random),
        tint_colour=np.array([random.between(-14, 14) for _ in range(3)], np.int32),
    )


def _octaves(
    random: _Random, size: int, wind: tuple[int, int], cells: tuple[int, ...], weights: tuple[int, ...]
) -> NDArray[np.int64]:
    """Rows (cells, speed x, speed y, rate, weight, seed) for the octaves that ``size`` pixels can hold."""
    rows = []
    for count, weight in zip(cells, weights, strict=True):
        # A wind common to all octaves, in 1/256 pixel of a 64-pixel image a frame, and a gust of each octave's own.
        speed_x, speed_y = wind[0] + random.between(-96, 96), wind[1] + random.between(-96, 96)
        to_cells = 256 * count // (CANVAS * REFERENCE_SIZE)
        # Coarse octaves take 40 frames to change, fine ones 12.
        rate = 256 // (12 + 56 // count)
        row = (count, speed_x * to_cells, speed_y * to_cells, rate, weight, random.bits() >> 1)
        # Less than two pixels a cell would be aliasing, not texture.
        if 2 * count <= size:
            rows.append(row)
    return np.array(rows, np.int64)


def _palette(random: _Random) -> NDArray[np.int32]:
    """256 colours: five to eight plateaus with soft or crisp borders between them."""
    stops = random.between(5, 8)
    colours = [_colour(random) for _ in range(stops)]
    # One border in each of equal shares of the field's common values, so that no colour fills the picture.
    share = 160 // (stops - 1)
    borders = [48 + share * i + random.between(0, share - 1) for i in range(stops - 1)]
    palette = np.empty((256, 3), np.int32)
    palette[:] = colours[0]
    for border, colour in zip(borders, colours[1:], strict=True):
        width = random.between(2, 24)
        before = palette[border].copy()
        for pick in range(border, 256):
            done = min(pick - border + 1, width)
            palette[pick] = (before * (width - done) + np.array(colour) * done) // width
    return palette


def _colour(random: _Random) -> tuple[int, int, int]:
    """A colour of any hue; muted ones are more common, as outdoors."""
    light = random.between(50, 220)
    strength = min(random.between(10, 100), random.between(10, 100))
    channels = [light + random.between(-strength, strength) for _ in range(3)]
    return tuple(min(250, max(5, channel)) for channel in channels)  # type: ignore[return-value]
