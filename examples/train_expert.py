"""Train an expert with Stable-Baselines3 and write it as safetensors that `masklam_envs` can ship.

The shipped MaskCheetah expert was made by the command that its file records: `load_expert(...).info.command`. A policy
is evaluated every `eval_every` steps; the best one so far is what lies in `out`.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize, unwrap_vec_normalize

from masklam_envs.experts.policy import Expert, ExpertInfo


@dataclasses.dataclass
class Args:
    """What to train."""

    env_id: str = "HalfCheetah-v5"
    """Gymnasium id; the policy reads its state observation."""
    algorithm: str = "ppo"
    """ppo or sac"""
    total_timesteps: int = 3_000_000
    """environment steps"""
    seed: int = 0
    """seed of torch, numpy and the environments"""
    n_steps: int = 256
    """PPO: steps of each of the 8 environments between updates; a minibatch is n_steps samples"""
    learning_rate: float = 3e-4
    """PPO: at the start; it falls linearly to 0"""
    exploration_noise: float = 0.3
    """PPO: standard deviation of the action noise, held fixed so that the policy learns to bear it"""
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
    statistics_only: bool = False
    """do not train: measure returns and action statistics of the policy in `out` again"""
    out: Path = Path("runs/expert.safetensors")
    """where the best policy so far is written"""


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


def make_model(args: Args) -> BaseAlgorithm:
    """The learner: PPO with normalised observations and rewards, or SAC, sized for two CPU cores."""
    if args.algorithm == "ppo":
        env: VecEnv = VecNormalize(make_vec_env(args.env_id, n_envs=8, seed=args.seed), gamma=0.98)
        env = NoisyObservations(env, args.observation_noise, args.seed)
        model = PPO(
            "MlpPolicy",
            env,
            n_steps=args.n_steps,
            batch_size=args.n_steps,
            n_epochs=10,
            learning_rate=LinearSchedule(args.learning_rate, 0.0, 1.0),
            gamma=0.98,
            gae_lambda=0.92,
            clip_range=0.2,
            max_grad_norm=0.8,
            seed=args.seed,
            device="cpu",
            policy_kwargs={
                "net_arch": [128, 128],
                "activation_fn": torch.nn.ReLU,
                "log_std_init": math.log(args.exploration_noise),
                "ortho_init": False,
                "optimizer_kwargs": {"fused": True},
            },
        )
        model.policy.log_std.requires_grad_(False)
        if args.start is not None:
            start_from(model, Expert.load(args.start))
        return model
    if args.algorithm == "sac":
        env = make_vec_env(args.env_id, n_envs=1, seed=args.seed)
        return SAC(
            "MlpPolicy",
            env,
            learning_rate=1e-3,
            learning_starts=5_000,
            batch_size=128,
            seed=args.seed,
            device="cpu",
            policy_kwargs={"net_arch": [128, 128], "optimizer_kwargs": {"fused": True}},
        )
    raise SystemExit(f"algorithm must be ppo or sac, got {args.algorithm!r}")


def policy_layers(model: BaseAlgorithm) -> list[torch.nn.Linear]:
    """The linear layers of the learner's policy, first to last."""
    if isinstance(model, PPO):
        modules = [*model.policy.mlp_extractor.policy_net, model.policy.action_net]
    else:
        modules = [*model.policy.actor.latent_pi, model.policy.actor.mu]
    return [module for module in modules if isinstance(module, torch.nn.Linear)]


def start_from(model: PPO, expert: Expert) -> None:
    """Give the learner an expert's weights and observation statistics, and hold the weights until the warm-up ends."""
    for layer, (weight, bias) in zip(policy_layers(model), expert.layers, strict=True):
        layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        layer.requires_grad_(False)
    statistics = unwrap_vec_normalize(model.get_env()).obs_rms
    statistics.mean = expert.obs_mean.astype(np.float64)
    statistics.var = expert.obs_std.astype(np.float64) ** 2
    statistics.count = 1e6  # as after so many steps: a few new ones hardly move it


class WarmUp(BaseCallback):
    """Let the policy's weights move from now on."""

    def _on_step(self) -> bool:
        for layer in policy_layers(self.model):
            layer.requires_grad_(True)
        return True


