"""Record episodes of a policy: physics only, no frame is drawn."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import operator
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

import masklam_envs
from masklam_envs.batch.threads import usable_cores
from masklam_envs.data.disturbance import Disturbance, mixed, noisy
from masklam_envs.data.replay import foreign_wrappers
from masklam_envs.data.store import EpisodeWriter
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.env import MaskEnv, checked_action, make_by_id, next_distractor_seed
from masklam_envs.errors import unknown_name
from masklam_envs.experts import Expert
from masklam_envs.reference import action_reference, reference_expert
from masklam_envs.registered import Registered
from masklam_envs.unmoved import Unmoved
from masklam_envs.variables import ONE_THREAD, environment
from masklam_envs.view import DRAWING_VERSION
from masklam_envs.wrappers.outside import ACTIONS, REWARDS, check_outside, wrappers_of

StatePolicy = Callable[[Any], NDArray[np.float32]]
POLICIES = ("expert", "medium", "mixed", "random", "reference")
MIXED_NOISE = 0.6
# A process takes seconds to start, a few episodes less to record.
EPISODES_A_WORKER = 10
# Where nothing limits episodes, one that is still going after so many steps is taken to go on for ever.
ENDLESS = 100_000
_ENDLESS = (
    f"an episode has {ENDLESS:,} steps and neither ends by itself nor has a limit: give collect max_steps, or the base "
    "a limit, make_masked(gymnasium.wrappers.TimeLimit(base, 1_000))"
)


class _Plan(NamedTuple):
    """What every process of a recording is told."""

    env: gym.Env[Any, Any]
    policy: str | StatePolicy
    noise: float | None
    seed: int
    max_steps: int | None


def collect(
    env: str | gym.Env[Any, Any],
    episodes: int,
    *,
    policy: str | StatePolicy = "reference",
    noise: float | None = None,
    seed: int = 0,
    max_steps: int | None = None,
    workers: int = 1,
    out: str | os.PathLike[str] | None = None,
    progress_bar: bool = False,
) -> Trajectories:
    """Record whole episodes.

    An environment that is given is stepped itself, without what is drawn of it: it needs a reset afterwards.

    :param env: an id or environment of this package, e.g. ``"MaskCheetah-v0"``; the id of any other MuJoCo environment,
        ``"Swimmer-v5"`` or ``"module:Id"``, is what :func:`~masklam_envs.env.make_masked` makes of it
    :param episodes: how many, at least 1
    :param policy: ``"reference"`` (the task's expert with its reference noise, or uniform random actions where the
        task ships no expert), ``"expert"`` (also Meta-World's scripted ones), ``"medium"`` (a policy about half way
        from random actions to the expert), ``"mixed"`` (the expert seeing its state through noise, with bursts of
        random actions, see :func:`masklam_envs.data.disturbance.mixed`; what cloning from pixels needs), ``"random"``,
        or a function from the base observation to an action
    :param noise: standard deviation of Gaussian noise added to every action; None: the reference noise for
        ``"reference"``, else 0. For ``"mixed"`` the largest noise of the observation, in
        units of its spread, None: 0.6
    :param seed: of resets, noise and random actions; episode ``i`` is the same whatever ``episodes`` and ``workers``
    :param max_steps: cut every episode after so many steps; None: the environment's own limit
    :param workers: processes that record; more than one need an ``if __name__ == "__main__":`` in a script, and a
        policy and an environment that can be pickled
    :param out: folder to which every episode is appended as soon as it is recorded; an interrupted recording goes on
        there when it is asked for again.  None: everything is kept in memory
    :param progress_bar: show one
    :raises ValueError: for numbers out of range, a policy that the task does not have, an ``out`` made otherwise, an
        episode of 100,000 steps that nothing limits, a wrapper outside the environment that changes actions or rewards,
        or an environment that moves what its positions do not tell (:class:`masklam_envs.PlacedEnv` is the cure)
    :raises FileExistsError: when ``out`` exists and is no dataset
    :raises OSError: when the disk is full; the episodes before are kept
    """
    env = make_by_id(env) if isinstance(env, str) else env
    seed, max_steps = operator.index(seed), None if max_steps is None else operator.index(max_steps)
    check_outside(env, "collect records", (ACTIONS, REWARDS))
    plan = _Plan(env, policy, noise, seed, max_steps)
    if seed < 0:
        raise ValueError(f"seed must be an integer >= 0, got {seed}")
    if episodes < 1 or workers < 1 or (max_steps is not None and max_steps < 1):
        raise ValueError(
            f"episodes, workers and max_steps must be at least 1, got {episodes}, {workers} and {max_steps}"
        )
    recorder = _Recorder(plan)
    if out is None:
        return Trajectories.joined(list(_episodes(plan, recorder, range(episodes), workers, progress_bar)))
    with EpisodeWriter(out, recorder.meta()) as writer:
        missing = range(writer.episodes, episodes)
        for episode in _episodes(plan, recorder, missing, workers, progress_bar):
            episode.append_to(writer)
    recorded = Trajectories.load(out)
    return recorded if recorded.episodes == episodes else recorded.select(range(episodes))


def worthwhile_workers(episodes: int) -> int:
    """How many processes record so many episodes soonest: one a core that this process may use, at least one."""
    return max(1, min(usable_cores(), episodes // EPISODES_A_WORKER))


def _episodes(
    plan: _Plan, recorder: _Recorder, numbers: range, workers: int, progress_bar: bool
) -> Iterator[Trajectories]:
    """The episodes of these numbers, in order, recorded here or by processes."""
    from tqdm.auto import tqdm

    end = numbers.stop
    with tqdm(total=end, initial=end - len(numbers), disable=not progress_bar, desc="collect", unit="episode") as bar:
        for episode in _in_processes(plan, numbers, workers) if workers > 1 else map(recorder.record, numbers):
            yield episode
            bar.update()


def _in_processes(plan: _Plan, numbers: range, workers: int) -> Iterator[Trajectories]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    try:
        pickled = pickle.dumps(plan)
        known = pickle.dumps(_registered(plan.env))
    except Exception as error:  # anything may go wrong in a foreign object's pickling
        raise ValueError(
            f"with workers={workers} environment and policy go to other processes, which these do not ({error}); "
            "use a function of a module, or workers=1"
        ) from error
    # One thread each: the policies' matrices are too small to share out.
    with environment(**ONE_THREAD):
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (known, pickled))
        try:
            yield from pool.map(_record, numbers)
        finally:
            pool.shutdown(cancel_futures=True)


_worker: _Recorder | None = None


def _registered(env: gym.Env[Any, Any]) -> Registered:
    """What a process has to know before it can make the environment of a plan again."""
    base = env.unwrapped.base_id if isinstance(env.unwrapped, MaskEnv) else None
    return Registered.here((base, env.spec.id if env.spec is not None else None))


def _start_worker(known: bytes, plan: bytes) -> None:
    global _worker
    pickle.loads(known).register()
    _worker = _Recorder(pickle.loads(plan))


def _record(number: int) -> Trajectories:
    assert _worker is not None
    return _worker.record(number)


class _Recorder:
    """Steps the base environment and keeps what a dataset holds."""

    def __init__(self, plan: _Plan) -> None:
        env = plan.env
        masked = env.unwrapped
        if not isinstance(masked, MaskEnv):
            raise TypeError(
                f"collect needs an environment of masklam_envs, got {type(masked).__name__}; see make_masked"
            )
        self.env, self.seed = masked, plan.seed
        self.task = env.spec.id if env.spec is not None else None
        self.limit = _time_limit(env, plan.max_steps)
        self.space = cast(spaces.Box, masked.action_space)
        self.unmoved = Unmoved(masked.physics.model)
        self.name, self.act, self.noise = _resolve_policy(masked, plan.policy, plan.noise)
        self.expert = reference_expert(masked.base, _strength(self.name))
        self.disturbance: Disturbance = noisy(self.noise)
        if self.name == "mixed" and self.expert is not None:
            self.disturbance = mixed(self.expert, self.noise)

    def record(self, number: int) -> Trajectories:
        """One episode: a function of the seed and its number alone."""
        seeds = np.random.SeedSequence((self.seed, number))
        reset_seed = int(seeds.generate_state(1)[0] >> 1)
        rng = np.random.default_rng(seeds.spawn(1)[0])
        columns, terminated = self._rollout(reset_seed, rng)
        return Trajectories(
            self.meta(),
            **columns,
            lengths=np.array([len(columns["rewards"])], np.int64),
            terminated=np.array([terminated], np.bool_),
            reset_seeds=np.array([reset_seed], np.int64),
            # The seed that MaskEnv.reset(seed=reset_seed) would give its distractor.
            distractor_seeds=np.array([next_distractor_seed(np.random.SeedSequence(reset_seed))], np.int64),
        )

    def _rollout(self, reset_seed: int, rng: np.random.Generator) -> tuple[dict[str, Any], bool]:
        """The rows of an episode, and whether the task ended it."""
        disturb, space = self.disturbance(rng), self.space
        base = self.env.base
        step, limit, label_of = base.step, self.limit, self._labeller(rng)
        data = base.unwrapped.data  # type: ignore[attr-defined]
        self.env.leave_episode()
        state, _ = base.reset(seed=reset_seed)
        self.unmoved.check(data)
        qpos, qvel = [data.qpos.copy()], [data.qvel.copy()]
        actions, labels, rewards = [], [], []
        terminated = truncated = False
        while not (terminated or truncated):
            label = label_of(state)
            action = checked_action(disturb(state, label), space)
            state, reward, terminated, truncated, _ = step(action)
            qpos.append(data.qpos.copy())
            qvel.append(data.qvel.copy())
            actions.append(action)
            labels.append(label)
            rewards.append(reward)
            truncated = truncated or len(rewards) == limit
            if limit is None and len(rewards) == ENDLESS:
                raise ValueError(_ENDLESS)
        self.unmoved.check(data)
        rows = {"qpos": np.array(qpos), "qvel": np.array(qvel, np.float32), "rewards": np.array(rewards, np.float32)}
        return rows | {"actions": np.array(actions), "labels": np.array(labels)}, bool(terminated)

    def _labeller(self, rng: np.random.Generator) -> StatePolicy:
        """The policy's action, within the action space."""
        space, act = self.space, self.act
        if act is None:
            return lambda _: rng.uniform(space.low, space.high).astype(np.float32)
        if self.expert is not None and self.name in ("expert", "medium", "mixed"):
            return act  # made for this space: nothing to check
        return lambda state: checked_action(act(state), space)

    def meta(self) -> dict[str, Any]:
        """Where the episodes come from."""
        base = self.env.base
        return {
            "task": self.task,
            "base": self.env.base_id,
            "base_kwargs": self.env.base_kwargs or _own_kwargs(base),
            "base_wrappers": foreign_wrappers(base),
            "policy": self.name,
            "noise": self.noise,
            "max_steps": self.limit,
            "seed": self.seed,
            "joints": self.env.view.joints,
            "action_low": self.space.low.tolist(),
            "action_high": self.space.high.tolist(),
            "action_reference": action_reference(base).to_json(),
            "expert": _expert_record(self.expert) if self.name != "random" else None,
            "versions": {
                "masklam": masklam_envs.__version__,
                "mujoco": mujoco.__version__,
                "gymnasium": gym.__version__,
                "renderer": DRAWING_VERSION,
            },
        }


