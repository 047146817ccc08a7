"""How good must a mask be?  MaskLAM's stage 1 on masks of every fault and every source, against LAPO without masks.

    python experiments/mask_quality.py --tasks MaskCheetah-v0 MaskWalker-v0 --out docs/results/mask_quality.jsonl

One JSON line a run: the masks against the simulator's (:mod:`masklam_envs.masks.quality`, and the share of their pixels
that are agent, ``precision``, and of the agent's pixels that they have, ``recall``) and the probe's NMSE, both on
held-out episodes.  Rows that are in the file are skipped, so the same command goes on with an interrupted run; one seed
of everything comes first.  ``docs/pictures/make_mask_quality.py`` draws the figure and the table.

    python experiments/mask_quality.py --methods masklam robust --out docs/results/robust_masks.jsonl

What other ways to learn from the same masks make of them: :class:`~masklam_agents.RobustMaskLAM`, a softer or no mask.

The student learns from the simulator's masks of other episodes over other clips (those of the split "test") and has
never seen a ghost; ``student, ghosts known`` has, over those clips.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import torch as th
import tyro
from numpy.typing import NDArray

from masklam_agents import LAPO, MaskLAM, RobustMaskLAM
from masklam_agents.segmenter import train_segmenter
from masklam_envs import Frames, Trajectories, collect, render_frames
from masklam_envs.masks import make_mask_source, segment
from masklam_envs.masks.quality import measure
from masklam_envs.masks.sources import hard

FAULTS: dict[str, Any] = {
    **{f"{name} {n}": {"name": name, "radius": n} for name in ("erosion", "dilation") for n in (1, 2, 3)},
    **{f"occlusion {f}": {"name": "occlusion", "fraction": f, "box": "episode"} for f in (0.25, 0.5, 0.75)},
    "occlusion 0.5, mask only": {"name": "occlusion", "fraction": 0.5, "box": "episode", "pixels": False},
    "dropout 0.1": {"name": "dropout", "rate": 0.1, "burst": 5},
    "dropout 0.5": {"name": "dropout", "rate": 0.5, "burst": 5},
    "latency 1": {"name": "latency", "frames": 1},
    "latency 3": {"name": "latency", "frames": 3},
    "flicker": {"name": "flicker", "rate": 0.5, "radius": 2},
    "false positives 3": {"name": "false_positives", "count": 3, "radius": 4},
    "mixture": [
        {"name": "flicker", "rate": 0.3, "radius": 1},
        {"name": "dropout", "rate": 0.05, "burst": 3},
        {"name": "false_positives", "count": 1, "radius": 4, "hold": 5},
    ],
    "false positives 12": {"name": "false_positives", "count": 12, "radius": 4},
}
GHOST_FAULTS: dict[str, dict[str, Any]] = {f"ghost {share}": {"name": "ghost", "share": share} for share in (0.5, 1.0)}
MOTION: dict[str, dict[str, Any]] = {
    "motion, background": {"name": "motion"},
    "motion, flow": {"name": "motion", "method": "flow"},
}
# What a student sees besides the agent, in clips that MaskLAM's data does not have.
STUDENTS: dict[str, list[Any]] = {
    "student": ["video", "action"],
    "student, ghosts known": [["video", "ghost"], ["action", "ghost"]],
}
SEGMENTED = 25_600  # samples of the robust method's segmenter, before stage 1
# By name: the class, its options, and its samples before stage 1.
METHODS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "masklam": (MaskLAM, {}, 0),
    "robust": (RobustMaskLAM, {}, SEGMENTED),
    "robust, hard": (RobustMaskLAM, {"relearned": "hard"}, SEGMENTED),
    "soft edge": (MaskLAM, {"mask_softness": 1}, 0),
    "loss alone": (MaskLAM, {"mask_channel": False}, 0),
}
PROBED = 10_000  # transitions of each set that the probe sees
SIMULATOR, NO_MASK = "simulator", "no mask (LAPO)"
OTHER_CLIPS = {"split": "test"}


@dataclasses.dataclass
class Args:
    out: Path = Path("docs/results/mask_quality.jsonl")
    """file that rows are added to"""
    cache: Path = Path("runs/mask_quality")
    """folder of the students"""
    tasks: tuple[str, ...] = ("MaskCheetah-v0",)
    """environments; the reference policy acts, which is uniformly random where there is no expert"""
    distractors: tuple[str, ...] = ("action-0.9", "ghost")
    conditions: tuple[str, ...] = ()
    """some of them by name; none: all"""
    methods: tuple[str, ...] = ("masklam",)
    """some of METHODS"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """of data, weights and batches"""
    samples: int = 30_000
    """of stage 1"""
    episodes: int = 100
    """training episodes"""
    held_out: int = 20
    """held-out episodes"""
    steps: int = 300
    """longest episode"""


@dataclasses.dataclass
class Data:
    """The physics of a seed, and its frames with the simulator's masks, which every condition starts from."""

    env: gym.Env[Any, Any]
    trajectories: tuple[Trajectories, Trajectories]
    frames: tuple[Frames, Frames]


