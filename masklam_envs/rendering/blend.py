"""Numba kernels that lay what OpenGL drew over a picture, and take the mask from it.

OpenGL draws ``n`` x ``n`` samples a pixel, so its arrays have n H rows, the lowest row of the image first, and n W
columns.  Depth is MuJoCo's: 0 at the far plane, which is where nothing was drawn, 1 at the near plane.

The ground is known in closed form: a solid's sample is hidden where it lies behind a plane, whether the plane is drawn
or not.  The mask therefore does not depend on the ground's opacity, as with the ray caster.  The frame of reference is
the ray caster's: x to the right, y down, z forward from the camera, the ray of a point of the image ``t (u, v, 1)``.
"""

# Numba infers the types of the inner functions.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of a plane (P, 5): which geom, half sizes (0: endless), whether the mask shows it, opacity.
GEOM, SIZE_X, SIZE_Y, IS_AGENT, OPACITY, PLANE_COLUMNS = 0, 1, 2, 3, 4, 5
# Columns of a placed plane (P, 12): unit normal, the camera's height above it, the two axes each with the camera's
# coordinate.
NORMAL, HEIGHT, AXIS_X, EYE_X, AXIS_Y, EYE_Y, PLACED_COLUMNS = 0, 3, 4, 7, 8, 11, 12

_entry = njit(cache=True, nogil=True, error_model="numpy")
_kernel = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)


@_entry
def place_planes(
    planes: NDArray[np.float64],
    eye: NDArray[np.float64],
    matrix: NDArray[np.float64],
    xpos: NDArray[np.float64],
    xmat: NDArray[np.float64],
    placed: NDArray[np.float64],
) -> None:
    """Write the planes in the camera's frame into ``placed`` (P, 12).

    Args:
        planes: (P, 5).
        eye: (3,) the camera's position.
        matrix: (9,) its axes right, up, backward as columns, as ``MjData.cam_xmat``.
        xpos: (ngeom, 3) as ``MjData.geom_xpos``.
        xmat: (ngeom, 9) as ``MjData.geom_xmat``.
        placed: written.
    """
    for p in range(planes.shape[0]):
        g = int(planes[p, GEOM])
        for column, k in ((NORMAL, 2), (AXIS_X, 0), (AXIS_Y, 1)):
            placed[p, column + 3] = 0.0
            for i in range(3):
                placed[p, column + i] = 0.0
            for j in range(3):
                axis = xmat[g, 3 * j + k]
                placed[p, column] += axis * matrix[3 * j]
                placed[p, column + 1] -= axis * matrix[3 * j + 1]
                placed[p, column + 2] -= axis * matrix[3 * j + 2]
                placed[p, column + 3] += axis * (eye[j] - xpos[g, j])


@_kernel
def _nearest_plane(planes, placed, u, v):
    """The plane whose front a ray meets first and its depth; -1 and infinity for none."""
    nearest, depth = -1, np.inf
    for p in range(planes.shape[0]):
        down = placed[p, NORMAL] * u + placed[p, NORMAL + 1] * v + placed[p, NORMAL + 2]
        if placed[p, HEIGHT] <= 0.0 or down >= 0.0:
            continue
        t = -placed[p, HEIGHT] / down
        x = placed[p, EYE_X] + t * (placed[p, AXIS_X] * u + placed[p, AXIS_X + 1] * v + placed[p, AXIS_X + 2])
        y = placed[p, EYE_Y] + t * (placed[p, AXIS_Y] * u + placed[p, AXIS_Y + 1] * v + placed[p, AXIS_Y + 2])
        inside = (planes[p, SIZE_X] <= 0.0 or abs(x) <= planes[p, SIZE_X]) and (
            planes[p, SIZE_Y] <= 0.0 or abs(y) <= planes[p, SIZE_Y]
        )
        if inside and t < depth:
            nearest, depth = p, t
    return nearest, depth


@_kernel
def _ray(y, x, height, width, n, pixel):
    """Direction (u, v) of the sample in row y, counted from below, and column x."""
    return ((x + 0.5) / n - 0.5 * width) * pixel, (0.5 * height - (y + 0.5) / n) * pixel


