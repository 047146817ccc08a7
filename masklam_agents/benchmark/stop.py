"""How a process is told to stop: what it trains is saved first."""

from __future__ import annotations

import signal
import threading
from typing import Any


class StoppedError(BaseException):
    """Work was asked to stop, and what was done is saved."""


class Stop:
    """A flag that signals, or another thread, may set."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self, *_: Any) -> None:
        """Ask to stop."""
        self._event.set()

    @property
    def asked(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Stop here if that was asked for.

        :raises StoppedError: if it was
        """
        if self.asked:
            raise StoppedError

    def on_signals(self) -> None:
        """Let SIGTERM set it, and let ctrl-C be the parent's business."""
        signal.signal(signal.SIGTERM, self.set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
