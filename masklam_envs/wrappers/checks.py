"""What the wrappers expect of an environment's observation space, and the messages when it is another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

IMAGES = ("pixels", "clean")  # keys whose channels are colours


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether a space is that of uint8 images (H, W, C) in [0, 255]."""
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) == 3
        and bool((space.low == 0).all() and (space.high == 255).all())
    )


def image_space(height: int, width: int, channels: int) -> spaces.Box:
    """The space of uint8 images (H, W, C) in [0, 255]."""
    return spaces.Box(0, 255, (height, width, channels), np.uint8)


def checked_spaces(wrapper: str, env: gym.Env[Any, Any]) -> dict[str, spaces.Space[Any]]:
    """The spaces of an observation with ``pixels`` (H, W, C) and ``mask`` (H, W, n), n frames of C / n channels.

    :param wrapper: its name, for the message
    :raises TypeError: when the observation is no ``Dict``
    :raises ValueError: when a key is missing, is no image, or does not fit the other
    """
    space = env.observation_space
    if not isinstance(space, spaces.Dict):
        raise TypeError(
            f"{wrapper} needs a Dict observation with the keys 'pixels' and 'mask', got {space}; "
            "apply it before wrappers that make one image of them (MaskChannel, MaskOnly)"
        )
    for key in ("pixels", "mask"):
        if key not in space.spaces:
            raise ValueError(f"{wrapper} needs the observation key {key!r}, got {sorted(space.spaces)}")
        if not is_image(space[key]):
            raise ValueError(f"{wrapper}: {key!r} must be images Box(0, 255, (H, W, C), uint8), got {space[key]}")
    pixels, mask = _shape(space["pixels"]), _shape(space["mask"])
    if pixels[:2] != mask[:2] or pixels[2] % mask[2]:
        raise ValueError(
            f"{wrapper}: a mask (H, W, n) belongs to pixels (H, W, 3 * n) of n frames, got pixels {pixels} and "
            f"mask {mask}"
        )
    return dict(space.spaces)


def image_keys(known: dict[str, spaces.Space[Any]]) -> list[str]:
    """Those of ``pixels`` and ``clean`` that are there: the keys whose channels are colours."""
    return [key for key in IMAGES if key in known and is_image(known[key])]


def changed(known: dict[str, spaces.Space[Any]], channels: dict[str, int]) -> spaces.Dict:
    """The same spaces, but with so many channels at some keys."""
    shapes = {key: (*_shape(known[key])[:2], count) for key, count in channels.items()}
    return spaces.Dict({**known, **{key: image_space(*shape) for key, shape in shapes.items()}})


def checked_whole(wrapper: str, name: str, value: Any, low: int, high: int) -> int:
    """``value`` as an int.

    :raises ValueError: when it is no whole number in [low, high]
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{wrapper}: {name} must be an integer in [{low}, {high}], got {value!r}")
    return int(value)


def checked_colour(wrapper: str, value: Any) -> list[int]:
    """Red, green and blue as a list.

    :raises ValueError: when it is something else than three whole numbers in [0, 255]
    """
    if not isinstance(value, Iterable) or isinstance(value, str) or len(parts := list(value)) != 3:
        raise ValueError(f"{wrapper}: colour must be red, green and blue in [0, 255], got {value!r}")
    return [checked_whole(wrapper, "each part of colour", part, 0, 255) for part in parts]


def _shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    assert space.shape is not None  # images have one
    return space.shape
