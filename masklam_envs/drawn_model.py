"""A model for drawing, made of a physics model whose task moves fixtures about.

Tasks place a door, a target or a goal marker by writing into the compiled model (``model.body("door").pos = ...``), or
by a mocap body.  A frame would then depend on more than the position vector, and recorded physics could not be drawn
again.  In the model for drawing such a thing hangs on a free joint of its own, so its place is a part of ``qpos`` like
everything else.  It also shows as geoms what MuJoCo's viewer shows as sites: goal markers are sites, and the renderers
of this package draw geoms only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

KINDS = ("body", "geom", "site", "light")
VISIBLE_GROUPS = 3  # MuJoCo's default view shows the groups below this one
HIDDEN_GROUP = 4
# A body on a joint needs a mass; it is never simulated.
SMALL = 1e-9
_LIGHT = ("dir", "ambient", "diffuse", "specular", "attenuation", "cutoff", "exponent", "castshadow")


class DrawnModel:
    """The model for drawing, and its data, which follow a physics.

    :param spec: of the physics model; it is changed
    :param physics: the model compiled from the same source
    :param placed: what the task places anew, all of it fixed in the world: ``"body:door"`` (also a mocap body),
        ``"geom:target"``, ``"site:goal"``, ``"light:sun"``
    :raises ValueError: when such a thing does not exist, is not fixed in the world or has joints
    """

    def __init__(self, spec: Any, physics: mujoco.MjModel, placed: Iterable[str] = ()) -> None:
        counts = len(spec.bodies), len(spec.geoms), len(spec.sites), len(spec.joints)
        if counts != (physics.nbody, physics.ngeom, physics.nsite, physics.njnt):
            raise ValueError(f"spec and physics are not of the same model: {counts} bodies, geoms, sites and joints")
        self.physics = physics
        self._placed = [_Placed(physics, name) for name in placed]
        placed_sites = {thing.index for thing in self._placed if thing.kind == "site"}
        # `spec.sites` and `spec.bodies` are not in the compiled model's order in every version.
        sites = [(body, site) for body in _preorder(spec.worldbody) for site in body.sites]
        for index, (body, site) in enumerate(sites):
            if _is_shown(physics, index):
                site.group = HIDDEN_GROUP
                if index not in placed_sites:
                    _add_marker(body, physics, "site", index, physics.site_pos[index], physics.site_quat[index])
        for thing in self._placed:
            thing.hang(spec, physics)
        spec.compiler.boundmass = max(spec.compiler.boundmass, SMALL)
        spec.compiler.boundinertia = max(spec.compiler.boundinertia, SMALL)
        for key in list(spec.keys):  # they hold position vectors of the old length
            spec.delete(key) if hasattr(spec, "delete") else key.delete()
        self.model: mujoco.MjModel = spec.compile()
        self.data = mujoco.MjData(self.model)
        roots = [self.model.body(thing.root).id for thing in self._placed]
        self._free = self.model.jnt_qposadr[self.model.body_jntadr[roots]].tolist()
        self._mocap = [pair for pair in zip(self._placed, self._free, strict=True) if pair[0].mocap >= 0]
        self._qpos = _others(self.model.nq, self._free, 7)
        self._qvel = _others(self.model.nv, self.model.body_dofadr[roots].tolist(), 6)

    def place(self) -> None:
        """Take over where the task has put its fixtures: after each reset."""
        for thing, address in zip(self._placed, self._free, strict=True):
            if thing.mocap < 0:
                self.data.qpos[address : address + 7] = thing.pose(self.physics)

    def follow(self, data: mujoco.MjData) -> None:
        """Take over positions, velocities and mocap bodies of the physics' data: after each step and reset."""
        self.data.qpos[self._qpos] = data.qpos
        self.data.qvel[self._qvel] = data.qvel
        self.data.time = data.time
        for thing, address in self._mocap:
            self.data.qpos[address : address + 3] = data.mocap_pos[thing.mocap]
            self.data.qpos[address + 3 : address + 7] = data.mocap_quat[thing.mocap]


class ShowsDrawnModel:
    """Of an environment that has a :class:`DrawnModel` in ``_drawn``: what frames of it are drawn from."""

    _drawn: DrawnModel

    @property
    def model(self) -> mujoco.MjModel:
        """The model that is drawn."""
        return self._drawn.model

    @property
    def data(self) -> mujoco.MjData:
        """The data of :attr:`model`."""
        return self._drawn.data


