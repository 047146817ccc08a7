"""Meta-World's tasks as Gymnasium environments, and its scripted experts; needs the extra ``metaworld``."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from masklam_envs.drawn_model import DrawnModel, ShowsDrawnModel
from masklam_envs.errors import unknown_name
from masklam_envs.optional import require
from masklam_envs.suites.catalog import METAWORLD_TASKS

HALF_TURN = np.array([0.0, 0.0, 0.0, 1.0])  # about the camera's own z axis


class MetaWorldEnv(ShowsDrawnModel, gym.Env[NDArray[np.float64], NDArray[np.float32]], EzPickle):
    """One task of Meta-World v3 with the goal in the state, as in its MT1 benchmark.

    Physics, observations and rewards are Meta-World's.  ``reset(seed=s)`` draws the places of object and goal from the
    task's whole range, by the stream that Meta-World's own ``seed(s)`` starts; MT1 draws 50 of them once and for all.

    * Observation: ``Box((39,), float64)``: hand (3, metres), gripper opening, objects (14), the same 18 numbers of the
      step before, goal (3, metres).
    * Action: ``Box(-1, 1, (4,), float32)``: the hand's displacement, in 0.01 m, and the gripper's closing force; it
      lasts 0.0125 s.
    * Reward: in [0, 10] a step.  ``info["success"]`` is 1.0 where the task is solved.
    * An episode is truncated after 500 steps.

    ``model`` and ``data`` are those for drawing (:class:`~masklam_envs.drawn_model.DrawnModel`): goals and fixtures
    are a part of ``qpos``, and cameras that hang upside down, as ``corner`` does, are turned by 180 degrees.

    :param task: e.g. ``"push-v3"``
    :param terminate_on_success: end the episode (``terminated``) at the first success
    :raises ImportError: when metaworld is missing
    :raises ValueError: for an unknown task
    """

    metadata = {"render_modes": [], "render_fps": 80}

    def __init__(self, task: str, terminate_on_success: bool = False) -> None:
        EzPickle.__init__(self, task, terminate_on_success)
        if task not in METAWORLD_TASKS:
            raise ValueError(unknown_name("Meta-World task", task, METAWORLD_TASKS))
        self.task, self.terminate_on_success = task, bool(terminate_on_success)
        self._env = _make(task)
        self.action_space = self._env.action_space
        self.observation_space = self._env.sawyer_observation_space
        spec = mujoco.MjSpec.from_file(self._env.model_name)
        self._drawn = DrawnModel(spec, self._env.model, METAWORLD_TASKS[task].placed)
        _turn_upright(self._drawn.model)

    @property
    def dt(self) -> float:
        """Length of a step, seconds."""
        return float(self._env.dt)

    @property
    def scripted_expert(self) -> ScriptedExpert:
        """Meta-World's own policy of the task."""
        return ScriptedExpert(self.task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start an episode.

        :param seed: fixes where object and goal are
        :param options: taken for Gymnasium's sake, not used
        """
        super().reset(seed=seed)
        if seed is not None:
            self._env.seed(seed)
        state, info = self._env.reset()
        self._drawn.place()
        self._drawn.follow(self._env.data)
        return state, info

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """One control step of 0.0125 s."""
        state, reward, _, truncated, info = self._env.step(action)
        self._drawn.follow(self._env.data)
        return state, float(reward), bool(self.terminate_on_success and info["success"]), bool(truncated), info

    def close(self) -> None:
        """Free Meta-World's environment."""
        self._env.close()


class ScriptedExpert:
    """Meta-World's own hand-written policy of a task: a function from its state (39,) to an action (4,) float32.

    :param task: e.g. ``"push-v3"``
    :raises ImportError: when metaworld is missing
    :raises ValueError: for an unknown task

    ::

        state, _ = gym.make("MetaWorld/push-v3").reset(seed=0)
        action = ScriptedExpert("push-v3")(state)
    """

    def __init__(self, task: str) -> None:
        if task not in METAWORLD_TASKS:
            raise ValueError(unknown_name("Meta-World task", task, METAWORLD_TASKS))
        self.__name__ = f"scripted {task}"  # what a dataset records
        self._policy = require("metaworld.policies", "metaworld", "metaworld").ENV_POLICY_MAP[task]()

    def __call__(self, state: NDArray[np.float64]) -> NDArray[np.float32]:
        """The action in a state, within [-1, 1]."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that its response is beyond 1: it is cut here
            action = self._policy.get_action(state)
        return np.clip(action, -1, 1).astype(np.float32)


def _make(task: str) -> Any:
    """Meta-World's environment with the goal in its state, which draws new places at each reset."""
    env = require("metaworld.env_dict", "metaworld", "metaworld").ENV_CLS_MAP[task]()
    # What Meta-World's own "goal observable" environments set, except that these keep one place for ever.
    env._partially_observable = False
    del env.sawyer_observation_space  # cached without the goal
    env._freeze_rand_vec = False
    env.seeded_rand_vec = True
    env._set_task_called = True
    return env


def _turn_upright(model: mujoco.MjModel) -> None:
    """Turn every fixed camera whose upward axis points downwards by 180 degrees."""
    for camera in range(model.ncam):
        matrix, turned = np.zeros(9), np.zeros(4)
        mujoco.mju_quat2Mat(matrix, model.cam_quat[camera])
        if model.cam_bodyid[camera] == 0 and matrix[7] < 0:
            mujoco.mju_mulQuat(turned, model.cam_quat[camera], HALF_TURN)
            model.cam_quat[camera] = turned
            mujoco.mju_quat2Mat(model.cam_mat0[camera], turned)
