"""Collect video, learn latent actions with MaskLAM and with LAPO, act with both, compare: the whole road in one script.

    python examples/train_agent.py --out runs/demo          # six minutes on two cores, 22 without bfloat16
    python examples/train_agent.py --full --out runs/full   # 70 minutes; adds cloning of all true actions, the ceiling

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
from masklam_agents.common.pictures import prediction_grid, rollout_video
from masklam_envs import LazyFrames, Trajectories, collect, load_expert, render_frames

EVALUATION_SEED = 1_000_000
# k = 1 for both methods: the IDM sees o_t and o_{t+1}. The paper draws k from 1 to 10 and trains a hundred times as
# long; so few samples then leave MaskLAM behind (docs/results.md).
# At a learning rate of 2e-3 LAPO's latent collapses to one direction here (MaskLAM's does not), so both get 1e-3.
LATENT_OPTIONS: dict[str, Any] = {"future_offset": 1, "learning_rate": 1e-3}
# The long run has time for a policy that tells limbs from the background better, which learns at half the rate, and
# acts on the mean over shifted views of the frames.
OPTIONS: dict[str, Any] = {"batch_size": 64, "policy_learning_rate": 2e-3}
FULL_OPTIONS: dict[str, Any] = {"batch_size": 64, "policy_learning_rate": 1e-3, "network": "lean"}
FULL_OPTIONS |= {"policy_kwargs": {"view_shift": 2}}
METHODS: dict[str, type[OfflineAlgorithm]] = {"BC": BC, "MaskLAM": MaskLAM, "LAPO": LAPO}


@dataclasses.dataclass
class Args:
    """Sizes of the run; the defaults are the six-minute demo."""

    out: Path = Path("runs/demo")
    """folder of the results"""
    task: str = "MaskCheetah-v0"
    """an environment id that ships an expert"""
    correlation: float = 0.9
    """how much of the background's motion the action decides, in [0, 1]"""
    full: bool = False
    """the long run: more episodes, more updates, and behaviour cloning on all true actions as the ceiling"""
    methods: tuple[str, ...] = ()
    """some of BC, MaskLAM, LAPO; none: MaskLAM and LAPO, with --full all"""
    episodes: int = 0
    """training episodes; 0: 150, or 2,000 with --full"""
    noise: float = 0.6
    """how badly the expert of the training episodes sees, at most, in standard deviations"""
    pretrain: int = 0
    """samples for IDM and FDM; 0: 150,000, or 400,000 with --full"""
    clone: int = 0
    """samples for the policy, also that of BC; 0: 400,000, or 2,000,000 with --full"""
    decode: int = 400_000
    """samples for the action decoder, which cost next to nothing"""
    labels: int = 4_096
    """transitions with true actions that the decoder may see"""
    evaluation_episodes: int = 0
    """episodes behind each return; 0: 20, or 40 with --full"""
    seed: int = 0
    """of data, weights and batches"""

    def __post_init__(self) -> None:
        self.episodes = self.episodes or (2_000 if self.full else 150)
        self.pretrain = self.pretrain or (400_000 if self.full else 150_000)
        self.clone = self.clone or (2_000_000 if self.full else 400_000)
        self.evaluation_episodes = self.evaluation_episodes or (40 if self.full else 20)
        self.methods = self.methods or tuple(name for name in METHODS if self.full or name != "BC")
        if unknown := set(self.methods) - set(METHODS):
            raise SystemExit(f"--methods must be some of {list(METHODS)}, got {sorted(unknown)}")


def check_folder(args: Args) -> None:
    """Note in the folder what is made there: results of other sizes would be taken for those that are asked for."""
    path, wanted = args.out / "args.json", dataclasses.asdict(args)
    wanted = {name: value for name, value in wanted.items() if name not in ("out", "methods")}
    for name, before in json.loads(path.read_text()).items() if path.exists() else ():
        if before != wanted[name]:
            option = name.replace("_", "-")
            raise SystemExit(
                f"{args.out} was made with --{option} {before}, not {wanted[name]}: give another --out, or remove it"
            )
    write_json(path, wanted)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Under another name until it is whole."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content, indent=1))
    os.replace(part, path)


def make_env(args: Args) -> gym.Env[Any, Any]:
    """The task under the action-correlated background."""
    return gym.make(args.task, distractor="action", correlation=args.correlation)


def recorded(args: Args, name: str) -> Trajectories:
    """The physics of a dataset; its frames are drawn again from it."""
    return Trajectories.load(args.out / "data" / name)


