"""Return against environment steps of PPO on pixels: from scratch, from LAPO and from MaskLAM.

    python examples/train_agent.py --out runs/demo                   # makes the two agents
    python examples/finetune.py --agents runs/demo --out runs/finetune

    python examples/finetune.py --agents "runs/seed{seed}" --seeds 0 1 2    # an agent of its own for every seed

All start with the same network and the same exploration noise; from scratch its weights are random and there is nothing
to keep in a warm-up.  Every run appends a line to its curve at each evaluation and keeps its PPO beside it, so the same
command goes on after an interruption (with new episodes: environments are not saved).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from masklam_agents import LAPO, MaskLAM
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.online import WarmUp, stacked_env
from masklam_agents.common.vec_env import MaskVecEnv
from masklam_envs import load_expert

STARTS: dict[str, type[OfflineAlgorithm]] = {"scratch": MaskLAM, "LAPO": LAPO, "MaskLAM": MaskLAM}
FRAME_STACK = 3
EVALUATION_SEED = 1_000_000


@dataclasses.dataclass
class Args:
    """Sizes of the runs; the defaults take hours."""

    out: Path = Path("runs/finetune")
    """folder of the results"""
    agents: str = "runs/demo"
    """folder that examples/train_agent.py wrote; {seed} in it stands for the seed"""
    starts: tuple[str, ...] = tuple(STARTS)
    """some of scratch, LAPO, MaskLAM"""
    seeds: tuple[int, ...] = (0,)
    """a run of every start with each"""
    steps: int = 1_000_000
    """environment steps of a run"""
    every: int = 50_000
    """environment steps between evaluations"""
    evaluation_episodes: int = 10
    """episodes behind each point of a curve"""
    task: str = "MaskCheetah-v0"
    """an environment id that ships an expert"""
    correlation: float = 0.9
    """how much of the background's motion the action decides, in [0, 1]"""
    envs: int = 8
    """environments side by side in a run"""
    rollout: int = 256
    """steps in each environment between updates of PPO"""
    warm_up: float = 0.1
    """share of the steps in which the critic alone learns, where there is an actor to keep"""
    learning_rate: float = 3e-4
    """of Adam; it falls to 0 in a straight line"""
    workers: int = os.cpu_count() or 1
    """runs side by side"""

    def __post_init__(self) -> None:
        if unknown := set(self.starts) - set(STARTS):
            raise SystemExit(f"--starts must be some of {list(STARTS)}, got {sorted(unknown)}")


def view(args: Args) -> dict[str, Any]:
    """The distractor of training and evaluation."""
    return {"distractor": "action", "correlation": args.correlation}


def starting_agent(args: Args, start: str, seed: int) -> OfflineAlgorithm:
    """The pretrained agent, or a new one."""
    if start == "scratch":
        return MaskLAM(env=gym.make(args.task), frame_stack=FRAME_STACK, seed=seed)
    folder = Path(args.agents.format(seed=seed))
    return STARTS[start].load(folder / start.lower() / "agent.safetensors", seed=seed)


class Curve(BaseCallback):
    """Evaluate every so often, append to the curve, and keep what is needed to go on."""

    def __init__(self, args: Args, folder: Path) -> None:
        super().__init__()
        self.args, self.folder, self.started_by = args, folder, os.getppid()
        self.next = max((row["steps"] for row in read_curve(folder)), default=-args.every) + args.every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if os.getppid() != self.started_by:  # killed: nobody waits for this run, and the next one has this folder
            raise SystemExit("the process that started this run is gone")
        if self.num_timesteps >= self.next:
            self._evaluate()

    def _on_training_end(self) -> None:
        if not read_curve(self.folder) or read_curve(self.folder)[-1]["steps"] < self.num_timesteps:
            self._evaluate()

    def _evaluate(self) -> None:
        returns = returns_of(self.model, self.args)
        keep(self.model, self.folder)
        row = {"steps": self.num_timesteps, "return": float(np.mean(returns)), "returns": np.round(returns, 2).tolist()}
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.next = self.num_timesteps + self.args.every


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """The points of a run so far."""
    path = folder / "curve.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def returns_of(model: Any, args: Args) -> list[float]:
    """Returns of one episode in each of so many environments, the same for every run."""
    count = args.evaluation_episodes
    envs = DummyVecEnv([lambda: Monitor(gym.make(args.task, **view(args)))] * count)
    envs.seed(EVALUATION_SEED)
    stacked = stacked_env(envs, FRAME_STACK, model.observation_space.shape[1])
    returns, _ = evaluate_policy(model, stacked, n_eval_episodes=count, return_episode_rewards=True)
    envs.close()
    return list(returns)


