"""How the base environments of a batch go on by one step."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

Actions = NDArray[np.float32]
Moves = NDArray[np.bool_]


class Outcome(NamedTuple):
    """What a base environment's ``step`` returned."""

    state: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class Physics(Protocol):
    """Steps the base environments of a batch, each exactly as its own ``step`` does."""

    #: whether chunks of the batch may be stepped by several threads at once
    threaded: bool

    def step(self, moves: Moves, actions: Actions, outcomes: list[Outcome | None], first: int, last: int) -> None:
        """Step those of environments ``first`` to ``last`` that move and write what they return to ``outcomes``.

        :param moves: (n,) which environments are stepped
        :param actions: (n, A) float32 within the bounds
        """


def make_physics(bases: list[Any]) -> Physics:
    """The fastest way that is exact for these base environments of one kind."""
    physics = [base.unwrapped for base in bases]
    if all(base is own for base, own in zip(bases, physics, strict=True)) and _is_plain(physics[0]):
        from masklam_envs.batch import calls

        if calls.agrees(physics[0].model, physics[0].data, physics[0].frame_skip):
            return StepByAddress(physics)
    return OneByOne(bases)


class OneByOne:
    """Any base environments, by their own ``step`` one after the other: nothing is known of what they share.

    :param bases: the environments
    """

    threaded = False

    def __init__(self, bases: list[Any]) -> None:
        self.bases = bases

    def step(self, moves: Moves, actions: Actions, outcomes: list[Outcome | None], first: int, last: int) -> None:
        """See :class:`Physics`."""
        for i in range(first, last):
            if moves[i]:
                outcomes[i] = Outcome(*self.bases[i].step(actions[i]))


class StepByAddress:
    """Gymnasium's MuJoCo environments: MuJoCo runs for a chunk at once without Python's lock, then their own ``step``.

    That ``step`` reads the state before and after the simulation in Python.  So the data before it is kept in a copy,
    which the environment has as its ``data`` until it calls ``do_simulation``; there it finds the simulation done.
    Observations, rewards and infos are the environment's own work, and a ``step`` that asks for another simulation than
    was foreseen gets it.

    :param physics: unwrapped environments of one class whose model and data are not shared
    """

    threaded = True

    def __init__(self, physics: list[Any]) -> None:
        from masklam_envs.batch import calls

        self.physics = physics
        self.substeps: int = physics[0].frame_skip
        n = len(physics)
        self._functions = calls.functions()
        self._models: list[Any] = [None] * n
        self._datas: list[Any] = [None] * n
        self._saved: list[Any] = [None] * n
        self._structs = np.zeros((n, calls.STRUCT_COLUMNS), np.uintp)

    def step(self, moves: Moves, actions: Actions, outcomes: list[Outcome | None], first: int, last: int) -> None:
        """See :class:`Physics`."""
        from masklam_envs.batch import calls

        if calls.has_python_callbacks():
            OneByOne(self.physics).step(moves, actions, outcomes, first, last)
            return
        self._bind_changed(first, last)
        calls.step_environments(self._functions, self._structs, moves, actions, self.substeps, first, last)
        for i in range(first, last):
            if moves[i]:
                outcomes[i] = self._finish(i, actions[i])

    def _finish(self, i: int, action: Actions) -> Outcome:
        """The environment's own ``step`` around the simulation that has been run."""
        physics, done = self.physics[i], self._datas[i]

        def simulate(ctrl: Any, n_frames: int) -> None:
            physics.data = done
            if ctrl is action and n_frames == self.substeps and not asked:
                asked.append(True)
                return
            if not asked:  # not what was foreseen: from the state before
                mujoco.mj_copyData(done, physics.model, self._saved[i])
                asked.append(True)
            type(physics).do_simulation(physics, ctrl, n_frames)

        asked: list[bool] = []
        physics.data, physics.do_simulation = self._saved[i], simulate
        try:
            return Outcome(*physics.step(action))
        finally:
            physics.data = done
            del physics.do_simulation

    def _bind(self, i: int) -> None:
        """Note the addresses of an environment's structs, and keep the objects alive."""
        from masklam_envs.batch import calls

        model, data = self.physics[i].model, self.physics[i].data
        self._models[i], self._datas[i], self._saved[i] = model, data, copy.copy(data)
        self._structs[i] = calls.addresses(model, data, self._saved[i])

    def _bind_changed(self, first: int, last: int) -> None:
        """An environment that was given another model or data must not be stepped by its old addresses."""
        for i in range(first, last):
            if self.physics[i].data is not self._datas[i] or self.physics[i].model is not self._models[i]:
                self._bind(i)


def _is_plain(physics: Any) -> bool:
    """Whether an environment is one of Gymnasium's own that simulates as their base class does."""
    from gymnasium.envs.mujoco import MujocoEnv

    cls = type(physics)
    return (
        isinstance(physics, MujocoEnv)
        and cls.__module__.startswith("gymnasium.envs.mujoco.")
        and cls.do_simulation is MujocoEnv.do_simulation
        and cls._step_mujoco_simulation is MujocoEnv._step_mujoco_simulation
        and physics.render_mode is None
    )
