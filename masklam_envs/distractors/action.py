"""``action`` and ``state``: a background that the action, or the robot's motion, moves by a set correlation."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from masklam_envs.distractors.base import (
    REFERENCE_SIZE,
    Backdrop,
    Backdrops,
    Context,
    Float32Array,
    Float64Array,
    Part,
)
from masklam_envs.distractors.footage import PROCEDURAL, footage_name, open_footage
from masklam_envs.distractors.options import checked_alpha, checked_integer, checked_number
from masklam_envs.distractors.video import all_bounced, bounced
from masklam_envs.errors import unknown_name

MAX_GAIN = 32.0
MAX_LAG = 1000
# Changing it changes every recorded dataset's background.
PROJECTION_SEED = 20

# What moves: the components of each motion in the row.
MOTIONS = {"pan": ("x", "y"), "rotation": ("turn",), "zoom": ("zoom",), "speed": ("index",)}
# A component's unit is a pixel of a 64-pixel-wide image, for rotation and zoom at the middle of the image's edge, for
# speed a frame; here is what that is in the backdrop's units.
_EDGE = REFERENCE_SIZE / 2
SCALES = {"x": 1.0, "y": 1.0, "turn": 1 / _EDGE, "zoom": 1 / (_EDGE * 0.6931471805599453), "index": 1.0}


class Driven(Part):
    """A picture moved by ``v_t = gain (rho P w_t + sqrt(1 - rho^2) eps_t)``; ``w_t`` is what a subclass hears.

    ``w`` has the identity as covariance under the reference policy, ``P`` is a fixed (rank, A) matrix with orthonormal
    rows, ``eps_t`` standard normal.  So each component of ``v`` has multiple correlation ``rho`` with what drives it,
    and standard deviation ``gain``.

    The row is ``(clip, frame, component, ...)``: for ``pan`` x to the right and y downwards, in pixels of a
    64-pixel-wide image, so one track looks the same at any size.

    :param name: of the distractor, for errors
    :param mean: (A,) of what drives it
    :param whitening: (R, A)
    """

    def __init__(
        self,
        context: Context,
        name: str,
        mean: Float64Array,
        whitening: Float64Array,
        *,
        correlation: float,
        rank: int | None,
        gain: float,
        motion: Any,
        footage: Any,
        ground_alpha: Any,
    ) -> None:
        super().__init__(context)
        self.correlation = checked_number(name, "correlation", correlation, 0.0, 1.0)
        self.gain = checked_number(name, "gain", gain, 0.0, MAX_GAIN)
        self.components = _components(name, motion)
        self.width = 2 + len(self.components)
        most = min(len(self.components), len(whitening))
        self.rank = most if rank is None else checked_integer(name, "rank", rank, 1, most)
        self.own_footage = footage is not None
        self.footage = open_footage(footage_name(name, footage if self.own_footage else PROCEDURAL), context)
        self.clips = self.footage.clips(context.split)
        self.ground_alpha = checked_alpha(name, ground_alpha, context)

        whitened = np.sum(projection(self.rank, len(whitening))[:, :, None] * whitening, axis=1)
        self._mean = mean
        self._signal = self.gain * self.correlation * whitened
        self._noise = self.gain * math.sqrt(1.0 - self.correlation**2)

    def start(self, rng: np.random.Generator) -> Float64Array:
        """A random frame of a random clip, not displaced."""
        clip = self.clips[rng.integers(len(self.clips))]
        row = np.zeros(self.width)
        row[:2] = clip, rng.integers(self.footage.length(clip))
        return row

    def increments(self, rng: np.random.Generator, actions: Float64Array, states: Float32Array) -> Float64Array:
        """The picture stays, the components gain ``v_t``: (T, width)."""
        steps = np.zeros((len(actions), self.width))
        # Multiplied and summed over the last axis: a matrix product may round otherwise for another T.
        pulled = np.add.reduce((self.driver(actions, states) - self._mean)[:, None, :] * self._signal, axis=2)
        steps[:, 2 : 2 + self.rank] = pulled + self._noise * rng.standard_normal(pulled.shape)
        return steps

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Move the backdrop, and give it a picture where it has none."""
        clip, index, *moved = row.tolist()
        if self.own_footage or backdrop.footage is None:
            backdrop.footage, backdrop.opacity = self.footage, 1.0
            backdrop.clip, backdrop.index = int(clip), int(index)
        for name, value in zip(self.components, moved, strict=True):
            if name == "x":
                backdrop.x += value
            elif name == "y":
                backdrop.y += value
            elif name == "index":
                length = backdrop.footage.length(backdrop.clip)
                backdrop.index = bounced(backdrop.index + math.floor(value), length)
            else:
                setattr(backdrop, name, getattr(backdrop, name) + SCALES[name] * value)

    def paint_all(self, rows: Float64Array, backdrops: Backdrops) -> None:
        """As :meth:`paint`."""
        if self.own_footage or backdrops.footage is None:
            backdrops.show(self.footage, rows[:, 0], rows[:, 1])
        for name, value in zip(self.components, rows[:, 2:].T, strict=True):
            if name == "index":
                places = backdrops.index + np.floor(value).astype(np.int64)
                backdrops.index = all_bounced(places, backdrops.lengths())
            else:
                setattr(backdrops, name, getattr(backdrops, name) + SCALES[name] * value)

    def motion(self, rows: Float64Array) -> Float64Array:
        """What each step adds to the driven components, in their units: (T, rank)."""
        return np.diff(rows[:, 2 : 2 + self.rank], axis=0)

    @abstractmethod
    def driver(self, actions: Float64Array, states: Float32Array) -> Float64Array:
        """What drives the motion: (T, A)."""


