"""How the base environments of a batch go on by one step.

* :class:`OneByOne` - any environments, by their own ``step``.
* :class:`StepByAddress` - Gymnasium's MuJoCo environments: MuJoCo without Python's lock, then their own ``step``.
* :class:`~masklam_envs.batch.runners.Runners` - some of these, whose rewards and infos are computed together as well.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

Actions = NDArray[np.float32]
Moves = NDArray[np.bool_]


@dataclass
class Outcomes:
    """What the ``step`` of n base environments returned; entries of those that did not move mean nothing.

    :param states: n observations of the base environments
    :param rewards: (n,) float64
    :param terminated: (n,) bool
    :param truncated: (n,) bool
    :param infos: n infos, or one dictionary of arrays (n, ...) by key
    """

    states: Any
    rewards: NDArray[np.float64]
    terminated: Moves
    truncated: Moves
    infos: Any

    @classmethod
    def empty(cls, count: int) -> Outcomes:
        """For ``count`` environments, to be filled one by one."""
        flags = np.zeros((2, count), np.bool_)
        return cls([None] * count, np.zeros(count), flags[0], flags[1], [None] * count)

    def put(self, i: int, outcome: tuple[Any, Any, Any, Any, dict[str, Any]]) -> None:
        """Set the entries of environment ``i`` to what its ``step`` returned."""
        self.states[i], self.rewards[i], self.terminated[i], self.truncated[i], self.infos[i] = outcome


class Physics(Protocol):
    """Steps the base environments of a batch, each exactly as its own ``step`` does, in three calls."""

    #: (n, nq) float64 positions: after :meth:`read` all of them, after :meth:`run` those that it was called for
    qpos: NDArray[np.float64]
    #: (n, nv) float64 velocities
    qvel: NDArray[np.float64]

    def read(self) -> None:
        """Bring positions and velocities up to date, in the caller's thread."""

    def begin(self, moves: Moves, actions: Actions) -> None:
        """Get ready, in the caller's thread.

        :param moves: (n,) which environments are stepped
        :param actions: (n, A) float32 within the bounds
        """

    def run(self, worker: int, first: int, last: int) -> None:
        """Simulate environments ``first`` to ``last``, in any thread; no two calls of the same worker at once."""

    def end(self) -> Outcomes:
        """What came of it, in the caller's thread after all have run."""


def make_physics(bases: list[Any], workers: int = 1) -> Physics:
    """The fastest way that is exact for these base environments of one kind, for so many threads."""
    physics = [base.unwrapped for base in bases]
    if any(base is not own for base, own in zip(bases, physics, strict=True)) or not is_plain(physics[0]):
        return OneByOne(bases)
    from masklam_envs.batch import calls, runners

    if not calls.agrees(physics[0].model, physics[0].data, physics[0].frame_skip):
        return OneByOne(bases)
    return runners.Runners(physics, workers) if runners.agrees(physics[0]) else StepByAddress(physics)


class OneByOne:
    """Any base environments, by their own ``step`` one after the other: nothing is known of what they share.

    :param bases: the environments
    """

    def __init__(self, bases: list[Any]) -> None:
        self.bases = bases
        self.read()

    def read(self) -> None:
        """See :class:`Physics`."""
        datas = [base.unwrapped.data for base in self.bases]
        self.qpos, self.qvel = np.stack([d.qpos for d in datas]), np.stack([d.qvel for d in datas])

    def begin(self, moves: Moves, actions: Actions) -> None:
        """See :class:`Physics`; all is done here, in the caller's thread."""
        self._outcomes = Outcomes.empty(len(self.bases))
        for i in np.flatnonzero(moves).tolist():
            self._outcomes.put(i, self.bases[i].step(actions[i]))
        self.read()

    def run(self, worker: int, first: int, last: int) -> None:
        """See :class:`Physics`."""

    def end(self) -> Outcomes:
        """See :class:`Physics`."""
        return self._outcomes


