"""Frames warped while they are gathered: one pass from bytes to the input of a network (Numba).

What :func:`masklam_agents.common.augment.warp` makes of gathered images, without the images.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from masklam_agents.common.gather import OFFSET, PATCH, SCALE

# Behind the horizon of a strong perspective there is nothing to see: such places land outside.
NEAREST = np.float32(1e-3)


@numba.njit(cache=True, nogil=True)
def _places(height, width, patches, count):  # type: ignore[no-untyped-def]
    """Of each pixel (H, W): where its first frame stands in the output, in pixels; and how far apart frames stand."""
    places = np.empty((height, width), np.int64)
    if not patches:
        return np.arange(0, height * width * count, count).reshape(height, width), 1
    size = PATCH * PATCH
    for y in range(height):
        for x in range(width):
            row, column = y // PATCH, x // PATCH
            block = row // 2 * (width // (2 * PATCH)) + column // 2
            patch = 4 * block + 2 * (row % 2) + column % 2
            places[y, x] = patch * count * size + y % PATCH * PATCH + x % PATCH
    return places, size


@numba.njit(cache=True, nogil=True, inline="always")
def _corner(m, cx, cy, width, height):  # type: ignore[no-untyped-def]
    """Where a pixel looks: the pixel above and left of it, and the shares of the one right and the one below."""
    one, half = np.float32(1), np.float32(0.5)
    depth = one / max(m[2, 0] * cx + m[2, 1] * cy + m[2, 2], NEAREST)
    u = (m[0, 0] * cx + m[0, 1] * cy + m[0, 2]) * depth
    v = (m[1, 0] * cx + m[1, 1] * cy + m[1, 2]) * depth
    px = min(max((u + one) * half * np.float32(width) - half, np.float32(0)), np.float32(width - 1))
    py = min(max((v + one) * half * np.float32(height) - half, np.float32(0)), np.float32(height - 1))
    left, top = int(px), int(py)
    return left, top, px - np.float32(left), py - np.float32(top)


@numba.njit(cache=True, nogil=True, inline="always")
def _blend(p, q, r, s, weights, shift):  # type: ignore[no-untyped-def]
    """One channel of four pixels, weighted."""
    return (
        weights[0] * np.float32(p >> shift & 255)
        + weights[1] * np.float32(q >> shift & 255)
        + weights[2] * np.float32(r >> shift & 255)
        + weights[3] * np.float32(s >> shift & 255)
    )


@numba.njit(cache=True, nogil=True)
def _warp(frames, index, matrices, patches, out):  # type: ignore[no-untyped-def]
    """Frames (F, H, W) of four-byte pixels into out (B, pixels, C)."""
    height, width = frames.shape[1:]
    count = index.shape[1]
    places, step = _places(height, width, patches, count)
    colour, masked = OFFSET[0], out.shape[2] == 4
    for sample in range(index.shape[0]):
        m, values = matrices[sample], out[sample]
        for y in range(height):
            cy = np.float32(2 * y + 1) / np.float32(height) - np.float32(1)
            for x in range(width):
                cx = np.float32(2 * x + 1) / np.float32(width) - np.float32(1)
                left, top, a, b = _corner(m, cx, cy, width, height)
                right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
                below, above = b * SCALE, SCALE - b * SCALE
                weights = (above - a * above, a * above, below - a * below, a * below)
                place = places[y, x]
                for i in range(count):
                    frame = frames[index[sample, i]]
                    p, q, r, s = frame[top, left], frame[top, right], frame[bottom, left], frame[bottom, right]
                    values[place, 0] = _blend(p, q, r, s, weights, 0) - colour
                    values[place, 1] = _blend(p, q, r, s, weights, 8) - colour
                    values[place, 2] = _blend(p, q, r, s, weights, 16) - colour
                    if masked:
                        values[place, 3] = _blend(p, q, r, s, weights, 24)
                    place += step


def warped(
    frames: NDArray[np.uint8], index: NDArray[np.int64], warps: NDArray[np.float64], *, mask_channel: bool, layout: str
) -> NDArray[np.float32]:
    """Network input of frames chosen by index, each sample's under its own homography; edges are repeated.

    :param frames: (F, H, W, 4) uint8, contiguous: RGB and mask
    :param index: (B, n) frame of each place of each sample
    :param warps: (B, 3, 3) from places in the new frame to places in the old one, in coordinates from -1 to 1
    :param mask_channel: whether the mask goes in as a fourth channel
    :param layout: ``"image"`` or ``"patches"``, see :mod:`masklam_agents.common.gather`
    :return: float32 in that layout
    """
    (batch, count), (height, width) = index.shape, frames.shape[1:3]
    channels, patches = 4 if mask_channel else 3, layout == "patches"
    out = np.empty((batch, height * width * count, channels), np.float32)
    pixels = frames.reshape(len(frames), height, 4 * width).view(np.uint32)
    _warp(pixels, index, warps.astype(np.float32), patches, out)
    return out.reshape(batch, *((height * width // PATCH**2,) if patches else (height, width)), -1)