@_kernel
def _add(pixels, y, x, share, cover, r, g, b):
    """Lay samples over a pixel: sums of opacity and of colours times opacity, ``share`` is the weight of a sample."""
    rest = 1.0 - share * cover
    pixels[y, x, 0] = np.uint8(rest * pixels[y, x, 0] + share * r + 0.5)
    pixels[y, x, 1] = np.uint8(rest * pixels[y, x, 1] + share * g + 0.5)
    pixels[y, x, 2] = np.uint8(rest * pixels[y, x, 2] + share * b + 0.5)


@_entry
def lay_scenery(
    pixels: NDArray[np.uint8],
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float32],
    planes: NDArray[np.float64],
    placed: NDArray[np.float64],
    pixel: float,
    alpha: float,
) -> None:
    """Blend the ground over ``pixels`` (H, W, 3), or replace them by ground and sky.

    Args:
        pixels: changed.
        rgb: (n H, n W, 3), ground and sky, or ground before black.
        depth: (n H, n W).
        planes: (P, 5).
        placed: (P, 12).
        pixel: width of a pixel at depth 1.
        alpha: the ground's opacity in 0..1; negative: ``rgb`` replaces everything.
    """
    height, width = pixels.shape[0], pixels.shape[1]
    n = depth.shape[0] // height
    for y in range(height):
        for x in range(width):
            cover, r, g, b = 0.0, 0.0, 0.0, 0.0
            for sy in range((height - 1 - y) * n, (height - y) * n):
                for sx in range(x * n, (x + 1) * n):
                    opacity = 1.0
                    if alpha >= 0.0:
                        if depth[sy, sx] == 0.0:
                            continue
                        u, v = _ray(sy, sx, height, width, n, pixel)
                        p = _nearest_plane(planes, placed, u, v)[0]
                        # OpenGL has blended a translucent plane with black already.
                        opacity = planes[p, OPACITY] if p >= 0 else 1.0
                    cover += opacity
                    r, g, b = r + rgb[sy, sx, 0], g + rgb[sy, sx, 1], b + rgb[sy, sx, 2]
            _add(pixels, y, x, (alpha if alpha >= 0.0 else 1.0) / (n * n), cover, r, g, b)


@_kernel
def _metres(z, near, far):
    """Distance along the optical axis; infinite where nothing is."""
    return far * near / (z * (far - near) + near) if z > 0.0 else np.inf


@_kernel
def _segment(ids, sy, sx):
    """MuJoCo's number of what a sample of the picture of ids shows, 0 for nothing."""
    return int(ids[sy, sx, 0]) + 256 * int(ids[sy, sx, 1]) + 65536 * int(ids[sy, sx, 2])


@_kernel
def _widened(row, first, last):
    """An interval of columns, extended to the first and the last of a row of depths where something is."""
    for x in range(first):
        if row[x] > 0.0:
            first = x
            break
    for x in range(row.shape[0] - 1, last, -1):
        if row[x] > 0.0:
            last = x
            break
    return first, last


@_kernel
def _span(depth, glass_depth, low, high):
    """First and last column with anything in rows ``low`` to ``high`` of all layers; the last is -1 for none."""
    first, last = depth.shape[2], -1
    for y in range(low, high):
        for layer in range(depth.shape[0]):
            first, last = _widened(depth[layer, y], first, last)
        if glass_depth.size:
            first, last = _widened(glass_depth[y], first, last)
    return first, last


