"""The infos of a batch in Gymnasium's layout: an array for each key, and a mask of the environments that have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Infos = Sequence[dict[str, Any] | None]


def merged(stepped: Infos | Mapping[str, NDArray[Any]], moves: NDArray[np.bool_], started: Infos) -> dict[str, Any]:
    """What ``VectorEnv._add_info`` makes of the environments' infos one by one, key by key.

    :param stepped: n infos of a step, or an array (n, ...) for each key
    :param moves: (n,) the environments whose entry in ``stepped`` counts
    :param started: n infos of a reset, None where there is none; or nothing

    >>> merged([{"x": 1.5}, {"x": 2.5}], np.array([True, False]), [None, {"seed": 3}])
    {'x': array([1.5, 0. ]), '_x': array([ True, False]), 'seed': array([0, 3]), '_seed': array([False,  True])}
    """
    others = started or [None] * len(moves)
    if not isinstance(stepped, Mapping):
        infos = [stepped[i] if moves[i] else others[i] for i in range(len(moves))]
        return _merged(infos)
    result: dict[str, Any] = {}
    if moves.any():
        for key, values in stepped.items():
            result[key] = values if moves.all() else np.where(moves, values, values.dtype.type(0))
            result[f"_{key}"] = moves.copy()
    for key, column in _merged(others).items():
        if key not in result:
            result[key] = column
        elif key.startswith("_"):
            result[key] |= column
        else:
            result[key] = np.where(moves, result[key], column)
    return result


def _merged(infos: Infos) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key in _keys(infos):
        which = [i for i, info in enumerate(infos) if info is not None and key in info]
        values = [infos[i][key] for i in which]  # type: ignore[index]
        result[key] = _column(values, which, len(infos))
        mask = np.zeros(len(infos), np.bool_)
        mask[which] = True
        result[f"_{key}"] = mask
    return result


def _keys(infos: Infos) -> list[str]:
    """All keys in the order in which they first occur."""
    kinds = dict.fromkeys(tuple(info) for info in infos if info is not None)
    return list(dict.fromkeys(key for kind in kinds for key in kind))


def _column(values: list[Any], which: list[int], count: int) -> Any:
    """The values of one key: an array of the first one's type, dictionaries merged, an array of objects for others."""
    first = values[0]
    if isinstance(first, dict):
        parts: list[dict[str, Any] | None] = [None] * count
        for i, value in zip(which, values, strict=True):
            parts[i] = value
        return _merged(parts)
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
