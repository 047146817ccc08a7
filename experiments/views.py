"""What acting on the mean over shifted views brings: returns of one agent for several ``view_shift``.

    python examples/train_agent.py --full --methods BC --out runs/full
    python experiments/views.py runs/full/bc/agent.safetensors

One JSON line for each shift; append them to docs/results/views.jsonl.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import gymnasium as gym
import torch as th
import tyro

from masklam_agents import load_agent
from masklam_agents.common.evaluation import episode_returns
from masklam_envs import load_expert

TASK = "MaskCheetah-v0"


@dataclasses.dataclass
class Args:
    agent: Annotated[Path, tyro.conf.Positional]
    """agent file"""
    distractor: str = "action"
    """preset of the background"""
    shifts: tuple[int, ...] = (0, 1, 2)
    """pixels"""
    episodes: int = 40
    """behind each return"""
    seed: int = 1_000_000
    """of the first episode's reset"""


def main(args: Args) -> None:
    th.set_num_threads(1)
    expert = load_expert(TASK).info.return_mean
    for shift in args.shifts:
        agent = load_agent(args.agent, policy_kwargs={"view_shift": shift})
        returns = episode_returns(agent, lambda: gym.make(TASK, distractor=args.distractor), args.episodes, args.seed)
        error = returns.std(ddof=1) / len(returns) ** 0.5
        row = {**dataclasses.asdict(args), "agent": args.agent.parent.name, "shift": shift}
        del row["shifts"]
        row |= {"normalized_return": round(returns.mean() / expert, 4), "standard_error": round(error / expert, 4)}
        print(json.dumps(row | {"returns": returns.round(1).tolist()}), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
