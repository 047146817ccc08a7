"""Checks of a configuration's values, with one wording: each names the option, what was given and what is allowed.

An option that a configuration lacks is not checked: methods share these checks and have options of their own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any

from masklam_envs.errors import unknown_name

Config = Mapping[str, Any]


def is_integer(value: object, least: int) -> bool:
    """Whether a value is a whole number from ``least`` up; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def is_number(value: object) -> bool:
    """Whether a value is a finite number from 0 up; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf


def check_integers(config: Config, least: int, *names: str, optional: bool = False) -> None:
    """See that options are whole numbers from ``least`` up.

    :param optional: None is allowed too
    :raises ValueError: naming the first that is not
    """
    for name in names:
        value = config.get(name, least)
        if not (is_integer(value, least) or (optional and value is None)):
            raise ValueError(f"{name} must be an integer >= {least}{' or None' * optional}, got {value!r}")


def check_numbers(config: Config, *names: str) -> None:
    """See that options are finite numbers from 0 up.

    :raises ValueError: naming the first that is not
    """
    for name in names:
        if not is_number(value := config.get(name, 0.0)):
            raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")


def check_flags(config: Config, *names: str) -> None:
    """See that options are True or False: any word is true to Python, ``"false"`` too.

    :raises ValueError: naming the first that is not
    """
    for name in names:
        if not isinstance(value := config.get(name, False), bool):
            raise ValueError(f"{name} must be True or False, got {value!r}")


def check_choice(config: Config, name: str, known: Collection[str]) -> None:
    """See that an option is one of the names that are known.

    :raises ValueError: naming what it is and what it may be
    """
    if name in config and not (isinstance(value := config[name], str) and value in known):
        raise ValueError(unknown_name(name, value, known))
