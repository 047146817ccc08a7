"""Frames and agent masks of a MuJoCo model, a pure function of its position vector."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering import raycast
from masklam_envs.rendering.camera import CameraConfig, find_camera, moved_camera
from masklam_envs.rendering.changes import changed_lights, coloured
from masklam_envs.rendering.look import CLEAN, REFERENCE_SIZE, Ghost, Look, mixed
from masklam_envs.rendering.orbit import carried, focus_distance
from masklam_envs.rendering.posed import Posed
from masklam_envs.rendering.protocol import Layers, Renderer
from masklam_envs.rendering.scene import build_scene

# What the kernel reads: poses as in `MjData` (geoms' positions and matrices, the camera's, the lamps'), and tables.
Poses = tuple[NDArray[np.float64], ...]
Tables = tuple[NDArray[np.float64], ...]


class RaycastRenderer(Renderer):
    """Draws a model of primitive geoms by analytic ray casting: no OpenGL, the same bytes on every machine.

    Edges of solids are blended by how much of a pixel they cover, so motion of a tenth of a pixel shows.  The renderer
    owns its :class:`mujoco.MjData`; one renderer serves one thread at a time (the kernels release Python's lock, so use
    one renderer per thread).

    Args:
        model: a model whose visible geoms are planes, spheres, capsules, cylinders, boxes and ellipsoids.
        image_size: height and width H = W in pixels.
        camera: name or index of a model camera, or a description (see :mod:`masklam_envs.rendering.camera`); None
            takes "track" if there is one, else camera 0, else MuJoCo's default free camera.
        zoom: divides the field of view's tangent; above 1 the robot is larger.
        offset: metres by which the camera is moved to its own right and upwards, without turning it.
        agent_bodies: ids of the bodies that the mask shows; None is every body but the world.
        ghost_bodies: ids of the bodies that a ghost consists of; None is the same as ``agent_bodies``.

    Raises:
        ValueError: an unknown camera or body, a visible geom of another type, or a size or zoom that is not positive.
    """

    name = "raycast"

    def __init__(
        self,
        model: mujoco.MjModel,
        image_size: int = 64,
        camera: CameraConfig = None,
        zoom: float = 1.0,
        agent_bodies: Sequence[int] | None = None,
        offset: tuple[float, float] = (0.0, 0.0),
        ghost_bodies: Sequence[int] | None = None,
    ) -> None:
        if image_size < 1 or not zoom > 0:
            raise ValueError(f"image_size and zoom must be positive, got {image_size} and {zoom}")
        self._arguments = (model, image_size, camera, zoom, agent_bodies, offset, ghost_bodies)
        model, view = moved_camera(model, find_camera(model, camera), offset)
        self.model, self.image_size, self.zoom = model, image_size, zoom
        self._scene = scene = build_scene(model, agent_bodies)
        self._camera = view
        self.focus = focus_distance(model, view)
        self._pixel = 2.0 * self._camera.half_height / (zoom * image_size)
        # The ground is only drawn when it shows, unless the mask needs it.
        self._ground_in_mask = bool(scene.planes[:, raycast.IS_AGENT].any())
        self._posed = Posed(model, agent_bodies, ghost_bodies)
        self._poses = self._bind_poses()
        self._layers = np.zeros((image_size, image_size, raycast.LAYER_COLUMNS))
        rays = _reciprocal_lengths(image_size, self._pixel)
        settings = np.array([scene.ambient, self._pixel])
        self._constants = (scene.solids, scene.planes, scene.lights, settings, rays, self._layers)
        self._sky = np.zeros((image_size, image_size, 3), np.uint8)
        self._sky_matrix = b""

    def draw(
        self,
        qpos: NDArray[np.float64],
        look: Look = CLEAN,
        mocap_pos: NDArray[np.float64] | None = None,
        mocap_quat: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """See :class:`~masklam_envs.rendering.protocol.Renderer`."""
        self._place(qpos, mocap_pos, mocap_quat)
        if look.is_plain:
            return self._render(look, self._poses, self._constants, self._ground_in_mask)
        return self._draw_changed(look)

    def inspect(
        self,
        qpos: NDArray[np.float64],
        mocap_pos: NDArray[np.float64] | None = None,
        mocap_quat: NDArray[np.float64] | None = None,
    ) -> Layers:
        """See :class:`~masklam_envs.rendering.protocol.Renderer`."""
        self._place(qpos, mocap_pos, mocap_quat)
        pixels, mask = self._render(CLEAN, self._poses, self._constants, True)
        ids = self._layers[..., raycast.ID].astype(np.int32)
        return Layers(pixels, mask, ids, self._layers[..., raycast.HIT].astype(np.float32))

    @property
    def camera_index(self) -> int:
        """See :class:`~masklam_envs.rendering.protocol.Renderer`."""
        return self._camera.index

    def camera_pose(self, qpos: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """See :class:`~masklam_envs.rendering.protocol.Renderer`."""
        self._place(qpos, None, None)
        return self._poses[2].copy(), self._poses[3].reshape(3, 3).copy(), 0.5 * self._pixel * self.image_size

    def __reduce__(self) -> tuple[Any, ...]:
        # A plain copy would keep views of the old MjData.
        return RaycastRenderer, self._arguments

    def _bind_poses(self) -> tuple[NDArray[np.float64], ...]:
        """Views of what MuJoCo computes, and the camera's pose, in the order of the kernel's arguments."""
        data = self._posed.data
        position, matrix = self._camera.pose(data)
        return data.geom_xpos, data.geom_xmat, position, matrix, data.light_xpos, data.light_xdir

    def _place(
        self,
        qpos: NDArray[np.float64],
        mocap_pos: NDArray[np.float64] | None,
        mocap_quat: NDArray[np.float64] | None,
    ) -> None:
        """Let MuJoCo compute the poses of geoms, cameras and lights."""
        self._posed.place(qpos, mocap_pos, mocap_quat)
        if self._camera.body:  # the other cameras' poses are views of `data`, or constant
            self._poses[2][:] = self._camera.pose(self._posed.data)[0]

    def _render(
        self, look: Look, poses: Poses, tables: Tables, record: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Background, ground and model."""
        size = self.image_size
        mask = np.zeros((size, size, 1), np.uint8)
        if look.plate is None:
            pixels, ground_alpha = self._own_sky(poses[3]).copy(), 1.0
        else:
            pixels, ground_alpha = look.plate.painted(size), look.ground_alpha
            if look.plate.opacity < 1:
                pixels = mixed(self._own_sky(poses[3]), pixels, look.plate.opacity)
        raycast.render(*poses, *tables, pixels, mask, float(ground_alpha), record)
        return pixels, mask

    def _draw_changed(self, look: Look) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A look with more than a plate: first background and ghosts, then the model, then the overlays."""
        poses, tables = self._changed(look)
        if look.ghosts:
            pixels, mask = self._behind(look, poses, tables)
            raycast.render(*poses, *tables, pixels, mask, 0.0, self._ground_in_mask)
        else:
            pixels, mask = self._render(look, poses, tables, self._ground_in_mask)
        lay_overlays(look, pixels, mask)
        return pixels, mask

    def _changed(self, look: Look) -> tuple[Poses, Tables]:
        """Poses and tables with a look's camera, colours and light."""
        geom_xpos, geom_xmat, position, matrix, light_xpos, light_xdir = self._poses
        solids, planes, lights, settings, rays, layers = self._constants
        focus = position - self.focus * matrix.reshape(3, 3)[:, 2]
        if look.camera is not None:
            position, matrix = carried(position, matrix, self.focus, look.camera)
        if look.colours is not None:
            if look.colours.shape != (self.model.ngeom, 3):
                raise ValueError(f"colours must be ({self.model.ngeom}, 3), got {look.colours.shape}")
            solids, planes = (coloured(t, look.colours, self._scene.tints) for t in (solids, planes))
        if look.light is not None:
            lights, light_xpos, light_xdir = changed_lights(lights, light_xpos, light_xdir, matrix, focus, look.light)
        poses = (geom_xpos, geom_xmat, position, matrix, light_xpos, light_xdir)
        return poses, (solids, planes, lights, settings, rays, layers)

    def _behind(self, look: Look, poses: Poses, tables: Tables) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Background, ground and ghosts, and an empty mask."""
        solids = tables[0][self._ghost_solids]
        solids[:, raycast.IS_AGENT] = 0
        pixels, mask = self._render(look, poses, (solids[:0], *tables[1:]), False)
        for ghost in look.ghosts:
            before = pixels.copy() if ghost.opacity < 1 else None
            raycast.render(*self._ghost_poses(ghost, poses), *poses[2:], solids, *tables[1:], pixels, mask, 0.0, False)
            if before is not None:
                pixels = mixed(before, pixels, ghost.opacity)
        return pixels, mask

    @functools.cached_property
    def _ghost_solids(self) -> NDArray[np.int64]:
        """Rows of the table of solids that a ghost consists of."""
        return np.flatnonzero(np.isin(self._scene.solids[:, raycast.GEOM], self._posed.ghost_geoms))

    def _ghost_poses(self, ghost: Ghost, poses: Poses) -> Poses:
        metres = 2.0 * self._camera.half_height * self.focus / (self.zoom * REFERENCE_SIZE)
        return self._posed.ghost(ghost, (poses[2], poses[3]), metres)

    def _own_sky(self, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The scene's sky, which depends on the camera's orientation alone and is kept while that stays the same."""
        key = matrix.tobytes()
        if key != self._sky_matrix:
            raycast.paint_sky(self._sky, self._scene.sky, matrix, self._pixel)
            self._sky_matrix = key
        return self._sky


def lay_overlays(look: Look, pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    """Lay a look's overlays over ``pixels`` (H, W, 3) and take what they hide out of ``mask`` (H, W, 1)."""
    for overlay in look.overlays:
        if overlay.shape != (*mask.shape[:2], 4) or overlay.dtype != np.uint8:
            raise ValueError(f"an overlay must be {(*mask.shape[:2], 4)} uint8, got {overlay.shape} {overlay.dtype}")
        raycast.lay_over(pixels, mask, overlay)


def _reciprocal_lengths(size: int, pixel: float) -> NDArray[np.float64]:
    """(H, W) reciprocal lengths of the rays ``(u, v, 1)`` through the pixels' centres."""
    offsets = (np.arange(size) + 0.5 - 0.5 * size) * pixel
    return 1.0 / np.sqrt(1.0 + offsets[None, :] ** 2 + offsets[:, None] ** 2)
