"""Masks of what moves otherwise than the background, without any model (OpenCV).

* :class:`Motion` - the mask source ``"motion"``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name
from masklam_envs.masks.registration import Registration, as_affine, dense_flow
from masklam_envs.optional import opencv

CAMERAS = ("auto", "moving", "still")
METHODS = ("background", "difference", "flow")
MAX_WINDOW = 64
LEAST_SIDE = 4  # pixels; an affine motion needs three places that are in no line

Frames = NDArray[np.uint8]
Picture = NDArray[np.uint8]


class Motion:
    """What moves otherwise than the background, however that moves.

    ``method="background"`` looks at the whole video.  Where the camera stands still, what differs from the median of
    the clip moves.  Where it moves, the ``window`` frames before and after each frame are laid over it by the affine
    motion of the background, and what differs from their median moves.  ``method="difference"`` does the latter with
    the frames before alone, so it works live; the first frame of a video has an empty mask.

    The motion from one frame to the next is the affine one that most of the dense optical flow agrees on (RANSAC), see
    :class:`~masklam_envs.masks.registration.Registration`; those of frames further apart are made of it.  So pictures
    that are panned, turned or enlarged are followed, and scenes at several depths or that change by themselves are
    not.  A difference counts where a grey level lies outside those of the background's 3 x 3 pixels round it, which an
    error of half a pixel does not change, by ``threshold`` standard deviations of the noise (1.4826 times the median
    difference, and at least 4 grey levels).

    ``method="flow"`` looks at a frame and the one before it, and keeps the pixels whose flow deviates from the affine
    motion by a third of ``threshold`` standard deviations (at least 0.25 pixels a frame); for agents without texture of
    their own against such backgrounds it is the rougher one.

    Holes are closed with a disc, then regions smaller than a square of its size are dropped.

    :param threshold: in standard deviations of the noise, above 0
    :param radius: of the disc, pixels, at least 0; None: a 64th of the frame's side, rounded, and at least 1
    :param camera: ``"still"``, ``"moving"``, or ``"auto"``: moving where half of the picture differs from the median of
        the clip by more than 12 grey levels; of ``method="background"`` alone
    :param method: ``"background"``, ``"difference"`` or ``"flow"``
    :param window: frames on each side that a frame is compared with, in [1, 64]
    """

    working_size = 128
    takes_prompt = False
    BACKGROUND_FRAMES = 64
    LEAST_NOISE = 4.0  # grey levels: a clip without noise would call every rounding a motion
    STILL_BELOW = 12.0  # grey levels
    LEAST_DEVIATION = 0.25  # pixels a frame: what dense flow is good for

    def __init__(
        self,
        threshold: float = 6.0,
        radius: int | None = None,
        camera: str = "auto",
        method: str = "background",
        window: int = 8,
    ) -> None:
        if not threshold > 0 or (radius is not None and radius < 0):
            raise ValueError(f"threshold must be above 0 and radius at least 0, got {threshold} and {radius}")
        if camera not in CAMERAS:
            raise ValueError(unknown_name("camera", camera, CAMERAS))
        if method not in METHODS:
            raise ValueError(unknown_name("method", method, METHODS))
        if isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= MAX_WINDOW:
            raise ValueError(f"window must be an integer in [1, {MAX_WINDOW}] frames, got {window!r}")
        self.threshold, self.radius, self.camera, self.method = threshold, radius, camera, method
        self.window = window
        #: see :class:`~masklam_envs.masks.sources.MaskSource`
        self.memory = {"background": None, "difference": window, "flow": 1}[method]
        self._registration = Registration()

    def segment(self, frames: Frames, prompt: Any = None) -> NDArray[np.float32]:
        """See :class:`~masklam_envs.masks.sources.MaskSource`; there is no prompt.

        :raises ValueError: for frames too small to tell a motion
        """
        if min(frames.shape[1:3]) < LEAST_SIDE:
            raise ValueError(
                f"motion is seen in frames of at least {LEAST_SIDE} x {LEAST_SIDE} pixels, got "
                f"{frames.shape[1]} x {frames.shape[2]}; draw larger ones (image_size)"
            )
        found = {"background": self._over_the_whole, "difference": self._against_past, "flow": self._deviating}
        out = np.empty(frames.shape[:3], np.float32)
        for mask, raw in zip(out, found[self.method](frames), strict=True):
            mask[:] = self._cleaned(raw)
        return out

    def _over_the_whole(self, frames: Frames) -> Iterator[NDArray[np.bool_]]:
        chosen = np.linspace(0, len(frames) - 1, min(len(frames), self.BACKGROUND_FRAMES)).astype(int)
        background = np.median(frames[chosen], axis=0).astype(np.uint8)
        typical = float(np.median([np.median(_largest_difference(frame, background)) for frame in frames[chosen]]))
        if self.camera == "moving" or (self.camera == "auto" and typical > self.STILL_BELOW):
            return self._against_others(frames, self.window)
        return (self._above_noise(_largest_difference(frame, background)) for frame in frames)

    def _against_past(self, frames: Frames) -> Iterator[NDArray[np.bool_]]:
        return self._against_others(frames, 0)

    def _against_others(self, frames: Frames, after: int) -> Iterator[NDArray[np.bool_]]:
        """Where frames differ from the ``window`` before them and so many after them, laid over them."""
        motions = self._registration.motions(frames)
        for t, frame in enumerate(frames):
            others = range(max(t - self.window, 0), min(t + after + 1, len(frames)))
            laid = [_laid_over(frames[s], frame, motions.between(t, s)) for s in others if s != t]
            difference = _outside(frame, _median(laid)) if laid else np.zeros(frame.shape[:2], np.uint8)
            yield self._above_noise(difference)

    def _deviating(self, frames: Frames) -> Iterator[NDArray[np.bool_]]:
        """Where the flow from a frame back to the one before is not the background's; the first frame has none."""
        yield np.zeros(frames.shape[1:3], np.bool_)
        for before, now in itertools.pairwise(frames):
            flow, places = dense_flow(now, before)
            affine = as_affine(flow, places)
            deviation = np.hypot(*np.moveaxis(places + flow - (places @ affine[:2, :2].T + affine[:2, 2]), -1, 0))
            noise = max(1.4826 * float(np.median(deviation)), self.LEAST_DEVIATION)
            yield deviation > self.threshold / 3 * noise

    def _above_noise(self, difference: Picture) -> NDArray[np.bool_]:
        noise = max(1.4826 * float(np.median(difference)), self.LEAST_NOISE)
        return np.asarray(difference > self.threshold * noise)

    def _cleaned(self, found: NDArray[np.bool_]) -> Picture:
        """Holes closed, then specks dropped: opening them away would take thin limbs along."""
        cv2 = opencv()
        radius = max(round(min(found.shape) / 64), 1) if self.radius is None else self.radius
        side = 2 * radius + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        closed = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, disc)
        _, regions, about, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        kept = about[:, cv2.CC_STAT_AREA] >= side * side
        kept[0] = False  # what is in no region
        return np.asarray(kept[regions], np.uint8)


