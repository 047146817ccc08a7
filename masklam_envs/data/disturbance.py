"""How the executed action differs from the policy's, so that a dataset holds more than the policy's narrow path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.experts import Expert

Action = NDArray[np.float32]
#: the executed action (before it is clipped to the action space) in a state, of the policy's action there
Disturb = Callable[[Any, Action], Action]
#: begins an episode with its generator
Disturbance = Callable[[np.random.Generator], Disturb]

# An episode's observation noise is correlated in time by one of these.
PERSISTENCE = (0.0, 0.5, 0.8)
# A burst of random actions begins at any step with this chance and lasts for a number of steps in this range.
BURST_CHANCE = 1 / 60
BURST_STEPS = (5, 30)
# In a burst that pushes one way, every step deviates from it by this standard deviation.
PUSH_NOISE = 0.3


def noisy(noise: float) -> Disturbance:
    """Gaussian noise of one standard deviation on every action; 0: none."""

    def begin(rng: np.random.Generator) -> Disturb:
        if not noise:
            return lambda _, action: action
        return lambda _, action: action + noise * rng.standard_normal(action.shape, np.float32)

    return begin


def mixed(expert: Expert, largest: float) -> Disturbance:
    """An expert that sees its state through noise, now and then interrupted by random actions.

    The noise's standard deviation is uniform in [0, ``largest``] an episode, in units of each state dimension's own
    spread, and it lasts from step to step in some episodes; actions get independent noise of up to half that, in units
    of their bound.  So the states are those that a policy with a poor view of the world gets into by its own mistakes -
    slow, stumbling - and their labels are the way out: what a policy cloned from pixels has to know (the idea of DART,
    Laskey et al. 2017, with the noise on the observation).
    """

    def begin(rng: np.random.Generator) -> Disturb:
        size, burst = expert.obs_mean.size, bursts(rng)
        spread, persistence = rng.uniform(0, largest), rng.choice(PERSISTENCE)
        bound = np.float32(expert.info.action_bound)
        scale, fresh = spread * expert.obs_std, np.sqrt(1 - persistence**2)
        action_noise, error = bound * np.float32(rng.uniform(0, largest / 2)), np.zeros(size)

        def disturb(state: Any, action: Action) -> Action:
            nonlocal error
            error = persistence * error + fresh * rng.standard_normal(size)
            random = burst(action.shape)
            if random is not None:
                return bound * random
            seen = expert.predict(state + scale * error)
            return seen + action_noise * rng.standard_normal(action.shape, np.float32)

        return disturb

    return begin


def bursts(rng: np.random.Generator) -> Callable[[tuple[int, ...]], Action | None]:
    """Random actions in [-1, 1] of a shape during bursts, None between them; half of the bursts push one way."""
    left, push = 0, None

    def act(shape: tuple[int, ...]) -> Action | None:
        nonlocal left, push
        if left:
            left -= 1
        elif rng.random() < BURST_CHANCE:
            left = int(rng.integers(*BURST_STEPS, endpoint=True)) - 1
            push = rng.uniform(-1, 1, shape).astype(np.float32) if rng.random() < 0.5 else None
        else:
            return None
        if push is None:
            return rng.uniform(-1, 1, shape).astype(np.float32)
        return push + PUSH_NOISE * rng.standard_normal(shape, np.float32)

    return act
