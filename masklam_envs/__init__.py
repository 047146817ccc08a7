"""Gymnasium environments with action-correlated visual distractors and agent masks.

Importing the package registers the environments; nothing heavy (torch, OpenCV, Numba, OpenGL) is imported until used.

>>> import gymnasium as gym
>>> import masklam_envs
>>> env = gym.make("MaskCheetah-v0", distractor="action", correlation=0.9)
>>> env.observation_space["pixels"], env.observation_space["mask"]
(Box(0, 255, (64, 64, 3), uint8), Box(0, 255, (64, 64, 1), uint8))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from masklam_envs.registration import register_envs

if TYPE_CHECKING:
    from masklam_envs.correlation import Correlation
    from masklam_envs.data.cache import open_frames
    from masklam_envs.data.collect import collect
    from masklam_envs.data.frames import Frames, LazyFrames, render_frames
    from masklam_envs.data.trajectories import Trajectories
    from masklam_envs.data.windows import Windows
    from masklam_envs.distractors import make_distractor, register_distractor
    from masklam_envs.env import MaskEnv, make_masked
    from masklam_envs.experts import Expert, load_expert
    from masklam_envs.measure import measure_correlation
    from masklam_envs.placed import PlacedEnv

__version__ = "0.1.0"

_LAZY = {
    "Correlation": "masklam_envs.correlation",
    "Expert": "masklam_envs.experts",
    "Frames": "masklam_envs.data.frames",
    "LazyFrames": "masklam_envs.data.frames",
    "MaskEnv": "masklam_envs.env",
    "PlacedEnv": "masklam_envs.placed",
    "Trajectories": "masklam_envs.data.trajectories",
    "Windows": "masklam_envs.data.windows",
    "collect": "masklam_envs.data.collect",
    "load_expert": "masklam_envs.experts",
    "make_distractor": "masklam_envs.distractors",
    "make_masked": "masklam_envs.env",
    "measure_correlation": "masklam_envs.measure",
    "open_frames": "masklam_envs.data.cache",
    "register_distractor": "masklam_envs.distractors",
    "render_frames": "masklam_envs.data.frames",
}

_MODULES = ("wrappers",)

__all__ = [
    "Correlation",
    "Expert",
    "Frames",
    "LazyFrames",
    "MaskEnv",
    "PlacedEnv",
    "Trajectories",
    "Windows",
    "collect",
    "load_expert",
    "make_distractor",
    "make_masked",
    "measure_correlation",
    "open_frames",
    "register_distractor",
    "render_frames",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, *_MODULES])


register_envs()
