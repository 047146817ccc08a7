"""How exact must a cloned policy be? Clone the MaskCheetah expert from its true state, with noise on the inputs.

    python experiments/cloning_ceiling.py > docs/results/cloning_ceiling.jsonl

The noise stands for what pixels do not show. One JSON line per noise: NMSE of the action on held-out states of the
reference policy, and the returns.
"""

from __future__ import annotations

import dataclasses
import json

import gymnasium as gym
import numpy as np
import torch as th
import tyro
from torch import nn

from masklam_envs import Trajectories, collect, load_expert

TASK = "MaskCheetah-v0"


@dataclasses.dataclass
class Args:
    episodes: int = 40
    """episodes of the reference policy"""
    updates: int = 3_000
    """updates of 256 samples"""
    noises: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)
    """standard deviations of the noise, in those of each state dimension"""
    evaluation_episodes: int = 6
    """episodes behind each return"""
    seed: int = 0
    """of data, weights, batches and noise"""


class StatePolicy(nn.Module):
    """17 state dimensions -> 6 actions, through inputs that are standardised and made noisy."""

    def __init__(self, mean: np.ndarray, std: np.ndarray, noise: float) -> None:
        super().__init__()
        self.mean, self.std, self.noise = th.from_numpy(mean), th.from_numpy(std), noise
        self.net = nn.Sequential(nn.Linear(17, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 6))

    def forward(self, state: th.Tensor) -> th.Tensor:
        x = (state - self.mean) / self.std
        return self.net(x + self.noise * th.randn_like(x))


def samples(trajectories: Trajectories) -> tuple[np.ndarray, np.ndarray]:
    """States that the base environment observes (N, 17), and the expert's actions in them (N, 6)."""
    states = [trajectories.states(e)[:-1, 1:] for e in range(trajectories.episodes)]
    return np.concatenate(states), trajectories.labels


def fit(policy: StatePolicy, states: np.ndarray, actions: np.ndarray, updates: int) -> None:
    """Mean squared error, Adam, learning rate falling to 0."""
    inputs, targets = th.from_numpy(states), th.from_numpy(actions)
    optimizer = th.optim.Adam(policy.parameters(), 1e-3)
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - update / updates)
        rows = th.randint(0, len(inputs), (256,))
        loss = ((policy(inputs[rows]) - targets[rows]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@th.no_grad()
def returns(policy: StatePolicy, episodes: int) -> list[float]:
    """Returns in the base environment."""
    env, result = gym.make("HalfCheetah-v5"), []
    for i in range(episodes):
        state, _ = env.reset(seed=1_000_000 + i)
        total, done = 0.0, False
        while not done:
            action = policy(th.from_numpy(state.astype(np.float32))).clamp(-1, 1).numpy()
            state, reward, terminated, truncated, _ = env.step(action)
            total, done = total + float(reward), terminated or truncated
        result.append(round(total, 1))
    return result


def main(args: Args) -> None:
    th.manual_seed(args.seed)
    states, actions = samples(collect(TASK, args.episodes, seed=2 * args.seed))
    held_states, held_actions = samples(collect(TASK, 5, seed=2 * args.seed + 1))
    expert = load_expert(TASK).info.return_mean
    for noise in args.noises:
        policy = StatePolicy(states.mean(0), states.std(0) + 1e-6, noise)
        fit(policy, states, actions, args.updates)
        with th.no_grad():
            error = (policy(th.from_numpy(held_states)).clamp(-1, 1).numpy() - held_actions) ** 2
        scores = returns(policy, args.evaluation_episodes)
        row = {
            "seed": args.seed,
            "noise": noise,
            "action_nmse": round(float(error.mean() / held_actions.var(0).mean()), 4),
        }
        row |= {"returns": scores, "normalized_return": round(float(np.mean(scores)) / expert, 3)}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
