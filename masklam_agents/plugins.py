"""Modules of others, named on a command line, that register their methods, tasks, distractors or mask sources."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path


def load_plugins(plugins: Iterable[str], folder: str = "") -> None:
    """Import the modules that register methods, tasks, distractors or mask sources.

    :param folder: where they may lie, after all places where Python looks; empty: the working directory
    :raises ImportError: when there is no such module
    """
    folder, names = folder or os.getcwd(), list(plugins)
    if names and folder not in sys.path:  # a console script does not look in the working directory
        sys.path.append(folder)
    for plugin in names:
        if plugin.endswith(".py") or os.sep in plugin:
            path = Path(plugin).absolute()
            where = "" if path.parent == Path(folder) else f", with PYTHONPATH={path.parent}"
            raise ImportError(f"{plugin}: name a plugin as `import` does: --plugin {path.stem}{where}")
        try:
            importlib.import_module(plugin)
        except ModuleNotFoundError as error:
            if error.name != plugin:  # one that the plugin itself imports
                raise
            raise ImportError(
                f"{plugin}: no such module in {folder} or elsewhere; PYTHONPATH says where modules of yours are"
            ) from error
