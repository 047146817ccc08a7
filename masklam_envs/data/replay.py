"""Does the physics here still do what was recorded? Recorded actions are played again from the recorded reset seeds.

Frames are drawn from stored positions, so a dataset of another MuJoCo version shows what it always showed.  What may
differ is the environment in which a policy that was trained on it acts.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from masklam_envs.data.recorded import check_imports_nothing
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.quiet import quiet_mujoco
from masklam_envs.wrappers.outside import wrappers_of

STANDARD_WRAPPERS = ("OrderEnforcing", "PassiveEnvChecker", "TimeLimit")


@dataclasses.dataclass(frozen=True)
class Replay:
    """What playing recorded actions again gave.

    :param steps: how many were played
    :param differs_at: episode and frame of the first position that is not the recorded one, or None
    :param largest: largest difference of a position, in its own unit (metres or radians)
    """

    steps: int
    differs_at: tuple[int, int] | None
    largest: float


def check_replay(trajectories: Trajectories, *, episodes: int = 1, steps: int = 200) -> Replay:
    """Play the first steps of the first episodes again.

    :param trajectories: recorded by :func:`masklam_envs.collect`
    :param episodes: at most so many
    :param steps: at most so many of each
    :raises ValueError: when the environment cannot be made again from what was recorded
    """
    base = _base_of(trajectories.meta)
    played, differs_at, largest = 0, None, 0.0
    for e in range(min(episodes, trajectories.episodes)):
        recorded = trajectories.qpos[slice(*trajectories.first_frame[e : e + 2])]
        base.reset(seed=int(trajectories.reset_seeds[e]))
        for frame in range(min(steps, int(trajectories.lengths[e])) + 1):
            if frame:
                base.step(trajectories.episode_actions(e)[frame - 1])
                played += 1
            difference = float(np.abs(base.unwrapped.data.qpos - recorded[frame]).max())  # type: ignore[attr-defined]
            if difference and differs_at is None:
                differs_at = (e, frame)
            largest = max(largest, difference)
    base.close()
    return Replay(played, differs_at, largest)


def warn_of_other_mujoco(trajectories: Trajectories) -> None:
    """Warn when a dataset was recorded with another MuJoCo, and say what playing it again gives here."""
    recorded = trajectories.meta.get("versions", {}).get("mujoco")
    if recorded in (None, mujoco.__version__):
        return
    try:
        verdict = _verdict(check_replay(trajectories), recorded)
    except (ValueError, gym.error.Error) as error:
        verdict = f"whether it moves alike cannot be checked ({error})"
    message = f"{trajectories.name} was recorded with MuJoCo {recorded}, here is {mujoco.__version__}: {verdict}"
    warnings.warn(message, UserWarning, stacklevel=3)


def _verdict(replay: Replay, recorded: str) -> str:
    if replay.differs_at is None:
        return f"{replay.steps} steps played again give its positions to the last bit"
    episode, frame = replay.differs_at
    return (
        f"played again, episode {episode} leaves its recorded positions at frame {frame} (by up to "
        f"{replay.largest:.2g} within {replay.steps} steps). Frames are drawn from the recorded positions all the "
        f"same, but a policy acts in other physics than it was trained on: install mujoco=={recorded}, or collect again"
    )


def foreign_wrappers(base: gym.Env[Any, Any]) -> list[str]:
    """Names of the wrappers around a base environment that an id does not bring along."""
    names = [type(wrapper).__name__ for wrapper in wrappers_of(base)]
    return [name for name in names if name not in STANDARD_WRAPPERS]


def _base_of(meta: dict[str, Any]) -> gym.Env[Any, Any]:
    if meta.get("base") is None:
        raise ValueError("the dataset does not say in which environment it was recorded")
    if meta.get("base_wrappers"):
        raise ValueError(f"the environment was wrapped by {meta['base_wrappers']}")
    check_imports_nothing(meta["base"])
    with quiet_mujoco():
        return gym.make(meta["base"], disable_env_checker=True, max_episode_steps=-1, **(meta.get("base_kwargs") or {}))
