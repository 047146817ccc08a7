"""What is written down of a base environment."""

from __future__ import annotations

import dataclasses

MISSING = "the base environment's; its documentation tells."


@dataclasses.dataclass(frozen=True)
class Words:
    """What is said of a base environment.

    :param goal: one sentence
    :param reward: of a step, with its weights
    :param ends: what terminates an episode before its time limit
    :param start: how an episode starts; ``{pose}`` stands for the model's initial positions, ``{noise}`` for the base's
        ``reset_noise_scale``
    """

    goal: str
    reward: str
    ends: str = "nothing."
    start: str = MISSING