class ActionPan(Driven):
    """A picture moved by the action, ``lag`` steps late.

    After a part that shows footage of its own (``["video", "action"]``) that footage is moved, unless ``footage`` is
    given here.  See :class:`Driven` for the formula; ``w`` is the action whitened by the reference policy's statistics.

    :param correlation: rho in [0, 1]
    :param rank: K, how many components of the motion follow the action, the first of those that ``motion`` names; the
        others stand still; at most A; None: all of them, as far as there are actions
    :param gain: standard deviation of each component a step, in [0, 32], in pixels of a 64-pixel-wide image: for a
        rotation or zoom those at the middle of the image's edge, for speed in frames
    :param lag: how many steps late the motion follows, in [0, 1000]; before the first action it has no action part
    :param motion: ``"pan"`` (components x, y), ``"rotation"``, ``"zoom"`` (endless, see
        :class:`~masklam_envs.rendering.look.Plate`), ``"speed"`` (of playing the footage, back and forth), or a list
    :param footage: None (the earlier parts' footage, else procedural), ``"procedural"``, or paths as for ``video``
    :param ground_alpha: how opaque the scene's ground is over the background, in [0, 1]; ``"task"``: as the Distracting
        Control Suite has it for the task; None: as earlier parts say, else 0
    :raises ValueError: when an option is out of its range
    """

    def __init__(
        self,
        context: Context,
        *,
        correlation: float = 0.9,
        rank: int | None = None,
        gain: float = 2.0,
        lag: int = 0,
        motion: Any = "pan",
        footage: Any = None,
        ground_alpha: Any = None,
    ) -> None:
        self.lag = checked_integer("action", "lag", lag, 0, MAX_LAG)
        reference = context.action_reference
        super().__init__(
            context, "action", reference.mean, reference.whitening, correlation=correlation, rank=rank, gain=gain,
            motion=motion, footage=footage, ground_alpha=ground_alpha,
        )  # fmt: skip

    def driver(self, actions: Float64Array, states: Float32Array) -> Float64Array:
        """The actions: (T, A)."""
        return actions


class StatePan(Driven):
    """A picture moved by the robot's joint velocities, ``lag`` steps late: what a body that moves does to the world.

    ``w`` is the velocity before the step, whitened by the statistics of the task's reference policy, which a rollout of
    some thousand steps finds when the distractor is made.  The options are those of ``action``.

    :param correlation: rho in [0, 1], with the joint velocities before the step
    :param rank: as for ``action``, with the velocities that change in place of the actions
    :param gain: as for ``action``
    :param lag: how many steps late, in [0, 1000]; before that the episode's first velocities drive it
    :param motion: as for ``action``
    :param footage: as for ``action``
    :param ground_alpha: as for ``action``
    :raises ValueError: when an option is out of its range, or there is no model or no reference policy to roll out
    """

    def __init__(
        self,
        context: Context,
        *,
        correlation: float = 0.9,
        rank: int | None = None,
        gain: float = 2.0,
        lag: int = 0,
        motion: Any = "pan",
        footage: Any = None,
        ground_alpha: Any = None,
    ) -> None:
        self.state_lag = checked_integer("state", "lag", lag, 0, MAX_LAG)
        scene = context.scene_for("state")
        if scene.velocities is None:
            raise ValueError(
                "distractor 'state' needs a base environment that can be made again by its spec: give an id"
            )
        self._first = scene.nq
        reference = scene.velocities(self.state_lag)
        super().__init__(
            context, "state", reference.mean, reference.matrix, correlation=correlation, rank=rank, gain=gain,
            motion=motion, footage=footage, ground_alpha=ground_alpha,
        )  # fmt: skip

    def driver(self, actions: Float64Array, states: Float32Array) -> Float64Array:
        """The joint velocities: (T, nv)."""
        return states[:, self._first :].astype(np.float64)


def _components(name: str, motion: Any) -> list[str]:
    """The components of the motions that are named."""
    names = [motion] if isinstance(motion, str) else motion
    if not isinstance(names, Sequence) or not names or len(set(names)) < len(names):
        raise ValueError(f"{name}: motion is {motion!r}; give one of {', '.join(MOTIONS)}, or a list of them")
    for kind in names:
        if kind not in MOTIONS:
            raise ValueError(unknown_name(f"motion of distractor {name!r}", kind, MOTIONS))
    return [component for kind in names for component in MOTIONS[kind]]


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