class _Placed:
    """One thing that the task places: its kind, its index in the physics, and the body that carries it when drawn."""

    def __init__(self, physics: mujoco.MjModel, text: str) -> None:
        self.kind, _, self.name = text.partition(":")
        if self.kind not in KINDS or not self.name:
            raise ValueError(f"what is placed is told as 'kind:name' with a kind of {', '.join(KINDS)}, got {text!r}")
        object_type = getattr(mujoco.mjtObj, f"mjOBJ_{self.kind.upper()}")
        self.index = mujoco.mj_name2id(physics, object_type, self.name)
        if self.index < 0:
            raise ValueError(f"the physics has no {self.kind} {self.name!r} to place")
        #: which mocap body it is, -1: none
        self.mocap = int(physics.body_mocapid[self.index]) if self.kind == "body" else -1
        parents = physics.body_parentid if self.kind == "body" else getattr(physics, f"{self.kind}_bodyid")
        if parents[self.index] != 0:
            raise ValueError(f"only what is fixed in the world can be placed; {self.kind} {self.name!r} is on a body")
        if self.kind == "body" and physics.body_dofnum[self.index]:
            raise ValueError(f"body {self.name!r} moves on joints, so its place is in qpos already; leave it out")
        self.root = self.name if self.kind == "body" else f"placed {self.kind} {self.name}"

    def pose(self, physics: mujoco.MjModel) -> NDArray[np.float64]:
        """Position and orientation (7,) in the world."""
        position = getattr(physics, f"{self.kind}_pos")[self.index]
        if self.kind == "light":
            return np.array([*position, 1.0, 0.0, 0.0, 0.0])
        return np.concatenate([position, getattr(physics, f"{self.kind}_quat")[self.index]])

    def hang(self, spec: Any, physics: mujoco.MjModel) -> None:
        """Put it on a free joint; a geom or light is copied onto a body of its own and its original does not show."""
        if self.kind == "body":
            spec.body(self.name).mocap = False
            spec.body(self.name).add_freejoint()
            return
        pose = self.pose(physics)
        body = spec.worldbody.add_body(name=self.root, pos=pose[:3], quat=pose[3:])
        body.add_freejoint()
        if self.kind == "light":
            light = body.add_light(**{key: getattr(physics, f"light_{key}")[self.index] for key in _LIGHT})
            original = spec.light(self.name)
            light.active, original.active = original.active, False
            for key in ("type", "directional"):  # 3.3.3 renamed it
                if hasattr(original, key):
                    setattr(light, key, getattr(original, key))
        elif self.kind == "geom":
            _add_marker(body, physics, "geom", self.index)
            spec.geom(self.name).rgba = np.zeros(4)
        elif _is_shown(physics, self.index):
            _add_marker(body, physics, "site", self.index)


def _is_shown(physics: mujoco.MjModel, site: int) -> bool:
    return bool(physics.site_group[site] < VISIBLE_GROUPS and physics.site_rgba[site, 3] > 0)


def _preorder(body: Any) -> list[Any]:
    """A body of a spec and all bodies below it, in the compiled model's order."""
    return [body, *(below for child in body.bodies for below in _preorder(child))]


def _add_marker(
    body: Any,
    physics: mujoco.MjModel,
    kind: str,
    index: int,
    pos: Iterable[float] = (0.0, 0.0, 0.0),
    quat: Iterable[float] = (1.0, 0.0, 0.0, 0.0),
) -> None:
    """A geom of the look of the physics' geom or site ``index``, which touches nothing and weighs nothing."""
    look = {key: getattr(physics, f"{kind}_{key}")[index] for key in ("type", "size", "rgba", "group")}
    look["type"] = mujoco.mjtGeom(int(look["type"]))
    geom = body.add_geom(**look, pos=list(pos), quat=list(quat), contype=0, conaffinity=0, mass=0.0)
    material = int(getattr(physics, f"{kind}_matid")[index])
    if material >= 0:
        geom.material = physics.mat(material).name


def _others(total: int, starts: list[int], width: int) -> NDArray[np.int64]:
    """The physics' own coordinates among the drawn model's: all but ``width`` at each start."""
    own = np.ones(total, bool)
    for start in starts:
        own[start : start + width] = False
    return np.flatnonzero(own)
