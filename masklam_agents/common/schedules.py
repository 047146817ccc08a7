"""Learning rates over a stage: a warm-up, then a cosine, a line, or neither."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from masklam_envs.errors import unknown_name

SHAPES = ("cosine", "linear", "constant")
#: the stages of all methods in their order, and the option that holds the peak of each
RATES = {
    "segment": "segment_learning_rate",
    "pretrain": "learning_rate",
    "clone": "policy_learning_rate",
    "decode": "decoder_learning_rate",
}
#: what is said of one that a method lacks is for the others that share its options
STAGES = tuple(RATES)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A learning rate in units of its peak, over the updates of a stage.

    :param shape: what follows the warm-up: ``"cosine"`` or ``"linear"`` from 1 to ``last``, or ``"constant"``
    :param warm_up: share of the updates in which the rate rises linearly from ``first`` to 1, in [0, 1)
    :param first: where the warm-up begins, in [0, 1]
    :param last: where the stage ends, in [0, 1]; a constant rate has none
    :raises ValueError: for an unknown shape or a number out of range
    """

    shape: str = "cosine"
    warm_up: float = 0.0
    first: float = 0.0
    last: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(unknown_name("shape of a schedule", self.shape, SHAPES))
        for name, value in (("first", self.first), ("last", self.last), ("warm_up", self.warm_up)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ValueError(f"{name} of a schedule must be a number in [0, 1], got {value!r}")
        if self.warm_up == 1:
            raise ValueError("warm_up of a schedule must leave updates after it: a share below 1")

    def at(self, update: int, updates: int) -> float:
        """The rate at an update of so many, in units of the peak."""
        rising = self.warm_up * updates
        if update < rising:
            return self.first + (1 - self.first) * update / rising
        if self.shape == "constant":
            return 1.0
        done, falling = update - rising, updates - rising
        fall = 0.5 * (1 + math.cos(math.pi * done / falling)) if self.shape == "cosine" else 1 - done / falling
        return self.last + (1 - self.last) * fall


def check_schedules(options: Mapping[str, Mapping[str, Any]], stages: Iterable[str]) -> None:
    """Look at the schedules of a configuration.

    :param options: by stage, arguments of :class:`Schedule`
    :raises TypeError: for a stage's options that are no dictionary
    :raises ValueError: for an unknown stage, or arguments that no schedule has or that are out of range
    """
    stages = list(stages)
    known = [field.name for field in dataclasses.fields(Schedule)]
    for stage, chosen in options.items():
        if stage not in stages:
            raise ValueError(unknown_name("stage of schedules", stage, stages))
        if not isinstance(chosen, Mapping):
            raise TypeError(f"schedules[{stage!r}] must be a dictionary of options of Schedule, got {chosen!r}")
        if foreign := set(chosen) - set(known):
            raise ValueError(unknown_name(f"option of schedules[{stage!r}]", min(foreign), known))
        Schedule(**chosen)