class ByAddress:
    """Simulates environments by the addresses of their structs; subclasses make outcomes of it.

    :param physics: unwrapped environments of one class, each with a model and data of its own
    :param saves: keep a copy of the data before the step
    """

    def __init__(self, physics: list[Any], saves: bool) -> None:
        from masklam_envs.batch import calls

        n = len(physics)
        self.physics = physics
        self.substeps: int = physics[0].frame_skip
        self._saves = saves
        self._functions = calls.functions()
        self._models: list[Any] = [None] * n
        self._datas: list[Any] = [None] * n
        self._saved: list[Any] = [None] * n
        self._structs = np.zeros((n, calls.STRUCT_COLUMNS), np.uintp)
        self.qpos, self.qvel = np.zeros((n, physics[0].model.nq)), np.zeros((n, physics[0].model.nv))

    def read(self) -> None:
        """See :class:`Physics`."""
        from masklam_envs.batch import calls

        # An environment that was given another model or data must not be stepped by its old addresses.
        for i, physics in enumerate(self.physics):
            if physics.data is not self._datas[i] or physics.model is not self._models[i]:
                self._bind(i)
        calls.read_states(self._structs, self.qpos, self.qvel, 0, len(self.physics))

    def begin(self, moves: Moves, actions: Actions) -> None:
        """See :class:`Physics`; after :meth:`read`."""
        from masklam_envs.batch import calls

        self._moves, self._actions = moves, actions
        self._calls = not calls.has_python_callbacks()
        if not self._calls:
            for i in np.flatnonzero(moves).tolist():
                self._simulate(i)
            self.read()

    def run(self, worker: int, first: int, last: int) -> None:
        """See :class:`Physics`."""
        from masklam_envs.batch import calls

        if self._calls:
            calls.step_environments(
                self._functions,
                self._structs,
                self._moves,
                self._actions,
                self.qpos,
                self.qvel,
                self.substeps,
                first,
                last,
            )

    def _simulate(self, i: int) -> None:
        """The same by MuJoCo's Python functions, for models with a callback that needs Python's lock."""
        from masklam_envs.batch import calls

        model, data = self._models[i], self._datas[i]
        if self._saves:
            calls.copy_data(self._saved[i], model, data)
        data.ctrl[:] = self._actions[i]
        mujoco.mj_step(model, data, nstep=self.substeps)
        mujoco.mj_rnePostConstraint(model, data)

    def _bind(self, i: int) -> None:
        """Note the addresses of an environment's structs, and keep the objects alive."""
        from masklam_envs.batch import calls

        model, data = self.physics[i].model, self.physics[i].data
        saved = copy.copy(data) if self._saves else None
        self._models[i], self._datas[i], self._saved[i] = model, data, saved
        self._structs[i] = calls.addresses(model, data, saved)


class StepByAddress(ByAddress):
    """Gymnasium's MuJoCo environments: MuJoCo runs for a chunk at once, then their own ``step``.

    That ``step`` reads the state before and after the simulation in Python.  So the data before it is kept in a copy,
    which the environment has as its ``data`` until it calls ``do_simulation``; there it finds the simulation done.
    Observations, rewards and infos are the environment's own work, and a ``step`` that asks for another simulation than
    was foreseen gets it.

    :param physics: as for :class:`ByAddress`
    """

    def __init__(self, physics: list[Any]) -> None:
        super().__init__(physics, saves=True)

    def begin(self, moves: Moves, actions: Actions) -> None:
        """See :class:`Physics`."""
        super().begin(moves, actions)
        self._outcomes = Outcomes.empty(len(self.physics))

    def run(self, worker: int, first: int, last: int) -> None:
        """See :class:`Physics`."""
        from masklam_envs.batch import calls

        super().run(worker, first, last)
        for i in range(first, last):
            if self._moves[i]:
                self._outcomes.put(i, self._finished(i, self._actions[i]))
        calls.read_states(self._structs, self.qpos, self.qvel, first, last)

    def end(self) -> Outcomes:
        """See :class:`Physics`."""
        return self._outcomes

    def _finished(self, i: int, action: Actions) -> Any:
        """The environment's own ``step`` around the simulation that has been run."""
        from masklam_envs.batch import calls

        physics, done, asked = self.physics[i], self._datas[i], False

        def simulate(ctrl: Any, n_frames: int) -> None:
            nonlocal asked
            physics.data = done
            first, asked = not asked, True
            if first and ctrl is action and n_frames == self.substeps:
                return
            if first:  # not what was foreseen: again, from the state before
                calls.copy_data(done, physics.model, self._saved[i])
            type(physics).do_simulation(physics, ctrl, n_frames)

        physics.data, physics.do_simulation = self._saved[i], simulate
        try:
            return physics.step(action)
        finally:
            physics.data = done
            del physics.do_simulation


def is_plain(physics: Any) -> bool:
    """Whether it is one of Gymnasium's own, which simulate as their base class does and do not change their model."""
    from gymnasium.envs.mujoco import MujocoEnv

    cls = type(physics)
    return (
        isinstance(physics, MujocoEnv)
        and cls.__module__.startswith("gymnasium.envs.mujoco.")
        and cls.do_simulation is MujocoEnv.do_simulation
        and cls._step_mujoco_simulation is MujocoEnv._step_mujoco_simulation
        and physics.render_mode is None
    )