def conditions(distractor: str) -> list[str]:
    """Every condition under a distractor, those that everything else is compared with first."""
    ghost = distractor == "ghost"
    sources = [*STUDENTS, *MOTION] if ghost else ["student", *MOTION]
    return [SIMULATOR, NO_MASK, *sources, *FAULTS, *(GHOST_FAULTS if ghost else ())]


def recorded(args: Args, task: str, distractor: str, seed: int) -> Data:
    env = gym.make(task, distractor=distractor)
    pair = (
        collect(task, args.episodes, seed=2 * seed, max_steps=args.steps),
        collect(task, args.held_out, seed=2 * seed + 1, max_steps=args.steps),
    )
    return Data(env, pair, (render_frames(pair[0], env), render_frames(pair[1], env)))


def with_masks(data: Data, which: int, found: NDArray[np.uint8]) -> Frames:
    """The same frames with other masks (F, H, W)."""
    frames = data.frames[which]
    return Frames(frames.trajectories, np.concatenate([frames.pixels, found[..., None]], axis=3), frames.tracks)


def seen(args: Args, data: Data, which: int, condition: str, task: str, distractor: str, seed: int) -> Frames:
    """Training (0) or held-out (1) frames with a condition's masks."""
    fault = (FAULTS | GHOST_FAULTS).get(condition)
    if fault is not None:
        env = gym.make(task, distractor=distractor, mask_faults=fault)
        return render_frames(data.trajectories[which], env)
    if condition in (SIMULATOR, NO_MASK):
        return data.frames[which]
    config = MOTION.get(condition) or {"name": "student", "path": str(student(args, condition, task, seed))}
    source = make_mask_source(config)
    assert source is not None
    frames = data.frames[which]
    videos = np.split(np.ascontiguousarray(frames.pixels), frames.trajectories.first_frame[1:-1])
    return with_masks(data, which, np.concatenate([hard(segment(source, video)) for video in videos]))


def student(args: Args, name: str, task: str, seed: int) -> Path:
    """The file of a student, trained when it is not there."""
    path = args.cache / f"{task}-{name.replace(', ', '-').replace(' ', '-')}-{seed}.onnx"
    if not path.exists():
        physics = collect(task, 12, seed=1_000_000 + seed, max_steps=100)
        frames = [render_frames(physics, gym.make(task, distractor=each, **OTHER_CLIPS)) for each in STUDENTS[name]]
        train_segmenter(frames, path, updates=400, seed=seed)
    return path


def shares(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Precision and recall over all pixels."""
    both, size, area = (int(np.count_nonzero(x >= 128)) for x in (np.minimum(found, truth), found, truth))
    return {"precision": both / max(size, 1), "recall": both / max(area, 1)}


def run(args: Args, data: Data, task: str, distractor: str, condition: str, name: str, seed: int) -> dict[str, Any]:
    """Train and score one method under one condition."""
    start = time.process_time()
    train, held_out = (seen(args, data, which, condition, task, distractor, seed) for which in (0, 1))
    truth = np.ascontiguousarray(data.frames[1].mask)
    found = np.ascontiguousarray(held_out.mask)
    quality = measure(found, truth, (held_out.trajectories.lengths + 1).tolist())
    method, options, before = (LAPO, {}, 0) if condition == NO_MASK else METHODS[name]
    options = options | {"stage_shares": (*([before] if before else []), args.samples, 0, 0)}
    agent = method(dataset=train, future_offset=1, batch_size=64, learning_rate=1e-3, seed=seed, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*of little use")  # that is what is measured
        agent.learn(before + args.samples)
    probe = agent.probe(held_out, PROBED)
    numbers = {**dataclasses.asdict(quality), **shares(found, truth), "nmse": probe.nmse, "r2": probe.r2}
    row = {"task": task, "distractor": distractor, "condition": condition, "seed": seed, "samples": args.samples}
    row |= {"method": name}
    row |= {name: round(float(value), 4) for name, value in numbers.items()}
    row |= {"nmse_per_dimension": [round(x, 4) for x in probe.per_dimension]}
    return row | {"processor_seconds": round(time.process_time() - start, 1)}


KEY = ("task", "distractor", "condition", "seed", "samples", "method")


def known(out: Path) -> set[tuple[Any, ...]]:
    """What is in the file; a last line that was cut off does not count and is removed."""
    if not out.exists():
        return set()
    data = out.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(out, len(whole))
    rows = [json.loads(line) for line in whole.splitlines()]
    # Rows from before there was a choice of methods name none.
    return {tuple({"method": "masklam", **row}[key] for key in KEY) for row in rows}


def main(args: Args) -> None:
    th.set_num_threads(1)
    cv2.setNumThreads(1)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for task in args.tasks:
            for distractor in args.distractors:
                wanted = [c for c in conditions(distractor) if not args.conditions or c in args.conditions]
                done = known(args.out)
                todo = [
                    (condition, name)
                    for condition in wanted
                    for name in (args.methods[:1] if condition == NO_MASK else args.methods)
                    if (task, distractor, condition, seed, args.samples, name) not in done
                ]
                data = recorded(args, task, distractor, seed) if todo else None
                for condition, name in todo:
                    assert data is not None
                    row = run(args, data, task, distractor, condition, name, seed)
                    with open(args.out, "a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
