"""Packages that only an extra installs."""

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
