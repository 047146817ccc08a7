"""MaskLAM."""

from masklam_agents.masklam.masklam import MaskLAM

__all__ = ["MaskLAM"]
