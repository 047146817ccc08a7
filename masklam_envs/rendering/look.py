"""Everything about one frame that is not the model's pose: what a distractor tells a renderer.

A distractor makes a :class:`Look` of a row (``Distractor.look``), a renderer draws it (``renderer.draw(qpos, look)``).
In this order, each over the one before:

1. the scene's own sky, under ``plate`` where there is one; then the ground with opacity ``ground_alpha`` (1 without a
   plate)
2. ``ghosts``, whatever their distance
3. the model at ``qpos``: only this is in the mask
4. ``overlays``, which take what they hide out of the mask

``camera``, ``colours`` and ``light`` hold for all that is drawn in the scene: ground, ghosts and model.
Pictures are uint8 RGB; lengths in the image are pixels of a 64-pixel-wide image, whatever size is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Float64Array = NDArray[np.float64]

# Lengths in the image are given in pixels of an image of this width.
REFERENCE_SIZE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """A picture behind the model, displaced, turned and enlarged.

    The picture is displaced first, then turned and enlarged about the centre of the image.

    :param frame: (h, w, 3) uint8, C-contiguous, h and w at least the image size
    :param x: displacement to the right
    :param y: displacement downwards
    :param turn: rotation about the image's centre, clockwise, radians
    :param zoom: enlargement in octaves, any number: 1 is twice as large.  It never ends: the picture at
        ``2**(zoom mod 1)`` of its size fades into itself at half that size.
    :param wraps: the picture is periodic; else it is mirrored at its edges
    :param opacity: over the scene's own sky, in [0, 1]; 1 is the fastest
    """

    frame: Image
    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    wraps: bool = False
    opacity: float = 1.0

    def painted(self, size: int) -> Image:
        """The picture in a window, whatever its opacity: (size, size, 3) uint8, a fresh array.

        :raises ValueError: when the frame is smaller than that, or no uint8 picture
        """
        frame = self.frame
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < size:
            raise ValueError(
                f"plate must be uint8 of at least ({size}, {size}, 3), got {frame.shape} {frame.dtype}; "
                "make the distractor with the renderer's image_size"
            )
        if self.x == 0 and self.y == 0 and self.turn == 0 and self.zoom == 0:
            return frame[:size, :size].copy()
        # Imported here: numba costs a second that a run without pixels need not pay.
        from masklam_envs.distractors import plate

        scale = size / REFERENCE_SIZE
        if self.turn == 0 and self.zoom == 0:
            panned: Image = plate.pan(frame, self.x * scale, self.y * scale, size, self.wraps)
            return panned
        return plate.warp(frame, self.x * scale, self.y * scale, self.turn, self.zoom, size, self.wraps)


@dataclass(frozen=True, slots=True)
class CameraChange:
    """The camera carried round the point it looks at, which stays in the middle of the image.

    :param yaw: about the world's vertical axis, radians
    :param pitch: upwards over that point, radians
    :param roll: about the optical axis, counter-clockwise as seen in the camera's direction, radians
    :param distance: from that point, as a multiple of what it was, above 0
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 1.0


@dataclass(frozen=True, slots=True)
class LightChange:
    """Every lamp, the headlight too, coloured and carried round the point that the camera looks at.

    :param gain: factors of red, green and blue, at least 0
    :param yaw: about the world's vertical axis, radians
    :param pitch: about the camera's axis to the right, radians
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    yaw: float = 0.0
    pitch: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Ghost:
    """A second agent, drawn behind the first: never in the mask, never in front of the agent.

    :param qpos: (nq,) float64, its pose
    :param x: displacement to the right in the image, at the distance of the point that the camera looks at
    :param y: displacement downwards
    :param turn: rotation about the vertical through the middle of its geoms, radians; half a turn is a mirror image for
        a camera at the side
    :param opacity: of the whole ghost over what is behind it, in [0, 1]
    """

    qpos: Float64Array
    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    opacity: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One frame's look; the default is the scene as it is.

    :param plate: picture in place of the sky; None: the scene's own sky and ground
    :param ground_alpha: with a plate, how opaque the ground is over it, in [0, 1]; 0 is also the fastest
    :param camera: None: as the model has it
    :param colours: (ngeom, 3) float64 in [0, 1]: the red, green and blue of every geom in place of the model's;
        textures multiply them as before
    :param light: None: as the model has it
    :param ghosts: drawn in order
    :param overlays: (H, W, 4) uint8 pictures, RGB and opacity, drawn in order; where the opacity is 128 or more the
        mask is 0
    """

    plate: Plate | None = None
    ground_alpha: float = 0.0
    camera: CameraChange | None = None
    colours: Float64Array | None = None
    light: LightChange | None = None
    ghosts: tuple[Ghost, ...] = ()
    overlays: tuple[Image, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing but a plate and the ground's opacity."""
        return (
            self.camera is None
            and self.colours is None
            and self.light is None
            and not self.ghosts
            and not self.overlays
        )


#: the scene as it is
CLEAN = Look()


def mixed(below: Image, above: Image, opacity: float) -> Image:
    """One picture over another of its shape, uint8, in whole numbers: ``opacity`` in [0, 1] is rounded to 1/256."""
    share = np.uint16(round(256 * opacity))
    weighted = below * (np.uint16(256) - share) + above * share
    return ((weighted + np.uint16(128)) >> 8).astype(np.uint8)
