"""IDM."""

from masklam_agents.idm.idm import IDM

__all__ = ["IDM"]
