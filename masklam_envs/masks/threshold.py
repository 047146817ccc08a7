"""From which value on a mask's pixel is the agent's: half of the range, for everything that reads masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: of a uint8 mask, whose range is 0 to 255
HALF = 128


def is_agent(masks: Any) -> NDArray[np.bool_]:
    """Which pixels are the agent's: True itself, floats in [0, 1] from 0.5 on, whole numbers in 0 .. 255 from 128 on.

    :param masks: an array of any shape

    >>> is_agent(np.array([0.49, 0.5])), is_agent(np.array([127, 128], np.uint8))
    (array([False,  True]), array([False,  True]))
    """
    masks = np.asarray(masks)
    if masks.dtype == np.bool_:
        return masks
    return np.asarray(masks >= (0.5 if masks.dtype.kind == "f" else HALF))


def hard(masks: Any) -> NDArray[np.uint8]:
    """Soft masks as uint8, of the same shape: 255 where a pixel is the agent's, else 0."""
    return np.where(is_agent(masks), np.uint8(255), np.uint8(0))
