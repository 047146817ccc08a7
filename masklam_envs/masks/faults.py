"""Faults of a mask: what a segmentation model gets wrong, in known amounts, by name.

``docs/masks.md`` has their exact definitions.  A configuration is JSON-able: a name, ``{"name": ..., option: value}``,
or a list of these, applied in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from masklam_envs.errors import unknown_name
from masklam_envs.masks.episode import MaskFault
from masklam_envs.masks.false_positives import FalsePositives, GhostTaken
from masklam_envs.masks.morphology import Dilation, Erosion, Flicker
from masklam_envs.masks.occlusion import BOXES, Occlusion
from masklam_envs.masks.timing import Dropout, Latency
from masklam_envs.plain import plain

MAX_RADIUS = 16
MAX_FRAMES = 1000
MAX_BLOBS = 64


@dataclass(frozen=True)
class _Whole:
    """A whole number."""

    default: int
    low: int
    high: int
    unit: str

    def check(self, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError(f"must be an integer in [{self.low}, {self.high}] {self.unit}, got {value!r}")


@dataclass(frozen=True)
class _Share:
    """A number in [0, 1]."""

    default: float

    def check(self, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(f"must be a number in [0, 1], got {value!r}")


@dataclass(frozen=True)
class _Choice:
    """One of some values."""

    default: Any
    known: tuple[Any, ...]

    def check(self, value: Any) -> None:
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in self.known):
            raise ValueError(f"must be one of {', '.join(map(repr, self.known))}, got {value!r}")


_Option = _Whole | _Share | _Choice
_RADIUS = _Whole(1, 0, MAX_RADIUS, "pixels")

_KNOWN: dict[str, tuple[Callable[..., MaskFault], dict[str, _Option]]] = {
    "dilation": (Dilation, {"radius": _RADIUS}),
    "dropout": (Dropout, {"rate": _Share(0.1), "burst": _Whole(1, 1, MAX_FRAMES, "frames")}),
    "erosion": (Erosion, {"radius": _RADIUS}),
    "false_positives": (
        FalsePositives,
        {
            "count": _Whole(3, 0, MAX_BLOBS, "discs"),
            "radius": _Whole(4, 0, MAX_RADIUS, "pixels"),
            "hold": _Whole(1, 1, MAX_FRAMES, "frames"),
        },
    ),
    "flicker": (Flicker, {"rate": _Share(0.3), "radius": _RADIUS}),
    "ghost": (GhostTaken, {"share": _Share(0.5)}),
    "latency": (Latency, {"frames": _Whole(1, 0, MAX_FRAMES, "frames")}),
    "occlusion": (
        Occlusion,
        {"fraction": _Share(0.25), "box": _Choice("seen", BOXES), "pixels": _Choice(True, (True, False))},
    ),
}
FAULTS = tuple(_KNOWN)


def make_faults(config: Any) -> list[MaskFault]:
    """The faults of a configuration, in the order they apply.

    :param config: None, a name, ``{"name": "erosion", "radius": 2}``, or a list of these
    :raises ValueError: unknown name or option, a value out of range

    >>> import numpy as np
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
    given: dict[str, Any] = {"name": config} if isinstance(config, str) else plain(dict(config))
    name = given.pop("name", None)
    if name not in FAULTS:
        raise ValueError(unknown_name("mask fault", name, FAULTS))
    make, options = _KNOWN[name]
    for option, value in given.items():
        if option not in options:
            raise ValueError(unknown_name(f"option of mask fault {name!r}", option, ("name", *options)))
        try:
            options[option].check(value)
        except ValueError as error:
            raise ValueError(f"{option} of {name!r} {error}") from None
    return make(**{option: given.get(option, known.default) for option, known in options.items()})
