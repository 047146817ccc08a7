"""What a distractor may know of the model that it is seen with: colours, camera, which positions are where."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.distractors.reference import Whitening

if TYPE_CHECKING:
    import mujoco

# How opaque the ground is over a background in the Distracting Control Suite where a task says nothing else.
GROUND_ALPHA = 0.3
# MuJoCo's geom colour that a material overrides.
UNSET_RGBA = (0.5, 0.5, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class SceneFacts:
    """Facts of a model and its camera.

    :param nq: the number of positions
    :param nv: the number of velocities
    :param colours: (ngeom, 3) float64 in [0, 1], every geom's red, green and blue before any texture
    :param paints: (ngeom,) int64, which paint a geom has: those of one material share it, and geoms without a material
        that have the same colour
    :param travel: indices of the positions that carry the agent over the ground
    :param polar: the camera's angle from the vertical about the point it looks at, radians; pi / 2 is level with it
    :param azimuth: its angle from the world's x axis about the vertical, radians
    :param ground_alpha: how opaque the ground is over a background in the Distracting Control Suite
    :param velocities: finds the statistics of the reference policy's joint velocities that are heard of so many steps
        late; None: there is no way to
    :param pose: (nq,) float64, the model's own positions; None: not known
    """

    nq: int
    nv: int
    colours: NDArray[np.float64]
    paints: NDArray[np.int64]
    travel: tuple[int, ...] = ()
    polar: float = math.pi / 2
    azimuth: float = -math.pi / 2
    ground_alpha: float = GROUND_ALPHA
    velocities: Callable[[int], Whitening] | None = None
    pose: NDArray[np.float64] | None = None


def scene_facts(
    model: mujoco.MjModel,
    back: NDArray[np.float64],
    agent: list[int],
    ground_alpha: float = GROUND_ALPHA,
    velocities: Callable[[int], Whitening] | None = None,
) -> SceneFacts:
    """Collect them.

    :param model: the compiled model
    :param back: (3,) from the point that the camera looks at towards the camera, length 1
    :param agent: indices of the agent's bodies
    :param ground_alpha: see :class:`SceneFacts`
    :param velocities: see :class:`SceneFacts`
    """
    colours, paints = _paints(model)
    # Rounded, so that a last bit of the C library's arc tangent moves no camera.
    polar, azimuth = math.acos(min(max(float(back[2]), -1.0), 1.0)), math.atan2(float(back[1]), float(back[0]))
    travel = _travel(model, agent)
    return SceneFacts(
        model.nq, model.nv, colours, paints, travel, round(polar, 9), round(azimuth, 9), ground_alpha, velocities,
        model.qpos0.copy(),
    )  # fmt: skip


def _paints(model: mujoco.MjModel) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    numbers: dict[Any, int] = {}
    colours, paints = np.empty((model.ngeom, 3)), np.empty(model.ngeom, np.int64)
    for geom in range(model.ngeom):
        material, own = int(model.geom_matid[geom]), tuple(float(x) for x in model.geom_rgba[geom])
        by_material = material >= 0 and own == UNSET_RGBA
        colours[geom] = model.mat_rgba[material, :3] if by_material else own[:3]
        paints[geom] = numbers.setdefault(("material", material) if by_material else own[:3], len(numbers))
    return colours, paints


def _travel(model: mujoco.MjModel, agent: list[int]) -> tuple[int, ...]:
    """Positions of the agent's first body along the ground: of a free joint, or of level sliders on a robot that rolls.

    A slider counts where nothing limits it: the cart of a pole is held on its rail and stays where it is seen.
    """
    found: list[int] = []
    for body in agent[:1]:
        first = int(model.body_jntadr[body])
        for joint in range(first, first + int(model.body_jntnum[body])) if first >= 0 else ():
            address, kind = int(model.jnt_qposadr[joint]), int(model.jnt_type[joint])
            level = abs(float(model.jnt_axis[joint, 2])) < 0.5 and not model.jnt_limited[joint]
            if kind == 0:  # free
                found += [address, address + 1]
            elif kind == 2 and level:  # slide
                found.append(address)
    return tuple(found)
