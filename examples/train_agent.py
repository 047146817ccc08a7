"""Collect video, learn latent actions with MaskLAM and with LAPO, act with both, compare: the whole road in one script.

    python examples/train_agent.py --out runs/demo          # ten minutes on two cores
    python examples/train_agent.py --full --out runs/full   # longer, not timed yet; adds cloning of all true actions

The background of MaskCheetah is panned by the action (correlation 0.9, two of six action dimensions), so a model of the
whole frame can explain motion by the background. All methods get the same network, data, updates and learning rates,
and train side by side, one process each: for networks of this size that is faster than one method on all cores.
An interrupted run goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
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
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.pictures import prediction_grid, rollout_gif
from masklam_envs import Frames, Trajectories, collect, load_expert, render_frames

EVALUATION_SEED = 1_000_000
# Shares of the samples for IDM and FDM, for the latent policy, for the decoder (whose samples cost next to nothing).
SHARES = (0.16, 0.44, 0.4)
# k = 1 for both methods: the IDM sees o_t and o_{t+1}. The paper draws k from 1 to 10 and trains a hundred times as
# long; so few samples then leave MaskLAM behind (docs/results.md).
# At a learning rate of 2e-3 LAPO's latent collapses to one direction here (MaskLAM's does not), so both get 1e-3.
LATENT_OPTIONS: dict[str, Any] = {"future_offset": 1, "learning_rate": 1e-3, "stage_shares": SHARES}
OPTIONS: dict[str, Any] = {"batch_size": 64, "policy_learning_rate": 2e-3}
METHODS: dict[str, type[OfflineAlgorithm]] = {"MaskLAM": MaskLAM, "LAPO": LAPO, "BC (all actions)": BC}


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
    """the long run: more episodes, more updates, and behaviour cloning on all true actions as the ceiling"""
    episodes: int = 0
    """training episodes; 0: 60, or 200 with --full"""
    samples: int = 0
    """training samples of each method; 0: 340,000, or 2,400,000 with --full"""
    labels: int = 4_096
    """transitions with true actions that the decoder may see"""
    evaluation_episodes: int = 10
    """episodes behind each return"""
    seed: int = 0
    """of data, weights and batches"""

    def __post_init__(self) -> None:
        self.episodes = self.episodes or (200 if self.full else 60)
        self.samples = self.samples or (2_400_000 if self.full else 340_000)


def make_env(args: Args) -> gym.Env[Any, Any]:
    """The task under the action-correlated background."""
    return gym.make(args.task, distractor="action", correlation=args.correlation)


def load_frames(args: Args, name: str) -> Frames:
    """The frames of a recorded dataset, drawn again from its physics."""
    return render_frames(Trajectories.load(args.out / "data" / name), make_env(args))


def collect_data(args: Args) -> None:
    """Record physics for training and for held-out measurements, unless that is done already."""
    for name, episodes, seed in (("train", args.episodes, 2 * args.seed), ("held_out", 10, 2 * args.seed + 1)):
        folder = args.out / "data" / name
        if not folder.exists():
            collect(args.task, episodes, seed=seed, progress_bar=True).save(folder)


def agent_file(args: Args, name: str) -> Path:
    """Where a method's agent is kept, finished or not."""
    return args.out / name.split()[0].lower() / "agent.safetensors"


def train(args: Args, name: str) -> OfflineAlgorithm:
    """Train one method, or go on with it, or read it when it is done."""
    data, method, saved = load_frames(args, "train"), METHODS[name], agent_file(args, name)
    # Cloning true actions gets as many samples as cloning latents.
    samples = round(args.samples * SHARES[1]) if method is BC else args.samples
    if saved.exists():
        agent = method.load(saved, dataset=data)
    else:
        options = OPTIONS if method is BC else {**OPTIONS, **LATENT_OPTIONS, "labels": args.labels}
        agent = method("MultiInputPolicy", dataset=data, seed=args.seed, **options)
    agent.set_logger(configure(os.fspath(saved.parent), ["csv", "tensorboard"]))
    agent.learn(samples, callback=SaveLatest(saved), reset_num_timesteps=False, progress_bar=True)
    agent.save(saved)
    return agent


def score(args: Args, agent: OfflineAlgorithm) -> dict[str, Any]:
    """Probe and return of one agent."""
    returns = episode_returns(agent, lambda: make_env(args), args.evaluation_episodes, EVALUATION_SEED)
    expert = load_expert(args.task).info.return_mean
    result: dict[str, Any] = {
        "return": float(returns.mean()),
        "normalized_return": float(returns.mean() / expert),
        "returns": returns.round(2).tolist(),
    }
    if isinstance(agent, LatentActionAlgorithm):
        probe = agent.probe(load_frames(args, "held_out"))
        result |= {"nmse": probe.nmse, "r2": probe.r2, "nmse_per_dimension": list(probe.per_dimension)}
    return result


def run_method(args: Args, name: str, place: int, workers: int) -> dict[str, Any]:
    """What one process does: train a method, then score it."""
    os.environ["TQDM_POSITION"] = str(place)  # the progress bars stand below each other
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    return score(args, train(args, name))


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
    collect_data(args)
    names = list(METHODS) if args.full else ["MaskLAM", "LAPO"]
    workers = min(len(names), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {name: pool.submit(run_method, args, name, i, workers) for i, name in enumerate(names)}
        scores = {name: job.result() for name, job in jobs.items()}
    part = args.out / "scores.json.part"
    part.write_text(json.dumps(scores, indent=1))
    os.replace(part, args.out / "scores.json")
    agents = {name: method.load(agent_file(args, name)) for name, method in (("MaskLAM", MaskLAM), ("LAPO", LAPO))}
    prediction_grid(agents, load_frames(args, "held_out"), args.out / "predictions.png")
    rollout_gif(agents["MaskLAM"], make_env(args), args.out / "rollout.gif", seed=EVALUATION_SEED)
    print_table(scores)
    print(f"{(time.monotonic() - start) / 60:.1f} minutes; results in {args.out}")


if __name__ == "__main__":
    main(tyro.cli(Args))
