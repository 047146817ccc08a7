"""One episode on its way from one layout to another, and what all layouts share."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.frames import Frames, LazyFrames, pixel_trajectories
from masklam_envs.data.store import EpisodeWriter
from masklam_envs.masks.threshold import hard
from masklam_envs.optional import opencv


@dataclasses.dataclass(frozen=True)
class Episode:
    """T steps and their T + 1 frames.

    :param rgbm: (T + 1, H, W, 4) uint8, RGB and mask
    :param actions: (T, A) float32; A = 0: none are known
    :param rewards: (T,) float32
    :param states: (T + 1, S) float32; S = 0: none are known
    :param terminated: ended by the task
    :param seed: of its reset
    """

    rgbm: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    states: NDArray[np.float32]
    terminated: bool = False
    seed: int = 0

    def __len__(self) -> int:
        """T."""
        return len(self.rewards)


def episodes_of(frames: Frames | LazyFrames) -> Iterator[Episode]:
    """The episodes of a dataset, drawn one at a time where they are drawn."""
    return (episode_of(frames, number) for number in range(frames.trajectories.episodes))


def episode_of(frames: Frames | LazyFrames, number: int) -> Episode:
    """One episode of a dataset."""
    part = frames.select([number])
    recorded = part.trajectories
    return Episode(
        part.rgbm,
        recorded.actions,
        recorded.rewards,
        recorded.states(0),
        bool(recorded.terminated[0]),
        int(recorded.reset_seeds[0]),
    )


def write_episodes(folder: Path, meta: dict[str, Any], episodes: Iterable[Episode]) -> int:
    """Append episodes to a new dataset of pixels; returns how many steps there are.

    :raises ValueError: when there is none, or one does not fit the others
    """
    steps = 0
    with EpisodeWriter(folder, meta) as writer:
        for episode in episodes:
            recorded = pixel_trajectories(
                meta,
                [len(episode)],
                actions=episode.actions,
                rewards=episode.rewards,
                terminated=[episode.terminated],
                states=episode.states,
                seeds=[episode.seed],
            )
            recorded.append_to(writer, episode.rgbm)
            steps += len(episode)
        if not writer.episodes:
            raise ValueError("there is no episode of two frames or more in it; check the path and the options")
    return steps


def rgbm_of(where: str, pixels: Any, mask: Any = None) -> NDArray[np.uint8]:
    """Pixels (T, H, W, 3) uint8 and a mask (T, H, W) or (T, H, W, 1), whatever its type, as (T, H, W, 4) uint8.

    Frames that are not square are cut to their central square, with a warning: networks and masks are square.  A mask
    becomes 255 where :func:`~masklam_envs.masks.threshold.is_agent` says so, else 0; of whole numbers that are
    no uint8, or are 0 and 1 alone, everything above 0 is the agent.

    :param where: named in errors: file and episode
    :param mask: None: none is known; the channel is 0
    :raises ValueError: for another dtype or shape
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
        hint = "; transpose channels to the end" if pixels.ndim == 4 and pixels.shape[1] == 3 else ""
        raise ValueError(f"{where}: pixels must be uint8 (T, H, W, 3), got {pixels.dtype} {pixels.shape}{hint}")
    rgbm = np.zeros((*pixels.shape[:3], 4), np.uint8)
    rgbm[..., :3] = pixels
    if mask is not None:
        mask = np.asarray(mask)
        mask = mask[..., 0] if mask.ndim == 4 and mask.shape[3] == 1 else mask
        if mask.shape != pixels.shape[:3]:
            raise ValueError(f"{where}: the mask has shape {mask.shape}, its pixels need {pixels.shape[:3]}")
        flags = mask.dtype.kind in "iu" and (mask.dtype != np.uint8 or mask.max(initial=0) <= 1)
        rgbm[..., 3] = hard(mask > 0 if flags else mask)
    height, width = rgbm.shape[1:3]
    if height != width:
        warnings.warn(f"{where}: frames of {height} x {width} pixels are cut to their central square", stacklevel=3)
    return central_square(rgbm)


def central_square(images: NDArray[Any]) -> NDArray[Any]:
    """The central square (T, S, S, ..) of images (T, H, W, ..)."""
    height, width = images.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(images[:, top : top + side, left : left + side])


def resized(image: NDArray[Any], size: int) -> NDArray[Any]:
    """An image (S, S, ..) at another size."""
    if image.shape[:2] == (size, size):
        return image
    cv2 = opencv()
    # Averaging over areas is for shrinking; on the way up it would repeat pixels.
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=method))


def at_size(episode: Episode, size: int) -> Episode:
    """An episode whose frames have another size; a pixel of which at least half is the agent's is the agent's."""
    pixels = np.stack([resized(np.ascontiguousarray(frame[..., :3]), size) for frame in episode.rgbm])
    mask = np.stack([resized(frame[..., 3].astype(np.float32) / 255, size) for frame in episode.rgbm])
    return dataclasses.replace(episode, rgbm=rgbm_of("", pixels, mask))


