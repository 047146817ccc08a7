"""From the record of where episodes come from (``meta``) to the environment that they were recorded in."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym

from masklam_envs.distractors import ActionReference
from masklam_envs.env import make_by_id, spec_of
from masklam_envs.registration import ANY_ID
from masklam_envs.tasks import task_of_base


def recorded_in(meta: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Id and keyword arguments of ``gymnasium.make`` for the environment of a recording, None where it is not known.

    The view is that of the task, or of the base environment's task where the recording has none.

    :raises ValueError: when the id names a module that was not imported yet: a file decides on no code that runs
    """
    task, base, base_kwargs = meta.get("task"), meta.get("base"), meta.get("base_kwargs")
    for named in (task, base):
        check_imports_nothing(named)
    given = {"base_kwargs": base_kwargs} if base_kwargs else {}
    if task in (None, ANY_ID) and base is not None:
        known = task_of_base(base) if task is None else None
        if known is None:
            limit = spec_of(base).max_episode_steps
            return ANY_ID, {"base": base, "max_episode_steps": -1 if limit is None else limit, **given}
        task = known.id
    return None if task is None else (task, given)


def check_imports_nothing(env_id: Any) -> None:
    """See that making an environment of this id, which a file names, runs no module that was not imported before.

    :raises ValueError: naming the module
    """
    module = env_id.rpartition(":")[0] if isinstance(env_id, str) else ""
    if module and module not in sys.modules:
        raise ValueError(
            f"the dataset was recorded in {env_id}, and no module is imported because a file names it: import "
            f"{module!r} yourself (--plugin {module}), or give env={env_id!r} (--env)"
        )


def make_recorded(meta: dict[str, Any], view: dict[str, Any], env: str | None = None) -> gym.Env[Any, Any]:
    """The environment through whose view recorded physics is seen.

    :param meta: of the trajectories
    :param view: keyword arguments of the environment, which replace those of the recording
    :param env: id to use instead of the recorded one
    :raises ValueError: when the recording does not name its environment, or nobody has registered it here
    """
    made = make_by_id(env, **view) if env is not None else _made(meta, view)
    if meta.get("base_wrappers") and meta.get("action_reference"):
        # The base's wrappers cannot be made again; what they make of actions is in the reference alone.
        masked: Any = made.unwrapped
        masked.view = masked.view.again(reference=ActionReference.from_json(meta["action_reference"]))
    return made


def _made(meta: dict[str, Any], view: dict[str, Any]) -> gym.Env[Any, Any]:
    try:
        known = recorded_in(meta)
        if known is None:
            raise ValueError("the dataset does not say in which environment it was recorded: give env (--env ID)")
        return gym.make(known[0], **{**known[1], **view})
    except gym.error.UnregisteredEnv as error:
        wanted = meta["base"] if meta.get("task") in (None, ANY_ID) else meta["task"]
        raise ValueError(
            f"the dataset was recorded in {wanted}, which nothing that was imported here registers ({error}): name its "
            f"module too, env='module:{wanted}' (--env)"
        ) from error
