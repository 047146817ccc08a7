"""LAOM."""

from masklam_agents.laom.laom import LAOM

__all__ = ["LAOM"]
