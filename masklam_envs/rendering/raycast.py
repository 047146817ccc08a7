"""Numba kernels that draw spheres, capsules, cylinders, boxes, ellipsoids and planes by analytic ray casting.

Everything is computed in the camera's frame: x to the right, y down, z forward, origin at the camera.  The ray of a
pixel is ``t * (u, v, 1)``, so ``t`` is the depth along the optical axis in metres.  Only ``+ - * / sqrt`` are used, no
fast math, so that every machine computes the same bytes.  ``error_model="numpy"`` only removes the checks for division
by zero.  Solids (all but planes) are drawn one by one, far to near, inside a bounding box on the screen, over pixels
that already show the background; a pixel holds its nearest fragment and the colour behind it until the end.

The tables that the kernels read (``solids``, ``planes``, ``lights``) are float64, described by the column names below
and built by :mod:`masklam_envs.rendering.scene`; ids and flags in them are small whole numbers.  A name that starts
with ``placed`` is a table of this frame, in the camera's frame.  Numba infers the types of the inner functions: float64
scalars and tables, integer indices.

All kernels are in this one file because Numba keeps ``render`` compiled for as long as its file stays the same.
"""

# Numba infers the types of the inner functions.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

# Columns of `solids` (S, 14) and `planes` (P, 27); HIGHLIGHT is half of OpenGL's specular exponent, MATTE the squared
# cosine below which a highlight is too weak to see.
SIZE, RGBA, EMISSION, SPECULAR, HIGHLIGHT, MATTE, GEOM, IS_AGENT = 0, 3, 7, 8, 9, 10, 11, 12
KIND, SOLID_COLUMNS = 13, 14
# A plane's texture is mean + x X + y Y + xy X Y, with three channels each and square waves X, Y = -1 or 1 of one tile.
TEX_SCALE, TEX_MEAN, TEX_X, TEX_Y, TEX_XY, PLANE_COLUMNS = 13, 15, 18, 21, 24, 27
# Kinds of solids. A sphere is a capsule of length zero.
CAPSULE, ELLIPSOID, CYLINDER, BOX = 0, 1, 2, 3
# Columns of `lights` (L, 16); in a placed light (L, 22), DIRECTION and SPOT_AXIS hold vectors in the camera's frame.
LIGHT_KIND, LIGHT_INDEX, AMBIENT, DIFFUSE, LIGHT_SPECULAR, ATTENUATION, SPOT_POWER, SPOT_COS = 0, 1, 2, 5, 8, 11, 14, 15
LIGHT_COLUMNS, DIRECTION, SPOT_AXIS, PLACED_LIGHT_COLUMNS = 16, 16, 19, 22
HEADLIGHT, DIRECTIONAL, POSITIONAL = 0, 1, 2
# Columns of a pixel's `layers` (H, W, 10): nearest fragment, colour behind it (0..255), depth and geom of the nearest
# centre hit.
FRONT, COVER, BEHIND, DEPTH, HIT, ID, LAYER_COLUMNS = 0, 3, 4, 7, 8, 9, 10
# `settings`: light of a scene without any lamp; width of a pixel at depth 1.
AMBIENT_LIGHT, PIXEL, SETTINGS = 0, 1, 2
# Columns of a placed solid: centre, local axes as rows, screen box (x0, x1, y0, y1; x1 and y1 excluded).
CENTRE, AXES, BOX_X0, BOX_X1, BOX_Y0, BOX_Y1, PLACED_SOLID_COLUMNS = 0, 3, 12, 13, 14, 15, 16
# Columns of a placed plane: unit normal, the camera's height above it, the two axes each with the camera's coordinate.
NORMAL, HEIGHT, AXIS_X, EYE_X, AXIS_Y, EYE_Y, PLACED_PLANE_COLUMNS = 0, 3, 4, 7, 8, 11, 12

SUBSAMPLES = 4  # per axis, in pixels on the edge of a box, cylinder or ellipsoid

_entry = njit(cache=True, nogil=True, error_model="numpy")
# Numba counts references of array arguments with atomic operations, six times the cost of the arithmetic here.  These
# functions own no array, so they need no counting; only the entry points allocate.
_kernel = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
_inlined = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)


# ---------------------------------------------------------------------------------------------------- placing the scene


@_inlined
def _to_camera(axes, x, y, z):
    """A world vector in the camera's frame; ``axes`` (3, 3) has right, down and forward as rows."""
    return (
        axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z,
        axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z,
        axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z,
    )


@_kernel
def _camera_axes(axes, cam_xmat):
    """MuJoCo's camera matrix (x right, y up, z backward as columns) as rows right, down, forward of ``axes`` (3, 3)."""
    for k in range(3):
        axes[0, k] = cam_xmat[3 * k]
        axes[1, k] = -cam_xmat[3 * k + 1]
        axes[2, k] = -cam_xmat[3 * k + 2]


