"""What training took, and the callback that keeps an agent and its effort on the disk while it trains."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from masklam_agents.benchmark.files import read_json, write_json
from masklam_agents.benchmark.provenance import commit
from masklam_agents.benchmark.stop import Stop

SPENT = "spent.json"


@dataclasses.dataclass(frozen=True)
class Effort:
    """Of one piece of training, or of several added up.

    :param wall: seconds
    :param cpu: seconds of processors
    :param commits: of the code that trained, each once: several where it was gone on with by another
    """

    wall: float = 0.0
    cpu: float = 0.0
    commits: tuple[str, ...] = ()

    def __add__(self, other: Effort) -> Effort:
        commits = tuple(dict.fromkeys((*self.commits, *other.commits)))
        return Effort(self.wall + other.wall, self.cpu + other.cpu, commits)

    @classmethod
    def read(cls, path: Path) -> Effort | None:
        """That of a file; None where there is none."""
        stored = read_json(path)
        return None if stored is None else cls(stored["wall"], stored["cpu"], tuple(stored.get("commits", ())))

    def write(self, path: Path) -> None:
        """Write a file, whole or not at all."""
        write_json(path, dataclasses.asdict(self))


class Saver(BaseCallback):
    """Saves agent and effort every so often, and stops training when asked to.

    :param path: of the agent; ``spent.json`` lies beside it
    :param stop: asks
    :param every: seconds
    """

    def __init__(self, path: Path, stop: Stop, every: float) -> None:
        super().__init__()
        self.path, self.stop, self.every = path, stop, every
        self.before = Effort.read(path.with_name(SPENT)) or Effort()
        self.began, self.began_cpu = time.monotonic(), time.process_time()
        self.saved_at = self.began

    def spent(self) -> Effort:
        """What training took so far, before an interruption too."""
        wall, cpu = time.monotonic() - self.began, time.process_time() - self.began_cpu
        return self.before + Effort(wall, cpu, (commit(),))

    def save(self) -> None:
        """Save both."""
        model: Any = self.model
        model.save(self.path)
        self.spent().write(self.path.with_name(SPENT))
        self.saved_at = time.monotonic()

    def _on_step(self) -> bool:
        if time.monotonic() - self.saved_at >= self.every:
            self.save()
        return not self.stop.asked
