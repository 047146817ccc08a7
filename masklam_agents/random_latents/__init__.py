"""Random latents."""

from masklam_agents.random_latents.random_latents import RandomLatents

__all__ = ["RandomLatents"]
