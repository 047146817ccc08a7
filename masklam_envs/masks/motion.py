"""Masks of what moves, without any model: background subtraction, frame difference, optical flow (OpenCV).

* :class:`Motion` - the mask source ``"motion"``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name

CAMERAS = ("auto", "moving", "still")
METHODS = ("background", "difference", "flow")


class Motion:
    """What moves otherwise than the background.

    ``method="background"`` looks at the whole video.  Where the camera stands still, what differs from the median of
    the clip by ``threshold`` standard deviations of the noise (estimated from the median difference) moves.  Where it
    moves, neighbouring frames are laid over each other by their common displacement and what differs from both of them
    counts, above Otsu's threshold: a much rougher mask, the edges of what moves rather than its inside.  Specks are
    opened away and holes closed with a disc.

    The others look at a frame and the one before it, so they work live; the first frame of a video has an empty mask.
    ``"difference"`` lays one over the other by their common displacement and compares.  ``"flow"`` computes dense
    optical flow (Farnebäck, SCIA 2003), takes an affine motion that most pixels agree on (RANSAC) for the
    background's, and keeps the pixels whose flow deviates from it.  ``threshold`` counts standard deviations of the
    noise (grey levels at least 4) or of the deviation (pixels a frame, at least 0.25).

    :param threshold: in standard deviations of the noise, above 0
    :param radius: of the disc, pixels of the working size, at least 0
    :param camera: ``"still"``, ``"moving"``, or ``"auto"``: moving where half of the picture differs from the median of
        the clip by more than 12 grey levels; of ``method="background"`` alone
    :param method: ``"background"``, ``"difference"`` or ``"flow"``
    """

    working_size = 128
    BACKGROUND_FRAMES = 64
    LEAST_NOISE = 4.0  # grey levels: a clip without noise would call every rounding a motion
    STILL_BELOW = 12.0  # grey levels
    LEAST_DEVIATION = 0.25  # pixels a frame: what dense flow is good for
    FLOW_GRID = 4  # pixels between those that vote for the background's motion

    def __init__(
        self, threshold: float = 6.0, radius: int = 2, camera: str = "auto", method: str = "background"
    ) -> None:
        if not threshold > 0 or radius < 0:
            raise ValueError(f"threshold must be above 0 and radius at least 0, got {threshold} and {radius}")
        if camera not in CAMERAS:
            raise ValueError(unknown_name("camera", camera, CAMERAS))
        if method not in METHODS:
            raise ValueError(unknown_name("method", method, METHODS))
        self.threshold, self.radius, self.camera, self.method = threshold, radius, camera, method
        #: see :class:`~masklam_envs.masks.sources.MaskSource`
        self.memory = None if method == "background" else 1

    def segment(self, frames: NDArray[np.uint8], prompt: Any = None) -> NDArray[np.float32]:
        """See :class:`~masklam_envs.masks.sources.MaskSource`; there is no prompt."""
        if self.method == "background":
            return self._over_the_whole(frames)
        find = self._difference if self.method == "difference" else self._deviating
        out = np.zeros(frames.shape[:3], np.float32)
        for t in range(1, len(frames)):
            out[t] = self._cleaned(find(frames[t - 1], frames[t]))
        return out

    def _over_the_whole(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        import cv2

        chosen = np.linspace(0, len(frames) - 1, min(len(frames), self.BACKGROUND_FRAMES)).astype(int)
        background = np.median(frames[chosen], axis=0).astype(np.int16)
        typical = float(np.median([np.median(np.abs(frame - background).max(axis=2)) for frame in frames[chosen]]))
        if self.camera == "moving" or (self.camera == "auto" and typical > self.STILL_BELOW):
            return np.stack([self._cleaned(found) for found in self._against_neighbours(frames)]).astype(np.float32)
        disc = self._disc(cv2)
        out = np.empty(frames.shape[:3], np.float32)
        for found, mask in zip(self._against_background(frames, background), out, strict=True):
            mask[:] = cv2.morphologyEx(cv2.morphologyEx(found, cv2.MORPH_OPEN, disc), cv2.MORPH_CLOSE, disc)
        return out

    def _cleaned(self, found: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Edges joined, then specks opened away."""
        import cv2

        disc = self._disc(cv2)
        return np.asarray(
            cv2.morphologyEx(cv2.morphologyEx(found, cv2.MORPH_CLOSE, disc), cv2.MORPH_OPEN, disc), np.uint8
        )

    def _disc(self, cv2: Any) -> Any:
        side = 2 * self.radius + 1
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))

    def _against_background(
        self, frames: NDArray[np.uint8], background: NDArray[np.int16]
    ) -> Iterator[NDArray[np.uint8]]:
        for frame in frames:
            difference = np.abs(frame - background).max(axis=2).astype(np.float32)
            noise = max(1.4826 * float(np.median(difference)), self.LEAST_NOISE)
            yield (difference > self.threshold * noise).astype(np.uint8)

    def _against_neighbours(self, frames: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        import cv2

        grey = [_grey(cv2, frame) for frame in frames]
        for t, now in enumerate(grey):
            others = [grey[i] for i in (t - 1, t + 1) if 0 <= i < len(grey)] or [now]
            difference = np.minimum.reduce([_difference(cv2, now, other) for other in others])
            level, _ = cv2.threshold(difference, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
            yield (difference > max(level, self.LEAST_NOISE)).astype(np.uint8)

    def _difference(self, before: NDArray[np.uint8], now: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2

        difference = _difference(cv2, _grey(cv2, now), _grey(cv2, before))
        noise = max(1.4826 * float(np.median(difference)), self.LEAST_NOISE)
        return (difference > self.threshold * noise).astype(np.uint8)

    def _deviating(self, before: NDArray[np.uint8], now: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Where the flow from a frame to the next is not the background's."""
        import cv2

        # From this frame back to the one before: the flow lies where the agent is now.
        flow = cv2.calcOpticalFlowFarneback(
            cv2.cvtColor(now, cv2.COLOR_RGB2GRAY),
            cv2.cvtColor(before, cv2.COLOR_RGB2GRAY),
            None,
            0.5,
            3,
            9,
            3,
            5,
            1.1,
            0,
        )
        places = np.moveaxis(np.indices(now.shape[:2], np.float32)[::-1], 0, -1)
        chosen = (slice(None, None, self.FLOW_GRID),) * 2
        start, moved = places[chosen].reshape(-1, 2), (places + flow)[chosen].reshape(-1, 2)
        cv2.setRNGSeed(0)  # RANSAC draws from OpenCV's generator: the same frames shall give the same mask
        affine, _ = cv2.estimateAffine2D(start, moved, ransacReprojThreshold=0.5)
        if affine is None:
            affine = np.array([[1, 0, np.median(flow[..., 0])], [0, 1, np.median(flow[..., 1])]])
        background = places @ affine[:, :2].T + affine[:, 2] - places
        deviation = np.hypot(*np.moveaxis(flow - background, -1, 0))
        noise = max(1.4826 * float(np.median(deviation)), self.LEAST_DEVIATION)
        # Flow is smooth, so a third of the threshold for grey levels separates as well.
        return (deviation > self.threshold / 3 * noise).astype(np.uint8)


def _grey(cv2: Any, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 1.0), np.uint8)


def _difference(cv2: Any, now: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How a grey picture differs from another that is laid over it by their common displacement, or by none."""
    window = cv2.createHanningWindow(now.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(other.astype(np.float32), now.astype(np.float32), window)
    moved = cv2.warpAffine(
        other, np.array([[1, 0, x], [0, 1, y]], np.float32), now.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    # An agent in the middle may be taken for the scene: then a still background differs less without displacement.
    differences = [np.asarray(cv2.absdiff(now, each), np.uint8) for each in (moved, other)]
    return min(differences, key=lambda difference: float(np.median(difference)) + float(difference.mean()))
