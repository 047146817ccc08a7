"""``still`` and ``flat``: backgrounds that do not move, a picture or one colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from masklam_envs.distractors.base import Backdrop, Context, Float64Array, Image, Part
from masklam_envs.distractors.footage import PROCEDURAL, footage_name, open_footage
from masklam_envs.distractors.options import checked_alpha, checked_integer
from masklam_envs.distractors.video import chosen_clips


class Still(Part):
    """One random frame of one random clip for a whole episode; a later part (``action``) may move it.

    The row is ``(clip, frame)``.

    :param footage: ``"procedural"``, or a path or list of paths to pictures, video files, folders of these or the DAVIS
        root
    :param videos: how many of the split's clips may be shown, the first by name; None: all of them
    :param ground_alpha: as for ``video``
    :raises ValueError: when an option is out of its range or no clip is found
    """

    width = 2

    def __init__(
        self, context: Context, *, footage: Any = PROCEDURAL, videos: int | None = None, ground_alpha: Any = None
    ) -> None:
        super().__init__(context)
        self.footage = open_footage(footage_name("still", footage), context)
        self.clips = chosen_clips("still", self.footage.clips(context.split), videos)
        self.ground_alpha = checked_alpha("still", ground_alpha, context)

    def start(self, rng: np.random.Generator) -> Float64Array:
        """Clip and frame."""
        clip = self.clips[rng.integers(len(self.clips))]
        return np.array([clip, rng.integers(self.footage.length(clip))], np.float64)

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Show the frame."""
        backdrop.footage, backdrop.clip, backdrop.index = self.footage, int(row[0]), int(row[1])


class FlatFootage:
    """Footage of one colour.

    :param colour: red, green and blue in [0, 255]
    :param size: side of the picture, pixels
    """

    wraps = True

    def __init__(self, colour: Sequence[int], size: int) -> None:
        self._picture = np.empty((size, size, 3), np.uint8)
        self._picture[:] = colour
        self._picture.flags.writeable = False

    def clips(self, split: str) -> tuple[int, ...]:
        """One clip for every split."""
        return (0,)

    def length(self, clip: int) -> int:
        """One frame."""
        return 1

    def frame(self, clip: int, index: int) -> Image:
        """The picture."""
        return self._picture


class Flat(Part):
    """One colour behind the robot.

    The row is ``(red, green, blue)`` in [0, 255].

    :param colour: red, green and blue, three whole numbers in [0, 255]; None: another random colour in every episode
    :param ground_alpha: as for ``video``
    :raises ValueError: when an option is out of its range
    """

    width = 3

    def __init__(self, context: Context, *, colour: Sequence[int] | None = None, ground_alpha: Any = None) -> None:
        super().__init__(context)
        if colour is not None:
            if not isinstance(colour, Sequence) or isinstance(colour, str) or len(colour) != 3:
                raise ValueError(f"flat: colour is {colour!r}; give three whole numbers from 0 to 255, or null")
            colour = [checked_integer("flat", "colour", value, 0, 255) for value in colour]
        self.colour = colour
        self.ground_alpha = checked_alpha("flat", ground_alpha, context)

    def start(self, rng: np.random.Generator) -> Float64Array:
        """The colour."""
        drawn = rng.integers(0, 256, 3)
        return np.array(drawn if self.colour is None else self.colour, np.float64)

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Show it."""
        colour = [int(value) for value in row.tolist()]
        backdrop.footage, backdrop.clip, backdrop.index = FlatFootage(colour, self.context.image_size), 0, 0
