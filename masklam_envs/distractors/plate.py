"""Numba kernels that move a frame: bilinear, in whole numbers, so that every machine makes the same bytes."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from masklam_envs.exact import exp, sincos

_ONE = 65536
# Without the counting of references to arrays, which takes longer than the arithmetic.
_kernel = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)


@njit(cache=True, nogil=True, inline="always")
def _folded(place: int, length: int, wraps: bool) -> tuple[int, bool]:
    """A pixel index on the endless axis as one of the frame, and whether the frame runs backwards there.

    Periodic, or mirrored with the edge pixel shown twice.
    """
    if wraps:
        return place % length, False
    place = place % (2 * length)
    return (2 * length - 1 - place, True) if place >= length else (place, False)


@njit(cache=True, nogil=True)
def pan(frame: NDArray[np.uint8], x: float, y: float, size: int, wraps: bool) -> NDArray[np.uint8]:
    """The picture in a window of a frame whose content is displaced.

    Places are rounded down to 1/256 pixel.

    :param frame: (h, w, 3) uint8, C-contiguous
    :param x: displacement of the content to the right, in pixels of the result
    :param y: displacement of the content downwards, same unit
    :param size: side of the window, at its top left corner without displacement
    :param wraps: the frame is periodic; else it is mirrored at its edges
    :return: (size, size, 3) uint8, a fresh array
    """
    out = np.empty((size, size, 3), np.uint8)
    pan_into(frame, x, y, wraps, out)
    return out


@njit(cache=True, nogil=True)
def pan_into(frame: NDArray[np.uint8], x: float, y: float, wraps: bool, out: NDArray[np.uint8]) -> None:
    """As :func:`pan`, written to ``out`` (size, size, 3) uint8, C-contiguous."""
    size = out.shape[0]
    place_x, place_y = np.int64(np.floor(-x * 256)), np.int64(np.floor(-y * 256))
    line = np.empty(3 * (size + 1), np.float32)
    rows = frame.reshape(frame.shape[0], 3 * frame.shape[1])
    _pan_rows(rows, place_x, place_y, wraps, line, out.reshape(size, 3 * size))


@_kernel
def _pan_rows(
    rows: NDArray[np.uint8], place_x: int, place_y: int, wraps: bool, line: NDArray[np.float32], out: NDArray[np.uint8]
) -> None:
    """Fill ``out`` (n, 3 n) from the frame's rows (h, 3 w); ``line`` (3 (n + 1),) is scratch.

    All numbers are whole and below 2**24, which float32 holds exactly, and of which vector units do most at a time.
    """
    height, size = rows.shape[0], out.shape[0]
    right, down = np.float32(place_x & 255), np.float32(place_y & 255)
    for row in range(size):
        above = rows[_folded((place_y >> 8) + row, height, wraps)[0]]
        below = rows[_folded((place_y >> 8) + row + 1, height, wraps)[0]]
        _blend_rows(above, below, down, place_x >> 8, wraps, line)
        _blend_pixels(line[: 3 * size], line[3:], right, out[row])


@_kernel
def _blend_rows(
    above: NDArray[np.uint8], below: NDArray[np.uint8], down: float, first: int, wraps: bool, line: NDArray[np.float32]
) -> None:
    """Fill ``line`` (3 n,) with 256 x the blend of two rows (3 w,) from pixel ``first`` on, run by run."""
    width, done, pixels = above.size // 3, 0, line.size // 3
    while done < pixels:
        start, backwards = _folded(first + done, width, wraps)
        run = min(start + 1 if backwards else width - start, pixels - done)
        part = line[3 * done : 3 * (done + run)]
        if backwards:
            for pixel in range(run):
                for channel in range(3):
                    source = 3 * (start - pixel) + channel
                    blend = np.float32(above[source]) * (np.float32(256) - down)
                    part[3 * pixel + channel] = blend + np.float32(below[source]) * down
        else:
            # Slices, so that the compiler sees that no index is negative and turns the loop into vector code.
            upper, lower = above[3 * start : 3 * (start + run)], below[3 * start : 3 * (start + run)]
            for i in range(part.size):
                part[i] = np.float32(upper[i]) * (np.float32(256) - down) + np.float32(lower[i]) * down
        done += run


@_kernel
def _blend_pixels(line: NDArray[np.float32], ahead: NDArray[np.float32], right: float, out: NDArray[np.uint8]) -> None:
    """Blend each pixel of a row (3 n,) with the one ahead of it, by ``right`` / 256, rounding to whole numbers."""
    for i in range(out.size):
        sum_256 = line[i] * (np.float32(256) - right) + ahead[i] * right
        out[i] = np.uint8(np.int32((sum_256 + np.float32(32768)) * np.float32(1 / 65536)))


def warp(
    frame: NDArray[np.uint8], x: float, y: float, turn: float, zoom: float, size: int, wraps: bool
) -> NDArray[np.uint8]:
    """The picture in a window of a frame whose content is displaced, then turned and enlarged about the centre.

    Places are rounded to 1/256 pixel.

    :param frame: (h, w, 3) uint8, C-contiguous
    :param x: displacement to the right, in pixels of the result
    :param y: displacement downwards, same unit
    :param turn: clockwise, radians
    :param zoom: octaves; the picture at ``2**(zoom mod 1)`` of its size, faded into itself at half that size by
        ``zoom mod 1``, so that an endless zoom needs no end of picture
    :param size: side of the window, at the frame's top left corner without displacement
    :param wraps: the frame is periodic; else it is mirrored at its edges
    :return: (size, size, 3) uint8, a fresh array
    """
    sine, cosine = sincos(turn)
    octave = zoom - math.floor(zoom)
    fade = round(256 * octave)
    shrink = exp(-0.6931471805599453 * octave)  # of a step in the window, seen on the frame
    across, down = round(_ONE * shrink * cosine), round(_ONE * shrink * sine)
    out = np.empty((size, size, 3), np.uint8)
    place_x, place_y = math.floor(-x * _ONE), math.floor(-y * _ONE)
    _sample(frame, out, across, down, place_x, place_y, wraps, 0)
    if fade:
        _sample(frame, out, 2 * across, 2 * down, place_x, place_y, wraps, fade)
    return out


@njit(cache=True, nogil=True)
def _sample(
    frame: NDArray[np.uint8],
    out: NDArray[np.uint8],
    across: int,
    down: int,
    place_x: int,
    place_y: int,
    wraps: bool,
    fade: int,
) -> None:
    """Blend the picture into ``out`` with weight ``fade`` / 256, 0 for all of it.

    :param across: how far on the frame a step to the right in the window goes to the right, in 1/65536 pixel
    :param down: how far that step goes upwards
    :param place_x: the frame's content is displaced to the left by this, in 1/65536 pixel
    :param place_y: same, upwards
    """
    height, width, size = frame.shape[0], frame.shape[1], out.shape[0]
    for row in range(size):
        for column in range(size):
            # Twice the distance from the window's centre, so that it is a whole number.
            right, below = 2 * column + 1 - size, 2 * row + 1 - size
            u = ((right * across + below * down) >> 1) + ((size - 1) << 15) + place_x
            v = ((below * across - right * down) >> 1) + ((size - 1) << 15) + place_y
            x0, y0 = _folded(u >> 16, width, wraps)[0], _folded(v >> 16, height, wraps)[0]
            x1, y1 = _folded((u >> 16) + 1, width, wraps)[0], _folded((v >> 16) + 1, height, wraps)[0]
            fx, fy = (u >> 8) & 255, (v >> 8) & 255
            for c in range(3):
                top = frame[y0, x0, c] * (256 - fx) + frame[y0, x1, c] * fx
                bottom = frame[y1, x0, c] * (256 - fx) + frame[y1, x1, c] * fx
                value = top * (256 - fy) + bottom * fy
                if fade:
                    before = np.int64(out[row, column, c]) << 16
                    out[row, column, c] = np.uint8((value * fade + before * (256 - fade) + (1 << 23)) >> 24)
                else:
                    out[row, column, c] = np.uint8((value + 32768) >> 16)