def to_expert(model: BaseAlgorithm, args: Args) -> Expert:
    """The learner's deterministic policy as plain arrays, with the observation normaliser folded in."""
    layers = [(m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in policy_layers(model)]
    size = layers[0][0].shape[1]
    mean, std = np.zeros(size, np.float32), np.ones(size, np.float32)
    normalizer = unwrap_vec_normalize(model.get_env())
    if normalizer is not None:
        mean = normalizer.obs_rms.mean.astype(np.float32)
        std = np.sqrt(normalizer.obs_rms.var + normalizer.epsilon).astype(np.float32)
    squash = "clip" if args.algorithm == "ppo" else "tanh"
    info = ExpertInfo(args.env_id, args.algorithm.upper(), model.num_timesteps, args.seed, "relu", squash)
    size = layers[-1][0].shape[0]
    return Expert(info, layers, mean, std, np.zeros(size, np.float32), np.eye(size, dtype=np.float32))


def returns_of(
    env_id: str, policy: Callable[[np.ndarray], np.ndarray] | None, episodes: int, seed: int = 1_000
) -> np.ndarray:
    """Undiscounted returns (episodes,) of a policy, or of uniform random actions when it is None."""
    env = gym.make(env_id)
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
    returns = returns_of(args.env_id, expert.predict, episodes)
    random_returns = returns_of(args.env_id, None, episodes)
    rng = np.random.default_rng(0)
    actions: list[np.ndarray] = []

    def noisy(observation: np.ndarray) -> np.ndarray:
        action = expert.predict(observation)
        actions.append(np.clip(action + args.exploration_noise * rng.standard_normal(action.shape), -1, 1))
        return actions[-1].astype(np.float32)

    returns_of(args.env_id, noisy, 20)
    expert.action_mean = np.mean(actions, axis=0).astype(np.float32)
    expert.action_covariance = np.cov(np.array(actions).T).astype(np.float32)
    expert.info = dataclasses.replace(
        expert.info,
        return_mean=round(float(returns.mean()), 2),
        return_std=round(float(returns.std()), 2),
        return_episodes=episodes,
        random_return=round(float(random_returns.mean()), 2),
        reference_noise=args.exploration_noise,
    )
    return expert


def history(info: ExpertInfo, start: Path | None) -> dict[str, Any]:
    """The commands that lead to this expert and the environment steps of all of them."""
    command, timesteps = shlex.join(["python", *sys.argv]), info.timesteps
    if start is not None:
        before = Expert.load(start).info
        command, timesteps = f"{before.command} && {command}", before.timesteps + timesteps
    return {"command": command, "timesteps": timesteps}


class KeepBest(BaseCallback):
    """Evaluate the NumPy copy of the policy, under the observation noise, and write it when it is the best so far."""

    def __init__(self, args: Args) -> None:
        super().__init__()
        self.args = args
        self.best = -np.inf

    def _on_step(self) -> bool:
        expert, args = to_expert(self.model, self.args), self.args
        rng = np.random.default_rng(args.seed)

        def policy(observation: np.ndarray) -> np.ndarray:
            noise = args.observation_noise * rng.standard_normal(observation.shape)
            return expert.predict(observation + noise * expert.obs_std)

        returns = returns_of(args.env_id, policy, args.eval_episodes)
        print(f"{self.num_timesteps:>9} steps  return {returns.mean():8.1f} +- {returns.std():.1f}", flush=True)
        if returns.mean() > self.best:
            self.best = float(returns.mean())
            expert.info = dataclasses.replace(expert.info, **history(expert.info, args.start))
            expert.save(self.args.out)
        return True


def main(args: Args) -> None:
    """Train, evaluating on the way."""
    torch.set_num_threads(1)  # nets of 128 units: more threads only fight each other
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if not args.statistics_only:
        model = make_model(args)
        model.learn(
            args.total_timesteps,
            callback=[EveryNTimesteps(args.warm_up, WarmUp()), EveryNTimesteps(args.eval_every, KeepBest(args))],
        )
    expert = with_statistics(Expert.load(args.out), args)
    expert.save(args.out)
    print(f"{args.out}: return {expert.info.return_mean} +- {expert.info.return_std} over 50 episodes")


if __name__ == "__main__":
    main(tyro.cli(Args))
