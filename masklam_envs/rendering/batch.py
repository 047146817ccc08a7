"""Frames of several states in one call of the ray caster, without Python's lock.

The kernel does what :meth:`RaycastRenderer.draw` does for a look that is no more than a displaced plate: it calls
MuJoCo's kinematics, the pan and the drawing functions one after the other, and so makes the same bytes.  Any other look
is drawn by the renderer itself, frame by frame.

The kernel is told of a plate by a row of numbers: made of a look, or kept up for a whole batch by :class:`Plates` where
the distractor paints many rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.batch import calls
from masklam_envs.distractors.base import Backdrops, Footage
from masklam_envs.rendering.batch_kernel import GROUND, NO_PLATE, WRAPS, X, Y, address, draw_frames
from masklam_envs.rendering.look import REFERENCE_SIZE, Image, Look
from masklam_envs.rendering.renderer import RaycastRenderer


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
        #: (n, 7), see :mod:`masklam_envs.rendering.batch_kernel`
        self.rows = np.tile(NO_PLATE, (count, 1))
        self._size, self._ground_alpha = size, ground_alpha
        self._footage: Footage | None = None
        # Clip and index of the frame in an image's row, and the frame itself, which must live as long as its address.
        self._shown = np.full((2, count), -1)
        self._frames: list[Image | None] = [None] * count

    def put(self, which: NDArray[np.int64], backdrops: Backdrops) -> bool:
        """Take over the backdrops of the images ``which``; False: there is one that the kernel does not draw."""
        footage = backdrops.footage
        if footage is None:
            self.rows[which], self._shown[:, which] = NO_PLATE, -1
            return True
        if backdrops.opacity < 1 or backdrops.turn.any() or backdrops.zoom.any():
            return False
        if not self._show(which, footage, backdrops):
            return False
        scale = self._size / REFERENCE_SIZE
        self.rows[which, X], self.rows[which, Y] = backdrops.x * scale, backdrops.y * scale
        return True

    def _show(self, which: NDArray[np.int64], footage: Footage, backdrops: Backdrops) -> bool:
        """Ask for the frames that are others than before; False: one is no picture."""
        if footage is not self._footage:
            self._footage, self._shown[:] = footage, -1
        shown = backdrops.clip, backdrops.index
        changed = (self._shown[0, which] != shown[0]) | (self._shown[1, which] != shown[1])
        if not changed.any():
            return True
        images = which[changed].tolist()
        places = zip(*(numbers[changed].tolist() for numbers in shown), strict=True)
        frames = [footage.frame(clip, index) for clip, index in places]
        if not all(_is_picture(frame, self._size) for frame in frames):
            return False  # the renderer says what is wrong
        for i, frame in zip(images, frames, strict=True):
            self._frames[i] = frame
            self.rows[i, : WRAPS + 1] = address(frame), *frame.shape[:2], footage.wraps
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
        draw_frames(*self._canvas, plates.rows, which, qpos, pixels, mask)

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
            draw_frames(*self._canvas, rows, np.array(together, np.int64), qpos, pixels, mask)


def _plate_row(look: Look, size: int) -> tuple[float, ...] | None:
    """The row of ``plates`` for a look, None when the kernel does not draw it."""
    plate = look.plate
    if not look.is_plain:
        return None
    if plate is None:
        return NO_PLATE
    if plate.turn != 0 or plate.zoom != 0 or plate.opacity < 1 or not _is_picture(plate.frame, size):
        return None
    height, width, _ = plate.frame.shape
    scale = size / REFERENCE_SIZE
    return address(plate.frame), height, width, plate.wraps, plate.x * scale, plate.y * scale, look.ground_alpha


def _is_picture(frame: Image, size: int) -> bool:
    """Whether a frame is what the kernel reads by its address."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or not frame.flags.c_contiguous:
        return False
    return frame.shape[2] == 3 and min(frame.shape[:2]) >= size


def _canvas(renderer: RaycastRenderer) -> tuple[Any, ...]:
    """The kernel's arguments that stay the same."""
    data, camera, size = renderer._posed.data, renderer._camera, renderer.image_size
    structs = np.array([renderer.model._address, data._address], np.uintp)
    follow = (camera.body, np.ascontiguousarray(camera.position, np.float64), data.subtree_com)
    sky = (renderer._scene.sky, np.zeros((size, size, 3), np.uint8), np.full(9, np.nan))
    kernel = (renderer._poses, renderer._constants, follow, sky, renderer._ground_in_mask)
    return calls.functions(), structs, data.qpos, *kernel
