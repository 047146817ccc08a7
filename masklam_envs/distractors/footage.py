"""Where background pixels come from: the built-in procedural clips or video files, by one JSON-able name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from masklam_envs.distractors.base import Context, Footage

PROCEDURAL = "procedural"


def footage_name(part: str, footage: Any) -> str | list[str]:
    """The option ``footage`` in its JSON-able form: ``"procedural"``, a path, or a list of paths.

    :raises ValueError: when it is neither of these
    """
    if isinstance(footage, (str, os.PathLike)) and os.fspath(footage):
        return str(os.fspath(footage))
    if isinstance(footage, Sequence) and footage and all(isinstance(path, (str, os.PathLike)) for path in footage):
        return [str(os.fspath(path)) for path in footage]
    raise ValueError(f"{part}: footage is {footage!r}; give {PROCEDURAL!r}, a path, or a list of paths")


def open_footage(name: str | list[str], context: Context) -> Footage:
    """The footage of a name from :func:`footage_name`; no pixel is made or decoded yet.

    :raises ValueError: when a path does not exist or holds no clip
    """
    if name == PROCEDURAL:
        from masklam_envs.distractors.procedural import ProceduralFootage

        return ProceduralFootage(context.image_size)
    from masklam_envs.distractors.files import FileFootage

    return FileFootage([name] if isinstance(name, str) else name, context.image_size)
