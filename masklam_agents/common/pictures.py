"""Pictures of what an agent sees and predicts."""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.common.projection import projected
from masklam_agents.common.training_data import Dataset
from masklam_envs.data.windows import Windows
from masklam_envs.pictures import outlined, write_png, write_video
from masklam_envs.whole import whole_file

#: colours of error maps end here, in units of a pixel's range
LARGEST_ERROR = 0.5


def prediction_grid(
    agents: dict[str, LatentActionAlgorithm],
    frames: Dataset,
    path: str | os.PathLike[str],
    count: int = 6,
    seed: int = 0,
) -> None:
    """Columns: held-out moments; rows: next frame and mask, every agent's predicted next frame and where it errs.

    Error maps show the absolute error, averaged over colours, from black (0) to bright (half of a pixel's range), with
    the mask's outline.

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
    target, masks = there["pixels"][..., -3:], there["mask"][..., -1]
    rows: dict[str, Any] = {"next frame": target, "its mask": masks}
    for name, agent in agents.items():
        seen = windows.observation(agent.ahead(frames, anchors))
        rows[f"{name} predicts"] = predicted = agent.predict_next(here, seen)
        rows[f"{name} errs"] = np.abs(predicted / 255.0 - target / 255.0).mean(axis=-1)
    figure = Figure(figsize=(1.5 * count, 1.55 * len(rows)), layout="constrained")
    axes = np.asarray(figure.subplots(len(rows), count, squeeze=False))
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image, mask in zip(line, images, masks, strict=False):
            _show(axis, image, mask if name.endswith(" errs") else None)
        for axis in line:
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    _save(figure, path)


def frame_strips(
    frames: Dataset, pixels: str | os.PathLike[str], masks: str | os.PathLike[str], count: int = 6, scale: int = 2
) -> None:
    """Moments of the first episode beside each other, as they are seen and as their masks are.

    :param frames: with masks
    :param pixels: PNG file of the frames
    :param masks: PNG file of the same frames' masks
    :param count: how many, evenly spaced
    :param scale: screen pixels a pixel
    """
    index = np.unique(np.linspace(0, frames.trajectories.first_frame[1] - 1, count).astype(np.int64))
    rows, place = frames.rows(index)
    shown = rows[place]
    for path, images in ((pixels, shown[..., :3]), (masks, shown[..., 3:].repeat(3, axis=-1))):
        strip = np.concatenate(list(images), axis=1).repeat(scale, axis=0).repeat(scale, axis=1)
        write_png(path, np.ascontiguousarray(strip))


def _show(axis: Any, image: NDArray[Any], outline: NDArray[np.uint8] | None) -> None:
    """A frame or mask; or, with a mask to outline, an error map."""
    if outline is None:
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        return
    axis.imshow(image, cmap="inferno", vmin=0, vmax=LARGEST_ERROR, interpolation="nearest")
    if 0 < np.count_nonzero(outline > 127) < outline.size:
        axis.contour(outline, levels=[127.5], colors="white", linewidths=0.5)


def latent_map(
    latents: NDArray[np.floating],
    actions: NDArray[np.floating],
    path: str | os.PathLike[str],
    kind: str = "pca",
    count: int = 3_000,
) -> None:
    """Latent actions in two dimensions, once for every dimension of the action, which colours them; else once.

    A latent that carries an action shows it as a gradient of colour, linear along a line where PCA shows it.

    :param latents: (N, D)
    :param actions: (N, A); at most the first twelve dimensions are shown; (N, 0) where none are known
    :param path: PNG file
    :param kind: ``"pca"``, or ``"umap"`` with the extra of that name
    :param count: at most so many points, evenly spaced
    """
    from matplotlib.figure import Figure

    chosen = np.linspace(0, len(latents) - 1, min(count, len(latents))).astype(np.int64)
    points, names = projected(np.asarray(latents)[chosen], kind)
    shown = min(max(actions.shape[1], 1), 12)
    columns = min(shown, 3)
    rows = -(-shown // columns)
    figure = Figure(figsize=(3.4 * columns, 3 * rows), layout="constrained")
    axes = np.asarray(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True))
    for place, axis in enumerate(axes.flat):
        if place >= shown:
            axis.set_visible(False)
            continue
        if not actions.shape[1]:
            axis.scatter(*points.T, s=3, linewidths=0)
            axis.set(title="actions not known", xticks=[], yticks=[])
            continue
        dots = axis.scatter(*points.T, c=actions[chosen, place], s=3, cmap="coolwarm", linewidths=0)
        axis.set(title=f"action {place}", xticks=[], yticks=[])
        figure.colorbar(dots, ax=axis, fraction=0.05)
    figure.supxlabel(names[0])
    figure.supylabel(names[1])
    _save(figure, path)


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=100)


def rollout_video(
    agent: Any, env: gym.Env[Any, Any], path: str | os.PathLike[str], steps: int = 100, seed: int = 0
) -> None:
    """An episode's beginning with the mask's outline, 20 frames a second.

    :param agent: anything with SB3's ``predict``
    :param env: an environment with the keys ``pixels`` and ``mask``
    :param path: as of :func:`~masklam_envs.pictures.write_video`
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
