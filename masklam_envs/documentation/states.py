"""The state of a base environment, number by number: Gymnasium's own here, the suites' in ``suite_states``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import mujoco

from masklam_envs.documentation import numbers
from masklam_envs.documentation.numbers import Number, axes, share
from masklam_envs.documentation.suite_states import suite_state

#: what a part of Gymnasium's `observation_structure` is made of; where it has fewer numbers, they are the last
PARTS: Mapping[str, Callable[[mujoco.MjModel], list[Number]]] = {
    "qpos": numbers.qpos,
    "qvel": numbers.qvel,
    "cinert": numbers.cinert,
    "cvel": numbers.cvel,
    "qfrc_actuator": numbers.qfrc_actuator,
    "cfrc_ext": numbers.cfrc_ext,
}
#: where a task cuts a part to [-bound, bound]
CUTS = {("Hopper-v5", "qvel"): 10.0, ("Walker2d-v5", "qvel"): 10.0, ("Ant-v5", "cfrc_ext"): 1.0}


def state_numbers(base: gym.Env[Any, Any]) -> list[Number]:
    """What each number of a base environment's observation is; of a foreign one, only that it is there."""
    space: Any = base.observation_space
    unwrapped: Any = base.unwrapped
    found = _known(base.spec.id if base.spec else "", unwrapped)
    if len(found) != space.shape[0]:
        found = [Number(f"number {i}") for i in range(space.shape[0])]
    bounds = zip(space.low.tolist(), space.high.tolist(), strict=True)
    return [number.within(low, high) for number, (low, high) in zip(found, bounds, strict=True)]


def _known(env_id: str, base: Any) -> list[Number]:
    if env_id in OWN_ORDER:
        return OWN_ORDER[env_id](base.model)
    if "/" in env_id:
        return suite_state(env_id, base)
    found: list[Number] = []
    for part, count in getattr(base, "observation_structure", {}).items():
        if part in PARTS and count:
            bound = CUTS.get((env_id, part), float("inf"))
            found += [number.within(-bound, bound) for number in PARTS[part](base.model)[-count:]]
    return found


def _reacher(model: mujoco.MjModel) -> list[Number]:
    arm = ("joint0", "joint1")
    return [
        *(share(f"cosine of the angle of `{joint}`") for joint in arm),
        *(share(f"sine of the angle of `{joint}`") for joint in arm),
        *axes("position of `target`", "m", "xy"),
        *numbers.qvel(model, arm),
        *axes("`fingertip` minus `target`", "m", "xy"),
    ]


def _pusher(model: mujoco.MjModel) -> list[Number]:
    arm = numbers.hinges(model)[:7]
    things = ("tips_arm", "object", "goal")
    places = [number for thing in things for number in axes(f"position of `{thing}`", "m")]
    return [*numbers.qpos(model, arm), *numbers.qvel(model, arm), *places]


def _inverted_double_pendulum(model: mujoco.MjModel) -> list[Number]:
    poles = ("hinge", "hinge2")
    return [
        *numbers.qpos(model, ("slider",)),
        *(share(f"sine of the angle of `{joint}`") for joint in poles),
        *(share(f"cosine of the angle of `{joint}`") for joint in poles),
        *(number.within(-10, 10) for number in numbers.qvel(model)),
        Number("force of the rail's ends on `slider`", "N", -10, 10),
    ]


#: tasks whose observation has an order of its own
OWN_ORDER: Mapping[str, Callable[[mujoco.MjModel], list[Number]]] = {
    "Reacher-v5": _reacher,
    "Pusher-v5": _pusher,
    "InvertedDoublePendulum-v5": _inverted_double_pendulum,
}
