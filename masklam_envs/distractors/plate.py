"""The Numba kernel that pans a frame: bilinear, in whole numbers, so that every machine makes the same bytes."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
    height = frame.shape[0]
    rows = frame.reshape(height, -1)
    place_x, place_y = np.int64(np.floor(-x * 256)), np.int64(np.floor(-y * 256))
    right, down = np.uint32(place_x & 255), np.uint32(place_y & 255)
    left = np.uint32(256) - right
    line = np.empty((size + 1) * 3, np.uint32)
    ahead = line[3:]
    out = np.empty((size, size, 3), np.uint8)
    flat = out.reshape(size, 3 * size)
    for row in range(size):
        above = rows[_folded((place_y >> 8) + row, height, wraps)[0]]
        below = rows[_folded((place_y >> 8) + row + 1, height, wraps)[0]]
        _blend_rows(above, below, down, place_x >> 8, wraps, line)
        target = flat[row]
        for i in range(target.size):
            target[i] = np.uint8((line[i] * left + ahead[i] * right + np.uint32(32768)) >> np.uint32(16))
    return out


@njit(cache=True, nogil=True)
def _blend_rows(
    above: NDArray[np.uint8],
    below: NDArray[np.uint8],
    down: np.uint32,
    first: int,
    wraps: bool,
    line: NDArray[np.uint32],
) -> None:
    """Fill ``line`` (3 n,) with 256 x the blend of two rows (3 w,) from pixel ``first`` on, run by run."""
    up, width, done, pixels = np.uint32(256) - down, above.size // 3, 0, line.size // 3
    while done < pixels:
        start, backwards = _folded(first + done, width, wraps)
        run = min(start + 1 if backwards else width - start, pixels - done)
        part = line[3 * done : 3 * (done + run)]
        if backwards:
            for pixel in range(run):
                for channel in range(3):
                    source = 3 * (start - pixel) + channel
                    part[3 * pixel + channel] = above[source] * up + below[source] * down
        else:
            # Slices, so that the compiler sees that no index is negative and turns the loop into vector code.
            upper, lower = above[3 * start : 3 * (start + run)], below[3 * start : 3 * (start + run)]
            for i in range(part.size):
                part[i] = upper[i] * up + lower[i] * down
        done += run
