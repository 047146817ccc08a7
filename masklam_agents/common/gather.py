"""From uint8 frames to the float input of a network, in one pass (Numba).

Layouts: ``"image"`` is (B, H, W, n * C), the memory of a channels-last (B, n * C, H, W) tensor; ``"patches"`` is
(B, H/P * W/P, n * C * P * P), one row a patch of P = 4 pixels a side.  Channels run frame by frame, oldest first.
RGB becomes ``x / 255 - 0.5``, the mask ``x / 255``: 0 or 1, or a share where a mask is soft.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

PATCH = 4
SCALE = np.float32(1 / 255)
OFFSET = np.array([0.5, 0.5, 0.5, 0.0], np.float32)


@numba.njit(cache=True, nogil=True)
def _convert_rgbm(row, first, out, start, pixels):  # type: ignore[no-untyped-def]
    """Pixels of a row of bytes (W * 4) from byte ``first`` on; a plain loop, so that it is vectorised."""
    for k in range(4 * pixels):
        out[start + k] = np.float32(row[first + k]) * SCALE - OFFSET[k % 4]


@numba.njit(cache=True, nogil=True)
def _convert_rgb(row, first, out, start, pixels):  # type: ignore[no-untyped-def]
    for x in range(pixels):
        for c in range(3):
            out[start + 3 * x + c] = np.float32(row[first + 4 * x + c]) * SCALE - OFFSET[c]


@numba.njit(cache=True, nogil=True)
def _shifted(frame, dy, dx, out):  # type: ignore[no-untyped-def]
    """Copy a frame (H, W * 4) so that pixel out[y, x] = frame[y + dy, x + dx], edges repeated."""
    height, width = frame.shape[0], frame.shape[1] // 4
    for y in range(height):
        row = frame[min(max(y + dy, 0), height - 1)]
        for x in range(width):
            source = 4 * min(max(x + dx, 0), width - 1)
            for c in range(4):
                out[y, 4 * x + c] = row[source + c]


@numba.njit(cache=True, nogil=True)
def _gather(frames, index, channels, patch, shift, shifted, out):  # type: ignore[no-untyped-def]
    """Frames (F, H, W * 4) into out (B, tokens, n * channels * patch * patch); a token is a patch, of one pixel in the image layout."""
    batch, count = index.shape
    height, width = frames.shape[1], frames.shape[2] // 4
    room = np.empty((height, 4 * width), np.uint8)
    size = channels * patch * patch
    columns = width // patch
    for b in range(batch):
        for i in range(count):
            frame = frames[index[b, i]]
            if shifted:
                _shifted(frame, shift[b, 0], shift[b, 1], room)
                frame = room
            for y in range(height):
                start = i * size + (y % patch) * patch * channels
                row = frame[y]
                for column in range(columns):
                    token = out[b, (y // patch) * columns + column]
                    if channels == 4:
                        _convert_rgbm(row, column * 4 * patch, token, start, patch)
                    else:
                        _convert_rgb(row, column * 4 * patch, token, start, patch)


def gather(
    frames: NDArray[np.uint8],
    index: NDArray[np.int64],
    *,
    mask_channel: bool,
    layout: str,
    shift: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Network input of frames chosen by index.

    :param frames: (F, H, W, 4) uint8, contiguous: RGB and mask
    :param index: (B, n) frame of each place of each sample
    :param mask_channel: whether the mask goes in as a fourth channel
    :param layout: ``"image"`` or ``"patches"``
    :param shift: (B, 2) rows and columns by which a sample looks aside, edges repeated; None: no shift
    :return: float32 in the layout described above
    """
    batch, count = index.shape
    height, width = frames.shape[1:3]
    channels = 4 if mask_channel else 3
    patch = PATCH if layout == "patches" else 1
    tokens = (height // patch) * (width // patch)
    out = np.empty((batch, tokens, count * channels * patch * patch), np.float32)
    shifts = np.zeros((batch, 2), np.int64) if shift is None else shift
    flat = frames.reshape(len(frames), height, 4 * width)
    _gather(flat, index, channels, patch, shifts, shift is not None, out)
    return out if layout == "patches" else out.reshape(batch, height, width, -1)
