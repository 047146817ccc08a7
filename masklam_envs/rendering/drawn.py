"""The copy of a model that OpenGL draws, with quality turned down, and the layers that it is drawn in."""

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
from masklam_envs.rendering.camera import FREE_CAMERA, Camera
from masklam_envs.rendering.scene import VISIBLE_GROUPS, agent_body_ids, geom_rgba, is_visible

Flags = NDArray[np.bool_]

# The groups of what a pass shows and does not show; MuJoCo has six.
SHOWN, HIDDEN = 0, 5
# Subdivisions of round geoms, around and along; MuJoCo's defaults are 28 and 16.
SLICES, STACKS = 12, 8
# MuJoCo draws a plane as a grid, because lamps light its corners alone; of at most this many cells along an axis.
GRID_CELLS = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """What one pass shows.

    Args:
        geoms: (ngeom,) bool.
        flexes: (nflex,) bool.
        skins: (nskin,) bool.
        in_mask: all of it is in the mask.
        still: all of it is fixed in the world, and so is the camera.
    """

    geoms: Flags
    flexes: Flags
    skins: Flags
    in_mask: bool = False
    still: bool = False

    @functools.cached_property
    def is_empty(self) -> bool:
        """Whether it shows nothing."""
        return not (self.geoms.any() or self.flexes.any() or self.skins.any())

    def sort(self, model: mujoco.MjModel) -> None:
        """Put what is shown into the group that is drawn, and everything else into another."""
        for groups, shown in (
            (model.geom_group, self.geoms),
            (model.flex_group, self.flexes),
            (model.skin_group, self.skins),
        ):
            groups[:] = np.where(shown, SHOWN, HIDDEN)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What the OpenGL renderer knows of a model.

    Args:
        model: the copy, all solids opaque.
        key: equal for copies that need the same upload.
        planes: (P, 5), see :mod:`masklam_envs.rendering.blend`.
        ground: the planes.
        solids: layers of everything opaque but planes, none of them empty.
        glass: the translucent geoms but planes.
        ghost: the opaque geoms of a ghost.
        ghost_glass: the translucent ones.
        everything: all that is visible.
        nothing: a layer that shows nothing.
        in_mask: (ngeom,) bool, whether the mask shows a geom.
        opacity: (ngeom,) float64, of glass.
    """

    model: mujoco.MjModel
    key: bytes
    planes: NDArray[np.float64]
    ground: Layer
    solids: tuple[Layer, ...]
    glass: Layer
    ghost: Layer
    ghost_glass: Layer
    everything: Layer
    nothing: Layer
    in_mask: Flags
    opacity: NDArray[np.float64]


def prepare(
    model: mujoco.MjModel,
    camera: Camera,
    side: int,
    agent_bodies: Sequence[int] | None,
    ghost_bodies: Sequence[int] | None,
) -> Drawn:
    """The copy of ``model`` for square pictures of ``side`` pixels; camera and bodies as the renderer has them.

    Raises:
        ValueError: a body id does not exist.
    """
    agent = sorted(agent_body_ids(model, agent_bodies))
    ghost = agent if ghost_bodies is None else sorted(agent_body_ids(model, ghost_bodies))
    rgba = np.array([geom_rgba(model, g) for g in range(model.ngeom)], np.float64).reshape(-1, 4)
    visible = np.array([is_visible(model, g) for g in range(model.ngeom)], bool)
    plane = visible & (model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
    solid = visible & ~plane
    drawn = _copy(model, rgba, solid, plane, side)
    flexes, skins = model.flex_group < VISIBLE_GROUPS, model.skin_group < VISIBLE_GROUPS
    of_ghost, clear = np.isin(model.geom_bodyid, ghost), rgba[:, 3] < 1

    def geoms(shown: Flags) -> Layer:
        return Layer(shown, np.zeros_like(flexes), np.zeros_like(skins))

    return Drawn(
        model=drawn,
        key=_digest(drawn),
        planes=_planes(model, plane, rgba[:, 3], agent),
        ground=geoms(plane),
        solids=_layers(model, camera, agent, solid & ~clear, flexes, skins),
        glass=geoms(solid & clear),
        ghost=geoms(solid & of_ghost & ~clear),
        ghost_glass=geoms(solid & of_ghost & clear),
        everything=Layer(visible, flexes, skins),
        nothing=geoms(np.zeros_like(plane)),
        in_mask=np.isin(model.geom_bodyid, agent),
        opacity=rgba[:, 3].copy(),
    )


def paint(drawn: mujoco.MjModel, colours: NDArray[np.float64]) -> None:
    """Give the geoms their colours (ngeom, 3) in 0..1.

    MuJoCo takes exactly this grey for unset and then shows the material's colour instead.
    """
    drawn.geom_rgba[:, :3] = np.where((colours == 0.5).all(axis=1, keepdims=True), 0.50001, colours)


def _copy(model: mujoco.MjModel, rgba: NDArray[np.float64], solid: Flags, plane: Flags, side: int) -> mujoco.MjModel:
    drawn = copy.deepcopy(model)
    drawn.geom_rgba[:, 3] = np.where(solid, 1.0, rgba[:, 3])
    paint(drawn, rgba[:, :3])
    quality, size = drawn.vis.quality, drawn.geom_size
    quality.shadowsize = quality.offsamples = 0
    quality.numslices, quality.numstacks = SLICES, STACKS
    drawn.vis.global_.offwidth = drawn.vis.global_.offheight = side
    size[plane, 2] = np.maximum(size[plane, 2], 2 * size[plane, :2].max(axis=1, initial=0) / GRID_CELLS)
    return drawn


def _layers(
    model: mujoco.MjModel, camera: Camera, agent: list[int], geoms: Flags, flexes: Flags, skins: Flags
) -> tuple[Layer, ...]:
    """Sorted by whether the mask shows it and, where the camera stands still, whether it does so too."""
    bodies = model.geom_bodyid
    masked = np.isin(bodies, agent), *_soft_in_mask(model, agent)
    still = _still_bodies(model)[bodies] & _stands_still(model, camera)
    nothing = np.zeros_like(flexes), np.zeros_like(skins)
    layers = []
    for in_mask in (True, False):
        a, b, c = (shown & (own == in_mask) for shown, own in zip((geoms, flexes, skins), masked, strict=True))
        layers.append(Layer(a & ~still, b, c, in_mask))
        layers.append(Layer(a & still, *nothing, in_mask, still=True))
    return tuple(layer for layer in layers if not layer.is_empty)


def _soft_in_mask(model: mujoco.MjModel, agent: list[int]) -> tuple[Flags, Flags]:
    """A flex or a skin belongs to the agent when all its vertices or bones do."""
    flexes, skins = (
        np.array([bool(np.isin(bodies[a : a + n], agent).all()) for a, n in zip(start, number, strict=True)], bool)
        for bodies, start, number in (
            (model.flex_vertbodyid, model.flex_vertadr, model.flex_vertnum),
            (model.skin_bonebodyid, model.skin_boneadr, model.skin_bonenum),
        )
    )
    return flexes, skins


def _still_bodies(model: mujoco.MjModel) -> Flags:
    flags: Flags = (model.body_weldid == 0) & (model.body_mocapid[model.body_rootid] < 0)
    return flags


def _stands_still(model: mujoco.MjModel, camera: Camera) -> bool:
    if camera.index == FREE_CAMERA:
        return camera.body == 0
    fixed = model.cam_mode[camera.index] == mujoco.mjtCamLight.mjCAMLIGHT_FIXED
    return bool(fixed and _still_bodies(model)[model.cam_bodyid[camera.index]])


def _planes(model: mujoco.MjModel, plane: Flags, alpha: NDArray[np.float64], agent: list[int]) -> NDArray[np.float64]:
    rows = [
        (g, *model.geom_size[g, :2], int(model.geom_bodyid[g]) in agent, alpha[g])
        for g in np.flatnonzero(plane).tolist()
    ]
    return np.array(rows, np.float64).reshape(-1, blend.PLANE_COLUMNS)


def _digest(model: mujoco.MjModel) -> bytes:
    content = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, content)
    return hashlib.blake2b(content.data, digest_size=16).digest()
