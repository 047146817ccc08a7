"""The Numba kernel that paints discs and boxes with smooth edges; ``+ - * /`` and square roots only."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _cover(table: NDArray[np.float64], i: int, x: float, y: float) -> float:
    """About how much of the pixel with its centre at (x, y) a shape covers: 0 to 1."""
    dx, dy, half_x, half_y = abs(x - table[i, 0]), abs(y - table[i, 1]), table[i, 4], table[i, 5]
    if table[i, 6] == 0.0:
        return min(max(half_x - dx + 0.5, 0.0), 1.0) * min(max(half_y - dy + 0.5, 0.0), 1.0)
    # The distance from an ellipse's edge, exact for a disc: its function over the length of its gradient.
    u, v = dx / half_x, dy / half_y
    radius = np.sqrt(u * u + v * v)
    slope = np.sqrt(u * u / (half_x * half_x) + v * v / (half_y * half_y)) + 1e-12
    return min(max((1.0 - radius) * radius / slope + 0.5, 0.0), 1.0) if radius > 1e-6 else 1.0


@njit(cache=True, nogil=True)
def paint_shapes(table: NDArray[np.float64], size: int, opacity: float) -> NDArray[np.uint8]:
    """Shapes on a transparent picture, each over the ones before it.

    :param table: (N, 10) as in :mod:`masklam_envs.distractors.occluders`, lengths in pixels of the picture
    :param size: side of the picture
    :param opacity: of every shape, in [0, 1]
    :return: (size, size, 4) uint8: RGB and opacity
    """
    out = np.zeros((size, size, 4), np.uint8)
    for y in range(size):
        for x in range(size):
            red = green = blue = alpha = 0.0
            for i in range(table.shape[0]):
                if abs(x + 0.5 - table[i, 0]) > table[i, 4] + 1.0 or abs(y + 0.5 - table[i, 1]) > table[i, 5] + 1.0:
                    continue
                part = opacity * _cover(table, i, x + 0.5, y + 0.5)
                if part > 0.0:
                    below = alpha * (1.0 - part)
                    alpha = part + below
                    red = (part * table[i, 7] + below * red) / alpha
                    green = (part * table[i, 8] + below * green) / alpha
                    blue = (part * table[i, 9] + below * blue) / alpha
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = np.uint8(red + 0.5), np.uint8(green + 0.5), np.uint8(blue + 0.5)
            out[y, x, 3] = np.uint8(255.0 * alpha + 0.5)
    return out
