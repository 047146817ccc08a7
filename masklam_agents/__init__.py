"""Agents that learn latent actions from action-free video, with the interface of Stable-Baselines3.

>>> from masklam_agents import MaskLAM
>>> agent = MaskLAM(env="MaskCheetah-v0", network="small", latent_dim=32)
>>> agent.action_space.shape
(6,)
"""

from masklam_agents.bc import BC
from masklam_agents.lapo import LAPO
from masklam_agents.masklam import MaskLAM

__all__ = ["BC", "LAPO", "MaskLAM"]
