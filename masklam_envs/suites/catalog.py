"""What the suites hold, as tables: read without importing dm_control or Meta-World."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

#: dm_control's whole suite but quadruped-escape, whose random terrain is not a function of the positions
DMC_TASKS: tuple[str, ...] = (
    *("acrobot-swingup", "acrobot-swingup_sparse", "ball_in_cup-catch"),
    *("cartpole-balance", "cartpole-balance_sparse", "cartpole-swingup", "cartpole-swingup_sparse"),
    *("cartpole-two_poles", "cartpole-three_poles", "cheetah-run"),
    *("dog-stand", "dog-walk", "dog-trot", "dog-run", "dog-fetch"),
    *("finger-spin", "finger-turn_easy", "finger-turn_hard", "fish-upright", "fish-swim", "hopper-stand", "hopper-hop"),
    *("humanoid-stand", "humanoid-walk", "humanoid-run", "humanoid-run_pure_state"),
    *("humanoid_CMU-stand", "humanoid_CMU-walk", "humanoid_CMU-run", "lqr-lqr_2_1", "lqr-lqr_6_2"),
    *("manipulator-bring_ball", "manipulator-bring_peg", "manipulator-insert_ball", "manipulator-insert_peg"),
    *("pendulum-swingup", "point_mass-easy", "point_mass-hard"),
    *("quadruped-walk", "quadruped-run", "quadruped-fetch", "reacher-easy", "reacher-hard"),
    *("stacker-stack_2", "stacker-stack_4", "swimmer-swimmer6", "swimmer-swimmer15"),
    *("walker-stand", "walker-walk", "walker-run"),
)

#: what a task moves about in the compiled model at each reset
DMC_PLACED: dict[str, tuple[str, ...]] = {
    "finger-turn_easy": ("site:target",),
    "finger-turn_hard": ("site:target",),
    "fish-swim": ("geom:target",),
    "manipulator-bring_ball": ("body:target_ball",),
    "manipulator-bring_peg": ("body:target_peg",),
    "manipulator-insert_ball": ("body:target_ball", "body:cup"),
    "manipulator-insert_peg": ("body:target_peg", "body:slot"),
    "reacher-easy": ("geom:target",),
    "reacher-hard": ("geom:target",),
    "stacker-stack_2": ("body:target",),
    "stacker-stack_4": ("body:target",),
    "swimmer-swimmer6": ("geom:target", "light:target_light"),
    "swimmer-swimmer15": ("geom:target", "light:target_light"),
}

#: cameras of the tasks whose first one looks elsewhere
DMC_CAMERAS: dict[str, str | int] = {"dog-fetch": "y-axis", "lqr-lqr_2_1": "cam1", "lqr-lqr_6_2": "cam1"}

#: steps of an episode of every task that dm_control limits
DMC_STEPS = 1000


@dataclasses.dataclass(frozen=True)
class MetaWorldTask:
    """A task of Meta-World.

    :param placed: what the task moves about in the compiled model at each reset
    :param objects: the bodies that the robot is to move: those with a joint on their way to the world
    """

    placed: tuple[str, ...]
    objects: tuple[str, ...]


#: the MT10 benchmark, version 3
METAWORLD_TASKS: dict[str, MetaWorldTask] = {
    "reach-v3": MetaWorldTask(("site:goal",), ("obj",)),
    "push-v3": MetaWorldTask(("site:goal",), ("obj",)),
    "pick-place-v3": MetaWorldTask(("site:goal",), ("obj",)),
    "door-open-v3": MetaWorldTask(("body:door", "site:goal"), ("door_link",)),
    "drawer-open-v3": MetaWorldTask(("body:drawer", "site:goal"), ("drawer_link",)),
    "drawer-close-v3": MetaWorldTask(("body:drawer", "site:goal"), ("drawer_link",)),
    "button-press-topdown-v3": MetaWorldTask(("body:box",), ("button",)),
    "peg-insert-side-v3": MetaWorldTask(("body:box", "site:goal"), ("peg",)),
    "window-open-v3": MetaWorldTask(("body:window", "site:goal"), ("windowb_a",)),
    "window-close-v3": MetaWorldTask(("body:window", "site:goal"), ("windowb_a",)),
}
METAWORLD_STEPS = 500
#: the root of the Sawyer arm and its gripper: the first child of the world whose name contains "base"
METAWORLD_ROBOT = "base"


@dataclasses.dataclass(frozen=True)
class SuiteId:
    """One row of the registry.

    :param id: the id under which it is seen with distractor and mask, e.g. ``"MaskDMC/cheetah-run-v0"``
    :param base: the id of its physics, e.g. ``"DMC/cheetah-run-v0"``
    :param entry_point: of the base
    :param base_kwargs: of the base's constructor
    :param steps: an episode's limit
    :param view: keyword arguments of :class:`~masklam_envs.env.MaskEnv`
    :param extra: of ``masklam``: what brings the suite's package
    """

    id: str
    base: str
    entry_point: str
    base_kwargs: dict[str, Any]
    steps: int
    view: dict[str, Any]
    extra: str


def suite_ids() -> Iterator[SuiteId]:
    """Every registered task of both suites."""
    for name in DMC_TASKS:
        domain, _, task = name.partition("-")
        yield SuiteId(
            f"MaskDMC/{name}-v0",
            f"DMC/{name}-v0",
            "masklam_envs.suites.dmc:DMControlEnv",
            {"domain": domain, "task": task},
            DMC_STEPS,
            {"camera": DMC_CAMERAS.get(name, 0)},
            "dmc",
        )
    for name, mt in METAWORLD_TASKS.items():
        yield SuiteId(
            f"MaskMetaWorld/{name}",
            f"MetaWorld/{name}",
            "masklam_envs.suites.metaworld:MetaWorldEnv",
            {"task": name},
            METAWORLD_STEPS,
            {
                "camera": "corner",
                "image_size": 128,
                "agent_bodies": [METAWORLD_ROBOT],
                "object_bodies": list(mt.objects),
            },
            "metaworld",
        )
