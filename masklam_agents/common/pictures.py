"""Pictures of what an agent sees and predicts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_envs.data.frames import Frames
from masklam_envs.data.windows import Windows

OUTLINE = np.array([255, 230, 0], np.uint8)


def outlined(pixels: NDArray[np.uint8], mask: NDArray[np.uint8], scale: int = 4) -> NDArray[np.uint8]:
    """A frame enlarged, with the mask's outline one screen pixel wide.

    :param pixels: (H, W, 3) uint8
    :param mask: (H, W, 1) uint8
    :return: (scale * H, scale * W, 3) uint8
    """
    large = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    inside = np.pad(mask[..., 0].repeat(scale, axis=0).repeat(scale, axis=1) > 127, 1)
    core = inside[1:-1, 1:-1]
    all_in = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    large[core & ~all_in] = OUTLINE
    return large


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
    import imageio.v3 as imageio

    observation, _ = env.reset(seed=seed)
    state, pictures = None, []
    for _ in range(steps):
        pictures.append(outlined(observation["pixels"], observation["mask"]))
        action, state = agent.predict(observation, state)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    target = Path(path)
    part = target.with_name(f".{target.stem}.part{target.suffix}")
    imageio.imwrite(part, np.stack(pictures), duration=50, loop=0)
    os.replace(part, target)
