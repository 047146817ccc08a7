"""Safetensors read in one go: a writer that replaces the file meanwhile shall not mix the old one with the new."""

from __future__ import annotations

import json
import os
from pathlib import Path


def read_whole(path: str | os.PathLike[str]) -> tuple[dict[str, str], bytes]:
    """The metadata of a safetensors file, and all of its bytes for ``safetensors.numpy.load`` or ``torch.load``.

    Not ``safe_open``, which opens the file by its name a second time for the tensors.

    :raises ValueError: when the bytes do not start with a safetensors header
    :raises OSError: when the file cannot be read
    """
    data = Path(path).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return (metadata if isinstance(metadata, dict) else {}), data
