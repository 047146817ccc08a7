"""Keep MuJoCo's compile warnings out of the user's working directory and terminal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import mujoco

_logger = logging.getLogger("masklam_envs")


@contextlib.contextmanager
def quiet_mujoco() -> Iterator[None]:
    """Send MuJoCo's warnings to the ``masklam_envs`` logger (level DEBUG) while the block runs.

    Gymnasium's cheetah XML warns that ``settotalmass`` is deprecated; MuJoCo would write ``MUJOCO_LOG.TXT`` into the
    working directory for it.
    """
    mujoco.set_mju_user_warning(lambda message: _logger.debug("mujoco: %s", message))
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)
