"""Which camera a frame is seen through."""

from __future__ import annotations

import copy
import dataclasses
import difflib

import mujoco
import numpy as np
from numpy.typing import NDArray

FREE_CAMERA = -1


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera of the model, or MuJoCo's default free camera.

    Args:
        index: the model camera's index, ``FREE_CAMERA`` for the free one.
        half_height: tangent of half the vertical field of view, before any zoom.
        position: (3,) float64 metres, fixed pose of the free camera; model cameras take theirs from ``MjData``.
        matrix: (9,) float64, row-major, columns x right, y up, z backward, as ``MjData.cam_xmat``.
    """

    index: int
    half_height: float
    position: NDArray[np.float64]
    matrix: NDArray[np.float64]


def find_camera(model: mujoco.MjModel, camera: str | int | None) -> Camera:
    """The camera that ``camera`` names; None is "track" if there is one, else camera 0, else the free camera.

    Raises:
        ValueError: the model has no such camera, or it is orthographic.
    """
    names = [model.camera(i).name for i in range(model.ncam)]
    if camera is None:
        index = names.index("track") if "track" in names else (0 if names else FREE_CAMERA)
    elif isinstance(camera, str) and camera and camera in names:
        index = names.index(camera)
    elif isinstance(camera, (int, np.integer)) and 0 <= camera < model.ncam:
        index = int(camera)
    else:
        close = difflib.get_close_matches(str(camera), [name for name in names if name], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"the model has no camera {camera!r}.{hint} Its cameras, by index: {names}")
    if index == FREE_CAMERA:
        return _free_camera(model)
    # MuJoCo 3.17 renamed this field.
    projection = model.cam_projection if hasattr(model, "cam_projection") else model.cam_orthographic
    if projection[index]:
        raise ValueError(
            f"camera {names[index]!r} (index {index}) is orthographic; only perspective cameras can be drawn"
        )
    return Camera(index, float(np.tan(np.deg2rad(model.cam_fovy[index]) / 2)), np.zeros(3), np.zeros(9))


def moved_camera(model: mujoco.MjModel, camera: Camera, offset: tuple[float, float]) -> tuple[mujoco.MjModel, Camera]:
    """Model and camera with the camera moved sideways and upwards, without turning it.

    Args:
        model: left as it is; a changed copy is returned.
        camera: the camera to move.
        offset: metres along the camera's own x (right) and y (up) axes.

    Raises:
        ValueError: the camera turns to a target, so that moving it would turn it.
    """
    along = np.array([offset[0], offset[1], 0.0])
    if not along.any():
        return model, camera
    if camera.index == FREE_CAMERA:
        return model, dataclasses.replace(camera, position=camera.position + camera.matrix.reshape(3, 3) @ along)
    model, index = copy.deepcopy(model), camera.index
    mode = mujoco.mjtCamLight(int(model.cam_mode[index]))
    if mode == mujoco.mjtCamLight.mjCAMLIGHT_FIXED:
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, model.cam_quat[index])
        model.cam_pos[index] += matrix.reshape(3, 3) @ along
    elif mode in (mujoco.mjtCamLight.mjCAMLIGHT_TRACK, mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM):
        # A tracking camera keeps its orientation in the world; these are its distances from body and centre of mass.
        global_shift = model.cam_mat0[index].reshape(3, 3) @ along
        model.cam_pos0[index] += global_shift
        model.cam_poscom0[index] += global_shift
    else:
        raise ValueError(f"camera {model.camera(index).name!r} turns to a target and cannot be moved by an offset")
    return model, camera


def _free_camera(model: mujoco.MjModel) -> Camera:
    """MuJoCo's default free camera: looks at the model's centre from 1.5 times its extent."""
    free = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, free)
    azimuth, elevation = np.deg2rad(free.azimuth), np.deg2rad(free.elevation)
    sin_a, cos_a, sin_e, cos_e = np.sin(azimuth), np.cos(azimuth), np.sin(elevation), np.cos(elevation)
    forward = np.array([cos_e * cos_a, cos_e * sin_a, sin_e])
    up = np.array([-sin_e * cos_a, -sin_e * sin_a, cos_e])
    matrix = np.stack([np.cross(forward, up), up, -forward], axis=1)
    position = np.array(free.lookat) - free.distance * forward
    return Camera(FREE_CAMERA, float(np.tan(np.deg2rad(model.vis.global_.fovy) / 2)), position, matrix.ravel())
