"""What a task is: the base environment, the view that keeps the agent large in the frame, and its expert."""

from __future__ import annotations

import dataclasses

from masklam_envs.errors import unknown_name


@dataclasses.dataclass(frozen=True)
class Task:
    """One row of the suite.

    :param id: the registered id, e.g. ``"MaskCheetah-v0"``
    :param base: the Gymnasium id whose physics and reward it keeps
    :param camera: name of a camera of the model; it is always set by name, because Gymnasium's default camera
        stopped following the robot in 1.4
    :param zoom: divides the tangent of half the field of view: as large as keeps the limbs inside the frame
    :param camera_offset: metres by which the camera is moved to its own right and upwards
    :param expert: file name of the shipped expert under ``masklam_envs/experts/``, or None
    """

    id: str
    base: str
    camera: str = "track"
    zoom: float = 1.0
    camera_offset: tuple[float, float] = (0.0, 0.0)
    expert: str | None = None


TASKS: dict[str, Task] = {
    task.id: task
    for task in (
        Task("MaskCheetah-v0", "HalfCheetah-v5", zoom=1.2, camera_offset=(0.0, -0.2), expert="cheetah.safetensors"),
        Task("MaskHopper-v0", "Hopper-v5", zoom=1.4, camera_offset=(0.0, -0.15)),
        Task("MaskWalker-v0", "Walker2d-v5", zoom=1.3, camera_offset=(0.0, -0.1)),
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
