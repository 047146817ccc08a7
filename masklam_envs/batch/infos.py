"""The infos of a batch in Gymnasium's layout: an array for each key, and a mask of the environments that have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def merged(infos: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """What ``VectorEnv._add_info`` makes of these infos one by one, key by key.

    :param infos: (n,) the environments' infos; None where there is none

    >>> merged([{"x": 1.5}, None])
    {'x': array([1.5, 0. ]), '_x': array([ True, False])}
    """
    result: dict[str, Any] = {}
    for key in _keys(infos):
        which = [i for i, info in enumerate(infos) if info is not None and key in info]
        values = [infos[i][key] for i in which]  # type: ignore[index]
        result[key] = _column(values, which, len(infos))
        mask = np.zeros(len(infos), np.bool_)
        mask[which] = True
        result[f"_{key}"] = mask
    return result


def _keys(infos: Sequence[dict[str, Any] | None]) -> list[str]:
    """All keys in the order in which they first occur."""
    kinds = dict.fromkeys(tuple(info) for info in infos if info is not None)
    return list(dict.fromkeys(key for kind in kinds for key in kind))


def _column(values: list[Any], which: list[int], count: int) -> Any:
    """The values of one key: numbers and arrays in an array of the first one's type, dictionaries merged, others alone."""
    first = values[0]
    if isinstance(first, dict):
        parts: list[dict[str, Any] | None] = [None] * count
        for i, value in zip(which, values, strict=True):
            parts[i] = value
        return merged(parts)
    if type(first) in (int, float, bool) or isinstance(first, np.number):
        column = np.zeros(count, type(first))
        column[which] = values
    elif isinstance(first, np.ndarray):
        column = np.zeros((count, *first.shape), first.dtype)
        column[which] = values
    else:
        column = np.full(count, None, object)
        for i, value in zip(which, values, strict=True):
            column[i] = value
    return column