def _largest_difference(frame: Picture, other: Picture) -> Picture:
    cv2 = opencv()
    return np.asarray(cv2.absdiff(frame, other).max(axis=2), np.uint8)


def _laid_over(other: Picture, frame: Picture, motion: NDArray[np.float64]) -> Picture:
    """A frame as seen from another's place; where it does not reach, the other itself, which then differs not at all.

    :param motion: (3, 3) from places of ``frame`` to those of ``other``
    """
    cv2 = opencv()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(
            other, motion[:2], frame.shape[1::-1], frame.copy(), flags=flags, borderMode=cv2.BORDER_TRANSPARENT
        ),
        np.uint8,
    )


def _outside(frame: Picture, background: Picture) -> Picture:
    """By how much a channel lies outside the background's values within a pixel, the largest of the channels."""
    cv2 = opencv()
    around = np.ones((3, 3), np.uint8)
    above = cv2.subtract(frame, cv2.dilate(background, around))
    below = cv2.subtract(cv2.erode(background, around), frame)
    return np.asarray(np.maximum(above, below).max(axis=2), np.uint8)


def _median(pictures: Sequence[Picture]) -> Picture:
    """The (lower) median of each value: bubble sort of whole pictures, ten times as fast as sorting pixel by pixel."""
    rows = list(pictures)
    for first in range(len(rows)):
        for i in range(first % 2, len(rows) - 1, 2):
            rows[i], rows[i + 1] = np.minimum(rows[i], rows[i + 1]), np.maximum(rows[i], rows[i + 1])
    return rows[(len(rows) - 1) // 2]
