"""What a task is: the base environment, the view that keeps the agent large in the frame, and its expert."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import resources
from typing import Any

from masklam_envs.errors import unknown_name


@dataclasses.dataclass(frozen=True)
class Task:
    """One row of the suite.

    :param id: the registered id, e.g. ``"MaskCheetah-v0"``
    :param base: the Gymnasium id whose physics and reward it keeps
    :param camera: name of a camera of the model, which is always set because Gymnasium's default camera stopped
        following the robot in 1.4; or a description by angles, see :mod:`masklam_envs.rendering.camera`
    :param zoom: divides the tangent of half the field of view: as large as keeps the limbs inside the frame
    :param camera_offset: metres by which the camera is moved to its own right and upwards
    :param objects: names of the bodies that the agent is to handle or reach: never in the agent's mask
    """

    id: str
    base: str
    camera: str | Mapping[str, Any] = "track"
    zoom: float = 1.0
    camera_offset: tuple[float, float] = (0.0, 0.0)
    objects: tuple[str, ...] = ()

    @property
    def expert(self) -> str | None:
        """File name of the shipped expert under ``masklam_envs/experts/``, or None."""
        return self.expert_file("expert")

    def expert_file(self, strength: str) -> str | None:
        """File name of the shipped expert of a strength, e.g. ``hopper.safetensors``, ``hopper_medium.safetensors``."""
        short = self.id.removeprefix("Mask").removesuffix("-v0").lower()
        name = f"{short}.safetensors" if strength == "expert" else f"{short}_{strength}.safetensors"
        return name if (resources.files("masklam_envs") / "experts" / name).is_file() else None


def _angles(
    distance: float,
    elevation: float,
    *,
    azimuth: float = 90.0,
    lookat: tuple[float, float, float] = (0.0, 0.0, 0.0),
    track: str | None = None,
) -> dict[str, Any]:
    """A camera in metres and degrees; with ``track``, ``lookat`` is relative to the robot's centre of mass."""
    return {
        "lookat": list(lookat),
        "distance": distance,
        "azimuth": azimuth,
        "elevation": elevation,
        "track": track,
    }


# From above its back, so that the four legs lie beside each other and not behind each other.
ANT = _angles(3.15, -35, lookat=(0.0, 0.0, -0.1), track="torso")
# Half from the front, which shows both legs and both arms, standing and lying.
HUMANOID = _angles(4.0, -25, azimuth=120, track="torso")
# Straight down on what moves in the plane of the ground.
SWIMMER = _angles(4.1, -90, track="torso")
REACHER = _angles(0.57, -90)
# From the side and above, which shows arm, puck and goal beside each other.
PUSHER = _angles(3.0, -45, azimuth=135, lookat=(0.25, -0.45, -0.25))
# These stand still and show the whole rail: were they to follow the cart, only the rail's ends would tell where it is.
PENDULUM = _angles(3.05, 0, lookat=(0.0, 0.0, 0.3))
DOUBLE_PENDULUM = _angles(3.05, 0, lookat=(0.0, 0.0, 0.5))

TASKS: dict[str, Task] = {
    task.id: task
    for task in (
        Task("MaskCheetah-v0", "HalfCheetah-v5", zoom=1.2, camera_offset=(0.0, -0.2)),
        Task("MaskHopper-v0", "Hopper-v5", zoom=1.4, camera_offset=(0.0, -0.15)),
        Task("MaskWalker-v0", "Walker2d-v5", zoom=1.3, camera_offset=(0.0, -0.1)),
        Task("MaskAnt-v0", "Ant-v5", ANT),
        Task("MaskHumanoid-v0", "Humanoid-v5", HUMANOID, zoom=1.85),
        Task("MaskHumanoidStandup-v0", "HumanoidStandup-v5", HUMANOID, zoom=1.85),
        Task("MaskSwimmer-v0", "Swimmer-v5", SWIMMER),
        Task("MaskReacher-v0", "Reacher-v5", REACHER, objects=("target",)),
        Task("MaskPusher-v0", "Pusher-v5", PUSHER, zoom=1.6, objects=("object", "goal")),
        Task("MaskInvertedPendulum-v0", "InvertedPendulum-v5", PENDULUM),
        Task("MaskInvertedDoublePendulum-v0", "InvertedDoublePendulum-v5", DOUBLE_PENDULUM),
    )
}


def get_task(name: str) -> Task:
    """The task registered as ``name``.

    :raises ValueError: when there is none, with the close match and the list
    """
    if name not in TASKS:
        raise ValueError(unknown_name("task", name, TASKS))
    return TASKS[name]


def task_of_base(base: str) -> Task | None:
    """The task whose base environment is ``base``, or None."""
    return next((task for task in TASKS.values() if task.base == base), None)
