"""What MuJoCo's own rays see through a renderer's camera: the judge of both renderers."""

from __future__ import annotations

import copy
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering.look import CameraChange
from masklam_envs.rendering.orbit import carried
from masklam_envs.rendering.protocol import Renderer

#: groups of geoms that are drawn: 0 to 2, as in MuJoCo's default view
DRAWN_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)
HIDDEN_GROUP = 5


class Traced(NamedTuple):
    """What rays through the middles of pixels meet first.

    Attributes:
        ids: int32, the geom, -1 for none.
        depth: float64, metres to it along the camera's optical axis, +inf for none.
    """

    ids: NDArray[np.int32]
    depth: NDArray[np.float64]


class PixelRays:
    """The rays of one frame, met by MuJoCo: no code is shared with the renderers but their camera's pose.

    Args:
        renderer: whose model, camera and size it is.
        qpos: (nq,) float64 positions.
        camera: how the look of the frame carries the camera; None is not at all.
        samples: as if pixels were so many times smaller: H = W = ``image_size * samples``.
    """

    def __init__(
        self,
        renderer: Renderer,
        qpos: NDArray[np.float64],
        camera: CameraChange | None = None,
        samples: int = 1,
    ) -> None:
        self._model, self._side = _without_transparent(renderer.model), renderer.image_size * samples
        self._data = mujoco.MjData(self._model)
        self._data.qpos[:] = qpos
        mujoco.mj_forward(self._model, self._data)
        self._eye, matrix, half_height = renderer.camera_pose(qpos)
        if camera is not None:
            self._eye, flat = carried(self._eye, matrix.ravel(), renderer.focus, camera)
            matrix = flat.reshape(3, 3)
        at = ((np.arange(self._side) + 0.5) / self._side * 2 - 1) * half_height
        right, down = np.meshgrid(at, at)
        rays = np.stack([right, -down, -np.ones_like(right)], axis=-1).reshape(-1, 3)
        self._lengths = np.linalg.norm(rays, axis=1)
        self._directions = np.ascontiguousarray(rays / self._lengths[:, None] @ matrix.T)

    def trace(self) -> Traced:
        """All pixels (H, W), by ``mujoco.mj_multiRay``.

        It skips a body whose bounding volume a ray misses, and that volume holds only the geoms that can collide: some
        others, which ``mj_ray`` meets, are left out.
        """
        ids, distances = np.full(self._side**2, -1, np.int32), np.full(self._side**2, -1.0)
        # Newer releases of MuJoCo can tell the normals too.
        normals = (None,) if "normal" in mujoco.mj_multiRay.__doc__ else ()
        start = (self._model, self._data, self._eye, self._directions.ravel(), DRAWN_GROUPS, 1, -1)
        mujoco.mj_multiRay(*start, ids, distances, *normals, len(ids), mujoco.mjMAXVAL)
        shape = (self._side, self._side)
        return _traced(ids.reshape(shape), distances.reshape(shape), self._lengths.reshape(shape))

    def trace_singly(self, where: NDArray[np.bool_]) -> Traced:
        """Some pixels (N,), those that are True in ``where`` (H, W), by ``mujoco.mj_ray``: slow, and the exact one."""
        chosen, geom = np.flatnonzero(where), np.zeros(1, np.int32)
        ids, distances = np.empty(len(chosen), np.int32), np.empty(len(chosen))
        for i, direction in enumerate(self._directions[chosen]):
            distances[i] = mujoco.mj_ray(self._model, self._data, self._eye, direction, DRAWN_GROUPS, 1, -1, geom)
            ids[i] = geom[0]
        return _traced(ids, distances, self._lengths[chosen])


def _traced(ids: NDArray[np.int32], distances: NDArray[np.float64], lengths: NDArray[np.float64]) -> Traced:
    """Depths of distances along rays whose depth 1 is at these lengths."""
    return Traced(ids, np.where(ids >= 0, distances / lengths, np.inf))


def _without_transparent(model: mujoco.MjModel) -> mujoco.MjModel:
    """The model without geoms that are fully transparent: rays go by the opacity of a material, where there is one."""
    unseen = (model.geom_rgba[:, 3] == 0) & (model.geom_matid >= 0)
    if not unseen.any():
        return model
    model = copy.deepcopy(model)
    model.geom_group[unseen] = HIDDEN_GROUP
    return model
