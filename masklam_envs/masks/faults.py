"""Faults of a mask: what a segmentation model gets wrong, in known amounts.

Erosion and dilation use a square of side ``2 * radius + 1``, as the MaskLAM paper's question 6 does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name

FAULTS = ("dilation", "erosion")
MAX_RADIUS = 16


class MaskFault(Protocol):
    """A change of a mask (H, W, 1) uint8 with values in [0, 255]."""

    def __call__(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The faulty mask, a fresh array of the same shape."""


class Dilation:
    """Every pixel takes the largest value within ``radius`` pixels, rows and columns alike."""

    def __init__(self, radius: int) -> None:
        self.radius = radius

    def __call__(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The dilated mask."""
        for axis in (0, 1):
            mask = _running_max(mask, self.radius, axis)
        return mask


class Erosion:
    """Every pixel takes the smallest value within ``radius`` pixels; outside the frame counts as agent."""

    def __init__(self, radius: int) -> None:
        self._dilate = Dilation(radius)

    def __call__(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The eroded mask."""
        return 255 - self._dilate(255 - mask)


def make_faults(config: Any) -> list[MaskFault]:
    """The faults of a configuration, in the order they apply.

    :param config: None, a name, ``{"name": "erosion", "radius": 2}``, or a list of these; radius in pixels, [0, 16],
        default 1
    :raises ValueError: unknown name or option, radius out of range

    >>> mask = np.zeros((5, 5, 1), np.uint8); mask[2, 2] = 255
    >>> [fault] = make_faults({"name": "dilation", "radius": 1})
    >>> int((fault(mask) == 255).sum())
    9
    """
    if config is None:
        return []
    if isinstance(config, (str, Mapping)):
        config = [config]
    if not isinstance(config, Sequence):
        raise ValueError(f"mask_faults must be a name, a dict or a list of them, got {type(config).__name__}")
    return [_make_fault(part) for part in config]


def _make_fault(config: Any) -> MaskFault:
    if not isinstance(config, (str, Mapping)):
        raise ValueError(f"a mask fault is a name or a dict with a 'name', got {config!r}")
    options = {"name": config} if isinstance(config, str) else dict(config)
    name = options.pop("name", None)
    if name not in FAULTS:
        raise ValueError(unknown_name("mask fault", name, FAULTS))
    radius = options.pop("radius", 1)
    if options:
        raise ValueError(unknown_name(f"option of mask fault {name!r}", next(iter(options)), ("name", "radius")))
    if isinstance(radius, bool) or not isinstance(radius, int) or not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"radius of {name!r} must be an integer in [0, {MAX_RADIUS}] pixels, got {radius!r}")
    return Dilation(radius) if name == "dilation" else Erosion(radius)


def _running_max(mask: NDArray[np.uint8], radius: int, axis: int) -> NDArray[np.uint8]:
    size = mask.shape[axis]
    out = mask.copy()
    for shift in range(1, min(radius, size - 1) + 1):
        low = [slice(None)] * mask.ndim
        high = [slice(None)] * mask.ndim
        low[axis], high[axis] = slice(0, size - shift), slice(shift, size)
        np.maximum(out[tuple(low)], mask[tuple(high)], out=out[tuple(low)])
        np.maximum(out[tuple(high)], mask[tuple(low)], out=out[tuple(high)])
    return out
