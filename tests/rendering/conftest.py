"""What tests of renderers share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def needs_opengl() -> None:
    """Skip where there is no OpenGL library: the package works without one."""
    from masklam_envs.rendering import gl

    try:
        gl.description()
    except gl.OpenGLUnavailableError as error:
        pytest.skip(str(error))
