"""Modules of others, named on a command line, that register their methods, tasks, distractors or mask sources."""

from __future__ import annotations

import importlib
from collections.abc import Iterable


def load_plugins(plugins: Iterable[str]) -> None:
    """Import the modules that register methods, tasks, distractors or mask sources.

    :raises ImportError: when there is no such module
    """
    for plugin in plugins:
        try:
            importlib.import_module(plugin)
        except ModuleNotFoundError as error:
            if error.name != plugin:  # one that the plugin itself imports
                raise
            raise ImportError(f"{plugin}: no such module; PYTHONPATH says where modules of yours are") from error
