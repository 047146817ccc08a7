"""A whole distractor: its parts side by side in the row, one after the other on the backdrop."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from masklam_envs.distractors.base import Backdrop, Backdrops, Context, Float32Array, Float64Array, Image, Part
from masklam_envs.distractors.trial import checked_shape
from masklam_envs.rendering.look import Look, Plate

NO_POSE = np.zeros(0)


def _shown_files(part: Part) -> list[str]:
    """The names of the files a part shows, in the order of its clips."""
    paths = getattr(getattr(part, "footage", None), "paths", None)
    return [] if paths is None else [paths[clip].name for clip in getattr(part, "clips", ())]


class Distractor:
    """What :func:`~masklam_envs.distractors.make_distractor` returns.

    Row t belongs to frame t; action t, taken in state t, moves row t to row t + 1.  A track is a pure function of
    ``(seed, actions, states)``, whether it is made at once (:meth:`track`) or step by step (:meth:`live`).

    :param parts: in order, each with its name and options, which together are its configuration
    :param context: what the parts were made with
    """

    def __init__(self, parts: Sequence[tuple[dict[str, Any], Part]], context: Context) -> None:
        self.context = context
        self.parts = tuple(part for _, part in parts)
        self._config = [dict(config) for config, _ in parts]
        edges = np.cumsum([0, *(part.width for part in self.parts)]).tolist()
        #: each part's columns of the row
        self.columns = [slice(first, last) for first, last in itertools.pairwise(edges)]
        self._painters = list(zip(self.parts, self.columns, strict=True))
        self._paints_together = all(part.paints_together for part in self.parts)
        self.width: int = edges[-1]
        alphas = [part.ground_alpha for part in self.parts if part.ground_alpha is not None]
        #: names of the video files, pictures and folders that may be shown; procedural footage has none
        self.videos = [name for part in self.parts for name in _shown_files(part)]
        #: how opaque the scene's ground is over the plate, in [0, 1]; the last part that says so decides
        self.ground_alpha: float = alphas[-1] if alphas else 0.0

    @property
    def config(self) -> list[dict[str, Any]]:
        """JSON-able: each part's name and all of its options; ``make_distractor`` makes the same distractor of it."""
        return [dict(config) for config in self._config]

    def track(self, seed: int, actions: ArrayLike, states: ArrayLike) -> Float64Array:
        """All rows of an episode.

        :param seed: of the episode's distractor, at least 0
        :param actions: (T, A) float32
        :param states: (T + 1, S) float32, ``concat(qpos, qvel)``
        :return: (T + 1, D) float64
        :raises ValueError: when the shapes do not fit, or a part gives rows of another shape than its own
        """
        acted, seen = np.asarray(actions, np.float64), np.asarray(states, np.float32)
        size = self.context.action_reference.size
        if acted.ndim != 2 or acted.shape[1] != size or seen.ndim != 2 or len(seen) != len(acted) + 1:
            raise ValueError(
                f"actions must be (T, {size}) and states (T + 1, S), got {acted.shape} and {seen.shape}; "
                "an episode has one state more than it has actions"
            )
        rows = np.empty((len(acted) + 1, self.width))
        for i, (part, rng) in enumerate(zip(self.parts, self._streams(seed), strict=True)):
            columns, name = self.columns[i], str(self._config[i].get("name"))
            rows[0, columns] = part.start(rng)
            if len(acted):
                moved = part.advance(rng, rows[0, columns], *self._heard(part, acted, seen[:-1]))
                rows[1:, columns] = checked_shape(name, "advance", moved, (len(acted), part.width))
        return rows

    def live(self, seed: int) -> LiveTrack:
        """The same rows, one at a time: an environment's track of one episode."""
        return LiveTrack(self, self._streams(seed))

    def look(self, row: Float64Array, qpos: Float64Array) -> Look:
        """What a renderer is told of a frame.

        :param row: (D,) float64
        :param qpos: (nq,) float64, the agent's positions in this frame
        """
        backdrop = Backdrop(qpos)
        for part, columns in self._painters:
            part.paint(row[columns], backdrop)
        return _look(backdrop, self.ground_alpha)

    def backdrops(self, rows: Float64Array) -> Backdrops | None:
        """What :meth:`look` says of n rows (n, D), at once; None where a part does not paint many rows together."""
        if not self._paints_together:
            return None
        backdrops = Backdrops(len(rows))
        for part, columns in self._painters:
            part.paint_all(rows[:, columns], backdrops)
        return backdrops

    def plate(self, row: Float64Array) -> Image | None:
        """The background of a row (D,): (H, W, 3) uint8, a fresh array; None: the scene's own sky and ground stay.

        Its opacity over the scene's sky is for a renderer to apply.

        :raises ValueError: when a part needs the agent's pose; use :meth:`look`
        """
        plate = self.look(row, NO_POSE).plate
        return None if plate is None else plate.painted(self.context.image_size)

    def motion(self, rows: Float64Array) -> Float64Array | None:
        """The displacements whose correlation is set and measured: (T, K); None where nothing moves.

        Those of the parts that take the option ``correlation``; where no part does, those of all parts.

        :param rows: (T + 1, D), from :meth:`track`
        """
        moved = [self.parts[i].motion(rows[:, self.columns[i]]) for i in self._driven()]
        found = [motion for motion in moved if motion is not None]
        return np.concatenate(found, axis=1) if found else None

    def drivers(self, actions: Float64Array, states: Float32Array) -> Float64Array:
        """What the correlation of :meth:`motion` refers to, as late as the parts hear of it: (T, A).

        The actions, or the joint velocities, or both, when there are parts for both.

        :param actions: (T, A)
        :param states: (T, S), before each step
        """
        heard = [self.parts[i].driver(*self._heard(self.parts[i], actions, states)) for i in self._driven()]
        distinct: list[Float64Array] = []
        for driver in heard or [actions]:
            if not any(np.array_equal(driver, other) for other in distinct):
                distinct.append(driver)
        return np.concatenate(distinct, axis=1)

    @property
    def silent_steps(self) -> int:
        """Steps at an episode's beginning in which a part of :meth:`motion` has not yet heard of what drives it."""
        return max((self.parts[i].lag + self.parts[i].state_lag for i in self._driven()), default=0)

    def _driven(self) -> list[int]:
        driven = [i for i, config in enumerate(self._config) if "correlation" in config]
        return driven or list(range(len(self.parts)))

    def _streams(self, seed: int) -> list[np.random.Generator]:
        # A part with a seed of its own does what it does in every episode of that seed.
        seeds = [seed if part.seed is None else part.seed for part in self.parts]
        children = [np.random.SeedSequence(own).spawn(len(seeds))[i] for i, own in enumerate(seeds)]
        return [np.random.Generator(np.random.PCG64(child)) for child in children]

    def _heard(self, part: Part, actions: Float64Array, states: Float32Array) -> tuple[Float64Array, Float32Array]:
        """Each step's action and state as late as a part hears of them."""
        silence = np.broadcast_to(self.context.action_reference.mean, (part.lag, actions.shape[1]))
        late = np.concatenate([silence, actions])[: len(actions)] if part.lag else actions
        if not part.state_lag:
            return late, states
        first = np.broadcast_to(states[:1], (part.state_lag, states.shape[1]))
        return late, np.concatenate([first, states])[: len(states)]


