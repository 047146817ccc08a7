"""How the background moves from frame to frame: the affine motion that most of the optical flow agrees on.

* :class:`Registration` - motions between neighbouring frames, each found once.
* :class:`Motions` - those of a video, between any two of its frames.
* :func:`dense_flow`, :func:`as_affine` - the two steps.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.optional import opencv

GRID = 2  # pixels between those that vote
AGREEMENT = 0.5  # pixels by which a vote may be off
KEPT = 4_096  # motions, of 72 bytes each

Flow = NDArray[np.float32]
Motion = NDArray[np.float64]


class Registration:
    """Motions of neighbouring frames.

    A live source sees every frame several times, together with those before it, so motions that were found are kept by
    the frames' checksums.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, bytes], Motion] = {}

    def motions(self, frames: NDArray[np.uint8]) -> Motions:
        """The motions of a video.

        :param frames: (T, H, W, 3) uint8
        """
        keys = [hashlib.blake2b(frame.tobytes(), digest_size=16).digest() for frame in frames]
        steps = [self._step(frames, keys, t) for t in range(1, len(frames))]
        return Motions(np.stack([np.eye(3), *steps]))

    def _step(self, frames: NDArray[np.uint8], keys: list[bytes], t: int) -> Motion:
        """From places of frame t to those of the frame before it."""
        key = keys[t - 1], keys[t]
        found = self._kept.get(key)
        if found is None:
            found = as_affine(*dense_flow(frames[t], frames[t - 1]))
            if len(self._kept) >= KEPT:
                self._kept.clear()  # in one step: threads share a source
            self._kept[key] = found
        return found


class Motions:
    """Motions between the frames of a video.

    :param steps: (T, 3, 3): from places of frame t to those of frame t - 1
    """

    def __init__(self, steps: NDArray[np.float64]) -> None:
        self.steps, self.back = steps, np.linalg.inv(steps)

    def between(self, t: int, s: int) -> Motion:
        """(3, 3) from places (x, y, 1) of frame ``t`` to those of frame ``s``, pixels."""
        chain = (self.steps[i] for i in range(t, s, -1)) if s < t else (self.back[i] for i in range(t + 1, s + 1))
        return functools.reduce(lambda made, step: step @ made, chain, np.eye(3))


def dense_flow(now: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[Flow, Flow]:
    """Optical flow from a frame (H, W, 3) uint8 to another (Farnebäck, SCIA 2003).

    :return: (H, W, 2) float32, pixels to the right and downwards, and the places (x, y) that they start from
    """
    cv2 = opencv()
    start, end = (cv2.GaussianBlur(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), (0, 0), 0.7) for each in (now, other))
    flow: Any = cv2.calcOpticalFlowFarneback(start, end, None, 0.5, 3, 9, 3, 5, 1.1, 0)
    return np.asarray(flow, np.float32), np.moveaxis(np.indices(start.shape, np.float32)[::-1], 0, -1)


def as_affine(flow: Flow, places: Flow) -> Motion:
    """The affine motion (3, 3) that most pixels agree on to half a pixel (RANSAC); their median where none is found."""
    cv2 = opencv()
    height, width = flow.shape[:2]
    edge = 2 if min(height, width) > 8 else 0  # where flow is least known
    chosen = (slice(edge, height - edge, GRID), slice(edge, width - edge, GRID))
    start, end = places[chosen].reshape(-1, 2), (places + flow)[chosen].reshape(-1, 2)
    cv2.setRNGSeed(0)  # RANSAC draws from OpenCV's generator: the same frames shall give the same mask
    affine, _ = cv2.estimateAffine2D(start, end, ransacReprojThreshold=AGREEMENT)
    if affine is None:
        x, y = np.median(flow.reshape(-1, 2), axis=0)
        affine = np.array([[1, 0, x], [0, 1, y]])
    return np.vstack([affine, [0, 0, 1]]).astype(np.float64)
