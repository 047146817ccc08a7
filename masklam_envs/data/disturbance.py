"""What is done to a policy's actions before they are executed, so that a dataset holds more than its narrow path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Action = NDArray[np.float32]
#: the executed action (before it is clipped to the action space) of the policy's action
Disturb = Callable[[Action], Action]
#: begins an episode with its generator
Disturbance = Callable[[np.random.Generator], Disturb]

# A burst begins at any step with this chance and lasts for a number of steps in this range.
BURST_CHANCE = 1 / 60
BURST_STEPS = (5, 30)
# In a burst that pushes one way, every step deviates from it by this standard deviation.
PUSH_NOISE = 0.3


def noisy(noise: float) -> Disturbance:
    """Gaussian noise of one standard deviation in every episode; 0: none."""

    def begin(rng: np.random.Generator) -> Disturb:
        if not noise:
            return lambda action: action
        return lambda action: action + noise * rng.standard_normal(action.shape, np.float32)

    return begin


def mixed(largest: float) -> Disturbance:
    """Gaussian noise whose standard deviation is uniform in [0, ``largest``] an episode, and bursts of random actions.

    Half of the bursts are uniform noise, the other half push one way. The states they lead to - slow, stumbling - are
    those that a cloned policy comes into by its own mistakes; the labels there are the expert's way out.
    """

    def begin(rng: np.random.Generator) -> Disturb:
        noise = np.float32(rng.uniform(0, largest))
        left, push = 0, None

        def disturb(action: Action) -> Action:
            nonlocal left, push
            if left:
                left -= 1
            elif rng.random() < BURST_CHANCE:
                left = int(rng.integers(*BURST_STEPS, endpoint=True)) - 1
                push = rng.uniform(-1, 1, action.shape).astype(np.float32) if rng.random() < 0.5 else None
            else:
                return action + noise * rng.standard_normal(action.shape, np.float32)
            if push is None:
                return rng.uniform(-1, 1, action.shape).astype(np.float32)
            return push + PUSH_NOISE * rng.standard_normal(action.shape, np.float32)

        return disturb

    return begin
