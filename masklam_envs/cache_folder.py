"""Where this package keeps what it can make again: decoded clips, drawn frames."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MASKLAM_CACHE"


def cache_folder() -> Path | None:
    """``$MASKLAM_CACHE``, else ``masklam`` in the user's cache folder; None where the variable is empty: no cache."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Path(given).expanduser() if given else None
    return user_folder()


def user_folder() -> Path:
    """``masklam`` in the user's cache folder, whatever ``$MASKLAM_CACHE`` says."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "masklam"
