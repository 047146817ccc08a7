"""LAPO."""

from masklam_agents.lapo.lapo import LAPO

__all__ = ["LAPO"]