def _own_kwargs(base: gym.Env[Any, Any]) -> dict[str, Any]:
    """What a base environment that came as an object was made with beside what its id says, where JSON can hold it."""
    if base.spec is None or base.spec.id not in gym.registry:
        return {}
    registered, found = gym.registry[base.spec.id].kwargs, {}
    for name, value in base.spec.kwargs.items():
        with contextlib.suppress(TypeError, ValueError):
            if name not in registered or registered[name] != value:
                found[name] = json.loads(json.dumps(value))
    return found


def _expert_record(expert: Expert | None) -> dict[str, Any] | None:
    """What is known of an expert; None where a number is unknown."""
    if expert is None:
        return None
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in dataclasses.asdict(expert.info).items()}


def _time_limit(env: gym.Env[Any, Any], max_steps: int | None) -> int | None:
    """The smallest limit of the id, of the wrappers and of the recording."""
    own = env.spec.max_episode_steps if env.spec is not None else None
    wrapped = [wrapper._max_episode_steps for wrapper in wrappers_of(env) if isinstance(wrapper, TimeLimit)]
    limits = [limit for limit in (own, max_steps, *wrapped) if limit is not None and limit > 0]
    return min(limits) if limits else None


def _resolve_policy(
    env: MaskEnv, policy: str | StatePolicy, noise: float | None
) -> tuple[str, StatePolicy | None, float]:
    """Name, function (None: uniform random) and noise of a policy."""
    if noise is not None and not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must be a standard deviation >= 0, got {noise}")
    if callable(policy):
        return getattr(policy, "__name__", type(policy).__name__), policy, float(noise or 0.0)
    if policy not in POLICIES:
        raise ValueError(f"{unknown_name('policy', policy, POLICIES)}, or a function from a state to an action")
    if policy == "expert" and hasattr(env.base.unwrapped, "scripted_expert"):
        return _resolve_policy(env, env.base.unwrapped.scripted_expert, noise)
    expert = reference_expert(env.base, _strength(policy)) if policy != "random" else None
    if policy in ("expert", "medium", "mixed") and expert is None:
        kind = "medium expert" if policy == "medium" else "expert"
        raise ValueError(f"this task ships no {kind}; use policy='random' or pass your own function")
    if expert is None:
        return "random", None, float(noise or 0.0)
    name = "expert" if policy == "reference" else policy
    return name, expert.predict, _expert_noise(expert, policy, noise)


def _strength(policy: str) -> str:
    return "medium" if policy == "medium" else "expert"


def _expert_noise(expert: Expert, policy: str, noise: float | None) -> float:
    if noise is not None:
        return float(noise)
    return {"reference": expert.info.reference_noise, "mixed": MIXED_NOISE}.get(policy, 0.0)
