"""SB3 callbacks for offline training."""

from __future__ import annotations

import os
import time

from stable_baselines3.common.callbacks import BaseCallback


class SaveLatest(BaseCallback):
    """Save the agent to one file every so often, so that an interrupted run can go on from it.

    Go on with ``agent = Algo.load(path, dataset=...)`` and ``agent.learn(total, reset_num_timesteps=False)``.

    :param path: the file; always a whole one, the older until the newer is written
    :param every: seconds between saves
    """

    def __init__(self, path: str | os.PathLike[str], every: float = 30.0) -> None:
        super().__init__()
        self.path, self.every = path, every
        self._saved_at = time.monotonic()

    def _on_step(self) -> bool:
        if time.monotonic() - self._saved_at >= self.every:
            self.model.save(os.fspath(self.path))
            self._saved_at = time.monotonic()
        return True
