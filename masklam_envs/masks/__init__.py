"""Agent masks: where they come from and what is wrong with them."""

from masklam_envs.masks.faults import MaskFault, make_faults

__all__ = ["MaskFault", "make_faults"]