def warn_without_masks(where: str) -> None:
    """Warn that an imported dataset has no masks.

    :param where: file, and episode or column, that lacks them
    """
    warnings.warn(
        f"{where}: the dataset has no masks, from which MaskLAM learns; make some (masklam segment DATASET "
        "--mask-source motion), or train a method that reads none (LAPO)",
        stacklevel=3,
    )


def pixel_meta(
    layout: str, source: Any, *, masks: str, low: Any = None, high: Any = None, **more: Any
) -> dict[str, Any]:
    """The ``meta`` of a dataset that came as pixels.

    :param layout: name of the format
    :param source: file, folder or name of it
    :param masks: where they come from: ``"dataset"``, ``"none"``, or a mask source's name
    :param low: (A,) smallest actions; None: no actions are known
    :param high: (A,) largest actions
    :param more: JSON-able: what the source says of itself
    """
    return {
        "base": None,
        "source": {"format": layout, "name": os.fspath(source), **more},
        "masks": masks,
        "action_low": [] if low is None else np.asarray(low, np.float64).tolist(),
        "action_high": [] if high is None else np.asarray(high, np.float64).tolist(),
    }


def warn_of_labels(frames: Frames | LazyFrames, layout: str) -> None:
    """Warn that a layout keeps the actions as they were executed alone, where the policy's own were recorded, too."""
    recorded = frames.trajectories
    if not np.array_equal(recorded.labels, recorded.actions):
        warnings.warn(
            f"the layout {layout!r} has no place for the policy's actions before noise was added, from which agents "
            "learn: read back, the executed ones stand for them",
            stacklevel=3,
        )


def meta_as_seen(frames: Frames | LazyFrames) -> dict[str, Any]:
    """Where a dataset comes from, and how it was seen where it is drawn."""
    meta = {**frames.trajectories.meta}
    if isinstance(frames, LazyFrames):
        meta["view"] = frames.view.config.to_json()
        meta["videos"] = frames.view.distractor.videos
    return meta


def provenance(frames: Frames | LazyFrames) -> str:
    """JSON of :func:`meta_as_seen`, to be written into another layout."""
    return json.dumps(meta_as_seen(frames), default=str)


def check_at_least_one(option: str, value: int) -> None:
    """Check that an option is at least 1.

    :raises ValueError: naming the option
    """
    if value < 1:
        raise ValueError(f"{option} must be a whole number from 1 on, got {value}")


def check_fps(fps: float) -> None:
    """Check that ``fps`` is a finite number above 0.

    :raises ValueError: when it is not above 0, or not finite
    """
    if not 0 < fps < math.inf:
        raise ValueError(f"fps must be a number above 0, got {fps}")


def by_number(path: Path) -> list[list[Any]]:
    """A key that sorts paths as people do: their numbers by value, ``part-2`` before ``part-10``."""
    return [
        [int(part) if part.isascii() and part.isdecimal() else part for part in re.split("([0-9]+)", name)]
        for name in path.parts
    ]


def brief(error: Exception) -> str:
    """A library's message in one line."""
    return " ".join(str(error).split())


def numbers_of(where: str, name: str, value: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.float32]:
    """A column's value as float32.

    :param where: named in errors: file and row or episode
    :param name: of the column
    :param shape: that it must have; None: any vector
    :raises ValueError: when it holds anything but numbers, or has another shape
    """
    try:
        found = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        found = None
    if found is None or (found.ndim != 1 if shape is None else found.shape != shape):
        wanted = "a list of numbers" if shape is None else f"numbers of shape {shape}"
        shown = type(value).__name__ if found is None or not found.ndim else f"shape {found.shape}"
        raise ValueError(f"{where}: {name!r} must be {wanted}, got {shown}; the file is damaged or of another layout")
    return found


def recorded_provenance(text: Any) -> Any:
    """What :func:`provenance` wrote, read again; None for what it did not write."""
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def recorded_bounds(recorded: Any, width: int, largest: float = 0.0) -> tuple[list[float], list[float]] | None:
    """Smallest and largest actions, as far as what :func:`provenance` wrote tells them of so many numbers.

    :param largest: of all actions without their sign; where that is beyond the bounds they are not those of the actions
    """
    ends = [recorded.get(key) for key in ("action_low", "action_high")] if isinstance(recorded, dict) else []
    if not width or any(not isinstance(end, list) or len(end) != width for end in ends) or not ends:
        return None
    low, high = (np.asarray(end, np.float64).tolist() for end in ends)
    return (low, high) if largest <= np.float32(min(map(abs, (*low, *high)))) else None


def clipped(actions: NDArray[np.float32], low: Any, high: Any) -> NDArray[np.float32]:
    """Actions (.., A) cut to bounds of as many numbers; others stay, and are refused where they are stored."""
    return np.clip(actions, low, high).astype(np.float32) if actions.shape[-1:] == (len(low),) else actions
