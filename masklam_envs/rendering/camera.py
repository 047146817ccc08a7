"""Which camera a frame is seen through: one of the model, MuJoCo's default free camera, or one described by angles.

A description is a dictionary of JSON-able values, named as in MuJoCo's viewer::

    {"lookat": [x, y, z], "distance": 3.0, "azimuth": 90.0, "elevation": -20.0, "track": "torso"}

``lookat`` (metres, default the origin) is the point in the middle of the frame, ``distance`` (metres, above 0) how far
the camera is from it, ``azimuth`` and ``elevation`` (degrees, default 90 and -45, elevation in [-90, 90]) the direction
it looks in: azimuth 90 looks along +y with x to the right, elevation -90 straight down.  With ``track``, the name of a
body, ``lookat`` is relative to the centre of mass of that body and all below it, and the camera follows it without
turning.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name

FREE_CAMERA = -1
#: the keys of a described camera and their defaults; ``distance`` has to be given
DESCRIPTION: dict[str, Any] = {
    "lookat": (0.0, 0.0, 0.0),
    "distance": None,
    "azimuth": 90.0,
    "elevation": -45.0,
    "track": None,
}

CameraConfig = str | int | Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera of the model, or a free camera.

    Args:
        index: the model camera's index, ``FREE_CAMERA`` for a free one.
        half_height: tangent of half the vertical field of view, before any zoom.
        position: (3,) float64 metres, place of a free camera; model cameras take theirs from ``MjData``.
        matrix: (9,) float64, row-major, columns x right, y up, z backward, as ``MjData.cam_xmat``.
        body: a free camera's position is relative to the centre of mass of this body and all below it; 0, the world,
            stands for the origin.
        focus: metres to the point that a free camera looks at; 0 where that is to be found, see
            :mod:`masklam_envs.rendering.orbit`.
    """

    index: int
    half_height: float
    position: NDArray[np.float64]
    matrix: NDArray[np.float64]
    body: int = 0
    focus: float = 0.0

    def pose(self, data: mujoco.MjData) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Position (3,) and matrix (9,) after ``mj_comPos`` and ``mj_camlight`` have filled ``data``."""
        if self.index != FREE_CAMERA:
            return data.cam_xpos[self.index], data.cam_xmat[self.index]
        if self.body:
            return data.subtree_com[self.body] + self.position, self.matrix
        return self.position, self.matrix


def find_camera(model: mujoco.MjModel, camera: CameraConfig) -> Camera:
    """The camera that ``camera`` names or describes; None is "track" if there is one, else camera 0, else the free one.

    Raises:
        ValueError: the model has no such camera or body, the camera is orthographic, or a description has an unknown
            key or a number out of range.
    """
    if isinstance(camera, Mapping):
        return _described_camera(model, camera)
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
    position, matrix = _looking(np.array(free.lookat), free.distance, free.azimuth, free.elevation)
    return Camera(FREE_CAMERA, _half_height(model), position, matrix, focus=float(free.distance))


def _described_camera(model: mujoco.MjModel, description: Mapping[str, Any]) -> Camera:
    for key in description:
        if key not in DESCRIPTION:
            raise ValueError(unknown_name("key of a camera", key, DESCRIPTION))
    values = {**DESCRIPTION, **description}
    lookat, angles = _numbers("lookat", values["lookat"], 3), (values["azimuth"], values["elevation"])
    if not (_is_number(values["distance"]) and values["distance"] > 0):
        raise ValueError(f"a camera needs a distance above 0, metres, got {values['distance']!r}")
    azimuth, elevation = _numbers("azimuth and elevation", angles, 2).tolist()
    if not -90 <= elevation <= 90:
        raise ValueError(f"a camera's elevation must be in [-90, 90] degrees, got {elevation!r}")
    position, matrix = _looking(lookat, values["distance"], azimuth, elevation)
    # Sine and cosine may differ in the last bit from machine to machine; frames must not.
    position, matrix, distance = position.round(12), matrix.round(12), float(values["distance"])
    return Camera(FREE_CAMERA, _half_height(model), position, matrix, _body(model, values["track"]), distance)


def _looking(
    lookat: NDArray[np.float64], distance: float, azimuth: float, elevation: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position (3,) and matrix (9,) of a camera that looks at a point; angles in degrees."""
    azimuth, elevation = np.deg2rad(azimuth), np.deg2rad(elevation)
    sin_a, cos_a, sin_e, cos_e = np.sin(azimuth), np.cos(azimuth), np.sin(elevation), np.cos(elevation)
    forward = np.array([cos_e * cos_a, cos_e * sin_a, sin_e])
    up = np.array([-sin_e * cos_a, -sin_e * sin_a, cos_e])
    matrix = np.stack([np.cross(forward, up), up, -forward], axis=1)
    return lookat - distance * forward, matrix.ravel()


def _half_height(model: mujoco.MjModel) -> float:
    return float(np.tan(np.deg2rad(model.vis.global_.fovy) / 2))


def _body(model: mujoco.MjModel, name: Any) -> int:
    """Index of the body to follow, 0 for None."""
    if name is None:
        return 0
    names = [model.body(i).name for i in range(model.nbody)]
    if name not in names:
        raise ValueError(unknown_name("body to track", name, [body for body in names if body]))
    return names.index(name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(name: str, values: Any, count: int) -> NDArray[np.float64]:
    if not (isinstance(values, (tuple, list)) and len(values) == count and all(map(_is_number, values))):
        raise ValueError(f"a camera's {name} must be {count} finite numbers, got {values!r}")
    return np.array(values, np.float64)
