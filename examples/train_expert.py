"""Train the expert of a task with Stable-Baselines3 and write it as safetensors that `masklam_envs` can ship.

One command a task, for example `python examples/train_expert.py --task MaskHopper-v0`: the hyperparameters are those of
`examples/experts.yaml`, and every option given here goes before them. The policy is evaluated every `eval_every` steps
and kept as a checkpoint in a folder beside `out`. The best of them is the expert; the one whose return is nearest to
half way from random actions to the expert is the medium expert, `out` with `_medium` in its name.

What is shipped was made by the command that its file records: `load_expert("MaskHopper-v0").info.command`.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
import tyro
import yaml
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize, unwrap_vec_normalize

from masklam_envs.experts.policy import Expert, ExpertInfo
from masklam_envs.tasks import get_task

HYPERPARAMETERS = Path(__file__).with_name("experts.yaml")
# The seeds of evaluations in training are others than those of the returns that a file records.
TRAINING_EVALUATION_SEED, RECORDED_SEED = 10_000, 1_000


@dataclasses.dataclass
class Args:
    """What to train."""

    task: str = "MaskCheetah-v0"
    """a task of the suite; the policy reads the state observation of its base environment"""
    algorithm: Literal["ppo", "sac", "ars"] = "ppo"
    """ars: augmented random search for a linear policy (Mania et al. 2018), from sb3-contrib"""
    total_timesteps: int = 3_000_000
    """environment steps at most"""
    stop_at: float = math.inf
    """PPO and SAC: training ends when an evaluation's mean return is at least this"""
    seed: int = 0
    """seed of torch, numpy and the environments"""
    states: int | None = None
    """the policy reads this many first numbers of the observation; None: all"""
    units: int = 128
    """of each of the two hidden layers; ARS has none"""
    n_envs: int = 8
    """PPO: environments"""
    n_steps: int = 256
    """PPO: steps of each environment between updates"""
    batch_size: int = 256
    """samples of a minibatch; SAC uses 128"""
    n_epochs: int = 10
    """PPO: passes over the steps between updates"""
    gamma: float = 0.98
    """PPO: discount, of the rewards' normalisation as well"""
    gae_lambda: float = 0.92
    """PPO: trace of the advantages"""
    learning_rate: float = 3e-4
    """PPO: at the start; it falls linearly to 0. ARS: constant. SAC uses 1e-3"""
    directions: int = 8
    """ARS: random directions between updates, each tried forth and back for an episode; the better half is followed"""
    direction_size: float = 0.05
    """ARS: standard deviation of a direction's weights"""
    exploration_noise: float = 0.3
    """PPO: standard deviation of the action noise in units of the action bound, held fixed so that the policy learns to
    bear it; the reference policy's noise as well"""
    learn_noise: bool = False
    """PPO: the noise starts so and is learned, for tasks of precision"""
    observation_noise: float = 0.0
    """PPO: standard deviation of noise on the normalised observations of training, so that neither the policy nor who
    imitates it from pixels depends on knowing the state exactly; the best policy is then chosen under this noise"""
    start: Path | None = None
    """PPO: an expert file to go on from, for example one trained without observation noise; the value function is new
    and trains alone for the first `warm_up` steps"""
    warm_up: int = 150_000
    """environment steps, see start"""
    eval_every: int = 200_000
    """environment steps between evaluations"""
    eval_episodes: int = 20
    """episodes of an evaluation"""
    medium_return: float | None = None
    """return that the medium expert is to be near to; None: half way from random actions to the expert"""
    statistics_only: bool = False
    """do not train: choose among the checkpoints beside `out` and measure again"""
    out: Path | None = None
    """where the best policy so far is written; None: runs/experts/, named after the task"""


