"""The vector environment as one of stable-baselines3's, for every algorithm and helper that takes a ``VecEnv``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from masklam_envs.env import MaskEnv, spec_of
from masklam_envs.vector import OF_THE_BATCH, MaskVectorEnv


class MaskVecEnv(VecEnv):
    """:class:`~masklam_envs.vector.MaskVectorEnv` behind stable-baselines3's interface.

    It behaves as ``DummyVecEnv`` around environments in a ``Monitor``: an environment whose episode has ended is reset
    within the step; its info has the last observation as ``terminal_observation``, whether a time limit ended it as
    ``TimeLimit.truncated``, and the sum of rewards ``r``, length ``l`` and seconds since the start ``t`` as
    ``episode``.  ``reset_infos`` has what the resets returned.

    :param env: an id, or a vector environment whose autoreset mode is SAME_STEP and that this one takes over
    :param num_envs: how many environments, when ``env`` is an id
    :param kwargs: keyword arguments of ``gymnasium.make_vec``, when ``env`` is an id
    :raises ValueError: when ``env`` is another's id, resets in another way, or keyword arguments are given with it
    :raises TypeError: when it is no vector environment of ours

    >>> env = MaskVecEnv("MaskCheetah-v0", 2, distractor="video")
    >>> env.seed(0)
    [0, 1]
    >>> observations = env.reset()
    >>> observations["pixels"].shape, env.env_is_wrapped(Monitor)
    ((2, 64, 64, 3), [True, True])
    """

    def __init__(self, env: str | MaskVectorEnv, num_envs: int = 1, **kwargs: Any) -> None:
        self.envs = _opened(env, num_envs, kwargs)
        count = self.envs.num_envs
        self._returns, self._lengths = np.zeros(count), np.zeros(count, np.int64)
        self._start = time.time()
        self._actions: NDArray[np.float32] | None = None
        super().__init__(count, self.envs.single_observation_space, self.envs.single_action_space)

    def reset(self) -> VecEnvObs:
        """Reset all environments, with the seeds and options set before.

        :raises ValueError: when the options of the environments differ
        """
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ValueError("the environments of a batch are reset with the same options, got different ones")
        observations, infos = self.envs.reset(seed=self._seeds, options=options)
        self.reset_infos = _one_by_one(infos, self.num_envs)
        self._returns[:], self._lengths[:] = 0.0, 0
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Take note of the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all environments with the actions of :meth:`step_async`."""
        assert self._actions is not None, "step_wait() follows step_async()"
        observations, rewards, terminations, truncations, batch = self.envs.step(self._actions)
        last, last_infos = batch.pop("final_obs", None), batch.pop("final_info", {})
        for key in ("_final_obs", "_final_info"):
            batch.pop(key, None)
        dones = terminations | truncations
        self._returns += rewards
        self._lengths += 1
        infos = _one_by_one(batch, self.num_envs)
        for info in infos:
            info["TimeLimit.truncated"] = False
        if dones.any():
            self._end_episodes(np.flatnonzero(dones), truncations & ~terminations, last, last_infos, infos)
        return observations, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the vector environment."""
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The last pixels of every environment, or Nones without ``render_mode="rgb_array"``."""
        return self.envs.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the environments."""
        return [env.get_wrapper_attr(attr_name) for env in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the environments."""
        for env in self._chosen(indices):
            setattr(env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the environments.

        :raises ValueError: for what would leave the batch, such as ``step``
        """
        if method_name in OF_THE_BATCH:
            raise ValueError(f"{method_name!r} of one environment would leave the batch; call that of the VecEnv")
        return [env.get_wrapper_attr(method_name)(*method_args, **kwargs) for env in self._chosen(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether the environments do what a wrapper does: ``Monitor``'s work is done here."""
        return [wrapper_class is Monitor for _ in self._chosen(indices)]

    def _end_episodes(
        self,
        which: NDArray[np.int64],
        limited: NDArray[np.bool_],
        last: Any,
        last_infos: dict[str, Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Replace the infos of resets by those of the steps before, with what stable-baselines3 expects in them."""
        ended = _one_by_one(last_infos, self.num_envs)
        seconds = round(time.time() - self._start, 6)
        for i in which.tolist():
            del infos[i]["TimeLimit.truncated"]
            self.reset_infos[i] = infos[i]
            infos[i] = {
                **ended[i],
                "TimeLimit.truncated": bool(limited[i]),
                "terminal_observation": last[i],
                "episode": {"r": round(float(self._returns[i]), 6), "l": int(self._lengths[i]), "t": seconds},
            }
        self._returns[which], self._lengths[which] = 0.0, 0

    def _chosen(self, indices: VecEnvIndices) -> list[MaskEnv]:
        return [self.envs.envs[i] for i in self._get_indices(indices)]


def _opened(env: str | MaskVectorEnv, num_envs: int, kwargs: dict[str, Any]) -> MaskVectorEnv:
    if isinstance(env, str):
        if spec_of(env).vector_entry_point is None:
            raise ValueError(
                f"{env} is none of masklam_envs: MaskVecEnv('MaskMujoco-v0', {num_envs}, base={env!r}) masks it, "
                "stable-baselines3's make_vec_env makes it as it is"
            )
        mode = AutoresetMode.SAME_STEP.value
        made: Any = gym.make_vec(
            env, num_envs=num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode, **kwargs
        )
        return _opened(made, num_envs, {})
    if not isinstance(env, MaskVectorEnv):
        raise TypeError(f"env must be an id or a MaskVectorEnv, got {type(env).__name__}")
    if kwargs:
        raise ValueError(f"{sorted(kwargs)} are for an environment given by id; pass them where you make yours")
    if env.autoreset_mode != AutoresetMode.SAME_STEP:
        raise ValueError(
            f"the vector environment resets in mode {env.autoreset_mode.value!r}; stable-baselines3 needs "
            "gym.make_vec(..., autoreset_mode='SameStep')"
        )
    return env


def _one_by_one(batch: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Gymnasium's infos of a batch as one dictionary for each environment, numbers as Python's."""
    infos: list[dict[str, Any]] = [{} for _ in range(count)]
    for key, mask in batch.items():
        if not (key.startswith("_") and key[1:] in batch):
            continue
        values = _values(batch[key[1:]], count)
        for info, value, has in zip(infos, values, mask.tolist(), strict=True):
            if has:
                info[key[1:]] = value
    return infos


def _values(column: Any, count: int) -> Iterable[Any]:
    if isinstance(column, dict):
        return _one_by_one(column, count)
    return column.tolist() if column.ndim == 1 else column
