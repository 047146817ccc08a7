"""Behaviour cloning on all true actions from pixels: how far cloning goes with so many samples.

    python experiments/pixel_ceiling.py --samples 500_000 --episodes 300 --policy mixed

One JSON line a run: NMSE of the action on held-out states of the reference policy, and the returns.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch as th
import tyro

from masklam_agents import BC
from masklam_agents.common.evaluation import episode_returns
from masklam_envs import Frames, LazyFrames, Windows, collect, load_expert, render_frames

TASK = "MaskCheetah-v0"


@dataclasses.dataclass
class Args:
    samples: int = 200_000
    """training samples"""
    episodes: int = 60
    """training episodes"""
    policy: str = "mixed"
    """who acts in the training episodes: mixed or reference"""
    noise: float | None = None
    """of that policy, see masklam_envs.collect; none: its default"""
    distractor: str = "action"
    """preset of the background"""
    network: str = "small"
    """network family"""
    batch_size: int = 64
    """samples of an update"""
    learning_rate: float = 2e-3
    """peak of the cosine"""
    shift: int = 0
    """random shifts, pixels"""
    evaluation_episodes: int = 20
    """episodes behind the return"""
    threads: int = 1
    """of torch"""
    seed: int = 0
    """of data, weights and batches"""
    agent: Path | None = None
    """file that the agent is kept in, for experiments/views.py"""


def action_nmse(agent: BC, held_out: Frames) -> float:
    """Squared error of the policy's actions on the expert's, over their variance."""
    windows = Windows(held_out, frame_stack=agent.config["frame_stack"], future_offset=1)
    anchors = windows.anchors[::5]
    parts = np.array_split(anchors, max(1, len(anchors) // 256))
    actions = np.concatenate([agent.predict(windows.observation(part)["pixels"])[0] for part in parts])
    labels = held_out.trajectories.labels[windows.step(anchors)]
    return float(((actions - labels) ** 2).mean() / labels.var(0).mean())


def main(args: Args) -> None:
    th.set_num_threads(args.threads)
    env = gym.make(TASK, distractor=args.distractor)
    train = LazyFrames(collect(env, args.episodes, policy=args.policy, noise=args.noise, seed=2 * args.seed), env)
    held_out = render_frames(collect(env, 10, seed=2 * args.seed + 1), env)
    start = time.monotonic()
    agent = BC(
        dataset=train,
        network=args.network,
        batch_size=args.batch_size,
        policy_learning_rate=args.learning_rate,
        shift=args.shift,
        seed=args.seed,
    ).learn(args.samples)
    if args.agent is not None:
        agent.save(args.agent)
    minutes = (time.monotonic() - start) / 60
    returns = episode_returns(
        agent, lambda: gym.make(TASK, distractor=args.distractor), args.evaluation_episodes, 1_000_000
    )
    row = {
        **{name: value for name, value in dataclasses.asdict(args).items() if name != "agent"},
        "minutes": round(minutes, 1),
        "action_nmse": round(action_nmse(agent, held_out), 4),
    }
    row |= {"returns": returns.round(1).tolist()}
    row["normalized_return"] = round(float(returns.mean()) / load_expert(TASK).info.return_mean, 3)
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
