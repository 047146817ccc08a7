"""Frames of several states in one call of the ray caster, without Python's lock.

The kernel does what :meth:`RaycastRenderer.draw` does for a look that is no more than a displaced plate: it calls
MuJoCo's kinematics, the pan and the drawing functions one after the other, and so makes the same bytes.  Any other look
is drawn by the renderer itself, frame by frame.

The kernel is told of a plate by a row of numbers: made of a look, or kept up for a whole batch by :class:`Plates` where
the distractor paints many rows at once.
"""

# Numba infers the types of the inner functions.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import carray, njit
from numpy.typing import NDArray

from masklam_envs.batch import calls
from masklam_envs.distractors.base import Backdrops, Footage
from masklam_envs.distractors.plate import pan_into
from masklam_envs.rendering import raycast
from masklam_envs.rendering.look import REFERENCE_SIZE, Image, Look
from masklam_envs.rendering.renderer import RaycastRenderer

# Columns of `plates` (n, 7) float64: the frame's address (below 2**53, so exact; 0 for no plate), height, width,
# whether it wraps; its displacement in pixels of the result; the opacity of the ground.
FRAME, HEIGHT, WIDTH, WRAPS, X, Y, GROUND = range(7)
_NO_PLATE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def can_draw_together(renderer: Any) -> bool:
    """Whether :class:`RaycastBatch` draws what the renderer does."""
    return isinstance(renderer, RaycastRenderer) and calls.functions() is not None


class Plates:
    """The plates of n images, kept up from step to step.

    :param count: n
    :param size: side of the images, pixels
    :param ground_alpha: how opaque the ground is over a plate, in [0, 1]
    """

    def __init__(self, count: int, size: int, ground_alpha: float = 1.0) -> None:
        #: (n, 7), see above
        self.rows = np.tile(_NO_PLATE, (count, 1))
        self._size, self._ground_alpha = size, ground_alpha
        self._footage: Footage | None = None
        # Clip and index of the frame in an image's row, and the frame itself, which must live as long as its address.
        self._shown = np.full((2, count), -1)
        self._frames: list[Image | None] = [None] * count

    def put(self, which: NDArray[np.int64], backdrops: Backdrops) -> bool:
        """Take over the backdrops of the images ``which``; False: there is one that the kernel does not draw."""
        footage = backdrops.footage
        if footage is None:
            self.rows[which], self._shown[:, which] = _NO_PLATE, -1
            return True
        if backdrops.turn.any() or backdrops.zoom.any() or not self._show(which, footage, backdrops):
            return False
        scale = self._size / REFERENCE_SIZE
        self.rows[which, X], self.rows[which, Y] = backdrops.x * scale, backdrops.y * scale
        return True

    def _show(self, which: NDArray[np.int64], footage: Footage, backdrops: Backdrops) -> bool:
        """Ask for the frames that are others than before; False: one is no picture."""
        shown = np.stack((backdrops.clip, backdrops.index))
        if footage is not self._footage:
            self._footage, self._shown[:] = footage, -1
        changed = (self._shown[:, which] != shown).any(axis=0)
        images = which[changed].tolist()
        frames = [footage.frame(clip, index) for clip, index in shown[:, changed].T.tolist()]
        if not all(_is_picture(frame, self._size) for frame in frames):
            return False  # the renderer says what is wrong
        for i, frame in zip(images, frames, strict=True):
            self._frames[i] = frame
            self.rows[i, : WRAPS + 1] = _address(frame), *frame.shape[:2], footage.wraps
        self.rows[images, GROUND], self._shown[:, which] = self._ground_alpha, shown
        return True


class RaycastBatch:
    """Draws some of n images.

    :param renderer: whose frames they are; not to be used by another thread at the same time
    """

    def __init__(self, renderer: RaycastRenderer) -> None:
        self._renderer = renderer
        self._canvas = _canvas(renderer)

    def draw_plates(
        self, which: NDArray[np.int64], qpos: NDArray[np.float64], plates: Plates, pixels: Image, mask: Image
    ) -> None:
        """Draw the images ``which`` (m,).

        :param which: (m,)
        :param qpos: (n, nq) positions
        :param plates: of all n images
        :param pixels: (n, H, W, 3) uint8, written
        :param mask: (n, H, W, 1) uint8, written
        """
        _draw(*self._canvas, plates.rows, which, qpos, pixels, mask)

    def draw(
        self, which: NDArray[np.int64], qpos: NDArray[np.float64], looks: Sequence[Look], pixels: Image, mask: Image
    ) -> None:
        """As :meth:`draw_plates`, with any ``looks``, m of them: plain ones together, others one by one."""
        rows, together = np.empty((len(qpos), GROUND + 1)), []
        for i, look in zip(which.tolist(), looks, strict=True):
            row = _plate_row(look, self._renderer.image_size)
            if row is None:
                pixels[i], mask[i] = self._renderer.draw(qpos[i], look)
            else:
                rows[i] = row
                together.append(i)
        if together:
            _draw(*self._canvas, rows, np.array(together, np.int64), qpos, pixels, mask)