class FirstStates(gym.ObservationWrapper[Any, Any, Any]):
    """The first numbers of an observation.

    What follows positions and velocities in Ant and Humanoid (inertias, contact forces) makes learning slower.
    """

    def __init__(self, env: gym.Env[Any, Any], states: int) -> None:
        super().__init__(env)
        self.states = states
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (states,), np.float64)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Observation (states,)."""
        return observation[: self.states]


class NoisyObservations(VecEnvWrapper):
    """Gaussian noise of one standard deviation on every observation."""

    def __init__(self, venv: VecEnv, noise: float, seed: int) -> None:
        super().__init__(venv)
        self.noise, self.rng = noise, np.random.default_rng(seed)

    def reset(self) -> np.ndarray:
        """Observations (n, S) with noise."""
        return self._noisy(self.venv.reset())

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        """What the environments return, observations with noise."""
        observations, *rest = self.venv.step_wait()
        return self._noisy(observations), *rest

    def _noisy(self, observations: np.ndarray) -> np.ndarray:
        return (observations + self.noise * self.rng.standard_normal(observations.shape)).astype(np.float32)


def make_env(args: Args) -> gym.Env[Any, Any]:
    """The task's base environment with actions in [-1, 1] and the states that the policy reads."""
    env = gym.make(get_task(args.task).base, disable_env_checker=True)
    if bound_of(args.task) != 1.0:
        env = gym.wrappers.RescaleAction(env, -1.0, 1.0)
    return env if args.states is None else FirstStates(env, args.states)


def bound_of(task: str) -> float:
    """The bound of the task's actions, which is one number for all of them and both signs."""
    env = gym.make(get_task(task).base)
    low, high = env.action_space.low, env.action_space.high
    env.close()
    if not (high == high[0]).all() or not (low == -high[0]).all():
        raise SystemExit(f"{task}: actions must be bounded by one number, got [{low}, {high}]")
    return round(float(high[0]), 6)


def make_ppo(args: Args) -> PPO:
    """PPO with normalised observations and rewards, sized for one CPU core."""
    env: VecEnv = make_vec_env(make_env, n_envs=args.n_envs, seed=args.seed, env_kwargs={"args": args})
    env = NoisyObservations(VecNormalize(env, gamma=args.gamma), args.observation_noise, args.seed)
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=args.n_steps,
        batch_size=args.batch_size,
        n_epochs=args.n_epochs,
        learning_rate=LinearSchedule(args.learning_rate, 0.0, 1.0),
        gamma=args.gamma,
        gae_lambda=args.gae_lambda,
        clip_range=0.2,
        max_grad_norm=0.8,
        seed=args.seed,
        device="cpu",
        policy_kwargs={
            "net_arch": [args.units, args.units],
            "activation_fn": torch.nn.ReLU,
            "log_std_init": math.log(args.exploration_noise),
            "ortho_init": False,
            "optimizer_kwargs": {"fused": True},
        },
    )
    model.policy.log_std.requires_grad_(args.learn_noise)
    if args.start is not None:
        start_from(model, Expert.load(args.start))
    return model


def make_sac(args: Args) -> SAC:
    """SAC, sized for one CPU core."""
    return SAC(
        "MlpPolicy",
        make_vec_env(make_env, n_envs=1, seed=args.seed, env_kwargs={"args": args}),
        learning_rate=1e-3,
        learning_starts=5_000,
        batch_size=128,
        seed=args.seed,
        device="cpu",
        policy_kwargs={"net_arch": [args.units, args.units], "optimizer_kwargs": {"fused": True}},
    )


