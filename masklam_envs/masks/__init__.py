"""Agent masks: what they show, where they come from and what is wrong with them."""

from masklam_envs.masks.faults import MaskFault, make_faults
from masklam_envs.masks.target import TARGETS, target_bodies

__all__ = ["TARGETS", "MaskFault", "make_faults", "target_bodies"]
