"""``occluders``: things that pass in front of the agent; the mask leaves out what they hide."""

from __future__ import annotations

import numpy as np

from masklam_envs.distractors.base import REFERENCE_SIZE, Backdrop, Context, Float32Array, Float64Array, Part
from masklam_envs.distractors.options import checked_integer, checked_number

MAX_COUNT = 64
MAX_SPEED = 32.0
# Columns of an occluder.
X, Y, SPEED_X, SPEED_Y, HALF_WIDTH, HALF_HEIGHT, ROUND, RED, COLUMNS = 0, 1, 2, 3, 4, 5, 6, 7, 10


class Occluders(Part):
    """Discs and boxes of one colour each that fly straight on and turn round where they have left the image.

    The row has ten columns for each: x, y (of its centre), speed x, speed y, half width, half height, 1 for a disc and
    0 for a box, red, green, blue; lengths in pixels of a 64-pixel-wide image, colours in [0, 255].  x and y go on for
    ever; the painter folds them.

    :param count: how many, in [0, 64]
    :param size: mean width and height in pixels of a 64-pixel-wide image, in [1, 64]; each is within half to one and a
        half times that
    :param speed: standard deviation of the speed along each axis, in those pixels a step, in [0, 32]
    :param opacity: in [0, 1]; from 0.5 on they hide the mask
    :raises ValueError: when an option is out of its range
    """

    def __init__(
        self, context: Context, *, count: int = 3, size: float = 12.0, speed: float = 1.5, opacity: float = 1.0
    ) -> None:
        super().__init__(context)
        self.count = checked_integer("occluders", "count", count, 0, MAX_COUNT)
        self.size = checked_number("occluders", "size", size, 1.0, REFERENCE_SIZE)
        self.speed = checked_number("occluders", "speed", speed, 0.0, MAX_SPEED)
        self.opacity = checked_number("occluders", "opacity", opacity, 0.0, 1.0)
        self.width = COLUMNS * self.count

    def start(self, rng: np.random.Generator) -> Float64Array:
        """Anywhere in the image, of any kind and colour."""
        table = np.empty((self.count, COLUMNS))
        table[:, : X + 2] = rng.uniform(0, REFERENCE_SIZE, (self.count, 2))
        table[:, SPEED_X : SPEED_X + 2] = self.speed * rng.standard_normal((self.count, 2))
        table[:, HALF_WIDTH : HALF_WIDTH + 2] = 0.5 * self.size * rng.uniform(0.5, 1.5, (self.count, 2))
        table[:, ROUND] = rng.integers(0, 2, self.count)
        table[:, RED:] = rng.integers(0, 256, (self.count, 3))
        return table.ravel()

    def advance(
        self, rng: np.random.Generator, row: Float64Array, actions: Float64Array, states: Float32Array
    ) -> Float64Array:
        """Straight on: (T, width)."""
        steps = np.zeros((len(actions) + 1, self.count, COLUMNS))
        table = row.reshape(self.count, COLUMNS)
        steps[0], steps[1:, :, : X + 2] = table, table[:, SPEED_X : SPEED_X + 2]
        return np.add.accumulate(steps, axis=0)[1:].reshape(len(actions), self.width)

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Lay them over the frame."""
        if not self.count:
            return
        # Imported here: numba costs a second that a run without pixels need not pay.
        from masklam_envs.distractors.shapes import paint_shapes

        table = row.reshape(self.count, COLUMNS).copy()
        size = self.context.image_size
        for place, half in ((X, HALF_WIDTH), (Y, HALF_HEIGHT)):
            table[:, place] = _folded(table[:, place], -table[:, half], REFERENCE_SIZE + table[:, half])
        table[:, [X, Y, HALF_WIDTH, HALF_HEIGHT]] *= size / REFERENCE_SIZE
        backdrop.overlays += (paint_shapes(table, size, self.opacity),)

    def motion(self, rows: Float64Array) -> Float64Array | None:
        """What each step adds to x and y of each: (T, 2 count); None where there are none."""
        tables = rows.reshape(len(rows), self.count, COLUMNS)[:, :, : X + 2]
        return np.diff(tables.reshape(len(rows), 2 * self.count), axis=0) if self.count else None


def _folded(place: Float64Array, low: Float64Array, high: Float64Array) -> Float64Array:
    """Places on an endless line as places between bounds, going back and forth."""
    span = high - low
    along = np.mod(place - low, 2 * span)
    folded: Float64Array = low + np.minimum(along, 2 * span - along)
    return folded
