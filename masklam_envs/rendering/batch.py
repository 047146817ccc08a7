"""Frames of several states in one call of the ray caster, without Python's lock.

The kernel does what :meth:`RaycastRenderer.draw` does for a look that is no more than a displaced plate: it calls
MuJoCo's kinematics, the pan and the drawing functions one after the other, and so makes the same bytes.  Any other look
is drawn by the renderer itself, frame by frame.
"""

# Numba infers the types of the inner functions.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numba import carray, njit
from numpy.typing import NDArray

from masklam_envs.batch import calls
from masklam_envs.distractors.plate import pan_into
from masklam_envs.rendering import raycast
from masklam_envs.rendering.look import REFERENCE_SIZE, Image, Look
from masklam_envs.rendering.renderer import RaycastRenderer

# Columns of `plates` (m, 7) float64: the frame's address (below 2**53, so exact; 0 for no plate), height, width,
# whether it wraps; its displacement in pixels of the result; the opacity of the ground.
FRAME, HEIGHT, WIDTH, WRAPS, X, Y, GROUND = range(7)
_NO_PLATE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


class BatchPainter(Protocol):
    """Draws several frames."""

    #: whether painters of one view may draw at the same time in different threads
    threaded: bool

    def draw(
        self, which: NDArray[np.int64], qpos: NDArray[np.float64], looks: Sequence[Look], pixels: Image, mask: Image
    ) -> None:
        """Draw m frames into some of n images.

        :param which: (m,) the images
        :param qpos: (m, nq) positions
        :param looks: m looks
        :param pixels: (n, H, W, 3) uint8, written
        :param mask: (n, H, W, 1) uint8, written
        """


def batch_painter(renderer: Any) -> BatchPainter:
    """The fastest painter for a renderer; its frames are those of ``renderer.draw``."""
    can_call = calls.functions() is not None
    return RaycastBatch(renderer) if isinstance(renderer, RaycastRenderer) and can_call else FrameByFrame(renderer)


class FrameByFrame:
    """Draws with any renderer.

    :param renderer: has ``draw(qpos, look)``
    """

    threaded = False

    def __init__(self, renderer: Any) -> None:
        self.renderer = renderer

    def draw(
        self, which: NDArray[np.int64], qpos: NDArray[np.float64], looks: Sequence[Look], pixels: Image, mask: Image
    ) -> None:
        """See :class:`BatchPainter`."""
        for i, position, look in zip(which.tolist(), qpos, looks, strict=True):
            pixels[i], mask[i] = self.renderer.draw(position, look)


class RaycastBatch:
    """Draws plain looks together and others frame by frame.

    :param renderer: whose frames they are; not to be used by another thread at the same time
    """

    threaded = True

    def __init__(self, renderer: RaycastRenderer) -> None:
        self._others = FrameByFrame(renderer)
        self._size = renderer.image_size
        self._canvas = _canvas(renderer)
        # The frame that an image showed last and its address, which takes half a microsecond to ask for.
        self._frames: dict[int, tuple[Image, int]] = {}

    def draw(
        self, which: NDArray[np.int64], qpos: NDArray[np.float64], looks: Sequence[Look], pixels: Image, mask: Image
    ) -> None:
        """See :class:`BatchPainter`."""
        plates = [self._plate(i, look) for i, look in zip(which.tolist(), looks, strict=True)]
        others = [k for k, plate in enumerate(plates) if plate is None]
        if others:
            self._others.draw(which[others], qpos[others], [looks[k] for k in others], pixels, mask)
            kept = [k for k, plate in enumerate(plates) if plate is not None]
            which, qpos, plates = which[kept], qpos[kept], [plates[k] for k in kept]
        if plates:
            _draw(*self._canvas, np.array(plates), which, qpos, pixels, mask)

    def _plate(self, i: int, look: Look) -> tuple[float, ...] | None:
        """The row of ``plates`` for a look, None when the kernel does not draw it."""
        plate = look.plate
        if not look.is_plain:
            return None
        if plate is None:
            return _NO_PLATE
        frame, known = plate.frame, self._frames.get(i)
        if plate.turn != 0 or plate.zoom != 0:
            return None
        if known is None or known[0] is not frame:
            if not _is_picture(frame, self._size):
                return None  # the renderer says what is wrong
            known = self._frames[i] = (frame, frame.ctypes.data)
        scale = self._size / REFERENCE_SIZE
        height, width, _ = frame.shape
        return known[1], height, width, plate.wraps, plate.x * scale, plate.y * scale, look.ground_alpha


def _is_picture(frame: Image, size: int) -> bool:
    """Whether a frame is what the kernel reads by its address."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or not frame.flags.c_contiguous:
        return False
    return frame.shape[2] == 3 and min(frame.shape[:2]) >= size


def _canvas(renderer: RaycastRenderer) -> tuple[Any, ...]:
    """The kernel's arguments that stay the same."""
    data, camera, size = renderer._data, renderer._camera, renderer.image_size
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
        plates: (m, 7), see above.
        which: (m,) index of the images.
        qpos: (m, nq) positions.
        pixels: (n, H, W, 3) uint8, written.
        mask: (n, H, W, 1) uint8, written.
    """
    geom_xpos, geom_xmat, cam_xpos, cam_xmat, light_xpos, light_xdir = poses
    solids, planes, lights, settings, rays, layers = tables
    for k in range(which.shape[0]):
        canvas_qpos[:] = qpos[k]
        _place(functions, structs, follow, cam_xpos)
        image, image_mask = pixels[which[k]], mask[which[k]]
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
