"""Gymnasium's runners in the plane (HalfCheetah, Hopper, Walker2d): rewards and infos of a whole batch at once.

Their ``step`` costs a third of their simulation, all of it in Python.  The same sums over arrays give the same bits;
:func:`agrees` tries that against the installed Gymnasium before it is relied on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from masklam_envs.batch import calls
from masklam_envs.batch.physics import Actions, ByAddress, Moves, Outcomes
from masklam_envs.quiet import quiet_mujoco

Floats = NDArray[np.float64]
# Steps that `agrees` tries.
TRIED = 32


class Runners(ByAddress):
    """Environments of one of the three classes, stepped together.

    Each thread does the work in one ``MjData`` of its own: of the environments' own, only the state is kept up (as
    ``mjSTATE_INTEGRATION`` has it), not what MuJoCo derives of it.

    :param physics: as for :class:`ByAddress`
    :param workers: threads that run it
    """

    def __init__(self, physics: list[Any], workers: int = 1) -> None:
        super().__init__(physics, saves=False)
        self._first_models = [own.model for own in physics]
        self._replaced = np.zeros(len(physics), np.bool_)
        self._benches = [_Bench(physics[0].model) for _ in range(workers)]

    def run(self, worker: int, first: int, last: int) -> None:
        """See :class:`Physics`."""
        if self._any_replaced:
            super().run(worker, first, last)
        elif self._calls:
            calls.step_states(
                self._functions,
                self._structs,
                self._benches[worker].addresses,
                self._moves,
                self._actions,
                self.qpos,
                self.qvel,
                self.substeps,
                first,
                last,
            )

    def begin(self, moves: Moves, actions: Actions) -> None:
        """See :class:`Physics`."""
        self._before = self.qpos[:, 0].copy()
        self._any_replaced = self._replaced.any()
        super().begin(moves, actions)

    def end(self) -> Outcomes:
        """See :class:`Physics`."""
        return outcomes(self.physics[0], self._before, self._actions, self.qpos, self.qvel)

    def _bind(self, i: int) -> None:
        super()._bind(i)
        # A model may be changed in place; one that took its place may need a data of another size.
        self._replaced[i] = self._models[i] is not self._first_models[i]


class _Bench:
    """The data that a thread works in.

    :param model: of an environment; those of the others have the same sizes
    """

    def __init__(self, model: Any) -> None:
        self._data = mujoco.MjData(model)
        self._room = np.zeros(mujoco.mj_stateSize(model, calls.WHOLE_STATE))
        arrays = [array.ctypes.data for array in (self._data.ctrl, self._room)]
        self.addresses = np.array([self._data._address, *arrays, calls.WHOLE_STATE], np.uintp)


def outcomes(physics: Any, before: Floats, actions: Actions, qpos: Floats, qvel: Floats) -> Outcomes:
    """What ``physics.step`` returns for each of n simulations.

    :param physics: an environment of one of the three classes, whose settings count
    :param before: (n,) position of the root before the simulation, metres
    :param actions: (n, A)
    :param qpos: (n, nq) after it
    :param qvel: (n, nv) after it
    """
    infos: dict[str, NDArray[Any]] = {"x_position": qpos[:, 0].copy()}
    is_healthy = _HEALTHY[type(physics).__name__]
    if is_healthy is not None:
        infos["z_distance_from_origin"] = qpos[:, 1] - physics.init_qpos[1]
    infos["x_velocity"] = (qpos[:, 0] - before) / physics.dt
    infos["reward_forward"] = rewards = physics._forward_reward_weight * infos["x_velocity"]
    cost = physics._ctrl_cost_weight * np.sum(np.square(actions), axis=1)
    infos["reward_ctrl"] = -cost
    terminated = np.zeros(len(qpos), np.bool_)
    if is_healthy is not None:
        healthy = is_healthy(physics, qpos, qvel)
        infos["reward_survive"] = healthy * physics._healthy_reward
        rewards = rewards + infos["reward_survive"]
        terminated = ~healthy & physics._terminate_when_unhealthy
    return Outcomes(_states(physics, qpos, qvel), rewards - cost, terminated, np.zeros_like(terminated), infos)


def agrees(physics: Any) -> bool:
    """Whether :func:`outcomes` gives what ``step`` of this environment returns, to the bit; tried on a copy of it."""
    if type(physics).__name__ not in _HEALTHY:
        return False
    with quiet_mujoco():
        trial = copy.deepcopy(physics)  # a new one with the same settings
    trial.reset(seed=0)
    rng = np.random.default_rng(0)
    low, high = trial.action_space.low, trial.action_space.high
    actions = rng.uniform(low, high, (TRIED, *low.shape)).astype(np.float32)
    before, qpos, qvel, stepped = [], [], [], []
    for action in actions:
        before.append(trial.data.qpos[0])
        stepped.append(trial.step(action))
        qpos.append(trial.data.qpos.copy())
        qvel.append(trial.data.qvel.copy())
    trial.close()
    together = outcomes(physics, np.array(before), actions, np.stack(qpos), np.stack(qvel))
    return all(_is_same(together, i, *step) for i, step in enumerate(stepped))


def _is_same(together: Outcomes, i: int, state: Any, reward: Any, terminated: Any, truncated: Any, info: Any) -> bool:
    columns: Any = together.infos
    return (
        np.array_equal(together.states[i], state)
        and together.states[i].dtype == state.dtype
        and together.rewards[i] == reward
        and bool(together.terminated[i]) == bool(terminated)
        and not truncated
        and list(columns) == list(info)
        and all(columns[key][i] == value and columns[key].dtype == type(value) for key, value in info.items())
    )


def _states(physics: Any, qpos: Floats, qvel: Floats) -> Floats:
    """(n, S) observations; HalfCheetah's velocities are not clipped."""
    if type(physics).__name__ != "HalfCheetahEnv":
        qvel = np.clip(qvel, -10, 10)
    skipped = 1 if physics._exclude_current_positions_from_observation else 0
    return np.concatenate((qpos[:, skipped:], qvel), axis=1)


def _hopper_healthy(physics: Any, qpos: Floats, qvel: Floats) -> Moves:
    low, high = physics._healthy_state_range
    state = np.concatenate((qpos, qvel), axis=1)[:, 2:]
    inside = np.all(np.logical_and(low < state, state < high), axis=1)
    return np.asarray(inside & _walker_healthy(physics, qpos, qvel))


def _walker_healthy(physics: Any, qpos: Floats, qvel: Floats) -> Moves:
    z, angle = qpos[:, 1], qpos[:, 2]
    low_z, high_z = physics._healthy_z_range
    low_angle, high_angle = physics._healthy_angle_range
    return np.asarray((low_z < z) & (z < high_z) & (low_angle < angle) & (angle < high_angle))


# The classes, each with what decides that it has not fallen.
_HEALTHY: dict[str, Callable[[Any, Floats, Floats], Moves] | None] = {
    "HalfCheetahEnv": None,
    "HopperEnv": _hopper_healthy,
    "Walker2dEnv": _walker_healthy,
}
