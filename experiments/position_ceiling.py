"""Do three frames at 20 Hz show enough?  Clone the MaskCheetah expert from the exact positions of the last frames.

    python experiments/position_ceiling.py > docs/results/position_ceiling.jsonl

The inputs are height, pitch and the six joints' angles, as a picture could show them at best: no velocities, and not
how far the robot has run.  Noise on them stands for how exactly a picture shows them.  One JSON line a setting: NMSE of
the action on held-out states of the reference policy, and the returns.
"""

from __future__ import annotations

import dataclasses
import json

import gymnasium as gym
import numpy as np
import torch as th
import tyro
from numpy.typing import NDArray
from torch import nn

from masklam_envs import Trajectories, collect, load_expert

TASK, BASE = "MaskCheetah-v0", "HalfCheetah-v5"
POSITIONS = 8  # of the 17 numbers of the base environment's observation
Array = NDArray[np.float32]


@dataclasses.dataclass
class Args:
    frames: tuple[int, ...] = (2, 3, 4)
    """numbers of frames, without noise"""
    noises: tuple[float, ...] = (0.05, 0.1, 0.2)
    """standard deviations of the noise on the positions of three frames, in those of each position"""
    episodes: int = 200
    """training episodes of the expert that sees through noise"""
    updates: int = 3_000
    """updates of 512 samples"""
    evaluation_episodes: int = 20
    """episodes behind each return"""
    seed: int = 0
    """of data, weights, batches and noise"""


class Inputs:
    """From the positions of the last frames to what the network reads: the last positions, and differences."""

    def __init__(self, positions: Array, frames: int, noise: float, rng: np.random.Generator) -> None:
        self.mean, self.std = positions.mean(0), positions.std(0)
        self.frames, self.noise, self.rng = frames, noise, rng

    def __call__(self, stacks: Array) -> th.Tensor:
        """(B, frames, 8), newest first, to (B, frames * 8): standardised; n-th differences scaled by 2 ** n."""
        z = (stacks - self.mean) / self.std
        z = z + self.noise * self.rng.standard_normal(z.shape, np.float32)
        parts = [z[:, 0]]
        for _ in range(self.frames - 1):
            z = 2 * (z[:, :-1] - z[:, 1:])
            parts.append(z[:, 0])
        return th.from_numpy(np.concatenate(parts, axis=1).astype(np.float32))


def stacked(trajectories: Trajectories, frames: int) -> tuple[Array, Array]:
    """Positions of the last frames (N, frames, 8), an episode's first repeated, and the expert's actions (N, 6)."""
    stacks = []
    for episode in range(trajectories.episodes):
        positions = trajectories.states(episode)[:-1, 1 : 1 + POSITIONS]
        index = np.arange(len(positions))
        stacks.append(np.stack([positions[np.maximum(index - back, 0)] for back in range(frames)], axis=1))
    return np.concatenate(stacks).astype(np.float32), trajectories.labels


def fit(inputs: Inputs, stacks: Array, actions: Array, args: Args) -> nn.Module:
    """Mean squared error, AdamW, learning rate falling to 0."""
    size = POSITIONS * inputs.frames
    net = nn.Sequential(nn.Linear(size, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 6))
    optimizer = th.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-3)
    for update in range(args.updates):
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - update / args.updates)
        rows = inputs.rng.integers(len(stacks), size=512)
        loss = ((net(inputs(stacks[rows])) - th.from_numpy(actions[rows])) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


def returns(net: nn.Module, inputs: Inputs, episodes: int) -> NDArray[np.float64]:
    """Returns in the base environment."""
    envs = gym.make_vec(BASE, num_envs=episodes, vectorization_mode="sync")
    state, _ = envs.reset(seed=1_000_000)
    stack, total = np.repeat(state[:, None, :POSITIONS], inputs.frames, axis=1), np.zeros(episodes)
    for _ in range(1_000):  # its episodes' length
        with th.no_grad():
            action = net(inputs(stack.astype(np.float32))).clamp(-1, 1).numpy()
        state, reward, *_ = envs.step(action)
        total += reward
        stack = np.concatenate((state[:, None, :POSITIONS], stack[:, :-1]), axis=1)
    return total


def main(args: Args) -> None:
    th.set_num_threads(1)
    train = collect(TASK, args.episodes, policy="mixed", seed=2 * args.seed)
    held_out = collect(TASK, 10, seed=2 * args.seed + 1)
    expert = load_expert(TASK).info.return_mean
    for frames, noise in [*((n, 0.0) for n in args.frames), *((3, noise) for noise in args.noises)]:
        th.manual_seed(args.seed)
        stacks, actions = stacked(train, frames)
        inputs = Inputs(stacks[:, 0], frames, noise, np.random.default_rng(args.seed))
        net = fit(inputs, stacks, actions, args)
        seen, wanted = stacked(held_out, frames)
        with th.no_grad():
            error = ((net(inputs(seen)).clamp(-1, 1).numpy() - wanted) ** 2).mean()
        scores = returns(net, inputs, args.evaluation_episodes)
        row = {"seed": args.seed, "frames": frames, "noise": noise}
        row |= {"action_nmse": round(float(error / wanted.var(0).mean()), 4), "returns": scores.round(1).tolist()}
        print(json.dumps(row | {"normalized_return": round(float(scores.mean()) / expert, 3)}), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
