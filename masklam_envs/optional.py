"""Packages that only an extra installs, or that may be there and not importable."""

from __future__ import annotations

import importlib
from typing import Any


def require(module: str, package: str, extra: str) -> Any:
    """Import a module of an optional package.

    :param module: e.g. ``"dm_control.suite"``
    :param package: what pip calls the package, e.g. ``"dm_control"``
    :param extra: the extra of ``masklam`` that brings it, e.g. ``"dmc"``
    :raises ImportError: when the package is missing, with the command that installs it

    >>> require("no_such_module", "no-such-package", "dmc")
    Traceback (most recent call last):
    ImportError: no-such-package is not installed: pip install 'masklam[dmc]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the package is there and lacks something itself
        raise ImportError(f"{package} is not installed: pip install 'masklam[{extra}]'") from error


def opencv() -> Any:
    """OpenCV, which is installed with this package and still cannot be imported on some machines.

    :raises ImportError: when it cannot be imported, with what to do about it
    """
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise ImportError(
            f"video files, images and image processing need OpenCV, which cannot be imported here ({error}). Where it "
            "is missing: `pip install opencv-python-headless`. Where libGL.so.1 is missing, either `pip uninstall "
            "opencv-python && pip install opencv-python-headless`, or install the system's libGL (Debian and Ubuntu: "
            "`apt install libgl1`). Environments without `footage` and datasets of physics need no OpenCV"
        ) from error