def make_ars(args: Args) -> BaseAlgorithm:
    """Augmented random search for a linear policy of normalised observations."""
    from sb3_contrib import ARS

    env = make_vec_env(make_env, n_envs=1, seed=args.seed, env_kwargs={"args": args})
    return ARS(
        "LinearPolicy",
        VecNormalize(env, norm_reward=False),
        n_delta=args.directions,
        n_top=max(1, args.directions // 2),
        learning_rate=args.learning_rate,
        delta_std=args.direction_size,
        policy_kwargs={"with_bias": True},
        seed=args.seed,
        device="cpu",
    )


#: per algorithm: what makes the learner, its policy's layers, and how outputs become actions
LEARNERS: dict[str, tuple[Callable[[Args], BaseAlgorithm], Callable[[Any], list[torch.nn.Module]], str]] = {
    "ppo": (make_ppo, lambda policy: [*policy.mlp_extractor.policy_net, policy.action_net], "clip"),
    "sac": (make_sac, lambda policy: [*policy.actor.latent_pi, policy.actor.mu], "tanh"),
    "ars": (make_ars, lambda policy: [*policy.action_net], "clip"),
}


def policy_layers(model: BaseAlgorithm) -> list[torch.nn.Linear]:
    """The linear layers of the learner's policy, first to last."""
    modules = LEARNERS[type(model).__name__.lower()][1](model.policy)
    return [module for module in modules if isinstance(module, torch.nn.Linear)]


def start_from(model: PPO, expert: Expert) -> None:
    """Give the learner an expert's weights and observation statistics, and hold the weights until the warm-up ends."""
    size = model.observation_space.shape[0]
    for i, (layer, (weight, bias)) in enumerate(zip(policy_layers(model), expert.layers, strict=True)):
        read = weight[:, :size].copy() if i == 0 else weight
        layer.load_state_dict({"weight": torch.from_numpy(read), "bias": torch.from_numpy(bias)})
        layer.requires_grad_(False)
    statistics = unwrap_vec_normalize(model.get_env()).obs_rms
    statistics.mean = expert.obs_mean[:size].astype(np.float64)
    statistics.var = expert.obs_std[:size].astype(np.float64) ** 2
    statistics.count = 1e6  # as after so many steps: a few new ones hardly move it


class WarmUp(BaseCallback):
    """Let the policy's weights move from now on."""

    def _on_step(self) -> bool:
        for layer in policy_layers(self.model):
            layer.requires_grad_(True)
        return True


def to_expert(model: BaseAlgorithm, args: Args, bound: float, size: int) -> Expert:
    """The learner's deterministic policy of observations (size,) as plain arrays, the normaliser folded in."""
    layers = [(m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in policy_layers(model)]
    read = layers[0][0].shape[1]
    mean, std = np.zeros(size, np.float32), np.ones(size, np.float32)
    normalizer = unwrap_vec_normalize(model.get_env())
    if normalizer is not None:
        mean[:read] = normalizer.obs_rms.mean
        std[:read] = np.sqrt(normalizer.obs_rms.var + normalizer.epsilon)
    first = np.zeros((len(layers[0][0]), size), np.float32)  # what the policy does not read has no weight
    first[:, :read] = layers[0][0]
    layers[0] = (first, layers[0][1])
    info = ExpertInfo(
        get_task(args.task).base,
        args.algorithm.upper(),
        model.num_timesteps,
        args.seed,
        "relu",
        LEARNERS[args.algorithm][2],
        action_bound=bound,
    )
    actions = layers[-1][0].shape[0]
    return Expert(info, layers, mean, std, np.zeros(actions, np.float32), np.eye(actions, dtype=np.float32))


def returns_of(
    env_id: str, policy: Callable[[np.ndarray], np.ndarray] | None, episodes: int, seed: int = RECORDED_SEED
) -> np.ndarray:
    """Undiscounted returns (episodes,) of a policy, or of uniform random actions when it is None."""
    env = gym.make(env_id, disable_env_checker=True)
    env.action_space.seed(seed)
    returns = np.zeros(episodes)
    for i in range(episodes):
        observation, _ = env.reset(seed=seed + i)
        done = False
        while not done:
            action = env.action_space.sample() if policy is None else policy(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            returns[i] += float(reward)
            done = terminated or truncated
    env.close()
    return returns


def with_statistics(expert: Expert, args: Args, episodes: int = 50) -> Expert:
    """The expert with its returns, a random policy's, and mean and covariance of its actions under the noise."""
    env_id, bound = expert.info.env_id, expert.info.action_bound
    returns = returns_of(env_id, expert.predict, episodes)
    random_returns = returns_of(env_id, None, episodes)
    rng, spread = np.random.default_rng(0), args.exploration_noise * bound
    actions: list[np.ndarray] = []

    def noisy(observation: np.ndarray) -> np.ndarray:
        action = expert.predict(observation)
        actions.append(np.clip(action + spread * rng.standard_normal(action.shape), -bound, bound))
        return actions[-1].astype(np.float32)

    while len(actions) < 20_000:  # twenty episodes of a thousand steps, more where they are shorter
        returns_of(env_id, noisy, 20, RECORDED_SEED + len(actions))
    expert.action_mean = np.mean(actions, axis=0).astype(np.float32)
    expert.action_covariance = np.atleast_2d(np.cov(np.array(actions).T)).astype(np.float32)
    expert.info = dataclasses.replace(
        expert.info,
        return_mean=round(float(returns.mean()), 2),
        return_std=round(float(returns.std()), 2),
        return_episodes=episodes,
        random_return=round(float(random_returns.mean()), 2),
        reference_noise=round(spread, 6),
    )
    return expert


def history(info: ExpertInfo, start: Path | None) -> dict[str, Any]:
    """The commands that lead to this expert and the environment steps of all of them."""
    command, timesteps = shlex.join(["python", *sys.argv]), info.timesteps
    if start is not None:
        before = Expert.load(start).info
        command, timesteps = f"{before.command} && {command}", before.timesteps + timesteps
    return {"command": command, "timesteps": timesteps}


class Checkpoints(BaseCallback):
    """Evaluate the NumPy copy of the policy, under the observation noise, and write it; the best so far to ``out``."""

    def __init__(self, args: Args, out: Path) -> None:
        super().__init__()
        self.args, self.out, self.best = args, out, -np.inf
        self.bound = bound_of(args.task)
        self.size = gym.make(get_task(args.task).base).observation_space.shape[0]

    def _on_step(self) -> bool:
        args = self.args
        expert = to_expert(self.model, args, self.bound, self.size)
        rng = np.random.default_rng(args.seed)

        def policy(observation: np.ndarray) -> np.ndarray:
            noise = args.observation_noise * rng.standard_normal(observation.shape)
            return expert.predict(observation + noise * expert.obs_std)

        returns = returns_of(expert.info.env_id, policy, args.eval_episodes, TRAINING_EVALUATION_SEED)
        mean, std = float(returns.mean()), float(returns.std())
        print(f"{self.num_timesteps:>9} steps  return {mean:8.1f} +- {std:.1f}", flush=True)
        record = {"return_mean": mean, "return_std": std, "return_episodes": args.eval_episodes}
        expert.info = dataclasses.replace(expert.info, **record, **history(expert.info, args.start))
        expert.save(checkpoints_of(self.out) / f"{self.num_timesteps:09}.safetensors")
        if mean > self.best:
            self.best = mean
            expert.save(self.out)
        return mean < args.stop_at


def checkpoints_of(out: Path) -> Path:
    """The folder of the checkpoints on the way to ``out``."""
    return out.with_suffix("")


def medium_of(out: Path, half: float) -> Expert:
    """The checkpoint whose return in training is nearest to ``half``."""
    experts = [Expert.load(path) for path in sorted(checkpoints_of(out).glob("*.safetensors"))]
    medium = min(experts, key=lambda expert: abs(expert.info.return_mean - half))
    medium.info = dataclasses.replace(medium.info, strength="medium")
    return medium


def train(args: Args, out: Path) -> None:
    """Train, evaluating on the way."""
    folder = checkpoints_of(out)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.safetensors"):
        old.unlink()
    callbacks = [EveryNTimesteps(args.warm_up, WarmUp()), EveryNTimesteps(args.eval_every, Checkpoints(args, out))]
    LEARNERS[args.algorithm][0](args).learn(args.total_timesteps, callback=callbacks)


def main(args: Args) -> None:
    """Train, choose the medium expert, and measure both."""
    torch.set_num_threads(1)  # nets of 128 units: more threads only fight each other
    name = args.task.removeprefix("Mask").removesuffix("-v0").lower()
    out = args.out or Path("runs/experts") / f"{name}.safetensors"
    if args.start is not None and args.algorithm != "ppo":
        raise SystemExit(f"--start goes on with PPO only, got --algorithm {args.algorithm}")
    if not args.statistics_only:
        train(args, out)
    expert = with_statistics(Expert.load(out), args)
    expert.save(out)
    half = (expert.info.return_mean + expert.info.random_return) / 2
    medium = with_statistics(medium_of(out, half if args.medium_return is None else args.medium_return), args)
    medium.save(out.with_stem(f"{out.stem}_medium"))
    for policy in (expert, medium):
        info = policy.info
        print(f"{args.task} {info.strength}: return {info.return_mean} +- {info.return_std}, {info.timesteps} steps")


def defaults() -> Args:
    """The hyperparameters of the task that the command line names."""
    task = tyro.cli(Args, return_unknown_args=True)[0].task
    table: dict[str, dict[str, Any]] = yaml.safe_load(HYPERPARAMETERS.read_text())
    return Args(task=task, **table[get_task(task).id])


if __name__ == "__main__":
    main(tyro.cli(Args, default=defaults()))
