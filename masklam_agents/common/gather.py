"""From uint8 frames to the float input of a network, in one pass (Numba).

Layouts: ``"image"`` is (B, H, W, n * C), the memory of a channels-last (B, n * C, H, W) tensor; ``"patches"`` is
(B, H/P * W/P, n * C * P * P), one row a patch of P = 4 pixels a side, the four patches of an 8x8 block after each other
so that merging them is a view.  Channels run frame by frame, oldest first.
RGB becomes ``x / 255 - 0.5``, the mask ``x / 255``: 0 or 1, or a share where a mask is soft.
In bf16 every value is the nearest one, ties to even: what a conversion of the float32 gives.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

PATCH = 4
SCALE = np.float32(1 / 255)
OFFSET = np.array([0.5, 0.5, 0.5, 0.0], np.float32)


def _bf16_bits() -> NDArray[np.int16]:
    """(2, 256) bf16 of every byte as a colour and as a mask."""
    values = np.arange(256, dtype=np.float32) * SCALE - OFFSET[[0, 3], None]
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).view(np.int16)


BITS = _bf16_bits()


# Loop bounds are constants wherever they can be: only then are the inner loops unrolled and vectorised.


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
def _patch_row(row, column, masked, out, start):  # type: ignore[no-untyped-def]
    """PATCH pixels of a row of bytes (W * 4) to floats from out[start] on."""
    first = column * 4 * PATCH
    if masked:
        for k in range(4 * PATCH):
            out[start + k] = np.float32(row[first + k]) * SCALE - OFFSET[k % 4]
    else:
        for x in range(PATCH):
            for c in range(3):
                out[start + 3 * x + c] = np.float32(row[first + 4 * x + c]) * SCALE - OFFSET[c]


@numba.njit(cache=True, nogil=True)
def _pixel_row(row, masked, out, start):  # type: ignore[no-untyped-def]
    """A row of bytes (W * 4) to the channels from ``start`` on of out (W, n * C)."""
    for x in range(out.shape[0]):
        for c in range(3):
            out[x, start + c] = np.float32(row[4 * x + c]) * SCALE - OFFSET[c]
        if masked:
            out[x, start + 3] = np.float32(row[4 * x + 3]) * SCALE


@numba.njit(cache=True, nogil=True)
def _patch_bits(row, column, masked, bits, out, start):  # type: ignore[no-untyped-def]
    """As ``_patch_row``, in bf16."""
    first = column * 4 * PATCH
    if masked:
        for x in range(PATCH):
            for c in range(3):
                out[start + 4 * x + c] = bits[0, row[first + 4 * x + c]]
            out[start + 4 * x + 3] = bits[1, row[first + 4 * x + 3]]
    else:
        for x in range(PATCH):
            for c in range(3):
                out[start + 3 * x + c] = bits[0, row[first + 4 * x + c]]


@numba.njit(cache=True, nogil=True)
def _pixel_bits(row, masked, bits, out, start):  # type: ignore[no-untyped-def]
    """As ``_pixel_row``, in bf16."""
    for x in range(out.shape[0]):
        for c in range(3):
            out[x, start + c] = bits[0, row[4 * x + c]]
        if masked:
            out[x, start + 3] = bits[1, row[4 * x + 3]]


@numba.njit(cache=True, nogil=True)
def _gather(frames, index, masked, shift, shifted, patches, half, bits, out):  # type: ignore[no-untyped-def]
    """Frames (F, H, W) of four-byte pixels into out (B, H * W, n * C), or (B, patches, n * C * PATCH^2)."""
    batch, count = index.shape
    height, width = frames.shape[1], frames.shape[2]
    room = np.empty((height, width), np.uint32)
    channels = 4 if masked else 3
    columns = width // PATCH
    blocks = columns // 2
    for b in range(batch):
        for i in range(count):
            if shifted:
                _shifted(frames[index[b, i]], shift[b, 0], shift[b, 1], room)
                frame = room.view(np.uint8)
            else:
                frame = frames[index[b, i]].view(np.uint8)
            for y in range(height):
                if patches:
                    start = (i * PATCH + y % PATCH) * PATCH * channels
                    line = y // PATCH
                    for column in range(columns):
                        token = 4 * (line // 2 * blocks + column // 2) + 2 * (line % 2) + column % 2
                        if half:
                            _patch_bits(frame[y], column, masked, bits, out[b, token], start)
                        else:
                            _patch_row(frame[y], column, masked, out[b, token], start)
                elif half:
                    _pixel_bits(frame[y], masked, bits, out[b, y * width : (y + 1) * width], i * channels)
                else:
                    _pixel_row(frame[y], masked, out[b, y * width : (y + 1) * width], i * channels)


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
    :param layout: ``"image"`` or ``"patches"``
    :param shift: (B, 2) rows and columns by which a sample looks aside, edges repeated; None: no shift
    :param half: bf16 instead of float32: half the memory, and no conversion under autocast
    :return: float32, or the bits of bf16 as int16, in the layout described above
    """
    batch, count = index.shape
    height, width = frames.shape[1:3]
    channels = 4 if mask_channel else 3
    patches = layout == "patches"
    patch = PATCH if patches else 1
    tokens = (height // patch) * (width // patch)
    out = np.empty((batch, tokens, count * channels * patch * patch), np.int16 if half else np.float32)
    shifts = np.zeros((batch, 2), np.int64) if shift is None else shift
    pixels = frames.reshape(len(frames), height, 4 * width).view(np.uint32)
    _gather(pixels, index, mask_channel, shifts, shift is not None, patches, half, BITS, out)
    return out if patches else out.reshape(batch, height, width, -1)
