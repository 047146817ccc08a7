"""Numba kernels of the procedural footage: integer value noise, coloured by a palette.

Whole numbers only, from the hash to the pixel: no floating point, no libm, no FFT, so every machine makes the
same bytes.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_30, _27, _31, _16 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(16)


@njit(cache=True, nogil=True, inline="always")
def _mixed(value: np.uint64) -> np.uint64:
    """The finaliser of splitmix64 (Steele et al. 2014): 64 bits that look random."""
    value = (value ^ (value >> _30)) * _MULTIPLIER_1
    value = (value ^ (value >> _27)) * _MULTIPLIER_2
    return value ^ (value >> _31)


@njit(cache=True, nogil=True, inline="always")
def _signed(value: np.uint64) -> np.int64:
    """A hash as a number in [-512, 511]."""
    return np.int64(value >> _16 & np.uint64(1023)) - np.int64(512)


@njit(cache=True, nogil=True)
def _lattice(seed: np.uint64, cells: int, clock: int) -> NDArray[np.int32]:
    """Values in [-512, 511] at the sites of a periodic lattice; each site fades from one value to the next in time.

    The sites' phases differ: were they equal, the contrast of the whole picture would pulse with each fade.
    """
    values = np.empty((cells, cells), np.int32)
    for row in range(cells):
        for column in range(cells):
            site = _mixed(seed + np.uint64(row * cells + column) * _GOLDEN)
            time = clock + np.int64(site & np.uint64(255))
            key, fade = time >> 8, time & 255
            now, later = _signed(_mixed(site + np.uint64(key))), _signed(_mixed(site + np.uint64(key + 1)))
            values[row, column] = (now * (256 - fade) + later * fade) >> 8
    return values


@njit(cache=True, nogil=True)
def _axis(size: int, cells: int, shift: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For each pixel of an axis its lattice cell and its smooth weight in [0, 256) towards the next cell."""
    cell, weight = np.empty(size, np.int32), np.empty(size, np.int32)
    for pixel in range(size):
        place = (pixel * cells * 65536) // size + shift
        part = (place & 65535) >> 8
        cell[pixel] = (place >> 16) % cells
        weight[pixel] = (part * part * (768 - 2 * part)) >> 16
    return cell, weight


@njit(cache=True, nogil=True)
def _add_octave(field: NDArray[np.int32], octave: NDArray[np.int64], index: int) -> None:
    """Add one octave of smooth noise to a field (size, size): 256 x weight x a value in [-512, 511]."""
    cells, speed_x, speed_y, rate, weight, seed = octave
    size = field.shape[0]
    values = _lattice(np.uint64(seed), cells, index * rate)
    column, across = _axis(size, cells, index * speed_x)
    row, down = _axis(size, cells, index * speed_y)
    line = np.empty(cells + 1, np.int32)
    for y in range(size):
        above, below = row[y], (row[y] + 1) % cells
        for x in range(cells):
            line[x] = (values[above, x] * (256 - down[y]) + values[below, x] * down[y]) >> 4
        line[cells] = line[0]
        for x in range(size):
            left = column[x]
            field[y, x] += ((line[left] * (256 - across[x]) + line[left + 1] * across[x]) >> 8) * weight >> 4


@njit(cache=True, nogil=True)
def _field(octaves: NDArray[np.int64], size: int, index: int) -> NDArray[np.int32]:
    """The sum of a field's octaves; the deviation is about 2500 with the weights of the procedural clips."""
    field = np.zeros((size, size), np.int32)
    for octave in octaves:
        _add_octave(field, octave, index)
    return field


@njit(cache=True, nogil=True)
def paint_frame(
    size: int,
    index: int,
    regions: NDArray[np.int64],
    shade: NDArray[np.int64],
    tint: NDArray[np.int64],
    palette: NDArray[np.int32],
    tint_colour: NDArray[np.int32],
) -> NDArray[np.uint8]:
    """One frame of a clip: (size, size, 3) uint8, periodic in both directions.

    A slow field picks each pixel's colour from a palette with crisp and soft borders, so there are things with
    outlines; a 1/f field shades them; a third one tints them.

    :param size: side of the canvas in pixels
    :param index: frame number
    :param regions: (n, 6) int64 octaves (cells, speed x, speed y, rate, weight, seed) of the field that picks the
        colour; speeds in 1/65536 cell a frame, rate in 1/256 of a fade a frame
    :param shade: (n, 6) octaves of the brightness
    :param tint: (n, 6) octaves of the tint
    :param palette: (256, 3) int32 colours in [0, 255]
    :param tint_colour: (3,) int32, added where the tint's field is 2048, about one deviation
    """
    region, light, colour = _field(regions, size, index), _field(shade, size, index), _field(tint, size, index)
    frame = np.empty((size, size, 3), np.uint8)
    for y in range(size):
        for x in range(size):
            pick = min(255, max(0, 128 + region[y, x] // 100))
            # One deviation of the shade changes the brightness by about 15 %.
            gain = min(512, max(48, 256 + light[y, x] // 76))
            for channel in range(3):
                value = (palette[pick, channel] * gain >> 8) + (tint_colour[channel] * colour[y, x] >> 11)
                frame[y, x, channel] = min(255, max(0, value))
    return frame
