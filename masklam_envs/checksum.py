"""A checksum of weights and of the text that is kept beside them: a flipped bit in a file shall not go unnoticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def checksum(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of a text and of arrays by name, as 64 hexadecimal digits; the order of the names does not matter.

    >>> checksum("", {"a": np.zeros(2), "b": np.ones(1)}) == checksum("", {"b": np.ones(1), "a": np.zeros(2)})
    True
    """
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"\n{name}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def check(where: str, cure: str, kept: object, text: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Compare with the checksum that a file keeps.

    :param where: the file, named in the error
    :param cure: what to do about a damaged one
    :param kept: the file's checksum; None: it was written before there was one, and nothing is compared
    :raises ValueError: when the checksum is another
    """
    if kept is not None and kept != (found := checksum(text, arrays)):
        raise ValueError(
            f"{where} is damaged: the checksum of its weights is {found[:12]}.., it was written with "
            f"{str(kept)[:12]}..; {cure}"
        )
