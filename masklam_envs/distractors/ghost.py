"""``ghost``: a second robot of the same kind that does what the agent does, or did."""

from __future__ import annotations

import math

import numpy as np

from masklam_envs.distractors.base import Backdrop, Context, Float32Array, Float64Array, Part
from masklam_envs.distractors.options import checked_flag, checked_integer, checked_number
from masklam_envs.rendering.look import Ghost

MAX_OFFSET = 64.0
MAX_LAG = 1000


class GhostRobot(Part):
    """A copy of the agent with the agent's own pose of ``lag`` frames ago, behind the agent and never in its mask.

    It stays where it is in the image: its place along the ground is the agent's, displaced; its height and its limbs
    are those of its pose.  Whatever moves it moves the agent too, so nothing but the mask tells the two apart: the
    hardest distractor that the action decides.

    With a lag the row is ``(known, qpos)``, else it is empty; before the first pose that is old enough the ghost shows
    the episode's first.

    :param lag: frames, in [0, 1000]
    :param mirror: turn it by half a turn about the vertical: seen from the side, the mirror image
    :param x: displacement to the right, pixels of a 64-pixel-wide image, in [-64, 64]
    :param y: displacement downwards, same unit
    :param opacity: of the whole ghost over what is behind it, in [0, 1]
    :raises ValueError: when an option is out of its range, or there is no model
    """

    def __init__(
        self,
        context: Context,
        *,
        lag: int = 0,
        mirror: bool = True,
        x: float = 12.0,
        y: float = -8.0,
        opacity: float = 1.0,
    ) -> None:
        super().__init__(context)
        scene = context.scene_for("ghost")
        self._late = checked_integer("ghost", "lag", lag, 0, MAX_LAG)
        # The row of frame t + 1 is made of state t: one frame late already.
        self.state_lag = max(self._late - 1, 0)
        self._turn = math.pi if checked_flag("ghost", "mirror", mirror) else 0.0
        self._x = checked_number("ghost", "x", x, -MAX_OFFSET, MAX_OFFSET)
        self._y = checked_number("ghost", "y", y, -MAX_OFFSET, MAX_OFFSET)
        self._opacity = checked_number("ghost", "opacity", opacity, 0.0, 1.0)
        self._size, self._travel = scene.nq, list(scene.travel)
        self.width = 1 + self._size if self._late else 0

    def start(self, rng: np.random.Generator) -> Float64Array:
        """No pose is known yet."""
        return np.zeros(self.width)

    def advance(
        self, rng: np.random.Generator, row: Float64Array, actions: Float64Array, states: Float32Array
    ) -> Float64Array:
        """The poses that are old enough: (T, width)."""
        rows = np.ones((len(states), self.width))
        if self._late:
            rows[:, 1:] = states[:, : self._size]
        return rows

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Add the ghost."""
        if backdrop.qpos.shape != (self._size,):
            raise ValueError(
                "the distractor 'ghost' needs the agent's pose: use look(row, qpos) in place of plate(row)"
            )
        pose = backdrop.qpos.copy()
        if self._late and row[0]:
            pose[:] = row[1:]
            pose[self._travel] = backdrop.qpos[self._travel]
        backdrop.ghosts += (Ghost(pose, self._x, self._y, self._turn, self._opacity),)

    def motion(self, rows: Float64Array) -> Float64Array | None:
        """What each step adds to the pose: (T, nq); None without a lag, when rows say nothing."""
        return np.diff(rows[:, 1:], axis=0) if self._late else None
