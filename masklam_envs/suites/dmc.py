"""Tasks of dm_control's suite as Gymnasium environments; needs the extra ``dmc``."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from masklam_envs.drawn_model import VISIBLE_GROUPS, DrawnModel
from masklam_envs.optional import require
from masklam_envs.quiet import quiet_mujoco
from masklam_envs.suites.catalog import DMC_PLACED

SMALL_SEED = 2**32  # numpy.random.RandomState takes seeds below this as they are


class DMControlEnv(gym.Env[NDArray[np.float64], NDArray[np.float32]], EzPickle):
    """One task of dm_control's suite.

    Physics, observations and rewards are dm_control's.  ``reset(seed=s)`` gives the state that
    ``suite.load(domain, task, task_kwargs={"random": s}).reset()`` has, to the bit; later resets without a seed go on
    in the same random stream.

    * Observation: ``Box(-inf, inf, (S,), float64)``, the suite's observations one after the other.
    * Action: ``Box((A,), float32)`` within the suite's limits, mostly [-1, 1]; one action lasts one control step of the
      suite, without repeat.
    * Reward: in [0, 1] a step; of lqr at most 1.
    * An episode ends (``terminated``) where the suite says that the discount is 0, which only lqr does; the suite's
      limit of 1,000 steps is a time limit of the registered id.

    :param domain: e.g. ``"cheetah"``
    :param task: e.g. ``"run"``
    :raises ImportError: when dm_control is missing or does not run with the installed MuJoCo
    """

    metadata = {"render_modes": [], "render_fps": 50}

    def __init__(self, domain: str, task: str) -> None:
        EzPickle.__init__(self, domain, task)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a display, which nothing here needs
            suite = require("dm_control.suite", "dm_control", "dmc")
        try:
            with quiet_mujoco():
                # A number for what a domain draws when it is made (the springs of lqr); resets draw from `random`.
                self._suite = suite.load(domain, task, task_kwargs={"random": 0, "time_limit": float("inf")})
                self._suite.reset()  # some tasks set the size of their goal only here
        except AttributeError as error:
            raise ImportError(
                f"dm_control does not run with MuJoCo {mujoco.__version__} ({error}): pip install 'masklam[dmc]'"
            ) from error
        self._seeded = False
        physics = self._suite.physics
        self._drawn = _drawn_model(physics.model.ptr, DMC_PLACED.get(f"{domain}-{task}", ()))
        self.metadata = {**self.metadata, "render_fps": round(1 / self._suite.control_timestep())}
        limits = self._suite.action_spec()
        self.action_space = spaces.Box(
            limits.minimum.astype(np.float32), limits.maximum.astype(np.float32), dtype=np.float32
        )
        size = sum(self.observation_structure.values())
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float64)

    @property
    def dt(self) -> float:
        """Length of a step, seconds."""
        return float(self._suite.control_timestep())

    @property
    def observation_structure(self) -> dict[str, int]:
        """The suite's observations by name, in their order, and how many numbers each is."""
        return {name: int(np.prod(spec.shape)) for name, spec in self._suite.observation_spec().items()}

    @property
    def physics_model(self) -> mujoco.MjModel:
        """The model that is simulated."""
        return self._suite.physics.model.ptr

    @property
    def model(self) -> mujoco.MjModel:
        """The model that is drawn: the physics' own, or one whose goals hang on joints (:class:`DrawnModel`)."""
        return self._drawn.model if self._drawn else self._suite.physics.model.ptr

    @property
    def data(self) -> mujoco.MjData:
        """The data of :attr:`model`."""
        return self._drawn.data if self._drawn else self._suite.physics.data.ptr

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start an episode.

        :param seed: of the task's ``numpy.random.RandomState``
        :param options: taken for Gymnasium's sake, not used
        """
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(SMALL_SEED))
        if seed is not None:
            large = seed >= SMALL_SEED
            self._suite.task.random.seed(np.random.SeedSequence(seed).generate_state(4) if large else seed)
            self._seeded = True
        timestep = self._suite.reset()
        if self._drawn:
            self._drawn.place()
        return self._observe(timestep), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """One control step of the suite."""
        timestep = self._suite.step(action)
        return self._observe(timestep), float(timestep.reward), timestep.last() and timestep.discount == 0, False, {}

    def close(self) -> None:
        """Free the suite's environment."""
        self._suite.close()

    def _observe(self, timestep: Any) -> NDArray[np.float64]:
        if self._drawn:
            self._drawn.follow(self._suite.physics.data.ptr)
        return np.concatenate([np.ravel(value) for value in timestep.observation.values()], dtype=np.float64)


def _drawn_model(physics: mujoco.MjModel, placed: tuple[str, ...]) -> DrawnModel | None:
    """A model for drawing where the physics' own does not do: goals that move at resets, or visible sites."""
    sites = (physics.site_group < VISIBLE_GROUPS) & (physics.site_rgba[:, 3] > 0)
    if not placed and not sites.any():
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.xml")
        # MuJoCo still knows the source of the last compiled model, and refuses when that is not this one.
        mujoco.mj_saveLastXML(str(path), physics)
        return DrawnModel(mujoco.MjSpec.from_file(str(path)), physics, placed)
