"""Record episodes of a policy: physics only, no frame is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from masklam_envs.data.disturbance import Disturbance, mixed, noisy
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.env import MaskEnv, checked_action, next_distractor_seed
from masklam_envs.errors import unknown_name
from masklam_envs.experts import Expert
from masklam_envs.reference import reference_expert

StatePolicy = Callable[[Any], NDArray[np.float32]]
POLICIES = ("expert", "mixed", "random", "reference")
MIXED_NOISE = 0.6


def collect(
    env: str | gym.Env[Any, Any],
    episodes: int,
    *,
    policy: str | StatePolicy = "reference",
    noise: float | None = None,
    seed: int = 0,
    max_steps: int | None = None,
    progress_bar: bool = False,
) -> Trajectories:
    """Record whole episodes.

    :param env: an id or environment of this package, e.g. ``"MaskCheetah-v0"``
    :param episodes: how many, at least 1
    :param policy: ``"reference"`` (the task's expert with its reference noise, or uniform random actions where the
        task ships no expert), ``"expert"``, ``"mixed"`` (the expert seeing its state through noise, with bursts of
        random actions, see :func:`masklam_envs.data.disturbance.mixed`; what cloning from pixels needs), ``"random"``,
        or a function from the base observation to an action
    :param noise: standard deviation of Gaussian noise added to every action; None: the reference noise for
        ``"reference"``, else 0. For ``"mixed"`` the largest noise of the observation, in
        units of its spread, None: 0.6
    :param seed: of resets, noise and random actions; episode ``i`` is the same whatever ``episodes`` is
    :param max_steps: cut every episode after so many steps; None: the environment's own limit
    :param progress_bar: show one
    :raises ValueError: for numbers out of range, or a policy that the task does not have
    """
    if isinstance(env, str):
        env = gym.make(env)
    masked = env.unwrapped
    if not isinstance(masked, MaskEnv):
        raise TypeError(f"collect needs an environment of masklam_envs, got {type(masked).__name__}; see make_masked")
    if episodes < 1 or (max_steps is not None and max_steps < 1):
        raise ValueError(f"episodes and max_steps must be at least 1, got {episodes} and {max_steps}")
    recorder = _Recorder(masked, _time_limit(env, max_steps), *_resolve_policy(masked, policy, noise))
    expert = reference_expert(masked.base)
    if policy == "mixed" and expert is not None:
        recorder.disturbance = mixed(expert, recorder.noise)
    from tqdm.auto import trange

    for i in trange(episodes, disable=not progress_bar, desc="collect", unit="episode"):
        recorder.record(np.random.SeedSequence((seed, i)))
    return recorder.trajectories(seed)


class _Recorder:
    """Steps the base environment and keeps what a dataset holds."""

    def __init__(self, env: MaskEnv, limit: int | None, name: str, act: StatePolicy | None, noise: float) -> None:
        self.env, self.limit = env, limit
        self.space = cast(spaces.Box, env.action_space)
        self.name, self.act, self.noise = name, act, noise
        self.disturbance: Disturbance = noisy(noise)
        self.columns: dict[str, list[Any]] = {
            key: []
            for key in ("qpos", "qvel", "actions", "labels", "rewards")
            + ("lengths", "terminated", "reset_seeds", "distractor_seeds")
        }

    def record(self, seeds: np.random.SeedSequence) -> None:
        """One episode."""
        reset_seed = int(seeds.generate_state(1)[0] >> 1)
        rng = np.random.default_rng(seeds.spawn(1)[0])
        disturb = self.disturbance(rng)
        base, columns = self.env.base, self.columns
        data = base.unwrapped.data  # type: ignore[attr-defined]
        state, _ = base.reset(seed=reset_seed)
        self._keep_frame(data)
        length, terminated, truncated = 0, False, False
        while not (terminated or truncated):
            label = self._label(state, rng)
            action = checked_action(disturb(state, label), self.space)
            state, reward, terminated, truncated, _ = base.step(action)
            self._keep_frame(data)
            columns["actions"].append(action)
            columns["labels"].append(label)
            columns["rewards"].append(reward)
            length += 1
            truncated = truncated or length == self.limit
        columns["lengths"].append(length)
        columns["terminated"].append(bool(terminated))
        columns["reset_seeds"].append(reset_seed)
        # The seed that MaskEnv.reset(seed=reset_seed) would give its distractor.
        columns["distractor_seeds"].append(next_distractor_seed(np.random.SeedSequence(reset_seed)))

    def _label(self, state: Any, rng: np.random.Generator) -> NDArray[np.float32]:
        """The policy's action, within the action space."""
        if self.act is None:
            return rng.uniform(self.space.low, self.space.high).astype(np.float32)
        return checked_action(self.act(state), self.space)

    def trajectories(self, seed: int) -> Trajectories:
        """What was recorded so far."""
        arrays = {name: np.asarray(values) for name, values in self.columns.items()}
        arrays["qvel"] = arrays["qvel"].astype(np.float32)
        arrays["rewards"] = arrays["rewards"].astype(np.float32)
        meta = {
            "base": self.env.base.spec.id if self.env.base.spec else None,
            "policy": self.name,
            "noise": self.noise,
            "action_low": self.space.low.tolist(),
            "action_high": self.space.high.tolist(),
            "seed": seed,
            "versions": {"mujoco": mujoco.__version__, "gymnasium": gym.__version__},
        }
        return Trajectories(meta, **arrays)

    def _keep_frame(self, data: Any) -> None:
        self.columns["qpos"].append(data.qpos.copy())
        self.columns["qvel"].append(data.qvel.copy())


def _time_limit(env: gym.Env[Any, Any], max_steps: int | None) -> int | None:
    own = env.spec.max_episode_steps if env.spec is not None else None
    limits = [limit for limit in (own, max_steps) if limit is not None and limit > 0]
    return min(limits) if limits else None


def _resolve_policy(
    env: MaskEnv, policy: str | StatePolicy, noise: float | None
) -> tuple[str, StatePolicy | None, float]:
    """Name, function (None: uniform random) and noise of a policy."""
    if noise is not None and not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must be a standard deviation >= 0, got {noise}")
    if callable(policy):
        return getattr(policy, "__name__", type(policy).__name__), policy, noise or 0.0
    if policy not in POLICIES:
        raise ValueError(f"{unknown_name('policy', policy, POLICIES)}, or a function from a state to an action")
    expert = reference_expert(env.base) if policy != "random" else None
    if policy in ("expert", "mixed") and expert is None:
        raise ValueError("this task ships no expert; use policy='random' or pass your own function")
    if expert is None:
        return "random", None, noise or 0.0
    name = "mixed" if policy == "mixed" else "expert"
    return name, expert.predict, _expert_noise(expert, policy, noise)


def _expert_noise(expert: Expert, policy: str, noise: float | None) -> float:
    if noise is not None:
        return noise
    return {"reference": expert.info.reference_noise, "mixed": MIXED_NOISE}.get(policy, 0.0)
