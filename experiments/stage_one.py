"""Train stage 1 alone and print the linear probe's NMSE, to compare settings.

    python experiments/stage_one.py --future-offset 1
    python experiments/stage_one.py --future-offset 10
    python experiments/stage_one.py --method LAPO --distractor '[{"name": "flat", "ground_alpha": 0}]'
    python experiments/stage_one.py --method masklam-robust --distractor ghost

One JSON line a run; append it to docs/results/stage_one.jsonl.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import gymnasium as gym
import torch as th
import tyro

from masklam_agents.methods import METHODS, make_agent
from masklam_envs import collect, render_frames


@dataclasses.dataclass
class Args:
    method: str = "MaskLAM"
    """whose stage 1: MaskLAM, LAPO, or the name of a method"""
    samples: int = 50_000
    """samples of stage 1"""
    latent_dim: int = 128
    """size of the latent action"""
    segment: int = 25_600
    """samples of the stage before it, of methods that have one"""
    future_offset: int = 1
    """largest k of the IDM's second stack"""
    batch_size: int = 64
    """samples of an update"""
    learning_rate: float = 1e-3
    """peak of the cosine"""
    distractor: str = "action"
    """name of a preset, or a list of parts in JSON"""
    correlation: float = 0.9
    """of the background with the action, where it is `action`"""
    episodes: int = 60
    """training episodes"""
    policy: str = "reference"
    """whose: reference, or mixed"""
    noise: float = 0.6
    """how badly the expert of mixed episodes sees, at most"""
    options: str = "{}"
    """further ones of the method, in JSON: '{"tau": 0.01}'"""
    seed: int = 0
    """of data, weights and batches"""


def make_env(args: Args) -> gym.Env[Any, Any]:
    """The task under the distractor."""
    parts = json.loads(args.distractor) if args.distractor.startswith("[") else args.distractor
    more = {"correlation": args.correlation} if parts == "action" else {}
    return gym.make("MaskCheetah-v0", distractor=parts, **more)


def main(args: Args) -> None:
    th.set_num_threads(1)
    env = make_env(args)
    noise = args.noise if args.policy == "mixed" else None
    train = render_frames(collect(env, args.episodes, policy=args.policy, noise=noise, seed=2 * args.seed), env)
    held_out = render_frames(collect(env, 10, seed=2 * args.seed + 1), env)
    name = {"MaskLAM": "masklam-fixed", "LAPO": "lapo"}.get(args.method, args.method)
    samples = {"segment": args.segment, "pretrain": args.samples}
    shares = tuple(samples.get(stage, 0) for stage in METHODS[name].load_class().stages)
    agent: Any = make_agent(
        name,
        dataset=train,
        future_offset=args.future_offset,
        latent_dim=args.latent_dim,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        stage_shares=shares,
        seed=args.seed,
        **json.loads(args.options),
    ).learn(sum(shares))
    probe = agent.probe(held_out)
    print(
        json.dumps(
            {
                **dataclasses.asdict(args),
                "nmse": round(probe.nmse, 4),
                "train_nmse": round(probe.train_nmse, 4),
                "r2": round(probe.r2, 4),
            }
        )
    )


if __name__ == "__main__":
    main(tyro.cli(Args))
