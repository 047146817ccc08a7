"""Pixels and agent masks from a MuJoCo model and a position vector, without OpenGL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from masklam_envs.rendering.renderer import Layers, RaycastRenderer

__all__ = ["Layers", "RaycastRenderer"]


def __getattr__(name: str) -> Any:
    """Numba is imported only when a renderer is wanted."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from masklam_envs.rendering import renderer

    return getattr(renderer, name)
