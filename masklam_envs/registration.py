"""The registered ids: every task, the suites' tasks and their physics, and one id for any MuJoCo environment."""

from __future__ import annotations

import gymnasium as gym

from masklam_envs.suites.catalog import suite_ids
from masklam_envs.tasks import TASKS

ENTRY_POINT = "masklam_envs.env:MaskEnv"
VECTOR_ENTRY_POINT = "masklam_envs.vector:MaskVectorEnv"
# Presets of it are the Mask*-v0 ids; make_masked("Ant-v5") is this id with base="Ant-v5".
ANY_ID = "MaskMujoco-v0"


def register_envs() -> None:
    """Register the ids with Gymnasium; a second call changes nothing."""
    for task in TASKS.values():
        _register(
            task.id,
            max_episode_steps=gym.spec(task.base).max_episode_steps,
            kwargs={
                "base": task.base,
                "camera": task.camera,
                "zoom": task.zoom,
                "camera_offset": list(task.camera_offset),
                **({"object_bodies": list(task.objects)} if task.objects else {}),
            },
        )
    for row in suite_ids():
        _register(row.base, row.entry_point, max_episode_steps=row.steps, kwargs=row.base_kwargs)
        _register(row.id, max_episode_steps=row.steps, kwargs={"base": row.base, **row.view})
    _register(ANY_ID, max_episode_steps=None, kwargs={})


def _register(
    env_id: str, entry_point: str = ENTRY_POINT, *, max_episode_steps: int | None, kwargs: dict[str, object]
) -> None:
    if env_id not in gym.registry:
        gym.register(
            env_id,
            entry_point,
            vector_entry_point=VECTOR_ENTRY_POINT if entry_point == ENTRY_POINT else None,
            max_episode_steps=max_episode_steps,
            # The checker compares every pixel of every step with the bounds; the tests run it instead.
            disable_env_checker=True,
            kwargs=kwargs,
        )