def collect_data(args: Args) -> None:
    """Record physics for training and for held-out measurements, or what of it is not done already.

    Training episodes are of an expert that sees through noise: a cloned policy has to know the way out of mistakes.
    Held-out ones are of the reference policy, under which the background's correlation is what was set, and, to see
    what that choice does, of the training policy too.
    """
    mixed: dict[str, Any] = {"policy": "mixed", "noise": args.noise}
    plan: dict[str, dict[str, Any]] = {
        "train": {"episodes": args.episodes, "seed": 3 * args.seed, **mixed},
        "held_out": {"episodes": 10, "seed": 3 * args.seed + 1},
        "held_out_mixed": {"episodes": 10, "seed": 3 * args.seed + 2, **mixed},
    }
    for name, options in plan.items():
        folder = args.out / "data" / name
        collect(args.task, out=folder, progress_bar=True, workers=os.cpu_count() or 1, **options)


def agent_file(args: Args, name: str) -> Path:
    """Where a method's agent is kept, finished or not."""
    return args.out / name.lower() / "agent.safetensors"


def train(args: Args, name: str) -> OfflineAlgorithm:
    """Train one method, or go on with it, or read it when it is done."""
    data, method, saved = LazyFrames(recorded(args, "train"), make_env(args)), METHODS[name], agent_file(args, name)
    stages, options = (args.pretrain, args.clone, args.decode), FULL_OPTIONS if args.full else OPTIONS
    if saved.exists():
        agent = method.load(saved, dataset=data)
    elif method is BC:
        agent = method("MultiInputPolicy", dataset=data, seed=args.seed, **options)
    else:
        options = {**options, **LATENT_OPTIONS, "labels": args.labels, "stage_shares": stages}
        agent = method("MultiInputPolicy", dataset=data, seed=args.seed, **options)
    samples = args.clone if method is BC else sum(stages)
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
        env = make_env(args)
        probe, mixed = (
            agent.probe(render_frames(recorded(args, name), env)) for name in ("held_out", "held_out_mixed")
        )
        result |= {"nmse": probe.nmse, "r2": probe.r2, "nmse_per_dimension": list(probe.per_dimension)}
        result |= {"nmse_mixed": mixed.nmse, "r2_mixed": mixed.r2}
    return result


def run_method(args: Args, name: str, place: int) -> dict[str, Any]:
    """What one process does: train a method, then score it."""
    os.environ["TQDM_POSITION"] = str(place)  # the progress bars stand below each other
    torch.set_num_threads(1)  # the network is so small that a second thread does not pay
    return score(args, train(args, name))


def write_scores(args: Args, scores: dict[str, Any]) -> dict[str, Any]:
    """Add scores to those of other methods in the folder; all of them."""
    path = args.out / "scores.json"
    scores = (json.loads(path.read_text()) if path.exists() else {}) | scores
    write_json(path, scores)
    return scores


def draw_pictures(args: Args, name: str) -> None:
    """Predictions of both latent action models, where both are trained, and a rollout of one method."""
    latent = {name: METHODS[name] for name in ("MaskLAM", "LAPO") if agent_file(args, name).exists()}
    agents: Any = {name: method.load(agent_file(args, name)) for name, method in latent.items()}
    if agents:
        held_out = render_frames(recorded(args, "held_out").select([0]), make_env(args))
        prediction_grid(agents, held_out, args.out / "predictions.png")
    agent = METHODS[name].load(agent_file(args, name))
    rollout_video(agent, make_env(args), args.out / "rollout.gif", seed=EVALUATION_SEED)


def print_table(scores: dict[str, Any]) -> None:
    """The comparison."""
    table = Table("method", "NMSE (held out)", "R2", "NMSE (mixed)", "return", "normalized return")
    for name, row in scores.items():
        probe = [f"{row[key]:.3f}" if key in row else "-" for key in ("nmse", "r2", "nmse_mixed")]
        table.add_row(name, *probe, f"{row['return']:.0f}", f"{row['normalized_return']:.3f}")
    Console().print(table)


def main(args: Args) -> None:
    """The whole road."""
    start = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    check_folder(args)
    collect_data(args)
    with ProcessPoolExecutor(len(args.methods), mp_context=get_context("spawn")) as pool:
        jobs = {name: pool.submit(run_method, args, name, i) for i, name in enumerate(args.methods)}
        scores = write_scores(args, {name: job.result() for name, job in jobs.items()})
    draw_pictures(args, "MaskLAM" if "MaskLAM" in args.methods else args.methods[0])
    print_table(scores)
    print(f"{(time.monotonic() - start) / 60:.1f} minutes; results in {args.out}")


if __name__ == "__main__":
    main(tyro.cli(Args))
