"""Pixels and agent masks from a MuJoCo model and a position vector, without OpenGL."""

from masklam_envs.rendering.renderer import Layers, RaycastRenderer

__all__ = ["Layers", "RaycastRenderer"]
