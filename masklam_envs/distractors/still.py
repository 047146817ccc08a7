"""``still`` and ``flat``: backgrounds that do not move, a picture or one colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from masklam_envs.distractors.base import Backdrop, Backdrops, Context, Float64Array, Image, Part
from masklam_envs.distractors.cache import FRAMES
from masklam_envs.distractors.footage import PROCEDURAL, footage_name, open_footage
from masklam_envs.distractors.options import checked_alpha, checked_integer, checked_number
from masklam_envs.distractors.video import chosen_clips


class Still(Part):
    """One random frame of one random clip for a whole episode; a later part (``action``) may move it.

    The row is ``(clip, frame)``.

    :param footage: ``"procedural"``, or a path or list of paths to pictures, video files, folders of these or the DAVIS
        root
    :param videos: as for ``video``
    :param ground_alpha: as for ``video``
    :param opacity: as for ``video``
    :raises ValueError: when an option is out of its range or no clip is found
    """

    width = 2
    stands_still = True

    def __init__(
        self,
        context: Context,
        *,
        footage: Any = PROCEDURAL,
        videos: int | None = None,
        ground_alpha: Any = None,
        opacity: float = 1.0,
    ) -> None:
        super().__init__(context)
        self.footage = open_footage(footage_name("still", footage), context)
        self.clips = chosen_clips("still", self.footage.clips(context.split), videos, footage, context)
        self.ground_alpha = checked_alpha("still", ground_alpha, context)
        self.opacity = checked_number("still", "opacity", opacity, 0.0, 1.0)

    def start(self, rng: np.random.Generator) -> Float64Array:
        """Clip and frame."""
        clip = self.clips[rng.integers(len(self.clips))]
        return np.array([clip, rng.integers(self.footage.length(clip))], np.float64)

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Show the frame."""
        backdrop.footage, backdrop.opacity = self.footage, self.opacity
        backdrop.clip, backdrop.index = int(row[0]), int(row[1])

    def paint_all(self, rows: Float64Array, backdrops: Backdrops) -> None:
        """As :meth:`paint`."""
        backdrops.show(self.footage, rows[:, 0], rows[:, 1], self.opacity)


class FlatFootage:
    """Footage of one colour: clip ``65536 r + 256 g + b`` is one frame of red r, green g and blue b in [0, 255].

    :param size: side of the picture, pixels
    """

    wraps = True

    def __init__(self, size: int) -> None:
        self.size = size

    def clips(self, split: str) -> tuple[int, ...]:
        """Black; which colours are shown is the part's choice."""
        return (0,)

    def length(self, clip: int) -> int:
        """One frame."""
        return 1

    def frame(self, clip: int, index: int) -> Image:
        """The picture: (size, size, 3) uint8 RGB, read-only."""
        return FRAMES.get(("flat", self.size, clip), lambda: self._make(clip))

    def _make(self, clip: int) -> Image:
        picture = np.empty((self.size, self.size, 3), np.uint8)
        picture[:] = clip >> 16, clip >> 8 & 255, clip & 255
        return picture


class Flat(Part):
    """One colour behind the robot.

    The row is ``(red, green, blue)`` in [0, 255].

    :param colour: red, green and blue, three whole numbers in [0, 255]; None: another random colour in every episode
    :param ground_alpha: as for ``video``
    :param opacity: as for ``video``
    :raises ValueError: when an option is out of its range
    """

    width = 3
    stands_still = True

    def __init__(
        self,
        context: Context,
        *,
        colour: Sequence[int] | None = None,
        ground_alpha: Any = None,
        opacity: float = 1.0,
    ) -> None:
        super().__init__(context)
        if colour is not None:
            if not isinstance(colour, Sequence) or isinstance(colour, str) or len(colour) != 3:
                raise ValueError(f"flat: colour is {colour!r}; give three whole numbers from 0 to 255, or null")
            colour = [checked_integer("flat", "colour", value, 0, 255) for value in colour]
        self.colour = colour
        self.footage = FlatFootage(context.image_size)
        self.ground_alpha = checked_alpha("flat", ground_alpha, context)
        self.opacity = checked_number("flat", "opacity", opacity, 0.0, 1.0)

    def start(self, rng: np.random.Generator) -> Float64Array:
        """The colour."""
        drawn = rng.integers(0, 256, 3)
        return np.array(drawn if self.colour is None else self.colour, np.float64)

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Show it."""
        red, green, blue = (int(value) for value in row.tolist())
        backdrop.footage, backdrop.opacity = self.footage, self.opacity
        backdrop.clip, backdrop.index = red << 16 | green << 8 | blue, 0

    def paint_all(self, rows: Float64Array, backdrops: Backdrops) -> None:
        """As :meth:`paint`."""
        clips = np.add.reduce(rows * (1 << 16, 1 << 8, 1), axis=1)
        backdrops.show(self.footage, clips, np.zeros(len(rows)), self.opacity)
