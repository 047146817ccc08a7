"""The copy of a model that OpenGL draws: geoms sorted into groups by the passes that show them, quality turned down."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering import blend
from masklam_envs.rendering.scene import VISIBLE_GROUPS, agent_body_ids, geom_rgba, is_visible

# Groups of the copy's geoms, skins and flexes; a ghost consists of those of the first two.
GHOST, GHOST_TRANSLUCENT, OTHER, OTHER_TRANSLUCENT, GROUND, HIDDEN = range(6)
TRANSLUCENT = (GHOST_TRANSLUCENT, OTHER_TRANSLUCENT)
# Subdivisions of round geoms, around and along; MuJoCo's defaults are 28 and 16.
SLICES, STACKS = 12, 8
# MuJoCo draws a plane as a grid, because lamps light its corners alone; of at most this many cells along an axis.
GRID_CELLS = 20


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What the OpenGL renderer knows of a model.

    Args:
        model: the copy, all solids opaque.
        key: equal for copies that need the same upload.
        planes: (P, 5), see :mod:`masklam_envs.rendering.blend`.
        groups: those that the visible solids, skins and flexes are in.
        in_mask: whether the mask shows a geom, flex or skin, (number,) bool, by their type of object.
        opacity: (ngeom,) float64.
    """

    model: mujoco.MjModel
    key: bytes
    planes: NDArray[np.float64]
    groups: frozenset[int]
    in_mask: dict[int, NDArray[np.bool_]]
    opacity: NDArray[np.float64]

    @functools.cached_property
    def all_in_mask(self) -> bool:
        """Whether every visible solid is in the mask."""
        model = self.model
        visible = (model.geom_group < GROUND, model.flex_group < GROUND, model.skin_group < GROUND)
        return all(mask[seen].all() for mask, seen in zip(self.in_mask.values(), visible, strict=True))

    def part(self, kind: int, index: int) -> tuple[float, float]:
        """Whether the mask shows an object of MuJoCo's type ``kind``, and its opacity."""
        opacity = float(self.opacity[index]) if kind == mujoco.mjtObj.mjOBJ_GEOM else 1.0
        return float(self.in_mask[kind][index]), opacity


def prepare(
    model: mujoco.MjModel, side: int, agent_bodies: Sequence[int] | None, ghost_bodies: Sequence[int] | None
) -> Drawn:
    """The copy of ``model`` for square pictures of ``side`` pixels; bodies as the renderer has them.

    Raises:
        ValueError: a body id does not exist.
    """
    agent = agent_body_ids(model, agent_bodies)
    ghost = agent if ghost_bodies is None else agent_body_ids(model, ghost_bodies)
    drawn = copy.deepcopy(model)
    rgba = np.array([geom_rgba(model, g) for g in range(model.ngeom)], np.float64).reshape(-1, 4)
    _sort_into_groups(drawn, rgba[:, 3], ghost)
    _turn_down(drawn, side)
    solid = drawn.geom_group < GROUND
    drawn.geom_rgba[:] = rgba
    drawn.geom_rgba[solid, 3] = 1.0
    paint(drawn, rgba[:, :3])
    groups = np.concatenate([drawn.geom_group, drawn.flex_group, drawn.skin_group])
    return Drawn(
        model=drawn,
        key=_digest(drawn),
        planes=_planes(drawn, agent),
        groups=frozenset(groups[groups < GROUND].tolist()),
        in_mask=_in_mask(model, agent),
        opacity=np.where(solid, rgba[:, 3], 1.0),
    )


def paint(drawn: mujoco.MjModel, colours: NDArray[np.float64]) -> None:
    """Give the geoms their colours (ngeom, 3) in 0..1.

    MuJoCo takes exactly this grey for unset and then shows the material's colour instead.
    """
    drawn.geom_rgba[:, :3] = np.where((colours == 0.5).all(axis=1, keepdims=True), 0.50001, colours)


def _sort_into_groups(drawn: mujoco.MjModel, alpha: NDArray[np.float64], ghost: set[int]) -> None:
    for g in range(drawn.ngeom):
        if not is_visible(drawn, g):
            drawn.geom_group[g] = HIDDEN
        elif drawn.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE:
            drawn.geom_group[g] = GROUND
        else:
            opaque = GHOST if int(drawn.geom_bodyid[g]) in ghost else OTHER
            drawn.geom_group[g] = opaque + int(alpha[g] < 1)
    for groups in (drawn.flex_group, drawn.skin_group):
        groups[:] = np.where(groups < VISIBLE_GROUPS, OTHER, HIDDEN)


def _turn_down(drawn: mujoco.MjModel, side: int) -> None:
    quality, size = drawn.vis.quality, drawn.geom_size
    quality.shadowsize = quality.offsamples = 0
    quality.numslices, quality.numstacks = SLICES, STACKS
    drawn.vis.global_.offwidth = drawn.vis.global_.offheight = side
    planes = drawn.geom_group == GROUND
    size[planes, 2] = np.maximum(size[planes, 2], 2 * size[planes, :2].max(axis=1, initial=0) / GRID_CELLS)


def _planes(drawn: mujoco.MjModel, agent: set[int]) -> NDArray[np.float64]:
    rows = [
        (g, *drawn.geom_size[g, :2], int(drawn.geom_bodyid[g]) in agent, drawn.geom_rgba[g, 3])
        for g in np.flatnonzero(drawn.geom_group == GROUND).tolist()
    ]
    return np.array(rows, np.float64).reshape(-1, blend.PLANE_COLUMNS)


def _in_mask(model: mujoco.MjModel, agent: set[int]) -> dict[int, NDArray[np.bool_]]:
    """A flex or a skin belongs to the agent when all its vertices or bones do."""
    bodies = sorted(agent)
    flexes = [
        bool(np.isin(model.flex_vertbodyid[start : start + number], bodies).all())
        for start, number in zip(model.flex_vertadr.tolist(), model.flex_vertnum.tolist(), strict=True)
    ]
    skins = [
        bool(np.isin(model.skin_bonebodyid[start : start + number], bodies).all())
        for start, number in zip(model.skin_boneadr.tolist(), model.skin_bonenum.tolist(), strict=True)
    ]
    return {
        int(mujoco.mjtObj.mjOBJ_GEOM): np.isin(model.geom_bodyid, bodies),
        int(mujoco.mjtObj.mjOBJ_FLEX): np.array(flexes, bool),
        int(mujoco.mjtObj.mjOBJ_SKIN): np.array(skins, bool),
    }


def _digest(model: mujoco.MjModel) -> bytes:
    content = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, content)
    return hashlib.blake2b(content.data, digest_size=16).digest()
