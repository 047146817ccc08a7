"""A part of others is tried before its first episode, so that its mistakes are named where the distractor is made."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from masklam_envs.distractors.base import Backdrop, Float32Array, Float64Array, Part
from masklam_envs.distractors.facts import SceneFacts
from masklam_envs.distractors.options import checked_number
from masklam_envs.errors import unknown_name

STEPS = 3  # so many at once, and one after the other


class PartError(ValueError):
    """What a part is or gives is not what it has to."""


class Tried(Backdrop):
    """A backdrop that knows what a part may have meant."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in Backdrop.__slots__:
            raise AttributeError(unknown_name("attribute of a backdrop", name, Backdrop.__slots__))
        super().__setattr__(name, value)


def try_out(name: str, part: Part, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Begin an episode and, where the model is known, go on by some steps and paint.

    :param name: the distractor's
    :param part: just made; what it draws here comes from a stream that nothing else uses
    :param options: that it was made with
    :param defaults: of these
    :raises ValueError: naming the distractor, what it did and what it has to do
    """
    _check_attributes(name, part)
    with _named(name, "start", options, defaults):
        row = np.array(checked_shape(name, "start", part.start(_rng()), (part.width,)), np.float64)
    row.flags.writeable = False  # whoever changes it changes the frame before
    scene = part.context.scene
    if scene is None:
        return
    actions, states = _steps(part.context.action_reference.mean, scene)
    with _named(name, "advance", options, defaults):
        _check_steps(name, part, row, actions, states)
    with _named(name, "paint", options, defaults):
        part.paint(row, _backdrop(states[0, : scene.nq], part.context.image_size))


def checked_shape(name: str, method: str, found: Any, shape: tuple[int, ...]) -> Any:
    """``found`` when it is an array of a shape.

    :param name: the distractor's
    :param method: which gave it
    :param shape: (width,) or (T, width)
    :raises ValueError: naming the distractor, what came and what is wanted
    """
    if np.shape(found) == shape:
        return found
    came = f"shape {np.shape(found)}" if isinstance(found, np.ndarray | list | tuple) else repr(found)
    wanted = "(width,)" if len(shape) == 1 else f"(T, width) for these T = {shape[0]} steps"
    raise PartError(
        f"distractor {name!r}: {method} returned {came}; it must be {shape}, which is {wanted}: the class says that "
        f"width is {shape[-1]}"
    )


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _check_attributes(name: str, part: Part) -> None:
    kind = type(part)
    for attribute in ("width", "lag", "state_lag"):
        value = getattr(part, attribute, "missing")
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
            raise PartError(
                f"distractor {name!r}: {attribute} of {kind.__name__} is {value}; it must be a whole number from 0 on "
                "(width: the columns of its row; lag and state_lag: by how many steps it hears late)"
            )
    if part.ground_alpha is not None:
        checked_number(name, "ground_alpha", part.ground_alpha, 0.0, 1.0)
    moves = kind.advance is not Part.advance or kind.increments is not Part.increments
    if part.width and not moves and not part.stands_still:
        raise PartError(
            f"distractor {name!r}: {kind.__name__} has neither advance(self, rng, row, actions, states) nor "
            "increments(self, rng, actions, states), so its row never changes; write one of the two, or set "
            "stands_still = True in the class if that is meant"
        )


def _steps(mean: Float64Array, scene: SceneFacts) -> tuple[Float64Array, Float32Array]:
    """Actions (T, A) about the reference's mean, and states (T, S) of the model's own pose, slowly moving."""
    rng, states = _rng(), np.zeros((STEPS, scene.nq + scene.nv), np.float32)
    states[:, : scene.nq] = 0.0 if scene.pose is None else scene.pose
    states[:, scene.nq :] = 0.1 * rng.standard_normal((STEPS, scene.nv))
    return mean + 0.01 * rng.standard_normal((STEPS, mean.size)), states


def _check_steps(name: str, part: Part, row: Float64Array, actions: Float64Array, states: Float32Array) -> None:
    if type(part).advance is Part.advance:
        added = part.increments(_rng(), actions, states)
        checked_shape(name, "increments", added, (STEPS, part.width))
    together = checked_shape(name, "advance", part.advance(_rng(), row, actions, states), (STEPS, part.width))
    rng, single = _rng(), np.empty((STEPS, part.width))
    for t in range(STEPS):
        step = part.advance(rng, row, actions[t : t + 1], states[t : t + 1])
        row = single[t] = checked_shape(name, "advance", step, (1, part.width))[0]
    _check_same(name, np.asarray(together, np.float64), single)


def _check_same(name: str, together: Float64Array, single: Float64Array) -> None:
    """What a dataset draws again is what was seen live."""
    if np.array_equal(together, single, equal_nan=True):
        return
    told = f"distractor {name!r}: advance gives other rows for {STEPS} steps at once than for one after the other"
    if not np.allclose(together, single, rtol=1e-9, atol=1e-9, equal_nan=True):
        raise PartError(
            f"{told}, so a dataset would not draw what was seen live; draw the random numbers of all T steps by one "
            "call, and remember nothing but the row"
        )
    warnings.warn(
        f"{told}, in the last bits: frames that are drawn again may differ from live ones in a pixel; leave running "
        "sums to increments, and use no matrix product",
        stacklevel=2,
    )


def _backdrop(qpos: Float32Array, image_size: int) -> Backdrop:
    """What an earlier part may have left: one colour behind the robot."""
    from masklam_envs.distractors.still import FlatFootage

    backdrop = Tried(qpos.astype(np.float64))
    backdrop.footage = FlatFootage(image_size)
    return backdrop


@contextlib.contextmanager
def _named(name: str, method: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[None]:
    """What goes wrong inside says whose it is, and which options are of another kind than their defaults."""
    try:
        yield
    except PartError:
        raise
    except Exception as error:
        odd = [
            f"; its option {option} is {options[option]!r}, where the default is {default!r}"
            for option, default in defaults.items()
            if default is not None and not _alike(options[option], default)
        ]
        raise ValueError(
            f"distractor {name!r}: {method} fails, {type(error).__name__}: {error}{''.join(odd)}"
        ) from error


def _alike(given: Any, default: Any) -> bool:
    numbers = [isinstance(value, Real) and not isinstance(value, bool) for value in (given, default)]
    return all(numbers) or isinstance(given, type(default))
