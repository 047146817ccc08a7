"""A model put to positions: the poses, as MuJoCo computes them, of what a renderer draws."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.rendering.changes import ghost_poses
from masklam_envs.rendering.look import Ghost

Floats = NDArray[np.float64]


class Posed:
    """A model with data of its own, of which only what follows from the positions is computed.

    Args:
        model: whose poses they are.
        agent_bodies: ids of the agent's bodies; None is every body but the world.
        ghost_bodies: ids of the bodies that a ghost consists of; None is the same as ``agent_bodies``.
    """

    def __init__(
        self, model: mujoco.MjModel, agent_bodies: Sequence[int] | None, ghost_bodies: Sequence[int] | None
    ) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        self._qpos = self.data.qpos
        self._mocap = (model.body_mocapid >= 0).any() and (self.data.mocap_pos.copy(), self.data.mocap_quat.copy())
        bodies = agent_bodies if ghost_bodies is None else ghost_bodies
        self._ghost_bodies = range(1, model.nbody) if bodies is None else bodies

    def place(self, qpos: Floats, mocap_pos: Floats | None = None, mocap_quat: Floats | None = None) -> None:
        """Compute the poses of geoms, cameras, lights and flexes; every input of these is written anew.

        Args:
            qpos: (nq,) float64 positions.
            mocap_pos: (nmocap, 3) float64 metres; None is the model's initial position.
            mocap_quat: (nmocap, 4) float64; None is the model's initial orientation.

        Raises:
            ValueError: an array of another shape.
        """
        if qpos.shape != self._qpos.shape:
            raise ValueError(f"qpos must have shape {self._qpos.shape}, got {qpos.shape}")
        model, data = self.model, self.data
        self._qpos[:] = qpos
        if self._mocap:
            data.mocap_pos[:] = self._mocap[0] if mocap_pos is None else mocap_pos
            data.mocap_quat[:] = self._mocap[1] if mocap_quat is None else mocap_quat
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        if model.nflex:
            mujoco.mj_flex(model, data)

    @functools.cached_property
    def ghost_geoms(self) -> NDArray[np.int64]:
        """All geoms of a ghost's bodies."""
        return np.flatnonzero(np.isin(self.model.geom_bodyid, sorted(self._ghost_bodies)))

    @functools.cached_property
    def ghost_data(self) -> mujoco.MjData:
        """Data that :meth:`ghost` writes."""
        return mujoco.MjData(self.model)

    def ghost(self, ghost: Ghost, camera: tuple[Floats, Floats], metres: float) -> tuple[Floats, Floats]:
        """Positions (ngeom, 3) and matrices (ngeom, 9) of all geoms, the ghost's where it is.

        Args:
            ghost: its pose and place.
            camera: position and matrix.
            metres: size of a pixel of a 64-pixel-wide image at the ghost's distance.

        Raises:
            ValueError: the ghost's positions have another shape.
        """
        if ghost.qpos.shape != self._qpos.shape:
            raise ValueError(f"a ghost's qpos must have shape {self._qpos.shape}, got {ghost.qpos.shape}")
        data = self.ghost_data
        data.qpos[:] = ghost.qpos
        mujoco.mj_kinematics(self.model, data)
        return ghost_poses(self.ghost_geoms, data, (self.data.geom_xpos, self.data.geom_xmat, *camera), ghost, metres)