@_kernel
def _place_lights(placed, lights, axes, eye, light_xpos, light_xdir):
    for i in range(lights.shape[0]):
        for k in range(LIGHT_COLUMNS):
            placed[i, k] = lights[i, k]
        if lights[i, LIGHT_KIND] == HEADLIGHT:  # shines along the optical axis
            placed[i, DIRECTION], placed[i, DIRECTION + 1], placed[i, DIRECTION + 2] = 0.0, 0.0, -1.0
            continue
        j = int(lights[i, LIGHT_INDEX])
        x, y, z = _to_camera(axes, light_xdir[j, 0], light_xdir[j, 1], light_xdir[j, 2])
        placed[i, SPOT_AXIS], placed[i, SPOT_AXIS + 1], placed[i, SPOT_AXIS + 2] = x, y, z
        if lights[i, LIGHT_KIND] == POSITIONAL:
            dx, dy, dz = light_xpos[j, 0] - eye[0], light_xpos[j, 1] - eye[1], light_xpos[j, 2] - eye[2]
            x, y, z = _to_camera(axes, dx, dy, dz)
            placed[i, DIRECTION], placed[i, DIRECTION + 1], placed[i, DIRECTION + 2] = x, y, z
        else:
            placed[i, DIRECTION], placed[i, DIRECTION + 1], placed[i, DIRECTION + 2] = -x, -y, -z


@_kernel
def _place_planes(placed, planes, axes, eye, geom_xpos, geom_xmat):
    for i in range(planes.shape[0]):
        g = int(planes[i, GEOM])
        ox, oy, oz = eye[0] - geom_xpos[g, 0], eye[1] - geom_xpos[g, 1], eye[2] - geom_xpos[g, 2]
        for column, k in ((NORMAL, 2), (AXIS_X, 0), (AXIS_Y, 1)):
            x, y, z = geom_xmat[g, k], geom_xmat[g, 3 + k], geom_xmat[g, 6 + k]
            cx, cy, cz = _to_camera(axes, x, y, z)
            placed[i, column], placed[i, column + 1], placed[i, column + 2] = cx, cy, cz
            placed[i, column + 3] = x * ox + y * oy + z * oz  # the camera's coordinate along this axis


@_kernel
def _extent(c, z, m_cc, m_cz, m_zz):
    """Interval of ``c / z`` over the ellipsoid ``centre + M^(1/2) * unit ball`` seen along one screen axis.

    Its ends are the planes through the camera that touch it.  The whole axis when it reaches the camera's plane.
    """
    reach = z * z - m_zz
    if z <= 0.0 or reach <= 0.0:
        return -1e9, 1e9
    mid = c * z - m_cz
    half = np.sqrt(max(mid * mid - reach * (c * c - m_cc), 0.0))
    return (mid - half) / reach, (mid + half) / reach


@_kernel
def _solid_extent(row, solid, kind, c):
    """Interval of ``c / z`` of a placed solid, for screen axis ``c`` (0 across, 1 down)."""
    pc, pz = row[CENTRE + c], row[CENTRE + 2]
    # Local axes (columns of the geom's matrix) along the screen axis and along depth.
    ac, bc, kc = row[AXES + c], row[AXES + 3 + c], row[AXES + 6 + c]
    az, bz, kz = row[AXES + 2], row[AXES + 5], row[AXES + 8]
    sx, sy, sz = solid[SIZE], solid[SIZE + 1], solid[SIZE + 2]
    if kind == ELLIPSOID:
        m_cc = sx * sx * ac * ac + sy * sy * bc * bc + sz * sz * kc * kc
        m_cz = sx * sx * ac * az + sy * sy * bc * bz + sz * sz * kc * kz
        m_zz = sx * sx * az * az + sy * sy * bz * bz + sz * sz * kz * kz
        return _extent(pc, pz, m_cc, m_cz, m_zz)
    low, high = 1e9, -1e9
    if kind == BOX:
        for corner in range(8):
            x = sx if corner & 1 else -sx
            y = sy if corner & 2 else -sy
            z = sz if corner & 4 else -sz
            a, b = _extent(pc + x * ac + y * bc + z * kc, pz + x * az + y * bz + z * kz, 0.0, 0.0, 0.0)
            low, high = min(low, a), max(high, b)
        return low, high
    # Capsule: its two end spheres. Cylinder: its two end discs.
    disc = 1.0 if kind == CYLINDER else 0.0
    r2 = sx * sx
    for end in (-sy, sy):
        m_cc, m_cz, m_zz = r2 * (1.0 - disc * kc * kc), -r2 * disc * kc * kz, r2 * (1.0 - disc * kz * kz)
        a, b = _extent(pc + end * kc, pz + end * kz, m_cc, m_cz, m_zz)
        low, high = min(low, a), max(high, b)
    return low, high


@_kernel
def _pixel_range(low, high, pixel, half, count):
    """Pixels whose square may be touched by the interval [low, high] of ``c / z``; the margin covers rounding."""
    first = (low + half) / pixel - 0.05
    last = (high + half) / pixel + 1.05
    return max(0.0, np.floor(min(first, 1e6))), min(float(count), np.floor(max(last, 0.0)))


@_kernel
def _place_solids(placed, order, solids, axes, eye, geom_xpos, geom_xmat, pixel, height, width):
    """Camera-frame poses and screen boxes of all solids, and their order from far to near."""
    half_x, half_y = 0.5 * width * pixel, 0.5 * height * pixel
    for i in range(solids.shape[0]):
        g = int(solids[i, GEOM])
        row = placed[i]
        dx, dy, dz = geom_xpos[g, 0] - eye[0], geom_xpos[g, 1] - eye[1], geom_xpos[g, 2] - eye[2]
        row[CENTRE], row[CENTRE + 1], row[CENTRE + 2] = _to_camera(axes, dx, dy, dz)
        for k in range(3):
            x, y, z = _to_camera(axes, geom_xmat[g, k], geom_xmat[g, 3 + k], geom_xmat[g, 6 + k])
            row[AXES + 3 * k], row[AXES + 3 * k + 1], row[AXES + 3 * k + 2] = x, y, z
        kind = int(solids[i, KIND])
        low, high = _solid_extent(row, solids[i], kind, 0)
        row[BOX_X0], row[BOX_X1] = _pixel_range(low, high, pixel, half_x, width)
        low, high = _solid_extent(row, solids[i], kind, 1)
        row[BOX_Y0], row[BOX_Y1] = _pixel_range(low, high, pixel, half_y, height)
        j = i  # insertion sort by the centre's depth; equal depths keep the model's order
        while j > 0 and placed[order[j - 1], CENTRE + 2] < row[CENTRE + 2]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i


