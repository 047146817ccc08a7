"""Checks of the numbers in a part's options, with one wording."""

from __future__ import annotations

from numbers import Integral, Real

from masklam_envs.distractors.base import Context
from masklam_envs.distractors.facts import GROUND_ALPHA


def checked_number(part: str, option: str, value: object, low: float, high: float) -> float:
    """``value`` as a float, when it is a number in [low, high].

    :raises ValueError: naming the part, the option, the value and the range
    """
    if isinstance(value, Real) and not isinstance(value, bool) and low <= float(value) <= high:
        return float(value)
    raise ValueError(f"{part}: {option} is {value!r}; give a number from {low:g} to {high:g}")


def checked_integer(part: str, option: str, value: object, low: int, high: int) -> int:
    """``value`` as an int, when it is a whole number in [low, high].

    :raises ValueError: naming the part, the option, the value and the range
    """
    number = checked_number(part, option, value, low, high)
    if number != int(number):
        raise ValueError(f"{part}: {option} is {value!r}; give a whole number from {low} to {high}")
    return int(number)


def checked_seed(part: str, value: object) -> int:
    """``value`` as an int, when it is a whole number in [0, 2**63).

    :raises ValueError: naming the part, the value and the range
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and 0 <= int(value) < 2**63:
        return int(value)
    raise ValueError(f"{part}: seed is {value!r}; give a whole number from 0 to 2**63 - 1, or null for the episode's")


def checked_alpha(part: str, value: object, context: Context) -> float | None:
    """The option ``ground_alpha``: None, a number in [0, 1], or ``"task"`` for what the scene's facts say.

    :raises ValueError: naming the part, the value and the range
    """
    if value == "task":
        return context.scene.ground_alpha if context.scene is not None else GROUND_ALPHA
    return None if value is None else checked_number(part, "ground_alpha", value, 0.0, 1.0)


def checked_flag(part: str, option: str, value: object) -> bool:
    """``value`` when it is True or False.

    :raises ValueError: naming the part, the option and the value
    """
    if not isinstance(value, bool):
        raise ValueError(f"{part}: {option} is {value!r}; give true or false")
    return value
