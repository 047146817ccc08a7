"""``video``: a playing background that knows nothing of the actions."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.distractors.base import Backdrop, Backdrops, Context, Float32Array, Float64Array, Part
from masklam_envs.distractors.footage import PROCEDURAL, footage_name, open_footage
from masklam_envs.distractors.options import checked_alpha, checked_integer, checked_number

MAX_SPEED = 100.0
MAX_VIDEOS = 10**6


class BouncingVideo(Part):
    """A random clip played from a random frame in a random direction, back and forth.

    The row is ``(clip, phase)``.  The phase, in frames, runs on a circle of ``2 n - 2``: the first ``n`` places show
    frames 0 to n - 1, the rest leads back, so no end frame is shown twice.  As in the Distracting Control Suite
    (Stone et al. 2021, https://arxiv.org/abs/2101.02722), whose own code has an off-by-one at the ends.

    :param footage: ``"procedural"``, or a path or list of paths to video files, folders of images or the DAVIS root
    :param speed: frames a step, in [0, 100]
    :param videos: how many of the split's clips may be shown, the first by name; None: all of them; where there are
        fewer, these, with a warning
    :param ground_alpha: how opaque the scene's ground is over the background, in [0, 1]; ``"task"``: as the Distracting
        Control Suite has it for the task; None: as earlier parts say, else 0
    :param opacity: of the clip over the scene's own sky, in [0, 1] (the suite's ``video_alpha``)
    :raises ValueError: when an option is out of its range or no clip is found
    """

    width = 2

    def __init__(
        self,
        context: Context,
        *,
        footage: Any = PROCEDURAL,
        speed: float = 1.0,
        videos: int | None = None,
        ground_alpha: Any = None,
        opacity: float = 1.0,
    ) -> None:
        super().__init__(context)
        self.footage = open_footage(footage_name("video", footage), context)
        self.clips = chosen_clips("video", self.footage.clips(context.split), videos, footage, context)
        self.speed = checked_number("video", "speed", speed, 0.0, MAX_SPEED)
        self.ground_alpha = checked_alpha("video", ground_alpha, context)
        self.opacity = checked_number("video", "opacity", opacity, 0.0, 1.0)

    def start(self, rng: np.random.Generator) -> Float64Array:
        """Clip, and the phase of a random frame in a random direction."""
        clip = self.clips[rng.integers(len(self.clips))]
        length = self.footage.length(clip)
        frame, backwards = int(rng.integers(length)), bool(rng.integers(2))
        return np.array([clip, turned(frame, length) if backwards else frame], np.float64)

    def increments(self, rng: np.random.Generator, actions: Float64Array, states: Float32Array) -> Float64Array:
        """The clip stays, the phase gains ``speed``: (T, 2)."""
        steps = np.zeros((len(actions), 2))
        steps[:, 1] = self.speed
        return steps

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Show the phase's frame."""
        clip = int(row[0])
        backdrop.footage, backdrop.clip, backdrop.opacity = self.footage, clip, self.opacity
        backdrop.index = bounced(int(row[1]), self.footage.length(clip))

    def paint_all(self, rows: Float64Array, backdrops: Backdrops) -> None:
        """As :meth:`paint`."""
        backdrops.show(self.footage, rows[:, 0], rows[:, 1], self.opacity)
        backdrops.index = all_bounced(backdrops.index, backdrops.lengths())

    def motion(self, rows: Float64Array) -> Float64Array:
        """Frames played at each step: (T, 1)."""
        return np.diff(rows[:, 1:], axis=0)


def chosen_clips(
    part: str, clips: tuple[int, ...], videos: int | None, footage: Any, context: Context
) -> tuple[int, ...]:
    """The first ``videos`` of a split's clips, all of them for None or where there are fewer, with a warning.

    There is none where the number is a preset's: the suite's counts are those of its own footage.

    :param part: for messages
    :param clips: of the split
    :param videos: the option
    :param footage: where the clips come from, for messages
    :param context: of the part
    """
    if videos is None:
        return clips
    count = checked_integer(part, "videos", videos, 1, MAX_VIDEOS)
    if count > len(clips) and "videos" not in context.of_preset:
        warn_once(
            f"{part}: videos is {count}, but the split {context.split!r} of the footage {footage!r} has {len(clips)} "
            "clips, which are all shown: give footage of your own that has more (footage='FOLDER'), or leave videos out"
        )
    return clips[:count]


# Python's own "once" forgets what it has shown whenever some package changes the filters, as gym.make does.
@functools.cache
def warn_once(message: str) -> None:
    """Warn of something when a process says it first, not with every environment."""
    warnings.warn(message, stacklevel=3)


def bounced(place: int, length: int) -> int:
    """The frame in [0, length) at a place of the circle that leads through a clip and back."""
    if length == 1:
        return 0
    place %= 2 * length - 2
    return min(place, 2 * length - 2 - place)


def all_bounced(places: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """As :func:`bounced`, of n places (n,) in clips of n lengths."""
    ends = np.maximum(2 * lengths - 2, 1)
    places = places % ends
    return np.minimum(places, ends - places) * (lengths > 1)


def turned(frame: int, length: int) -> int:
    """The place of the circle that shows ``frame`` on the way back."""
    return (2 * length - 2 - frame) % max(2 * length - 2, 1)
