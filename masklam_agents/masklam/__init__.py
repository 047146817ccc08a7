"""MaskLAM, and ours for masks that are wrong in places."""

from masklam_agents.masklam.masklam import MaskLAM
from masklam_agents.masklam.robust import RobustMaskLAM

__all__ = ["MaskLAM", "RobustMaskLAM"]
