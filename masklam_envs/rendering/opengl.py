"""Frames and agent masks by OpenGL, for models that the ray caster cannot draw: meshes, height fields, skins, flexes.

A frame is put together from a few cheap passes over parts of the scene, without shadows, reflections, haze and
multisampling, with coarse round geoms, each ``samples`` x ``samples`` times as large as the frame:

* layers of opaque solids before black, with depth, which says what is in front: those in the mask, those that are not;
  where the camera stands still, each of them once more for what stands still too and is kept
* the translucent solids, and which one each sample shows
* the ground and the sky, when they show; kept while camera, ground and lamps stay where they are

So every solid is drawn once, and a model that is all agent takes one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering import blend, gl
from masklam_envs.rendering.camera import CameraConfig, find_camera
from masklam_envs.rendering.drawn import prepare
from masklam_envs.rendering.look import CLEAN, REFERENCE_SIZE, Ghost, Look, mixed
from masklam_envs.rendering.orbit import carried, focus_distance
from masklam_envs.rendering.posed import Posed
from masklam_envs.rendering.protocol import Layers, Renderer
from masklam_envs.rendering.renderer import lay_overlays
from masklam_envs.rendering.stage import Glass, Picture, Stage

NOT_IN_MASK = np.zeros(1, bool)


class OpenGLRenderer(Renderer):
    """Draws any MuJoCo model by OpenGL, as :class:`~masklam_envs.rendering.RaycastRenderer` draws primitive ones.

    Shown are geoms of group 0 to 2 that are not fully transparent, flexes and skins.  Planes are the ground; a height
    field is a solid that stays in front of a plate.  Ghosts consist of geoms alone.

    The same pose and look give the same bytes on one machine with one driver, see :attr:`name`, not on another.  A
    renderer serves one thread at a time, whichever that is.  Of the model, positions in their parents' frames are read
    anew for every frame; everything else is taken when the renderer is made.

    Args:
        model: any model.
        image_size: height and width H = W in pixels.
        camera: name or index of a model camera, or a description (see :mod:`masklam_envs.rendering.camera`); None
            takes "track" if there is one, else camera 0, else MuJoCo's default free camera.
        zoom: divides the field of view's tangent; above 1 the robot is larger.
        agent_bodies: ids of the bodies that the mask shows; None is every body but the world.
        offset: metres by which the camera is moved to its own right and upwards, without turning it.
        ghost_bodies: ids of the bodies that a ghost consists of; None is the same as ``agent_bodies``.
        samples: samples a pixel along each axis; edges are blended, and the mask shows where at least half of a pixel's
            samples are the agent.

    Raises:
        ValueError: an unknown camera or body, or a number that is not positive.
        OpenGLUnavailableError: at the first frame, where there is no OpenGL.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        image_size: int = 64,
        camera: CameraConfig = None,
        zoom: float = 1.0,
        agent_bodies: Sequence[int] | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
        ghost_bodies: Sequence[int] | None = None,
        samples: int = 2,
    ) -> None:
        if image_size < 1 or samples < 1 or not zoom > 0:
            raise ValueError(f"image_size, samples and zoom must be positive, got {image_size}, {samples} and {zoom}")
        self._arguments = (model, image_size, camera, zoom, agent_bodies, offset, ghost_bodies, samples)
        self.model, self.image_size, self.zoom = model, image_size, zoom
        self._camera = find_camera(model, camera)
        self._offset = np.array([*offset, 0.0])
        self.focus = focus_distance(model, self._camera)
        self._half_height = self._camera.half_height / zoom
        self._pixel = 2.0 * self._half_height / image_size
        self._drawn = prepare(model, self._camera, image_size * samples, agent_bodies, ghost_bodies)
        self._in_mask = np.array([layer.in_mask for layer in self._drawn.solids], bool)
        self._stage = Stage(self._drawn, image_size * samples, self._half_height)
        self._posed = Posed(model, agent_bodies, ghost_bodies)
        self._data = self._posed.data
        self._placed = np.zeros((len(self._drawn.planes), blend.PLACED_COLUMNS))

    @property
    def name(self) -> str:
        """Library, device and version of OpenGL: see :class:`~masklam_envs.rendering.protocol.Renderer`."""
        return f"opengl, {gl.description()}"

    def draw(
        self,
        qpos: NDArray[np.float64],
        look: Look = CLEAN,
        mocap_pos: NDArray[np.float64] | None = None,
        mocap_quat: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """See :class:`~masklam_envs.rendering.protocol.Renderer`."""
        self._posed.place(qpos, mocap_pos, mocap_quat)
        self._set_look(look)
        size = self.image_size
        pixels = np.zeros((size, size, 3), np.uint8) if look.plate is None else look.plate.painted(size)
        mask = np.zeros((size, size, 1), np.uint8)
        drawn, stage = self._drawn, self._stage
        with gl.borrowed() as context:
            stage.enter(context)
            if look.plate is not None and look.plate.opacity < 1:
                pixels = mixed(self._sky(), pixels, look.plate.opacity)
            if look.plate is None or look.ground_alpha > 0:
                self._lay_ground(look, pixels)
            for ghost in look.ghosts:
                data = self._ghost(ghost)
                layers, glass = stage.ghost(data), stage.glass(data, drawn.ghost_glass)
                before = pixels.copy() if ghost.opacity < 1 else None
                self._lay_solids(pixels, np.zeros_like(mask), layers, NOT_IN_MASK, glass)
                if before is not None:
                    pixels = mixed(before, pixels, ghost.opacity)
            layers, glass = stage.solids(self._data), stage.glass(self._data, drawn.glass)
            self._lay_solids(pixels, mask, layers, self._in_mask, glass)
        lay_overlays(look, pixels, mask)
        return pixels, mask

    def inspect(
        self,
        qpos: NDArray[np.float64],
        mocap_pos: NDArray[np.float64] | None = None,
        mocap_quat: NDArray[np.float64] | None = None,
    ) -> Layers:
        """See :class:`~masklam_envs.rendering.protocol.Renderer`.

        Geoms and depths are those at the pixels' centres.  Flexes and skins have the id -1.
        """
        pixels, mask = self.draw(qpos, CLEAN, mocap_pos, mocap_quat)
        size, stage = self.image_size, self._stage
        ids, metres = np.empty((size, size), np.int32), np.empty((size, size), np.float32)
        with gl.borrowed() as context:
            stage.enter(context)
            picture = Picture(np.zeros((1, size, size, 3), np.uint8), np.zeros((1, size, size), np.float32))
            geoms = stage.segments(self._drawn.everything, self._data, picture, 0)
        blend.look_up(picture.depth[0], picture.rgb[0], geoms, *stage.range, ids, metres)
        return Layers(pixels, mask, ids, metres)

    @property
    def camera_index(self) -> int:
        """See :class:`~masklam_envs.rendering.protocol.Renderer`."""
        return self._camera.index

    def camera_pose(self, qpos: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """See :class:`~masklam_envs.rendering.protocol.Renderer`."""
        self._posed.place(qpos)
        position, matrix = self._camera_pose()
        return position, matrix.reshape(3, 3).copy(), self._half_height

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenGLRenderer, self._arguments

    def _camera_pose(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        position, matrix = self._camera.pose(self._data)
        return position + matrix.reshape(3, 3) @ self._offset, matrix

    def _set_look(self, look: Look) -> None:
        """Put camera, colours and light of a look on the stage."""
        stage = self._stage
        position, matrix = self._camera_pose()
        focus = position - self.focus * matrix.reshape(3, 3)[:, 2]
        if look.camera is not None:
            position, matrix = carried(position, matrix, self.focus, look.camera)
        if look.colours is not None and look.colours.shape != (self.model.ngeom, 3):
            raise ValueError(f"colours must be ({self.model.ngeom}, 3), got {look.colours.shape}")
        stage.set(position, matrix, look, focus)
        data = self._data
        blend.place_planes(self._drawn.planes, position, matrix, data.geom_xpos, data.geom_xmat, self._placed)

    def _sky(self) -> NDArray[np.uint8]:
        """The scene's sky alone: (H, W, 3)."""
        pixels = np.zeros((self.image_size, self.image_size, 3), np.uint8)
        picture = self._stage.sky(self._data)
        blend.lay_scenery(pixels, *picture, self._drawn.planes, self._placed, self._pixel, -1.0)
        return pixels

    def _lay_ground(self, look: Look, pixels: NDArray[np.uint8]) -> None:
        """Ground and sky, or the ground over the plate."""
        sky = look.plate is None
        picture = self._stage.ground(self._data, sky)
        alpha = -1.0 if sky else float(look.ground_alpha)
        blend.lay_scenery(pixels, *picture, self._drawn.planes, self._placed, self._pixel, alpha)

    def _lay_solids(
        self,
        pixels: NDArray[np.uint8],
        mask: NDArray[np.uint8],
        layers: Picture,
        in_mask: NDArray[np.bool_],
        glass: Glass,
    ) -> None:
        planes, stage = self._drawn.planes, self._stage
        blend.lay_solids(pixels, mask, *layers, in_mask, *glass, planes, self._placed, self._pixel, *stage.range)

    def _ghost(self, ghost: Ghost) -> mujoco.MjData:
        """The data of a ghost's pose, with its geoms where they are drawn."""
        metres = 2.0 * self._half_height * self.focus / REFERENCE_SIZE
        xpos, xmat = self._posed.ghost(ghost, self._stage.camera, metres)
        data = self._posed.ghost_data
        data.geom_xpos[:], data.geom_xmat[:] = xpos, xmat
        data.light_xpos[:], data.light_xdir[:] = self._data.light_xpos, self._data.light_xdir
        return data
