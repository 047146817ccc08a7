"""Whose pixels the mask shows: the agent's, the objects', or both.

Without names the model itself tells them apart.  A *tree* is a child of the world with everything attached to it.  The
agent is every tree that an actuator drives (every body, where the model has no actuator); an object is every other
tree that can move: Pusher's puck and goal, Reacher's target.  A tree that cannot move, such as a table, is scenery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import mujoco
import numpy as np

from masklam_envs.errors import unknown_name

TARGETS = ("agent", "object", "foreground")
WORLD = 0


def target_bodies(
    model: mujoco.MjModel,
    target: str = "agent",
    agent_bodies: Sequence[str] | None = None,
    object_bodies: Sequence[str] | None = None,
) -> list[int]:
    """Indices of the bodies whose geoms the mask shows, ascending.

    :param model: the compiled model
    :param target: ``"agent"``, ``"object"`` or ``"foreground"`` (both)
    :param agent_bodies: names of bodies, each with all bodies below it; None: what actuators drive
    :param object_bodies: likewise; None: other trees that can move.  A body that is named here is no part of the agent
    :raises ValueError: for an unknown target or body, or when nothing is left to show
    """
    if target not in TARGETS:
        raise ValueError(unknown_name("mask target", target, TARGETS))
    driven = _driven(model)
    agent = driven if agent_bodies is None else _with_descendants(model, agent_bodies)
    objects = _loose(model) - driven - agent if object_bodies is None else _with_descendants(model, object_bodies)
    shown = {"agent": agent - objects, "object": objects, "foreground": agent | objects}[target]
    if not shown:
        cure = "name them in object_bodies" if target == "object" else "name it in agent_bodies"
        raise ValueError(
            f"mask_target={target!r} shows nothing: the model has no {target} of its own; use mask_target='agent' or "
            f"{cure}. Its bodies: {', '.join(body_names(model))}"
        )
    return sorted(shown)


def body_names(model: mujoco.MjModel, bodies: Iterable[int] | None = None) -> list[str]:
    """The names of bodies that have one, in the model's order; None is every body but the world."""
    chosen = range(1, model.nbody) if bodies is None else sorted(bodies)
    return [name for body in chosen if (name := model.body(body).name)]


def _with_descendants(model: mujoco.MjModel, names: Sequence[str]) -> set[int]:
    known = [model.body(body).name for body in range(model.nbody)]
    if isinstance(names, str):
        names = (names,)
    for name in names:
        if not name or name not in known:
            raise ValueError(unknown_name("body", name, body_names(model)))
    found = {known.index(name) for name in names}
    # A parent comes before its children, so one pass finds them all; the world alone stands for itself.
    for body in range(1, model.nbody):
        parent = int(model.body_parentid[body])
        if parent != WORLD and parent in found:
            found.add(body)
    return found


def _driven(model: mujoco.MjModel) -> set[int]:
    """Every body of a tree that an actuator drives."""
    roots = {int(model.body_rootid[body]) for i in range(model.nu) for body in _driven_by(model, i)} - {WORLD}
    return {body for body in range(1, model.nbody) if not roots or int(model.body_rootid[body]) in roots}


def _driven_by(model: mujoco.MjModel, actuator: int) -> list[int]:
    """The bodies that an actuator moves directly."""
    kind = mujoco.mjtTrn(int(model.actuator_trntype[actuator]))
    target = int(model.actuator_trnid[actuator, 0])
    if kind in (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT):
        return [int(model.jnt_bodyid[target])]
    if kind == mujoco.mjtTrn.mjTRN_TENDON:
        return _pulled_by(model, target)
    if kind in (mujoco.mjtTrn.mjTRN_SITE, mujoco.mjtTrn.mjTRN_SLIDERCRANK):
        return [int(model.site_bodyid[target])]
    return [target] if kind == mujoco.mjtTrn.mjTRN_BODY else []


def _pulled_by(model: mujoco.MjModel, tendon: int) -> list[int]:
    start = int(model.tendon_adr[tendon])
    bodies = []
    for i in range(start, start + int(model.tendon_num[tendon])):
        if model.wrap_type[i] == mujoco.mjtWrap.mjWRAP_JOINT:
            bodies.append(int(model.jnt_bodyid[model.wrap_objid[i]]))
        elif model.wrap_type[i] == mujoco.mjtWrap.mjWRAP_SITE:
            bodies.append(int(model.site_bodyid[model.wrap_objid[i]]))
    return bodies


def _loose(model: mujoco.MjModel) -> set[int]:
    """Every body of a tree that can move: one with a joint, or placed by the task (mocap)."""
    moving = (model.body_dofnum > 0) | (model.body_mocapid >= 0)
    roots = {int(root) for root in model.body_rootid[np.flatnonzero(moving)]} - {WORLD}
    return {body for body in range(1, model.nbody) if int(model.body_rootid[body]) in roots}
