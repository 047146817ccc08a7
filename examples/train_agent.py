"""Collect video, learn latent actions with MaskLAM and with LAPO, act with both, compare: the whole road in one script.

    python examples/train_agent.py --out runs/demo          # ten minutes on two cores
    python examples/train_agent.py --full --out runs/full   # about an hour; adds behaviour cloning on all true actions

The background of MaskCheetah is panned by the action (correlation 0.9, two of six action dimensions), so a model of the
whole frame can explain motion by the background. Both methods get the same network, data, updates and learning rates.
An interrupted run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
import tyro
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.logger import configure

from masklam_agents import BC, LAPO, MaskLAM
from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.common.callbacks import SaveLatest
from masklam_agents.common.evaluation import episode_returns
from masklam_agents.common.pictures import prediction_grid, rollout_gif
from masklam_envs import Frames, Trajectories, collect, load_expert, render_frames

EVALUATION_SEED = 1_000_000
METHODS: dict[str, Callable[..., LatentActionAlgorithm]] = {"MaskLAM": MaskLAM, "LAPO": LAPO, "BC (all actions)": BC}


@dataclasses.dataclass
class Args:
    """Sizes of the run; the defaults are the ten-minute demo."""

    out: Path = Path("runs/demo")
    """folder of the results"""
    task: str = "MaskCheetah-v0"
    """an environment id that ships an expert"""
    correlation: float = 0.9
    """how much of the background's motion the action decides, in [0, 1]"""
    full: bool = False
    """the hour-long run: more episodes, more updates, and behaviour cloning on all true actions as the ceiling"""
    episodes: int = 0
    """training episodes; 0: 60, or 200 with --full"""
    samples: int = 0
    """training samples of each method; 0: 300,000, or 2,000,000 with --full"""
    labels: int = 4_096
    """transitions with true actions that the decoder may see"""
    evaluation_episodes: int = 10
    """episodes behind each return"""
    seed: int = 0
    """of data, weights and batches"""

    def __post_init__(self) -> None:
        self.episodes = self.episodes or (200 if self.full else 60)
        self.samples = self.samples or (2_000_000 if self.full else 300_000)


def make_env(args: Args) -> gym.Env[Any, Any]:
    """The task under the action-correlated background."""
    return gym.make(args.task, distractor="action", correlation=args.correlation)


def load_data(args: Args) -> tuple[Frames, Frames]:
    """Training and held-out frames; the physics is recorded once, the frames are drawn again from it."""
    frames = []
    for name, episodes, seed in (("train", args.episodes, 2 * args.seed), ("held_out", 10, 2 * args.seed + 1)):
        folder = args.out / "data" / name
        if not folder.exists():
            collect(args.task, episodes, seed=seed, progress_bar=True).save(folder)
        frames.append(render_frames(Trajectories.load(folder), make_env(args), progress_bar=True))
    return frames[0], frames[1]


def train(name: str, args: Args, data: Frames) -> LatentActionAlgorithm:
    """Train one method, or go on with it, or read it when it is done."""
    folder = args.out / name.split()[0].lower()
    saved = folder / "agent.safetensors"
    method = METHODS[name]
    if saved.exists():
        agent: LatentActionAlgorithm = method.load(saved, dataset=data)  # type: ignore[attr-defined]
    else:
        options: dict[str, Any] = {} if method is BC else {"labels": args.labels}
        agent = method("MultiInputPolicy", dataset=data, seed=args.seed, **options)
    agent.set_logger(configure(os.fspath(folder), ["csv", "tensorboard"]))
    agent.learn(args.samples, callback=SaveLatest(saved), reset_num_timesteps=False, progress_bar=True)
    agent.save(saved)
    return agent


def score(agent: LatentActionAlgorithm, args: Args, held_out: Frames) -> dict[str, Any]:
    """Probe and return of one agent."""
    returns = episode_returns(agent, lambda: make_env(args), args.evaluation_episodes, EVALUATION_SEED)
    expert = load_expert(args.task).info.return_mean
    result: dict[str, Any] = {
        "return": float(returns.mean()),
        "normalized_return": float(returns.mean() / expert),
        "returns": returns.round(2).tolist(),
    }
    if agent.latent:
        probe = agent.probe(held_out)
        result |= {"nmse": probe.nmse, "r2": probe.r2, "nmse_per_dimension": list(probe.per_dimension)}
    return result


def print_table(scores: dict[str, Any]) -> None:
    """The comparison."""
    table = Table("method", "NMSE (held out)", "R2", "return", "normalized return")
    for name, row in scores.items():
        probe = [f"{row[key]:.3f}" if key in row else "-" for key in ("nmse", "r2")]
        table.add_row(name, *probe, f"{row['return']:.0f}", f"{row['normalized_return']:.3f}")
    Console().print(table)


def main(args: Args) -> None:
    """The whole road."""
    start = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    train_data, held_out = load_data(args)
    names = list(METHODS) if args.full else ["MaskLAM", "LAPO"]
    agents = {name: train(name, args, train_data) for name in names}
    scores = {name: score(agent, args, held_out) for name, agent in agents.items()}
    latent = {name: agent for name, agent in agents.items() if agent.latent}
    prediction_grid(latent, held_out, args.out / "predictions.png")
    rollout_gif(agents["MaskLAM"], make_env(args), args.out / "rollout.gif", seed=EVALUATION_SEED)
    part = args.out / "scores.json.part"
    part.write_text(json.dumps(scores, indent=1))
    os.replace(part, args.out / "scores.json")
    print_table(scores)
    minutes = (time.monotonic() - start) / 60
    print(f"{minutes:.1f} minutes on {torch.get_num_threads()} threads; results in {args.out}")


if __name__ == "__main__":
    main(tyro.cli(Args))