def _plate_row(look: Look, size: int) -> tuple[float, ...] | None:
    """The row of ``plates`` for a look, None when the kernel does not draw it."""
    plate = look.plate
    if not look.is_plain:
        return None
    if plate is None:
        return _NO_PLATE
    if plate.turn != 0 or plate.zoom != 0 or not _is_picture(plate.frame, size):
        return None
    height, width, _ = plate.frame.shape
    scale = size / REFERENCE_SIZE
    return _address(plate.frame), height, width, plate.wraps, plate.x * scale, plate.y * scale, look.ground_alpha


def _is_picture(frame: Image, size: int) -> bool:
    """Whether a frame is what the kernel reads by its address."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or not frame.flags.c_contiguous:
        return False
    return frame.shape[2] == 3 and min(frame.shape[:2]) >= size


@njit
def _address(frame: Image) -> float:
    """Where a picture's bytes are; a fifth of the time that ``frame.ctypes`` takes."""
    return np.float64(frame.ctypes.data)


def _canvas(renderer: RaycastRenderer) -> tuple[Any, ...]:
    """The kernel's arguments that stay the same."""
    data, camera, size = renderer._posed.data, renderer._camera, renderer.image_size
    structs = np.array([renderer.model._address, data._address], np.uintp)
    follow = (camera.body, np.ascontiguousarray(camera.position, np.float64), data.subtree_com)
    sky = (renderer._scene.sky, np.zeros((size, size, 3), np.uint8), np.full(9, np.nan))
    kernel = (renderer._poses, renderer._constants, follow, sky, renderer._ground_in_mask)
    return calls.functions(), structs, data.qpos, *kernel


@njit(nogil=True, cache=True, error_model="numpy")
def _draw(functions, structs, canvas_qpos, poses, tables, follow, sky, record, plates, which, qpos, pixels, mask):
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
    geom_xpos, geom_xmat, cam_xpos, cam_xmat, light_xpos, light_xdir = poses
    solids, planes, lights, settings, rays, layers = tables
    for k in which:
        canvas_qpos[:] = qpos[k]
        _place(functions, structs, follow, cam_xpos)
        image, image_mask = pixels[k], mask[k]
        _paint_background(plates[k], sky, cam_xmat, settings[raycast.PIXEL], image)
        image_mask[:] = 0
        raycast.render(
            geom_xpos, geom_xmat, cam_xpos, cam_xmat, light_xpos, light_xdir, solids, planes, lights, settings, rays,
            layers, image, image_mask, plates[k, GROUND], record,
        )  # fmt: skip


@njit(nogil=True, cache=True)
def _place(functions, structs, follow, cam_xpos):
    """The poses of geoms, camera and lights at the canvas's positions."""
    for function in (calls.KINEMATICS, calls.COM_POS, calls.CAM_LIGHT):
        calls.call2(functions[function], structs[0], structs[1])
    body, position, subtree_com = follow
    if body > 0:
        for k in range(3):
            cam_xpos[k] = subtree_com[body, k] + position[k]


@njit(nogil=True, cache=True)
def _paint_background(plate, sky, cam_xmat, pixel, image):
    """The displaced plate, or the scene's own sky, which is painted anew when the camera has turned."""
    if plate[FRAME] > 0:
        shape = (np.intp(plate[HEIGHT]), np.intp(plate[WIDTH]), 3)
        frame = carray(calls.bytes_at(np.uintp(plate[FRAME])), shape)
        if plate[X] == 0 and plate[Y] == 0:
            image[:] = frame[: image.shape[0], : image.shape[1]]
        else:
            pan_into(frame, plate[X], plate[Y], plate[WRAPS] > 0, image)
        return
    faces, painted, matrix = sky
    if not np.array_equal(matrix, cam_xmat):
        raycast.paint_sky(painted, faces, cam_xmat, pixel)
        matrix[:] = cam_xmat
    image[:] = painted
