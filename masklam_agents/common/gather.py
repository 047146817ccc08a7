"""From uint8 frames to the input of a network, in one pass (Numba).

Layouts: ``"image"`` is (B, H, W, n * C), the memory of a channels-last (B, n * C, H, W) tensor; ``"planes"`` is
(B, n * C, H, W); ``"patches"`` is (B, H/P * W/P, n * C * P * P), one row a patch of P = 4 pixels a side, the four
patches of an 8x8 block after each other so that merging them is a view.  Channels run frame by frame, oldest first.
RGB becomes ``x / 255 - 0.5``, the mask ``x / 255``: 0 or 1, or a share where a mask is soft.
In bf16 every value is the nearest one, ties to even: what a conversion of the float32 gives.
"""

from __future__ import annotations

import numba
import numpy as np
import torch as th
from numpy.typing import NDArray

PATCH = 4
SCALE = np.float32(1 / 255)
OFFSET = np.array([0.5, 0.5, 0.5, 0.0], np.float32)

# What each byte of a pixel becomes, (4, 256): as float32, as the bits of bf16, and as those at the place of their
# channel in a whole pixel of four, which is then a sum and written at once.
FLOATS = np.arange(256, dtype=np.float32) * SCALE - OFFSET[:, None]
BITS = ((FLOATS.view(np.uint32) + 0x7FFF + (FLOATS.view(np.uint32) >> 16 & 1)) >> 16).astype(np.uint16)
PIXELS = BITS.astype(np.uint64) << np.array([[0], [16], [32], [48]], np.uint64)


@numba.njit(cache=True, nogil=True)
def _shifted(frame, dy, dx, out):  # type: ignore[no-untyped-def]
    """Copy a frame (H, W) of four-byte pixels so that out[y, x] = frame[y + dy, x + dx], edges repeated."""
    height, width = frame.shape
    first, last = max(0, -dx), min(width, width - dx)
    for y in range(height):
        row = frame[min(max(y + dy, 0), height - 1)]
        for x in range(first):
            out[y, x] = row[0]
        for x in range(first, last):
            out[y, x] = row[x + dx]
        for x in range(last, width):
            out[y, x] = row[width - 1]


@numba.njit(cache=True, nogil=True)
def _put(pixel, values, out, x):  # type: ignore[no-untyped-def]
    """A four-byte pixel into out[x]: four or three channels, or one that holds all four."""
    red, green, blue, mask = pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255, pixel >> 24
    channels = out.shape[1]
    if channels == 1:
        out[x, 0] = values[0, red] + values[1, green] + values[2, blue] + values[3, mask]
        return
    out[x, 0], out[x, 1], out[x, 2] = values[0, red], values[1, green], values[2, blue]
    if channels == 4:
        out[x, 3] = values[3, mask]


@numba.njit(cache=True, nogil=True)
def _put_image(frame, values, out):  # type: ignore[no-untyped-def]
    """A frame (H, W) into out (H, W, C)."""
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            _put(frame[y, x], values, out[y], x)


@numba.njit(cache=True, nogil=True)
def _put_patches(frame, values, out):  # type: ignore[no-untyped-def]
    """A frame (H, W) into out (H/P * W/P, P * P, C)."""
    columns = frame.shape[1] // PATCH
    for y in range(frame.shape[0]):
        line = y // PATCH
        row, start = frame[y], y % PATCH * PATCH
        for column in range(columns):
            patch = 4 * (line // 2 * (columns // 2) + column // 2) + 2 * (line % 2) + column % 2
            for x in range(PATCH):
                _put(row[PATCH * column + x], values, out[patch, start : start + PATCH], x)


@numba.njit(cache=True, nogil=True)
def _gather(frames, index, shift, shifted, patches, values, out):  # type: ignore[no-untyped-def]
    """Frames (F, H, W) of four-byte pixels into out (B, n, H, W, C), or (B, n, patches, P * P, C)."""
    room = np.empty(frames.shape[1:], np.uint32)
    for b in range(index.shape[0]):
        for i in range(index.shape[1]):
            frame = frames[index[b, i]]
            if shifted:
                _shifted(frame, shift[b, 0], shift[b, 1], room)
                frame = room
            if patches:
                _put_patches(frame, values, out[b, i])
            else:
                _put_image(frame, values, out[b, i])


def gather(
    frames: NDArray[np.uint8],
    index: NDArray[np.int64],
    *,
    mask_channel: bool,
    layout: str,
    shift: NDArray[np.int64] | None = None,
    half: bool = False,
) -> NDArray[np.float32] | NDArray[np.int16]:
    """Network input of frames chosen by index.

    :param frames: (F, H, W, 4) uint8, contiguous: RGB and mask
    :param index: (B, n) frame of each place of each sample
    :param mask_channel: whether the mask goes in as a fourth channel
    :param layout: ``"image"``, ``"planes"`` or ``"patches"``
    :param shift: (B, 2) rows and columns by which a sample looks aside, edges repeated; None: no shift
    :param half: bf16 instead of float32: half the memory, and no conversion under autocast
    :return: float32, or the bits of bf16 as int16, in the layout described above
    """
    batch, count = index.shape
    height, width = frames.shape[1:3]
    # A whole pixel in bf16 is written at once where its channels lie side by side.
    whole = half and mask_channel and layout != "planes"
    values = PIXELS if whole else BITS if half else FLOATS
    channels = 1 if whole else 4 if mask_channel else 3
    if layout == "patches":
        out = np.empty((batch, height * width // PATCH**2, count, PATCH**2, channels), values.dtype)
        places, shape = out.transpose(0, 2, 1, 3, 4), out.shape[:2]
    elif layout == "planes":
        out = np.empty((batch, count, channels, height, width), values.dtype)
        places, shape = out.transpose(0, 1, 3, 4, 2), (batch, count * channels, height)
    else:
        out = np.empty((batch, height, width, count, channels), values.dtype)
        places, shape = out.transpose(0, 3, 1, 2, 4), out.shape[:3]
    pixels = frames.reshape(len(frames), height, 4 * width).view(np.uint32)
    shifts = np.zeros((batch, 2), np.int64) if shift is None else shift
    _gather(pixels, index, shifts, shift is not None, layout == "patches", values, places)
    return (out.view(np.int16) if half else out).reshape(*shape, -1)


def frame_of_patches(x: th.Tensor, channels: int, image_size: int) -> th.Tensor:
    """The last frame's colours (B, 3, H, W) of gathered patches (B, H/P * W/P, n * P * P * channels)."""
    blocks = image_size // (2 * PATCH)
    last = x[..., -channels * PATCH**2 :].unflatten(-1, (PATCH, PATCH, channels))[..., :3]
    rows = last.unflatten(1, (blocks, blocks, 2, 2))  # block row and column, patch row and column, pixel row and column
    return rows.permute(0, 7, 1, 3, 5, 2, 4, 6).reshape(-1, 3, image_size, image_size)