def keep(model: Any, folder: Path) -> None:
    """PPO and its rewards' statistics, each whole or the older."""
    model.save(folder / "model.part.zip")
    model.get_vec_normalize_env().save(os.fspath(folder / "rewards.part.pkl"))
    os.replace(folder / "rewards.part.pkl", folder / "rewards.pkl")
    os.replace(folder / "model.part.zip", folder / "model.zip")


def run(args: Args, start: str, seed: int) -> None:
    """What one process does: train from one start with one seed, or go on with it."""
    torch.set_num_threads(1)
    folder = args.out / f"{start.lower()}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    warm_up = 0.0 if start == "scratch" else args.warm_up
    envs, curve = MaskVecEnv(args.task, args.envs, **view(args)), Curve(args, folder)
    if (folder / "model.zip").exists():
        size = envs.observation_space["pixels"].shape[0]
        rewards = VecNormalize.load(os.fspath(folder / "rewards.pkl"), stacked_env(envs, FRAME_STACK, size))
        model = PPO.load(folder / "model.zip", env=rewards)
        if model.num_timesteps < args.steps:
            hooks = [WarmUp(round(warm_up * args.steps)), curve]
            model.learn(args.steps - model.num_timesteps, callback=hooks, reset_num_timesteps=False)
        return
    starting_agent(args, start, seed).finetune(
        envs,
        args.steps,
        warm_up=warm_up,
        callback=curve,
        learning_rate=LinearSchedule(args.learning_rate, 0.0, 1.0),
        n_steps=args.rollout,
    )


def steps_to(curve: list[dict[str, Any]], wanted: float) -> int | None:
    """Environment steps at the first point with that return; None: it has none."""
    return next((row["steps"] for row in curve if row["return"] >= wanted), None)


def report(args: Args) -> None:
    """A table, a file with all curves, and a picture."""
    expert = load_expert(args.task).info.return_mean
    table = Table("start", "seed", "return at first", "return at last", "steps", "steps to half the expert's return")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    curves = []
    for i, start in enumerate(args.starts):
        for seed in args.seeds:
            curve = read_curve(args.out / f"{start.lower()}-{seed}")
            curves.append({"start": start, "seed": seed, "expert": expert, "curve": curve})
            first, last, half = curve[0], curve[-1], steps_to(curve, expert / 2)
            cells = [f"{first['return']:.0f}", f"{last['return']:.0f}", f"{last['steps']:,}"]
            table.add_row(start, str(seed), *cells, "not reached" if half is None else f"{half:,}")
            label = start if seed == args.seeds[0] else None
            axes.plot([row["steps"] for row in curve], [row["return"] for row in curve], color=f"C{i}", label=label)
    axes.axhline(expert / 2, color="grey", linestyle=":")
    axes.set(xlabel="environment steps", ylabel=f"return (dotted: half the expert's {expert:.0f})", title=args.task)
    axes.legend()
    figure.savefig(args.out / "curves.png", dpi=120)
    (args.out / "curves.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curves))
    Console().print(table)


def main(args: Args) -> None:
    """All runs, as many side by side as there are workers."""
    args.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(run, args, start, seed) for start, seed in itertools.product(args.starts, args.seeds)]
        for job in jobs:
            job.result()
    report(args)


if __name__ == "__main__":
    main(tyro.cli(Args))
