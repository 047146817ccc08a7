"""The distractor tracks of a batch of live environments, moved by one step together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.distractors import Distractor, LiveTrack
from masklam_envs.distractors.base import Float32Array, Float64Array, Part

# Steps drawn ahead from an environment's stream at a time.
AHEAD = 64
# Where each method of a generator takes the shape of what it draws.
_SIZE = {"standard_normal": 0, "random": 0, "integers": 2, "normal": 2, "uniform": 2}


class Streams:
    """The random streams of one part in ``n`` environments, in place of one generator.

    A part draws what it needs for T steps by one call, ``rng.standard_normal((T, K))``.  Given one step of each of
    ``n`` environments instead of T steps of one, the same call takes row i from the stream of environment i: the bits
    that the environment alone would have drawn.

    :param count: environments
    """

    def __init__(self, count: int) -> None:
        self._generators: list[np.random.Generator | None] = [None] * count
        self._drawn: NDArray[Any] | None = None
        self._next = np.zeros(count, np.int64)
        self._call: tuple[Any, ...] | None = None
        #: the environments that step now
        self.which: NDArray[np.int64] = np.arange(count)

    def start(self, i: int, generator: np.random.Generator) -> None:
        """Begin an episode of environment ``i`` with this stream."""
        self._generators[i] = generator
        self._next[i] = AHEAD

    def generator(self, i: int) -> np.random.Generator:
        """The stream of environment ``i``, for a part that is stepped alone."""
        generator = self._generators[i]
        assert generator is not None
        return generator

    def __getattr__(self, method: str) -> Any:
        if method not in _SIZE:
            raise AttributeError(f"a distractor's part draws by {', '.join(_SIZE)} in a batch, not by {method!r}")
        return lambda *args, **kwargs: self._draw(method, args, kwargs)

    def _draw(self, method: str, given: tuple[Any, ...], kwargs: dict[str, Any]) -> NDArray[Any]:
        position, args = _SIZE[method], list(given)
        size = args.pop(position) if len(args) > position else kwargs.pop("size", None)
        shape = size if isinstance(size, tuple) else (size,)
        call = (method, tuple(args), tuple(sorted(kwargs.items())), shape[1:])
        if shape[0] != len(self.which) or call != (self._call or call):
            raise RuntimeError(
                f"a distractor's part drew {method}(size={size!r}) for {len(self.which)} environments; it must draw "
                "once a step, with the number of steps first and the rest always the same"
            )
        self._call = call
        return self._taken(method, args, {**kwargs, "size": (AHEAD, *shape[1:])})

    def _taken(self, method: str, args: list[Any], kwargs: dict[str, Any]) -> NDArray[Any]:
        empty = self.which[self._next[self.which] >= AHEAD]
        for i in empty.tolist():
            rows = getattr(self._generators[i], method)(*args, **kwargs)
            if self._drawn is None:
                self._drawn = np.empty((len(self._next), *rows.shape), rows.dtype)
            self._drawn[i] = rows
        self._next[empty] = 0
        assert self._drawn is not None
        taken = self._drawn[self.which, self._next[self.which]]
        self._next[self.which] += 1
        return taken


class Late:
    """What was told ``lag`` steps ago, for each of ``n`` environments.

    :param lag: steps, 0 for no memory
    :param count: environments
    """

    def __init__(self, lag: int, count: int) -> None:
        self.lag = lag
        self._told: NDArray[Any] | None = None  # (lag, n, ...), a ring for each environment
        self._steps = np.zeros(count, np.int64)

    def start(self, i: int) -> None:
        """Begin an episode of environment ``i``."""
        self._steps[i] = 0

    def heard(self, which: NDArray[np.int64], told: NDArray[Any], silence: NDArray[Any] | None) -> NDArray[Any]:
        """What environments ``which`` hear now that they are told ``told`` (m, ...).

        In the first steps that is ``silence`` (...,), or, where that is None, what they were told first.
        """
        if not self.lag:
            return told
        if self._told is None:
            self._told = np.empty((self.lag, len(self._steps), *told.shape[1:]), told.dtype)
        fresh = self._steps[which] == 0
        self._told[:, which[fresh]] = told[fresh] if silence is None else silence
        place = self._steps[which] % self.lag
        heard = self._told[place, which]
        self._told[place, which] = told
        self._steps[which] += 1
        return heard


class BatchTrack:
    """The rows of a distractor in ``n`` environments, to the bit those of ``n`` live tracks.

    :param distractor: whose tracks they are
    :param count: environments
    """

    def __init__(self, distractor: Distractor, count: int) -> None:
        self._mean = distractor.context.action_reference.mean
        parts = distractor.parts
        self._streams = [Streams(count) for _ in parts]
        self._actions = [Late(part.lag, count) for part in parts]
        self._states = [Late(part.state_lag, count) for part in parts]
        self._parts = list(zip(parts, distractor.columns, self._streams, self._actions, self._states, strict=True))
        #: (n, D) float64, the rows of the present frames
        self.rows: Float64Array = np.zeros((count, distractor.width))

    def start(self, i: int, track: LiveTrack) -> None:
        """Take over a track that has just begun as that of environment ``i``."""
        self.rows[i] = track.row
        for streams, generator in zip(self._streams, track.streams, strict=True):
            streams.start(i, generator)
        for late in (*self._actions, *self._states):
            late.start(i)

    def step(self, which: NDArray[np.int64], actions: Float32Array, states: Float32Array) -> None:
        """Go on by one step.

        :param which: (m,) the environments that step
        :param actions: (m, A) float32
        :param states: (m, S) float32, ``concat(qpos, qvel)`` in which the actions were taken
        """
        acted = actions.astype(np.float64)
        rows = self.rows.copy()  # fresh, as a live track's rows are
        for part, columns, streams, late_actions, late_states in self._parts:
            streams.which = which
            heard, seen = late_actions.heard(which, acted, self._mean), late_states.heard(which, states, None)
            rows[which, columns] = _advanced(part, streams, self.rows[which, columns], heard, seen)
        self.rows = rows


def _advanced(
    part: Part, streams: Streams, rows: Float64Array, actions: Float64Array, states: Float32Array
) -> Float64Array:
    """The columns of the part after one step of each environment: together where the part only adds increments."""
    if type(part).advance is Part.advance:
        rng: Any = streams
        return np.asarray(rows + part.increments(rng, actions, states))
    steps = zip(streams.which.tolist(), rows, actions, states, strict=True)
    return np.array(
        [part.advance(streams.generator(i), row, action[None], state[None])[0] for i, row, action, state in steps]
    ).reshape(rows.shape)
