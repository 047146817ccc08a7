"""Wrappers for environments whose observation is a ``Dict`` with the keys ``pixels`` and ``mask``, ours or not.

* :class:`FrameStack` - the last frames side by side on channels.
* :class:`MaskChannel` - one image: the mask is a channel after the colours.
* :class:`MaskOnly` - one image: the mask.
* :class:`MaskedPixels` - the background is painted over.
* :class:`Grayscale`, :class:`Resize` - smaller frames.
* :class:`CleanPair` - the same step without distractor beside the pixels.
* :class:`SegmentedMask` - the mask is what a mask source finds in the pixels.
* :class:`MaskFaults` - faults of the mask.
* :class:`ActionRepeat` - an action is kept for some steps.
* :class:`RecordMaskVideo` - episodes as videos with the mask's outline.

They follow Gymnasium's conventions: constructor arguments are recorded, so the ``spec`` of a wrapped environment
round-trips through JSON, and none draws from the environment's random generator.  ``docs/wrappers.md`` says in which
order they make sense.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masklam_envs.wrappers.action import ActionRepeat
    from masklam_envs.wrappers.colour import Grayscale, MaskedPixels
    from masklam_envs.wrappers.faults import MaskFaults
    from masklam_envs.wrappers.image import MaskChannel, MaskOnly
    from masklam_envs.wrappers.pair import CleanPair
    from masklam_envs.wrappers.segmented import SegmentedMask
    from masklam_envs.wrappers.size import Resize
    from masklam_envs.wrappers.stack import FrameStack
    from masklam_envs.wrappers.video import RecordMaskVideo

_LAZY = {
    "ActionRepeat": "action",
    "CleanPair": "pair",
    "FrameStack": "stack",
    "Grayscale": "colour",
    "MaskChannel": "image",
    "MaskFaults": "faults",
    "MaskOnly": "image",
    "MaskedPixels": "colour",
    "RecordMaskVideo": "video",
    "Resize": "size",
    "SegmentedMask": "segmented",
}

__all__ = [
    "ActionRepeat",
    "CleanPair",
    "FrameStack",
    "Grayscale",
    "MaskChannel",
    "MaskFaults",
    "MaskOnly",
    "MaskedPixels",
    "RecordMaskVideo",
    "Resize",
    "SegmentedMask",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
