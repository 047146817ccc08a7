"""Mask sources: frames a second and agreement with the simulator, in one table.

    python benchmarks/mask_speed.py --student student.onnx

Records a few episodes, draws them under a distractor, and lets every source that runs here make masks of the same
frames.  Frames a second are those of one core: processor time, the better of two runs, sources with one thread.  The
simulator's masks come with the pixels, so its row is the time of drawing both; the others look at pixels that are
there.  A student is trained with

    masklam collect MaskCheetah-v0 --out data --episodes 40
    masklam train-segmenter data --out student.onnx --view '{"distractor": "video"}' --view '{"distractor": "action"}'

"train" are the backgrounds of the split that the student was trained on, "test" those it never saw.

    python benchmarks/mask_speed.py --rembg for_rembg.onnx large.onnx --upscales 0 128 320

compares sides to which a model of rembg's enlarges small frames first (option ``upscale``).  ``--rembg`` takes names of
rembg's models whose weights are there, and files for its ``u2net_custom``: a student is written as one by ``masklam
train-segmenter --rembg FILE``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import tyro

from masklam_envs import collect, render_frames
from masklam_envs.masks import make_mask_source, segment
from masklam_envs.masks.motion import METHODS
from masklam_envs.masks.quality import measure
from masklam_envs.masks.sources import hard, memory_of

SIMULATOR = "simulator, drawing too"


@dataclasses.dataclass
class Args:
    task: str = "MaskCheetah-v0"
    distractors: tuple[str, ...] = ("video", "action")
    splits: tuple[str, ...] = ("train", "test")
    episodes: int = 3
    steps: int = 150
    seed: int = 1000
    """of the episodes; those that a student was trained on have others"""
    motion: bool = True
    """the methods of the source that needs no model"""
    student: str | None = None
    """file of a student; None: it is left out"""
    rembg: tuple[str, ...] = ()
    """rembg's models: a name, or an .onnx file for u2net_custom"""
    upscales: tuple[int, ...] = (0,)
    """sides to which rembg's models enlarge frames first, pixels; 0: not at all"""
    sources: tuple[str, ...] = ()
    """more sources as JSON, e.g. '{"name": "rembg", "model": "u2netp", "upscale": 320}'"""
    prompt: str | None = None
    """JSON, for sources that are told what to look for"""


def configs(args: Args) -> dict[str, Any]:
    """The sources by the names of their rows."""
    found: dict[str, Any] = {}
    if args.motion:
        found = {f"motion, {method}": {"name": "motion", "method": method} for method in METHODS}
    if args.student:
        found["student"] = {"name": "student", "path": args.student}
        found["student, smoothing 3"] = {"name": "student", "path": args.student, "smoothing": 3}
    for model in args.rembg:
        own = {"model": "u2net_custom", "model_path": model} if model.endswith(".onnx") else {"model": model}
        for side in args.upscales:
            found[f"rembg {Path(model).stem} {side}"] = {"name": "rembg", **own, "upscale": side}
    return found | {text: json.loads(text) for text in args.sources}


def best_of_two(work: Callable[[], Any]) -> tuple[float, Any]:
    """The shorter processor time, in seconds, and the result."""
    seconds, result = np.inf, None
    for _ in range(2):
        start = time.process_time()
        result = work()
        seconds = min(seconds, time.process_time() - start)
    return seconds, result


def found_by(config: Any, videos: list[np.ndarray], prompt: Any) -> tuple[float, str, np.ndarray]:
    """Seconds that a source takes for some videos, whether it works live, and its masks."""
    seconds, masks, live = np.inf, np.zeros(0), "yes"
    for _ in range(2):
        source = make_mask_source(config)  # anew: some remember what they have seen
        assert source is not None
        told = prompt if getattr(source, "takes_prompt", True) else None
        live = "no" if memory_of(source) is None else "yes"
        segment(source, videos[0][:1], told)  # what is made at first use
        start = time.process_time()
        masks = np.concatenate([segment(source, video, told) for video in videos])
        seconds = min(seconds, time.process_time() - start)
    return seconds, live, hard(masks)


def main(args: Args) -> None:
    cv2.setNumThreads(1)
    prompt = None if args.prompt is None else json.loads(args.prompt)
    print(f"{args.task}, {args.episodes} episodes of {args.steps} steps, seed {args.seed}")
    print(f"{'source':<26} {'live':<5} {'distractor':<16} {'frames/s':>9} {'IoU':>6} {'worst 5%':>9} {'bound. F':>9} "
          f"{'area x':>7} {'flicker':>8} {'empty':>6}")  # fmt: skip
    recorded = collect(args.task, args.episodes, policy="reference", max_steps=args.steps, seed=args.seed)
    lengths = (recorded.lengths + 1).tolist()
    for distractor in args.distractors:
        for split in args.splits:
            env = gym.make(args.task, distractor=distractor, split=split)
            render_frames(recorded.select([0]), env)  # what is compiled and read at first use
            seconds, frames = best_of_two(functools.partial(render_frames, recorded, env))
            videos = np.split(np.ascontiguousarray(frames.pixels), np.cumsum(lengths)[:-1])
            rows = [(SIMULATOR, seconds, "yes", frames.mask[..., 0])]
            rows += [(name, *found_by(config, videos, prompt)) for name, config in configs(args).items()]
            for name, seconds, live, masks in rows:
                found = measure(np.ascontiguousarray(masks), frames.mask, lengths)
                print(f"{name:<26} {live:<5} {distractor + ', ' + split:<16} {len(masks) / seconds:9.0f} "
                      f"{found.iou_mean:6.3f} {found.iou_worst:9.3f} {found.boundary_f:9.3f} {found.area_ratio:7.2f} "
                      f"{found.flicker:8.2f} {found.empty:6.1%}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Args))
