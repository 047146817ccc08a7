"""Pictures of what an agent sees and predicts."""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym
import numpy as np

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_envs.data.frames import Frames
from masklam_envs.data.windows import Windows
from masklam_envs.pictures import outlined, write_video


def prediction_grid(
    agents: dict[str, LatentActionAlgorithm],
    frames: Frames,
    path: str | os.PathLike[str],
    count: int = 6,
    seed: int = 0,
) -> None:
    """Columns: held-out moments; rows: the frame, its mask, and every agent's predicted next frame.

    :param agents: by the name written beside the row
    :param frames: held-out frames
    :param path: PNG file
    :param count: columns
    :param seed: which moments
    """
    from matplotlib.figure import Figure

    stack = next(iter(agents.values())).config["frame_stack"]
    windows = Windows(frames, frame_stack=stack, future_offset=1)
    anchors = np.sort(np.random.default_rng(seed).permutation(windows.anchors)[:count])
    here, there = windows.observation(anchors), windows.observation(anchors + 1)
    rows: dict[str, Any] = {"next frame": frames.pixels[anchors + 1], "its mask": frames.mask[anchors + 1]}
    rows |= {f"{name} predicts": agent.predict_next(here, there) for name, agent in agents.items()}
    figure = Figure(figsize=(1.5 * count, 1.55 * len(rows)), layout="constrained")
    axes = np.asarray(figure.subplots(len(rows), count, squeeze=False))
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    figure.savefig(path, dpi=100)


def rollout_gif(
    agent: Any, env: gym.Env[Any, Any], path: str | os.PathLike[str], steps: int = 100, seed: int = 0
) -> None:
    """An episode's beginning as an animated GIF with the mask's outline.

    :param agent: anything with SB3's ``predict``
    :param env: an environment with the keys ``pixels`` and ``mask``
    :param path: GIF file
    :param steps: frames
    :param seed: of the reset
    """
    observation, _ = env.reset(seed=seed)
    state, pictures = None, []
    for _ in range(steps):
        pictures.append(outlined(observation["pixels"], observation["mask"]))
        action, state = agent.predict(observation, state)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    write_video(path, pictures, fps=20)
