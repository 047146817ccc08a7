"""Agents that learn latent actions from action-free video, with the interface of Stable-Baselines3.

>>> from masklam_agents import MaskLAM
>>> agent = MaskLAM(env="MaskCheetah-v0", network="small", latent_dim=32)
>>> agent.action_space.shape
(6,)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masklam_agents.bc import BC
    from masklam_agents.common.external import ExternalLAM, register_lam
    from masklam_agents.common.online import stacked_env
    from masklam_agents.common.processes import join_torchrun
    from masklam_agents.common.vec_env import MaskVecEnv
    from masklam_agents.idm import IDM
    from masklam_agents.laom import LAOM
    from masklam_agents.lapo import LAPO
    from masklam_agents.latent_env import LatentActionEnv
    from masklam_agents.masklam import MaskLAM, RobustMaskLAM
    from masklam_agents.methods import load_agent, make_agent
    from masklam_agents.random_latents import RandomLatents

_LAZY = {
    "BC": "bc",
    "ExternalLAM": "common.external",
    "IDM": "idm",
    "LAOM": "laom",
    "LAPO": "lapo",
    "LatentActionEnv": "latent_env",
    "MaskLAM": "masklam",
    "MaskVecEnv": "common.vec_env",
    "RandomLatents": "random_latents",
    "RobustMaskLAM": "masklam",
    "join_torchrun": "common.processes",
    "load_agent": "methods",
    "make_agent": "methods",
    "register_lam": "common.external",
    "stacked_env": "common.online",
}

__all__ = [
    "BC",
    "IDM",
    "LAOM",
    "LAPO",
    "ExternalLAM",
    "LatentActionEnv",
    "MaskLAM",
    "MaskVecEnv",
    "RandomLatents",
    "RobustMaskLAM",
    "join_torchrun",
    "load_agent",
    "make_agent",
    "register_lam",
    "stacked_env",
]


def __getattr__(name: str) -> Any:
    """Torch is imported only when a method is wanted, so that the command line answers at once."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