class LiveTrack:
    """One episode's rows, made while it runs; see :meth:`Distractor.live`.

    :param distractor: whose track it is
    :param streams: one random stream for each part
    """

    def __init__(self, distractor: Distractor, streams: list[np.random.Generator]) -> None:
        mean = distractor.context.action_reference.mean
        #: each part's random stream
        self.streams = tuple(streams)
        silent = [deque([mean[None]] * part.lag) for part in distractor.parts]
        #: the states that each part still has to hear of, where it hears late
        self._unseen: list[deque[Float32Array]] = [deque() for _ in distractor.parts]
        self._parts = list(zip(distractor.parts, distractor.columns, streams, silent, self._unseen, strict=True))
        #: the row (D,) float64 of the present frame
        self.row: Float64Array = np.empty(distractor.width)
        for part, columns, rng, *_ in self._parts:
            self.row[columns] = part.start(rng)

    def step(self, action: ArrayLike, state: Float32Array) -> Float64Array:
        """Go on by one step.

        :param action: (A,) float32
        :param state: (S,) float32, ``concat(qpos, qvel)`` in which the action was taken
        :return: the next frame's row (D,), a fresh array
        """
        actions = np.array(action, np.float64, ndmin=2)
        states = state[None]
        row = np.empty_like(self.row)
        for part, columns, rng, late, unseen in self._parts:
            heard, seen = actions, states
            if late:
                late.append(actions)
                heard = late.popleft()
            if part.state_lag:
                unseen.extend([states] * (1 if unseen else part.state_lag + 1))
                seen = unseen.popleft()
            row[columns] = part.advance(rng, self.row[columns], heard, seen)[0]
        self.row = row
        return row


def _look(backdrop: Backdrop, ground_alpha: float) -> Look:
    plate, footage = None, backdrop.footage
    if footage is not None:
        frame = footage.frame(backdrop.clip, backdrop.index)
        place = backdrop.x, backdrop.y, backdrop.turn, backdrop.zoom
        plate = Plate(frame, *place, footage.wraps, backdrop.opacity)
    return Look(
        plate, ground_alpha, backdrop.camera, backdrop.colours, backdrop.light, backdrop.ghosts, backdrop.overlays
    )