@_entry
def lay_solids(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float32],
    in_mask: NDArray[np.bool_],
    glass_rgb: NDArray[np.uint8],
    glass_depth: NDArray[np.float32],
    glass_ids: NDArray[np.uint8],
    parts: NDArray[np.float64],
    planes: NDArray[np.float64],
    placed: NDArray[np.float64],
    pixel: float,
    near: float,
    far: float,
) -> None:
    """Blend the solids over ``pixels`` (H, W, 3); ``mask`` (H, W, 1) is 255 where at least half the samples are agent.

    Args:
        pixels: changed.
        mask: zeros, changed.
        rgb: (L, n H, n W, 3), layers of opaque solids, each before black.
        depth: (L, n H, n W).
        in_mask: (L,) whether the mask shows a layer.
        glass_rgb: (n H, n W, 3), translucent solids as if they were opaque, before black; empty where there are none.
        glass_depth: (n H, n W).
        glass_ids: (n H, n W, 3), MuJoCo's picture of their segments.
        parts: (S, 2) of each segment, counted from 1: whether the mask shows it, opacity.
        planes: (P, 5).
        placed: (P, 12).
        pixel: width of a pixel at depth 1.
        near: distance of the near plane, metres.
        far: distance of the far plane, metres.
    """
    height, width = pixels.shape[0], pixels.shape[1]
    n = depth.shape[1] // height
    ground_in_mask = False
    for p in range(planes.shape[0]):
        ground_in_mask = ground_in_mask or planes[p, IS_AGENT] > 0.0
    for y in range(height):
        low, high = (height - 1 - y) * n, (height - y) * n
        first, last = (0, n * width - 1) if ground_in_mask else _span(depth, glass_depth, low, high)
        for x in range(first // n, last // n + 1):
            agent, cover, r, g, b = 0, 0.0, 0.0, 0.0, 0.0
            for sy in range(low, high):
                for sx in range(x * n, (x + 1) * n):
                    front, z = -1, np.float32(0.0)
                    for layer in range(depth.shape[0]):
                        if depth[layer, sy, sx] > z:
                            front, z = layer, depth[layer, sy, sx]
                    opacity, part, nearest = 0.0, 0, z
                    if glass_depth.size and glass_depth[sy, sx] > z:
                        part, nearest = _segment(glass_ids, sy, sx), glass_depth[sy, sx]
                        opacity = parts[part, 1]
                    if nearest == 0.0 and not ground_in_mask:
                        continue
                    u, v = _ray(sy, sx, height, width, n, pixel)
                    p, ground = _nearest_plane(planes, placed, u, v)
                    if ground < _metres(nearest, near, far):
                        agent += int(planes[p, IS_AGENT])
                        continue
                    if part > 0:
                        agent += int(parts[part, 0])
                        cover += opacity
                        r += opacity * glass_rgb[sy, sx, 0]
                        g += opacity * glass_rgb[sy, sx, 1]
                        b += opacity * glass_rgb[sy, sx, 2]
                    elif front >= 0:
                        agent += int(in_mask[front])
                    if front >= 0 and not ground < _metres(z, near, far):
                        cover += 1.0 - opacity
                        r += (1.0 - opacity) * rgb[front, sy, sx, 0]
                        g += (1.0 - opacity) * rgb[front, sy, sx, 1]
                        b += (1.0 - opacity) * rgb[front, sy, sx, 2]
            mask[y, x, 0] = 255 * int(2 * agent >= n * n)
            if cover > 0.0:
                _add(pixels, y, x, 1.0 / (n * n), cover, r, g, b)


@_entry
def look_up(
    depth: NDArray[np.float32],
    ids: NDArray[np.uint8],
    geoms: NDArray[np.int32],
    near: float,
    far: float,
    shown: NDArray[np.int32],
    metres: NDArray[np.float32],
) -> None:
    """Turn OpenGL's depth and picture of segments of one sample a pixel into geoms and metres, top row first.

    Args:
        depth: (H, W).
        ids: (H, W, 3).
        geoms: (S,) geom of each segment, counted from 1; -1 where it is none.
        near: distance of the near plane, metres.
        far: distance of the far plane, metres.
        shown: (H, W), written: geoms, -1 for none.
        metres: (H, W), written: along the optical axis, infinite where there is nothing.
    """
    height, width = depth.shape
    for y in range(height):
        for x in range(width):
            z = depth[height - 1 - y, x]
            shown[y, x] = geoms[_segment(ids, height - 1 - y, x)]
            metres[y, x] = _metres(z, near, far)
