"""Options as plain values: what is recorded of them has to become JSON."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays, as sweeps draw them, as Python's, however deep; what else there is stays.

    :param value: of an option; tuples become lists, as JSON has no others

    >>> plain({"name": "erosion", "radius": np.int64(2), "box": np.zeros(2)})
    {'name': 'erosion', 'radius': 2, 'box': [0.0, 0.0]}
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return {name: plain(each) for name, each in value.items()} if isinstance(value, dict) else value
