"""A camera carried round the point that it looks at."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.exact import sincos
from masklam_envs.rendering.camera import Camera
from masklam_envs.rendering.look import CameraChange


def focus_distance(model: mujoco.MjModel, camera: Camera) -> float:
    """Metres along the optical axis to the point that a camera looks at, with the model as it starts.

    A free camera knows that point.  For one of the model it is level with the centre of mass of what the camera
    follows or turns to, and of the first body's tree where it does neither, as in the Distracting Control Suite.
    """
    if camera.focus:
        return camera.focus
    data = _at_start(model)
    position, matrix = camera.pose(data)
    target = int(model.cam_targetbodyid[camera.index])
    body = target if target >= 0 else max(int(model.cam_bodyid[camera.index]), 1)
    seen = data.subtree_com[min(body, model.nbody - 1)]
    distance = float(np.dot(position - seen, matrix.reshape(3, 3)[:, 2]))
    return distance if distance > 0.1 * model.stat.extent else float(model.stat.extent)


def axis_of(model: mujoco.MjModel, camera: Camera) -> NDArray[np.float64]:
    """(3,) of length 1 from the point that a camera looks at towards the camera, with the model as it starts."""
    return camera.pose(_at_start(model))[1].reshape(3, 3)[:, 2].copy()


def _at_start(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_camlight(model, data)
    return data


def carried(
    position: NDArray[np.float64], matrix: NDArray[np.float64], focus: float, change: CameraChange
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position (3,) and matrix (9,) of a camera that is carried round the point it looks at.

    Args:
        position: (3,) float64 metres.
        matrix: (9,) float64, as ``MjData.cam_xmat``.
        focus: metres from the camera to that point.
        change: how it is carried.
    """
    old = matrix.reshape(3, 3)
    rows = [_turned_z(row, change.yaw) for row in old.T.tolist()]  # the axes, now in the world
    right, up, back = rows
    sine, cosine = sincos(change.pitch)
    up, back = _mixed(up, cosine, back, -sine), _mixed(back, cosine, up, sine)
    sine, cosine = sincos(change.roll)
    right, up = _mixed(right, cosine, up, sine), _mixed(up, cosine, right, -sine)
    seen = position - focus * old[:, 2]
    moved = np.array([right, up, back])
    return seen + focus * change.distance * moved[2], np.ascontiguousarray(moved.T).ravel()


def _turned_z(vector: list[float], angle: float) -> list[float]:
    """A vector turned about the vertical."""
    (sine, cosine), (x, y, z) = sincos(angle), vector
    return [cosine * x - sine * y, sine * x + cosine * y, z]


def _mixed(a: list[float], by: float, b: list[float], by_b: float) -> list[float]:
    return [by * x + by_b * y for x, y in zip(a, b, strict=True)]