@_kernel
def _union_box(placed, height, width):
    """The smallest screen box that holds every solid's box: x0, x1, y0, y1."""
    x0, x1, y0, y1 = width, 0, height, 0
    for i in range(placed.shape[0]):
        if placed[i, BOX_X0] < placed[i, BOX_X1] and placed[i, BOX_Y0] < placed[i, BOX_Y1]:
            x0, x1 = min(x0, int(placed[i, BOX_X0])), max(x1, int(placed[i, BOX_X1]))
            y0, y1 = min(y0, int(placed[i, BOX_Y0])), max(y1, int(placed[i, BOX_Y1]))
    return x0, x1, y0, y1


# -------------------------------------------------------------------------------------------------------------- shading


@_inlined
def _power(x, n):
    """``x`` to a non-negative integer power by repeated squaring."""
    result = 1.0
    while n > 0:
        if n & 1:
            result *= x
        x *= x
        n >>= 1
    return result


@_inlined
def _shade(lights, ambient, nx, ny, nz, px, py, pz, scale, looks, i):
    """Lit colour in 0..1 of a surface point ``p`` with unit normal ``n``, as OpenGL's fixed pipeline computes it.

    ``looks[i]`` is the geom's row, ``ambient`` the light of a scene without any lamp, ``scale`` the reciprocal of the
    point's distance.
    """
    red = green = blue = ambient + looks[i, EMISSION]
    shine_r = shine_g = shine_b = 0.0
    vx, vy, vz = -px * scale, -py * scale, -pz * scale
    for k in range(lights.shape[0]):
        lx, ly, lz = lights[k, DIRECTION], lights[k, DIRECTION + 1], lights[k, DIRECTION + 2]
        strength = 1.0
        if lights[k, LIGHT_KIND] == POSITIONAL:
            lx, ly, lz = lx - px, ly - py, lz - pz
            distance = np.sqrt(lx * lx + ly * ly + lz * lz) + 1e-12
            lx, ly, lz = lx / distance, ly / distance, lz / distance
            along = -(lx * lights[k, SPOT_AXIS] + ly * lights[k, SPOT_AXIS + 1] + lz * lights[k, SPOT_AXIS + 2])
            if along < lights[k, SPOT_COS]:
                continue
            fall = lights[k, ATTENUATION + 1] + distance * lights[k, ATTENUATION + 2]
            strength = _power(max(along, 0.0), int(lights[k, SPOT_POWER])) / (lights[k, ATTENUATION] + distance * fall)
        facing = nx * lx + ny * ly + nz * lz
        diffuse = strength * max(facing, 0.0)
        red += strength * lights[k, AMBIENT] + diffuse * lights[k, DIFFUSE]
        green += strength * lights[k, AMBIENT + 1] + diffuse * lights[k, DIFFUSE + 1]
        blue += strength * lights[k, AMBIENT + 2] + diffuse * lights[k, DIFFUSE + 2]
        if facing > 0.0:
            hx, hy, hz = lx + vx, ly + vy, lz + vz
            along = nx * hx + ny * hy + nz * hz
            length2 = hx * hx + hy * hy + hz * hz
            if along > 0.0 and along * along > looks[i, MATTE] * length2:
                # The squared cosine to half of the exponent needs no square root.
                gloss = strength * looks[i, SPECULAR] * _power(along * along / length2, int(looks[i, HIGHLIGHT]))
                shine_r += gloss * lights[k, LIGHT_SPECULAR]
                shine_g += gloss * lights[k, LIGHT_SPECULAR + 1]
                shine_b += gloss * lights[k, LIGHT_SPECULAR + 2]
    return (
        min(red * looks[i, RGBA] + shine_r, 1.0),
        min(green * looks[i, RGBA + 1] + shine_g, 1.0),
        min(blue * looks[i, RGBA + 2] + shine_b, 1.0),
    )


# ----------------------------------------------------------------------------------------------------------- background


@_inlined
def _square_wave(placed, p, axis, scale, u, v, t, steepness, pixel):
    """Mean over a pixel's footprint of the wave that is 1 in the first half of each tile along a plane's axis, else -1.

    The wave's integral is a triangle, so the mean is exact and edges are smooth.  It fades out where a pixel spans
    half a tile to a whole one, so that the far ground does not shimmer.
    """
    along = placed[p, axis] * u + placed[p, axis + 1] * v + placed[p, axis + 2]
    slope = along * steepness
    span = abs(placed[p, axis] - slope * placed[p, NORMAL]) + abs(placed[p, axis + 1] - slope * placed[p, NORMAL + 1])
    span = max(abs(scale) * t * pixel * span, 1e-6)
    if span >= 1.0:
        return 0.0
    start = scale * (placed[p, axis + 3] + t * along) - 0.5 - 0.5 * span
    start -= np.floor(start)
    end = start + span
    end -= np.floor(end)
    return min(2.0 - 2.0 * span, 1.0) * (min(end, 1.0 - end) - min(start, 1.0 - start)) / span


