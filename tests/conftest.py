"""What holds for every test: one thread a process, a directory of its own, reproducible Hypothesis examples."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Before numpy and torch are first imported: `make test` runs one process a core, and their thread pools would fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["MASKLAM_CACHE"] = ""  # no test leaves files in the user's cache
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(__file__).parents[1] / ".hypothesis"))

import pytest
from hypothesis import settings

settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


class Isolation:
    """Fixtures for all tests; a plugin, because a conftest in tests/ does not reach the packages' doctests."""

    @pytest.fixture(autouse=True)
    def clean_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Run in an empty directory: a relative path, or MuJoCo's MUJOCO_LOG.TXT, does not end in the checkout."""
        monkeypatch.chdir(tmp_path)
        return tmp_path

    @pytest.fixture(autouse=True)
    def one_torch_thread(self) -> None:
        """Undo what an earlier test set. OMP_NUM_THREADS is enough where torch is not imported yet."""
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    @pytest.fixture
    def repo(self) -> Path:
        """Root of the checkout, for tests that run a script or read the README."""
        return Path(__file__).parents[1]

    @pytest.fixture
    def needs_opengl(self) -> None:
        """Skip where there is no OpenGL library: the package works without one."""
        from masklam_envs.rendering import gl

        try:
            gl.description()
        except gl.OpenGLUnavailableError as error:
            pytest.skip(str(error).split(". ")[0])


def pytest_configure(config: pytest.Config) -> None:
    """Make the fixtures known everywhere."""
    config.pluginmanager.register(Isolation(), "masklam-isolation")
