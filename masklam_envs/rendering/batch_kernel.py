"""The kernel that draws several frames in one call, without Python's lock."""

# Numba infers the types of the inner functions.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numba import carray, njit

from masklam_envs.batch import calls
from masklam_envs.distractors import plate as panning
from masklam_envs.rendering import raycast
from masklam_envs.rendering.look import Image

# Columns of `plates` (n, 7) float64: the frame's address (below 2**53, so exact; 0 for no plate), height, width,
# whether it wraps; its displacement in pixels of the result; the opacity of the ground.
FRAME, HEIGHT, WIDTH, WRAPS, X, Y, GROUND = range(7)
NO_PLATE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@njit(cache=True)
def address(frame: Image) -> float:
    """Where a picture's bytes are; a fifth of the time that ``frame.ctypes`` takes."""
    return np.float64(frame.ctypes.data)


def stamp_of(*modules: ModuleType) -> int:
    """A number that changes with the sources of the modules."""
    return zlib.crc32(b"".join(Path(str(module.__file__)).read_bytes() for module in modules))


def _kernel_of(stamp: int) -> Any:
    """The kernel that draws.

    Numba keeps compiled code on disk until the file of the outermost function changes, whatever becomes of the files of
    those that it calls; but code that closes over another value is other code.  The inner functions here are not kept.

    Args:
        stamp: changes with the files of what the kernel calls.
    """

    @njit(nogil=True, cache=True, error_model="numpy")
    def draw_frames(
        functions, structs, canvas_qpos, poses, tables, follow, sky, record, plates, which, qpos, pixels, mask
    ):
        """Draw the frames one after the other.

        Args:
            functions: addresses of MuJoCo's functions, see :mod:`masklam_envs.batch.calls`.
            structs: (2,) addresses of the renderer's model and data.
            canvas_qpos: (nq,) positions of that data, written.
            poses: the six arrays of poses that ``raycast.render`` reads; views of that data.
            tables: the six tables that it reads.
            follow: body that the camera follows (0 for none), its position relative to it (3,), ``subtree_com``.
            sky: cube map; the sky of the camera matrix painted last (H, W, 3); that matrix (9,).
            record: as in ``raycast.render``.
            plates: (n, 7), see above.
            which: (m,) index of the images.
            qpos: (n, nq) positions.
            pixels: (n, H, W, 3) uint8, written.
            mask: (n, H, W, 1) uint8, written.
        """
        _ = stamp
        geom_xpos, geom_xmat, cam_xpos, cam_xmat, light_xpos, light_xdir = poses
        solids, planes, lights, settings, rays, layers = tables
        for k in which:
            canvas_qpos[:] = qpos[k]
            _place(functions, structs, follow, cam_xpos)
            image, image_mask = pixels[k], mask[k]
            _paint_background(plates[k], sky, cam_xmat, settings[raycast.PIXEL], image)
            image_mask[:] = 0
            raycast.render(
                geom_xpos, geom_xmat, cam_xpos, cam_xmat, light_xpos, light_xdir, solids, planes, lights, settings,
                rays, layers, image, image_mask, plates[k, GROUND], record,
            )  # fmt: skip

    return draw_frames


@njit(nogil=True)
def _place(functions, structs, follow, cam_xpos):
    """The poses of geoms, camera and lights at the canvas's positions."""
    for function in (calls.KINEMATICS, calls.COM_POS, calls.CAM_LIGHT):
        calls.call2(functions[function], structs[0], structs[1])
    body, position, subtree_com = follow
    if body > 0:
        for k in range(3):
            cam_xpos[k] = subtree_com[body, k] + position[k]


@njit(nogil=True)
def _paint_background(plate, sky, cam_xmat, pixel, image):
    """The displaced plate, or the scene's own sky, which is painted anew when the camera has turned."""
    if plate[FRAME] > 0:
        shape = (np.intp(plate[HEIGHT]), np.intp(plate[WIDTH]), 3)
        frame = carray(calls.bytes_at(np.uintp(plate[FRAME])), shape)
        if plate[X] == 0 and plate[Y] == 0:
            image[:] = frame[: image.shape[0], : image.shape[1]]
        else:
            panning.pan_into(frame, plate[X], plate[Y], plate[WRAPS] > 0, image)
        return
    faces, painted, matrix = sky
    if not np.array_equal(matrix, cam_xmat):
        raycast.paint_sky(painted, faces, cam_xmat, pixel)
        matrix[:] = cam_xmat
    image[:] = painted


#: see `_kernel_of`
draw_frames = _kernel_of(stamp_of(calls, panning, raycast))
