"""``action``: a background that the action pans, by a correlation that is set as a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from masklam_envs.distractors.base import Backdrop, Context, Float32Array, Float64Array, Part
from masklam_envs.distractors.footage import PROCEDURAL, footage_name, open_footage
from masklam_envs.distractors.options import checked_alpha, checked_integer, checked_number

MAX_GAIN = 32.0
MAX_LAG = 1000
# Changing it changes every recorded dataset's background.
PROJECTION_SEED = 20


class ActionPan(Part):
    """A still picture panned by ``v_t = gain (rho P w(a_t) + sqrt(1 - rho^2) eps_t)``.

    ``w`` is the action whitened by the reference policy's statistics, ``P`` a fixed (rank, A) matrix with orthonormal
    rows, ``eps_t`` standard normal.  Under the reference policy each component of ``v`` has multiple correlation
    ``rho`` with the action, and standard deviation ``gain``.

    The row is ``(clip, frame, x, y)``: x to the right and y downwards, in pixels of a 64-pixel-wide image, so one track
    looks the same at any size.  After a part that shows footage of its own (``["video", "action"]``) that footage is
    panned, unless ``footage`` is given here.

    :param correlation: rho in [0, 1]
    :param rank: K, how many components of the motion follow the action: 1 pans along x, 2 along x and y; at most A;
        None: 2, or 1 where there is one action dimension
    :param gain: standard deviation of each component, in pixels of a 64-pixel-wide image a step, in [0, 32]
    :param lag: how many steps late the pan follows, in [0, 1000]; before the first action it has no action part
    :param footage: None (the earlier parts' footage, else procedural), ``"procedural"``, or paths as for ``video``
    :param ground_alpha: how opaque the scene's ground is over the background, in [0, 1]; None: as earlier parts say,
        else 0
    :raises ValueError: when an option is out of its range
    """

    width = 4

    def __init__(
        self,
        context: Context,
        *,
        correlation: float = 0.9,
        rank: int | None = None,
        gain: float = 2.0,
        lag: int = 0,
        footage: Any = None,
        ground_alpha: float | None = None,
    ) -> None:
        super().__init__(context)
        self.correlation = checked_number("action", "correlation", correlation, 0.0, 1.0)
        self.gain = checked_number("action", "gain", gain, 0.0, MAX_GAIN)
        self.lag = checked_integer("action", "lag", lag, 0, MAX_LAG)
        most = min(2, context.action_reference.size)
        self.rank = most if rank is None else checked_integer("action", "rank", rank, 1, most)
        self.own_footage = footage is not None
        self.footage = open_footage(footage_name("action", footage if self.own_footage else PROCEDURAL), context)
        self.clips = self.footage.clips(context.split)
        self.ground_alpha = checked_alpha("action", ground_alpha)

        reference = context.action_reference
        whitened = np.sum(projection(self.rank, reference.size)[:, :, None] * reference.whitening, axis=1)
        self._mean = reference.mean
        self._signal = self.gain * self.correlation * whitened
        self._noise = self.gain * math.sqrt(1.0 - self.correlation**2)

    def start(self, rng: np.random.Generator) -> Float64Array:
        """A random frame of a random clip, not displaced."""
        clip = self.clips[rng.integers(len(self.clips))]
        return np.array([clip, rng.integers(self.footage.length(clip)), 0.0, 0.0])

    def increments(self, rng: np.random.Generator, actions: Float64Array, states: Float32Array) -> Float64Array:
        """The picture stays, the pan gains ``v_t``: (T, 4)."""
        steps = np.zeros((len(actions), 4))
        # Multiplied and summed over the last axis: a matrix product may round otherwise for another T.
        pulled = np.add.reduce((actions - self._mean)[:, None, :] * self._signal, axis=2)
        steps[:, 2 : 2 + self.rank] = pulled + self._noise * rng.standard_normal(pulled.shape)
        return steps

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Displace the backdrop, and give it a picture where it has none."""
        clip, index, x, y = row.tolist()
        if self.own_footage or backdrop.footage is None:
            backdrop.footage, backdrop.clip, backdrop.index = self.footage, int(clip), int(index)
        backdrop.x += x
        backdrop.y += y

    def motion(self, rows: Float64Array) -> Float64Array:
        """The pan of each step in pixels of a 64-pixel-wide image: (T, rank)."""
        return np.diff(rows[:, 2 : 2 + self.rank], axis=0)


def projection(rank: int, actions: int) -> Float64Array:
    """The fixed (rank, actions) matrix P with orthonormal rows.

    Gram-Schmidt in Python floats on a hash of the indices: + - * /, sqrt and fsum alone, which every machine rounds
    alike.
    """
    rows: list[list[float]] = []
    for k in range(rank):
        row = [_hashed(PROJECTION_SEED, k, a) for a in range(actions)]
        # Twice: the second pass takes away what the first one's rounding left.
        for earlier in rows * 2:
            overlap = math.fsum(p * q for p, q in zip(row, earlier, strict=True))
            row = [p - overlap * q for p, q in zip(row, earlier, strict=True)]
        length = math.sqrt(math.fsum(p * p for p in row))
        rows.append([p / length for p in row])
    return np.array(rows)


def _hashed(*indices: int) -> float:
    """A number in [-1, 1) from whole numbers, by the finaliser of splitmix64."""
    mask, value = 2**64 - 1, 0
    for index in indices:
        value = (value + index + 1) * 0x9E3779B97F4A7C15 & mask
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & mask
        value = (value ^ value >> 27) * 0x94D049BB133111EB & mask
        value ^= value >> 31
    return (value >> 11) / 2**52 - 1.0
