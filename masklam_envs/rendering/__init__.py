"""Pixels and agent masks from a MuJoCo model and a position vector, by ray casting or by OpenGL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masklam_envs.rendering.opengl import OpenGLRenderer
    from masklam_envs.rendering.protocol import Layers, Renderer
    from masklam_envs.rendering.renderer import RaycastRenderer

__all__ = ["Layers", "OpenGLRenderer", "RaycastRenderer", "Renderer"]


def __getattr__(name: str) -> Any:
    """Numba is imported only when a renderer is wanted."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from masklam_envs.rendering import opengl, renderer

    return getattr(opengl if name == "OpenGLRenderer" else renderer, name)  # the second has the protocol's too
