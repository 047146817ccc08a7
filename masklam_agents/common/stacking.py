"""Frame stacks of single-frame observations, carried in SB3's recurrent ``state``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PredictState = tuple[NDArray[np.uint8], ...]


def frames_of(observation: Any, image_size: int) -> tuple[NDArray[np.uint8], bool]:
    """The frames of an observation, batched and channels last.

    :param observation: a dict with ``pixels``, or the pixels; (H, W, C) or (C, H, W), batched or not, C a multiple of 3
    :param image_size: H and W
    :return: (B, H, W, C) uint8, and whether the observation was a batch
    :raises ValueError: for anything else
    """
    if isinstance(observation, dict):
        if "pixels" not in observation:
            raise ValueError(f"the observation needs the key 'pixels', got {sorted(observation)}")
        observation = observation["pixels"]
    pixels = np.asarray(observation)
    batched = pixels.ndim == 4
    if not batched:
        pixels = pixels[None]
    if pixels.ndim == 4 and pixels.shape[2:] == (image_size, image_size) and pixels.shape[1] % 3 == 0:
        pixels = pixels.transpose(0, 2, 3, 1)
    square = pixels.ndim == 4 and pixels.shape[1:3] == (image_size, image_size)
    if not square or pixels.shape[3] % 3 or pixels.dtype != np.uint8:
        raise ValueError(
            f"pixels must be uint8 frames ({image_size}, {image_size}, 3) or stacks of them on channels, one or a "
            f"batch; got {pixels.dtype} of shape {np.shape(observation)}"
        )
    return pixels, batched


def push(
    pixels: NDArray[np.uint8], count: int, state: PredictState | None, episode_start: NDArray[np.bool_] | None
) -> tuple[NDArray[np.uint8], PredictState | None]:
    """Stacks of ``count`` frames that end with the given ones.

    :param pixels: (B, H, W, 3 * m): m = 1 for single frames, m = ``count`` for observations that are stacks already
    :param count: frames of a stack
    :param state: what the last call returned; None at the start: the first frame is repeated
    :param episode_start: (B,) where an episode begins, the first frame is repeated too
    :return: stacks (B, count, H, W, 3), oldest first, and the state for the next call (None for ready stacks)
    """
    batch, height, width, channels = pixels.shape
    if channels == 3 * count:
        return np.moveaxis(pixels.reshape(batch, height, width, count, 3), 3, 1), None
    if channels != 3:
        raise ValueError(f"pixels must be single frames or stacks of {count}, got {channels // 3} frames on channels")
    repeated = np.repeat(pixels[:, None], count, axis=1)
    if state is None:
        return repeated, (repeated,)
    (last,) = state
    if last.shape != repeated.shape:
        raise ValueError(f"state is of {last.shape[0]} environments, the observation of {batch}; start with state=None")
    stacks = np.concatenate((last[:, 1:], pixels[:, None]), axis=1)
    if episode_start is not None:
        stacks = np.where(np.asarray(episode_start, bool)[:, None, None, None, None], repeated, stacks)
    return stacks, (stacks,)
