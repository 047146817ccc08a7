"""BC."""

from masklam_agents.bc.bc import BC

__all__ = ["BC"]
