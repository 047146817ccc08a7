"""A rectangle that hides part of the agent, as in the MaskLAM paper's question 5."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np

from masklam_envs.exact import exp
from masklam_envs.masks.episode import FaultyMasks, FrameNumbers, Mask, MaskFault, Masks, Pixels
from masklam_envs.masks.threshold import is_agent

BOXES = ("seen", "episode")
GREY = 128  # 0 of an image centred to [-0.5, 0.5]: (128 - 127.5) / 255, rounded up


@dataclass(frozen=True)
class Box:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Pixels in it."""
        return (self.bottom - self.top) * (self.right - self.left)

    def __or__(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )


def box_of(mask: Mask) -> Box | None:
    """The smallest box around a mask's agent (values from 128 on); None where there is none."""
    inside = is_agent(mask[..., 0])
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def rectangle_in(box: Box, fraction: float, aspect: float, down: float, aside: float) -> Box:
    """A rectangle of ``fraction`` of the box's area, inside the box.

    :param fraction: in [0, 1]
    :param aspect: height over width, kept as far as the box is large enough
    :param down: in [0, 1), which of the possible top rows
    :param aside: in [0, 1), which of the possible left columns
    """
    height, width = box.bottom - box.top, box.right - box.left
    area = round(fraction * box.area)
    if area == 0:
        return Box(box.top, box.top, box.left, box.left)
    h = min(max(round((area * aspect) ** 0.5), 1), height)
    w = min(max(round(area / h), 1), width)
    # Where the box was too narrow the height makes up for it.
    h = min(max(round(area / w), 1), height)
    top = box.top + int(down * (height - h + 1))
    left = box.left + int(aside * (width - w + 1))
    return Box(top, top + h, left, left + w)


class Occlusion(MaskFault):
    """A rectangle of the area ``fraction * box``: pixels in it turn grey (128) and leave the mask.

    Height over width is ``exp(u)``, u uniform in [-0.5, 0.5]; the place is uniform in the box.  Both are drawn once an
    episode.  The box is the smallest around the agent in all frames of the episode (``"episode"``: the paper's, only
    for recorded data), or in all frames so far (``"seen"``: the same in the last frame, and before it the rectangle
    moves and grows with the box).
    """

    def __init__(self, fraction: float, box: str, pixels: bool) -> None:
        self.fraction, self.box, self.pixels = fraction, box, pixels
        self.paints = pixels

    def begin(self, masks: Masks, seeds: np.random.SeedSequence) -> Masks:
        """An episode's masks with the rectangle cut out.

        :raises ValueError: for ``box="episode"`` while the episode runs
        """
        if self.box == "episode" and masks.length is None:
            raise ValueError(
                "the mask fault 'occlusion' with box='episode' needs all frames of an episode, which a running "
                "environment does not have: use it with render_frames or LazyFrames, and box='seen' live"
            )
        return _Occluded(masks, self, FrameNumbers(seeds, 3)[0])


class _Occluded(FaultyMasks):
    def __init__(self, before: Masks, fault: Occlusion, numbers: np.ndarray) -> None:
        super().__init__(before)
        self.fault = fault
        self.aspect = exp(float(numbers[0]) - 0.5)
        self.down, self.aside = float(numbers[1]), float(numbers[2])
        # The box around the agent in frames 0 .. t, where it changes with t; None while no agent was seen.
        self._from: list[int] = [0]
        self._boxes: list[Box | None] = [None]
        self._looked_at = 0

    def at(self, t: int) -> Mask:
        hidden = self._hidden(t)
        mask = self.before.at(t)
        return mask if hidden is None else _filled(mask, hidden, 0)

    def paint(self, t: int, pixels: Pixels) -> Pixels:
        pixels = self.before.paint(t, pixels)
        hidden = self._hidden(t) if self.fault.pixels else None
        return pixels if hidden is None else _filled(pixels, hidden, GREY)

    def _hidden(self, t: int) -> Box | None:
        """The rectangle of frame ``t``."""
        until = t
        if self.fault.box == "episode" and self.length is not None:
            until = self.length - 1
        for s in range(self._looked_at, until + 1):
            box = _joined(self._boxes[-1], box_of(self.before.at(s)))
            if box != self._boxes[-1]:
                self._from.append(s)
                self._boxes.append(box)
        self._looked_at = max(self._looked_at, until + 1)
        box = self._boxes[bisect.bisect_right(self._from, until) - 1]
        return None if box is None else rectangle_in(box, self.fault.fraction, self.aspect, self.down, self.aside)


def _joined(first: Box | None, second: Box | None) -> Box | None:
    return first | second if first is not None and second is not None else first or second


def _filled(image: np.ndarray, box: Box, value: int) -> np.ndarray:
    image = image.copy()
    image[box.top : box.bottom, box.left : box.right] = value
    return image
