"""Classes of others by name: what a name is registered with, and the class behind it.

A name stands for the text ``"module:Class"``, since other processes (workers, a vector environment, a later run) know
the class by that text alone.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from masklam_envs.errors import unknown_name


def entry_point_for(what: str, name: object, given: object) -> str:
    """``"module:Class"`` of what a name is registered with: that text, or a class at the top of a module.

    :param what: is registered, in the singular, e.g. ``"distractor"``
    :param name: to be
    :param given: the text or the class
    :raises ValueError: when it is neither, or the name is no text

    >>> from masklam_envs.distractors.video import BouncingVideo
    >>> entry_point_for("distractor", "mine", BouncingVideo)
    'masklam_envs.distractors.video:BouncingVideo'
    """
    if not (isinstance(name, str) and name):
        raise ValueError(f"the name of a {what} must be a text that is not empty, got {name!r}")
    if isinstance(given, type):
        text = f"{given.__module__}:{given.__qualname__}"
        if getattr(sys.modules.get(given.__module__), given.__qualname__, None) is given:
            return text
        raise ValueError(
            f"{what} {name!r}: {given!r} is not what {text!r} means; register a class at the top of a module, because "
            "other processes know it by that text alone"
        )
    if isinstance(given, str):
        module, _, attribute = given.partition(":")
        if module and attribute and ":" not in attribute:
            return given
    raise ValueError(
        f"entry point {given!r} of {what} {name!r} must be 'module:Class' (or the class itself, at the top of a "
        "module): by that text other processes find it"
    )


def load(what: str, entry_point: str) -> Any:
    """What an entry point means.

    :param what: whose it is, e.g. ``"distractor 'mine'"``
    :param entry_point: ``"module:Class"``
    :raises ModuleNotFoundError: when there is no such module; what is wrong inside of it is raised as it is
    :raises ValueError: when the module has no such name
    """
    module, _, attribute = entry_point.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not error.name or not f"{module}.".startswith(f"{error.name}."):
            raise  # something that the module imports: its own affair
        raise ModuleNotFoundError(
            f"{what} is registered as {entry_point!r}, and there is no module {error.name!r}: correct the text where "
            "it is registered, or make the module importable (install it, or put its folder on PYTHONPATH)",
            name=error.name,
        ) from error
    if hasattr(found, attribute):
        return getattr(found, attribute)
    known = [name for name in vars(found) if isinstance(getattr(found, name), type)]
    raise ValueError(
        f"{what} is registered as {entry_point!r}: {unknown_name(f'class of the module {module!r}', attribute, known)}."
        " Correct the text where it is registered, or define the class at the top of the module"
    )