@_inlined
def _ground_texture(planes, placed, p, u, v, t, pixel):
    """The texture's colour in 0..1 where a pixel's ray meets plane ``p`` at depth ``t``."""
    steepness = -t / placed[p, HEIGHT]  # reciprocal of the ray's descent
    x = _square_wave(placed, p, AXIS_X, planes[p, TEX_SCALE], u, v, t, steepness, pixel)
    y = _square_wave(placed, p, AXIS_Y, planes[p, TEX_SCALE + 1], u, v, t, steepness, pixel)
    xy = x * y
    return (
        planes[p, TEX_MEAN] + x * planes[p, TEX_X] + y * planes[p, TEX_Y] + xy * planes[p, TEX_XY],
        planes[p, TEX_MEAN + 1] + x * planes[p, TEX_X + 1] + y * planes[p, TEX_Y + 1] + xy * planes[p, TEX_XY + 1],
        planes[p, TEX_MEAN + 2] + x * planes[p, TEX_X + 2] + y * planes[p, TEX_Y + 2] + xy * planes[p, TEX_XY + 2],
    )


@_kernel
def _sky(faces, x, y, z):
    """Colour (0..255) of the cube map ``faces`` (6, n, n, 3) in a world direction; OpenGL's face order, z up."""
    n = faces.shape[1]
    if n == 0:
        return 0.0, 0.0, 0.0
    x, y, z = x, z, -y
    ax, ay, az = abs(x), abs(y), abs(z)
    if ax >= ay and ax >= az:
        f, major, s, t = (0, ax, -z, -y) if x > 0.0 else (1, ax, z, -y)
    elif ay >= az:
        f, major, s, t = (2, ay, x, z) if y > 0.0 else (3, ay, x, -z)
    else:
        f, major, s, t = (4, az, x, -y) if z > 0.0 else (5, az, -x, -y)
    px = min(max((s / major + 1.0) * 0.5 * n - 0.5, 0.0), n - 1.0)
    py = min(max((t / major + 1.0) * 0.5 * n - 0.5, 0.0), n - 1.0)
    i, j = min(int(px), max(n - 2, 0)), min(int(py), max(n - 2, 0))
    i1, j1 = min(i + 1, n - 1), min(j + 1, n - 1)
    fx, fy = px - i, py - j
    w00, w01, w10, w11 = (1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy
    return (
        w00 * faces[f, j, i, 0] + w01 * faces[f, j, i1, 0] + w10 * faces[f, j1, i, 0] + w11 * faces[f, j1, i1, 0],
        w00 * faces[f, j, i, 1] + w01 * faces[f, j, i1, 1] + w10 * faces[f, j1, i, 1] + w11 * faces[f, j1, i1, 1],
        w00 * faces[f, j, i, 2] + w01 * faces[f, j, i1, 2] + w10 * faces[f, j1, i, 2] + w11 * faces[f, j1, i1, 2],
    )


@_inlined
def _plane_depth(planes, placed, p, u, v):
    """Depth at which a pixel's ray meets the front of a placed plane, infinity when it does not; size 0 is endless."""
    down = placed[p, NORMAL] * u + placed[p, NORMAL + 1] * v + placed[p, NORMAL + 2]
    if placed[p, HEIGHT] <= 0.0 or down >= -1e-15:
        return np.inf
    t = -placed[p, HEIGHT] / down
    if planes[p, SIZE] > 0.0:
        x = placed[p, AXIS_X] * u + placed[p, AXIS_X + 1] * v + placed[p, AXIS_X + 2]
        if abs(placed[p, EYE_X] + t * x) > planes[p, SIZE]:
            return np.inf
    if planes[p, SIZE + 1] > 0.0:
        y = placed[p, AXIS_Y] * u + placed[p, AXIS_Y + 1] * v + placed[p, AXIS_Y + 2]
        if abs(placed[p, EYE_Y] + t * y) > planes[p, SIZE + 1]:
            return np.inf
    return t


@_inlined
def _nearest_plane(planes, placed, u, v):
    """The plane that a pixel's ray meets first and its depth; -1 and infinity for none."""
    nearest, t = -1, np.inf
    for p in range(planes.shape[0]):
        depth = _plane_depth(planes, placed, p, u, v)
        if depth < t:
            nearest, t = p, depth
    return nearest, t


@_kernel
def _record_planes(layers, mask, planes, placed, pixel):
    """Note the planes' ids, depths and mask in every pixel."""
    height, width = layers.shape[0], layers.shape[1]
    for y in range(height):
        for x in range(width):
            u, v = (x + 0.5 - 0.5 * width) * pixel, (y + 0.5 - 0.5 * height) * pixel
            p, t = _nearest_plane(planes, placed, u, v)
            if p >= 0:
                layers[y, x, HIT] = t
                layers[y, x, ID] = planes[p, GEOM]
                mask[y, x, 0] = 255 * int(planes[p, IS_AGENT])


@_entry
def paint_sky(pixels: Bytes, sky: Floats, cam_xmat: Floats, pixel: float) -> None:
    """Paint the cube map ``sky`` (6, n, n, 3) float64 in 0..255 (n = 0 for black) over ``pixels`` (H, W, 3) uint8."""
    height, width = pixels.shape[0], pixels.shape[1]
    axes = np.empty((3, 3))
    _camera_axes(axes, cam_xmat)
    for y in range(height):
        for x in range(width):
            u, v = (x + 0.5 - 0.5 * width) * pixel, (y + 0.5 - 0.5 * height) * pixel
            r, g, b = _sky(
                sky,
                axes[0, 0] * u + axes[1, 0] * v + axes[2, 0],
                axes[0, 1] * u + axes[1, 1] * v + axes[2, 1],
                axes[0, 2] * u + axes[1, 2] * v + axes[2, 2],
            )
            pixels[y, x, 0], pixels[y, x, 1], pixels[y, x, 2] = np.uint8(r + 0.5), np.uint8(g + 0.5), np.uint8(b + 0.5)


@_inlined
def _may_see_planes(placed, u, v):
    """Whether a row of pixels, from -u to u, looks down on the front of any plane."""
    for p in range(placed.shape[0]):
        down = placed[p, NORMAL + 1] * v + placed[p, NORMAL + 2] - abs(placed[p, NORMAL] * u)
        if placed[p, HEIGHT] > 0.0 and down < 0.0:
            return True
    return False


@_kernel
def _paint_ground(pixels, rays, planes, placed, lights, ambient, pixel, alpha):
    """Blend the ground planes, lit and textured, over the pixels with opacity ``alpha``."""
    height, width = pixels.shape[0], pixels.shape[1]
    for y in range(height):
        v = (y + 0.5 - 0.5 * height) * pixel
        if not _may_see_planes(placed, 0.5 * width * pixel, v):
            continue
        for x in range(width):
            u = (x + 0.5 - 0.5 * width) * pixel
            p, t = _nearest_plane(planes, placed, u, v)
            if p < 0:
                continue
            nx, ny, nz = placed[p, NORMAL], placed[p, NORMAL + 1], placed[p, NORMAL + 2]
            lit_r, lit_g, lit_b = _shade(lights, ambient, nx, ny, nz, t * u, t * v, t, rays[y, x] / t, planes, p)
            tex_r, tex_g, tex_b = _ground_texture(planes, placed, p, u, v, t, pixel)
            opacity = alpha * planes[p, RGBA + 3]
            r, g, b = pixels[y, x, 0], pixels[y, x, 1], pixels[y, x, 2]
            pixels[y, x, 0] = np.uint8(r + opacity * (255.0 * lit_r * tex_r - r) + 0.5)
            pixels[y, x, 1] = np.uint8(g + opacity * (255.0 * lit_g * tex_g - g) + 0.5)
            pixels[y, x, 2] = np.uint8(b + opacity * (255.0 * lit_b * tex_b - b) + 0.5)


# -------------------------------------------------------------------------------------------------- layers of fragments


@_kernel
def _clear(layers, x0, x1, y0, y1):
    for y in range(y0, y1):
        for x in range(x0, x1):
            layers[y, x, DEPTH] = np.inf
            layers[y, x, HIT] = np.inf
            layers[y, x, ID] = -1.0


@_inlined
def _above_planes(planes, placed, u, v, t, inv, nx, ny, nz, pixel):
    """How much of a fragment lies above the planes: 0 to 1, and at least 0.5 exactly when its centre does.

    The fragment's height above a plane, divided by its change from pixel to pixel along the surface, says where in the
    pixel the plane cuts it: the line where a foot enters the ground is smooth too.
    """
    part = 1.0
    for p in range(planes.shape[0]):
        down = placed[p, NORMAL] * u + placed[p, NORMAL + 1] * v + placed[p, NORMAL + 2]
        above = placed[p, HEIGHT] + t * down
        if placed[p, HEIGHT] <= 0.0 or above > 4.0 * t * pixel or _plane_depth(planes, placed, p, u, v) == np.inf:
            continue
        # A surface seen edge-on would have an endless slope.
        facing = min(nx * u + ny * v + nz, -0.3 / inv)
        slope_u = placed[p, NORMAL] - down * nx / facing
        slope_v = placed[p, NORMAL + 1] - down * ny / facing
        change = t * pixel * np.sqrt(slope_u * slope_u + slope_v * slope_v) + 1e-12
        part = min(part, max(above / change + 0.5, 0.0))
    return part


@_inlined
def _add_fragment(
    layers, rays, pixels, mask, y, x, u, v, t, nx, ny, nz, cover, hit, solids, i, planes, placed_planes, lights,
    ambient, pixel
):  # fmt: skip
    """Blend one fragment into its pixel; ``hit`` says that the ray through the pixel's centre meets the solid."""
    inv = rays[y, x]
    part = _above_planes(planes, placed_planes, u, v, t, inv, nx, ny, nz, pixel)
    if hit and part >= 0.5 and t < layers[y, x, HIT]:
        layers[y, x, HIT] = t
        layers[y, x, ID] = solids[i, GEOM]
        mask[y, x, 0] = 255 * int(solids[i, IS_AGENT])
    cover *= part * solids[i, RGBA + 3]
    depth = layers[y, x, DEPTH]
    if cover <= 0.0 or (depth < t and layers[y, x, COVER] >= 1.0):
        return
    r, g, b = _shade(lights, ambient, nx, ny, nz, t * u, t * v, t, inv / t, solids, i)
    r, g, b = 255.0 * r, 255.0 * g, 255.0 * b
    if depth == np.inf:
        for c in range(3):
            layers[y, x, BEHIND + c] = pixels[y, x, c]
    elif t < depth:  # the old front moves into the colour behind
        for c in range(3):
            layers[y, x, BEHIND + c] += layers[y, x, COVER] * (layers[y, x, FRONT + c] - layers[y, x, BEHIND + c])
    if t < depth:
        layers[y, x, FRONT], layers[y, x, FRONT + 1], layers[y, x, FRONT + 2] = r, g, b
        layers[y, x, COVER], layers[y, x, DEPTH] = cover, t
    else:
        layers[y, x, BEHIND] += cover * (r - layers[y, x, BEHIND])
        layers[y, x, BEHIND + 1] += cover * (g - layers[y, x, BEHIND + 1])
        layers[y, x, BEHIND + 2] += cover * (b - layers[y, x, BEHIND + 2])


@_kernel
def _resolve(pixels, layers, x0, x1, y0, y1):
    """Write the blended colours of every pixel in the box that a solid touches."""
    for y in range(y0, y1):
        for x in range(x0, x1):
            if layers[y, x, DEPTH] < np.inf:
                for c in range(3):
                    behind = layers[y, x, BEHIND + c]
                    colour = behind + layers[y, x, COVER] * (layers[y, x, FRONT + c] - behind)
                    pixels[y, x, c] = np.uint8(colour + 0.5)


# --------------------------------------------------------------------------------------------------------------- solids


@_kernel
def _draw_capsule(solids, placed, i, layers, rays, pixels, mask, planes, placed_planes, lights, ambient, pixel):
    """A capsule or sphere: coverage is the overlap of the pixel's width with the radius, measured across the axis."""
    height, width = pixels.shape[0], pixels.shape[1]
    solid, row = solids[i], placed[i]
    r, half = solid[SIZE], solid[SIZE + 1]
    mx, my, mz = 2.0 * half * row[AXES + 6], 2.0 * half * row[AXES + 7], 2.0 * half * row[AXES + 8]
    ax, ay, az = row[CENTRE] - 0.5 * mx, row[CENTRE + 1] - 0.5 * my, row[CENTRE + 2] - 0.5 * mz
    aa, am, mm = ax * ax + ay * ay + az * az, ax * mx + ay * my + az * mz, mx * mx + my * my + mz * mz
    # With a segment of length zero the formulas of the capsule's side are those of a sphere.
    inv_mm = 1.0 / mm if mm > 0.0 else 0.0
    s = min(max(-am * inv_mm, 0.0), 1.0)
    if aa + s * (2.0 * am + s * mm) <= r * r:
        return  # the camera is inside
    side = aa - am * am * inv_mm - r * r
    for y in range(int(row[BOX_Y0]), int(row[BOX_Y1])):
        v = (y + 0.5 - 0.5 * height) * pixel
        for x in range(int(row[BOX_X0]), int(row[BOX_X1])):
            u = (x + 0.5 - 0.5 * width) * pixel
            inv_dd = rays[y, x] * rays[y, x]
            ad, md = ax * u + ay * v + az, mx * u + my * v + mz
            # The point s of the segment that is nearest to the ray, and its distance from the ray.
            across = mm - md * md * inv_dd
            s = min(max((ad * md * inv_dd - am) / across, 0.0), 1.0) if across > 1e-12 * mm else 0.0
            near = ad + s * md
            t = near * inv_dd
            wide = pixel * t
            dist2 = aa + s * (2.0 * am + s * mm) - near * near * inv_dd
            if t <= 0.0 or dist2 >= (r + 0.5 * wide) * (r + 0.5 * wide):
                continue
            inside = r - 0.5 * wide
            cover = 1.0
            ex, ey, ez = t * u - ax - s * mx, t * v - ay - s * my, t - az - s * mz
            if inside <= 0.0 or dist2 > inside * inside:
                dist = np.sqrt(max(dist2, 1e-24))
                ex, ey, ez = ex / dist, ey / dist, ez / dist
                # One pixel moves the ray by `wide` parallel to the image, of which this much is across the edge.
                wide *= np.sqrt(max(1.0 - ez * ez, 0.01))
                cover = (min(r, dist + 0.5 * wide) - max(-r, dist - 0.5 * wide)) / wide
                if cover <= 0.0:
                    continue
            hit = dist2 < r * r
            if hit:
                a, b = 1.0 / inv_dd - md * md * inv_mm, ad - md * am * inv_mm
                root = b * b - a * side
                along = -1.0
                if root >= 0.0 and a > 1e-12 / inv_dd:
                    t = (b - np.sqrt(root)) / a
                    along = (t * md - am) * inv_mm
                elif md < 0.0:
                    along = 2.0
                if along < 0.0 or along > 1.0:  # an end sphere
                    along = 0.0 if along < 0.0 else 1.0
                    cd, cc = ad + along * md, aa + along * (2.0 * am + along * mm)
                    t = (cd - np.sqrt(max(cd * cd - (cc - r * r) / inv_dd, 0.0))) * inv_dd
                if t <= 0.0:
                    continue
                ex = (t * u - ax - along * mx) / r
                ey = (t * v - ay - along * my) / r
                ez = (t - az - along * mz) / r
            if hit and ex * u + ey * v + ez > 0.0:  # rounding on a silhouette: a visible surface faces the camera
                ex, ey, ez = -ex, -ey, -ez
            _add_fragment(
                layers, rays, pixels, mask, y, x, u, v, t, ex, ey, ez, cover, hit, solids, i, planes, placed_planes,
                lights, ambient, pixel,
            )  # fmt: skip


@_inlined
def _slab(o, d, size):
    """Where ``o + t d`` enters and leaves the slab [-size, size]."""
    if d == 0.0:
        return (-np.inf, np.inf) if abs(o) <= size else (np.inf, -np.inf)
    a, b = (-size - o) / d, (size - o) / d
    return (a, b) if a < b else (b, a)


@_kernel
def _meet_box(sx, sy, sz, ox, oy, oz, dx, dy, dz):
    """Entry depth of a local ray into a box and the local outward normal; infinity when it misses."""
    ax, bx = _slab(ox, dx, sx)
    ay, by = _slab(oy, dy, sy)
    az, bz = _slab(oz, dz, sz)
    t = max(ax, max(ay, az))
    if t > min(bx, min(by, bz)) or t <= 0.0:
        return np.inf, 0.0, 0.0, 0.0
    if t == ax:
        return t, (-1.0 if dx > 0.0 else 1.0), 0.0, 0.0
    if t == ay:
        return t, 0.0, (-1.0 if dy > 0.0 else 1.0), 0.0
    return t, 0.0, 0.0, (-1.0 if dz > 0.0 else 1.0)


@_kernel
def _meet_ellipsoid(sx, sy, sz, ox, oy, oz, dx, dy, dz):
    """As `_meet_box` for an ellipsoid: a unit sphere after dividing by the sizes."""
    ox, oy, oz, dx, dy, dz = ox / sx, oy / sy, oz / sz, dx / sx, dy / sy, dz / sz
    a, b = dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz
    root = b * b - a * (ox * ox + oy * oy + oz * oz - 1.0)
    if root < 0.0:
        return np.inf, 0.0, 0.0, 0.0
    t = (-b - np.sqrt(root)) / a
    if t <= 0.0:
        return np.inf, 0.0, 0.0, 0.0
    nx, ny, nz = (ox + t * dx) / sx, (oy + t * dy) / sy, (oz + t * dz) / sz
    scale = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
    return t, nx * scale, ny * scale, nz * scale


@_kernel
def _meet_cylinder(r, half, ox, oy, oz, dx, dy, dz):
    """As `_meet_box` for a cylinder along z: the ray is inside the endless tube and between the end planes."""
    a, b, c = dx * dx + dy * dy, ox * dx + oy * dy, ox * ox + oy * oy - r * r
    enter, leave = -np.inf, np.inf
    if a > 0.0:
        root = b * b - a * c
        if root < 0.0:
            return np.inf, 0.0, 0.0, 0.0
        root = np.sqrt(root)
        enter, leave = (-b - root) / a, (-b + root) / a
    elif c > 0.0:
        return np.inf, 0.0, 0.0, 0.0
    low, high = _slab(oz, dz, half)
    t = max(enter, low)
    if t > min(leave, high) or t <= 0.0:
        return np.inf, 0.0, 0.0, 0.0
    if enter >= low:
        return t, (ox + t * dx) / r, (oy + t * dy) / r, 0.0
    return t, 0.0, 0.0, (-1.0 if dz > 0.0 else 1.0)


@_kernel
def _meet(kind, solid, row, ox, oy, oz, u, v):
    """Entry depth and local normal of the ray ``t (u, v, 1)`` into a placed box, cylinder or ellipsoid."""
    dx = row[AXES] * u + row[AXES + 1] * v + row[AXES + 2]
    dy = row[AXES + 3] * u + row[AXES + 4] * v + row[AXES + 5]
    dz = row[AXES + 6] * u + row[AXES + 7] * v + row[AXES + 8]
    if kind == BOX:
        return _meet_box(solid[SIZE], solid[SIZE + 1], solid[SIZE + 2], ox, oy, oz, dx, dy, dz)
    if kind == CYLINDER:
        return _meet_cylinder(solid[SIZE], solid[SIZE + 1], ox, oy, oz, dx, dy, dz)
    return _meet_ellipsoid(solid[SIZE], solid[SIZE + 1], solid[SIZE + 2], ox, oy, oz, dx, dy, dz)


@_kernel
def _subsample(kind, solid, row, ox, oy, oz, u, v, pixel):
    """Share of a pixel's sub-samples that meet the solid, with the depth and local normal of one that does."""
    hits = 0
    found = (np.inf, 0.0, 0.0, 0.0)
    for j in range(SUBSAMPLES):
        sv = v + ((j + 0.5) / SUBSAMPLES - 0.5) * pixel
        for i in range(SUBSAMPLES):
            su = u + ((i + 0.5) / SUBSAMPLES - 0.5) * pixel
            meeting = _meet(kind, solid, row, ox, oy, oz, su, sv)
            if meeting[0] < np.inf:
                hits += 1
                found = meeting
    return hits / (SUBSAMPLES * SUBSAMPLES), found


@_kernel
def _draw_convex(corners, solids, placed, i, layers, rays, pixels, mask, planes, placed_planes, lights, ambient, pixel):
    """A box, cylinder or ellipsoid: a pixel whose four corners hit is covered (convexity), others are sub-sampled."""
    height, width = pixels.shape[0], pixels.shape[1]
    solid, row = solids[i], placed[i]
    kind = int(solid[KIND])
    cx, cy, cz = row[CENTRE], row[CENTRE + 1], row[CENTRE + 2]
    ox = -(row[AXES] * cx + row[AXES + 1] * cy + row[AXES + 2] * cz)
    oy = -(row[AXES + 3] * cx + row[AXES + 4] * cy + row[AXES + 5] * cz)
    oz = -(row[AXES + 6] * cx + row[AXES + 7] * cy + row[AXES + 8] * cz)
    x0, x1, y0, y1 = int(row[BOX_X0]), int(row[BOX_X1]), int(row[BOX_Y0]), int(row[BOX_Y1])
    for y in range(y0, y1):
        for edge in range(0 if y == y0 else 1, 2):
            for x in range(x0, x1 + 1):
                u, v = (x - 0.5 * width) * pixel, (y + edge - 0.5 * height) * pixel
                corners[edge, x] = _meet(kind, solid, row, ox, oy, oz, u, v)[0] < np.inf
        v = (y + 0.5 - 0.5 * height) * pixel
        for x in range(x0, x1):
            u = (x + 0.5 - 0.5 * width) * pixel
            meeting = _meet(kind, solid, row, ox, oy, oz, u, v)
            hit = meeting[0] < np.inf
            cover = 1.0
            if not (hit and corners[0, x] and corners[0, x + 1] and corners[1, x] and corners[1, x + 1]):
                cover, other = _subsample(kind, solid, row, ox, oy, oz, u, v, pixel)
                if cover == 0.0 and not hit:
                    continue
                if not hit:
                    meeting = other
            t, lx, ly, lz = meeting
            nx = row[AXES] * lx + row[AXES + 3] * ly + row[AXES + 6] * lz
            ny = row[AXES + 1] * lx + row[AXES + 4] * ly + row[AXES + 7] * lz
            nz = row[AXES + 2] * lx + row[AXES + 5] * ly + row[AXES + 8] * lz
            _add_fragment(
                layers, rays, pixels, mask, y, x, u, v, t, nx, ny, nz, cover, hit, solids, i, planes, placed_planes,
                lights, ambient, pixel,
            )  # fmt: skip
        for x in range(x0, x1 + 1):
            corners[0, x] = corners[1, x]


# ---------------------------------------------------------------------------------------------------------- entry point


@_entry
def render(
    geom_xpos: Floats, geom_xmat: Floats, cam_xpos: Floats, cam_xmat: Floats, light_xpos: Floats, light_xdir: Floats,
    solids: Floats, planes: Floats, lights: Floats, settings: Floats, rays: Floats, layers: Floats,
    pixels: Bytes, mask: Bytes, ground_alpha: float, record: bool,
) -> None:  # fmt: skip
    """Draw one frame over the sky or plate in ``pixels`` (H, W, 3) and into ``mask`` (H, W, 1) of zeros, both uint8.

    Args:
        geom_xpos, geom_xmat, cam_xpos, cam_xmat, light_xpos, light_xdir: the poses MuJoCo computed, float64.
        solids, planes, lights, settings: float64 tables, see the column names of this module.
        rays: (H, W) float64, reciprocal lengths of the pixels' rays (u, v, 1).
        layers: (H, W, LAYER_COLUMNS) float64 scratch.
        ground_alpha: opacity of the ground planes in 0..1.
        record: fill the columns HIT and ID of ``layers`` everywhere, and let the planes write the mask.
    """
    height, width = pixels.shape[0], pixels.shape[1]
    ambient, pixel = settings[AMBIENT_LIGHT], settings[PIXEL]
    axes = np.empty((3, 3))
    _camera_axes(axes, cam_xmat)
    placed_lights = np.empty((lights.shape[0], PLACED_LIGHT_COLUMNS))
    _place_lights(placed_lights, lights, axes, cam_xpos, light_xpos, light_xdir)
    placed_planes = np.empty((planes.shape[0], PLACED_PLANE_COLUMNS))
    _place_planes(placed_planes, planes, axes, cam_xpos, geom_xpos, geom_xmat)
    placed, order = np.empty((solids.shape[0], PLACED_SOLID_COLUMNS)), np.empty(solids.shape[0], np.int64)
    _place_solids(placed, order, solids, axes, cam_xpos, geom_xpos, geom_xmat, pixel, height, width)
    x0, x1, y0, y1 = (0, width, 0, height) if record else _union_box(placed, height, width)
    _clear(layers, x0, x1, y0, y1)
    if ground_alpha > 0.0:
        _paint_ground(pixels, rays, planes, placed_planes, placed_lights, ambient, pixel, ground_alpha)
    if record:
        _record_planes(layers, mask, planes, placed_planes, pixel)
    corners = np.empty((2, width + 1), np.bool_)  # solids hit along the upper and the lower edge of a row of pixels
    for k in range(order.shape[0]):
        i = order[k]
        if solids[i, KIND] == CAPSULE:
            _draw_capsule(
                solids, placed, i, layers, rays, pixels, mask, planes, placed_planes, placed_lights, ambient, pixel
            )
        else:
            _draw_convex(
                corners, solids, placed, i, layers, rays, pixels, mask, planes, placed_planes, placed_lights, ambient,
                pixel,
            )  # fmt: skip
    _resolve(pixels, layers, x0, x1, y0, y1)


@_entry
def lay_over(pixels: Bytes, mask: Bytes, overlay: Bytes) -> None:
    """Blend ``overlay`` (H, W, 4), RGB and opacity, over ``pixels`` (H, W, 3); its opaque half hides the mask."""
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            opacity = np.int64(overlay[y, x, 3])
            if opacity == 0:
                continue
            if opacity >= 128:
                mask[y, x, 0] = 0
            for c in range(3):
                below = np.int64(pixels[y, x, c])
                pixels[y, x, c] = np.uint8((255 * below + opacity * (overlay[y, x, c] - below) + 127) // 255)
