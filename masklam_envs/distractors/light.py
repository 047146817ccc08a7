"""``light``: lamps that change brightness and colour and are carried round the robot."""

from __future__ import annotations

import math

import numpy as np

from masklam_envs.distractors.base import Backdrop, Context, Float64Array
from masklam_envs.distractors.options import checked_flag, checked_number
from masklam_envs.distractors.walk import BoundedWalk
from masklam_envs.rendering.look import LightChange

# Of a step, as a share of each bound: the Distracting Control Suite's for colours.
STEP_STD = 0.03


class Light(BoundedWalk):
    """All lamps together walk at random: red, green and blue by factors, and their direction.

    The row is ``(red, green, blue, yaw, pitch)``: factors within ``scale`` of 1, angles within pi ``scale`` about the
    vertical and pi / 2 ``scale`` about the camera's axis to the right.  Start and steps are those of ``colour``.

    :param scale: in [0, 1]
    :param dynamic: False: one light for a whole episode
    :raises ValueError: when an option is out of its range
    """

    def __init__(self, context: Context, *, scale: float = 0.3, dynamic: bool = True) -> None:
        scale = checked_number("light", "scale", scale, 0.0, 1.0)
        reach = scale * np.array([1.0, 1.0, 1.0, math.pi, math.pi / 2])
        middle = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
        moves = checked_flag("light", "dynamic", dynamic)
        super().__init__(context, middle - reach, middle + reach, STEP_STD * reach if moves else 0.0)

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Change the lamps."""
        red, green, blue, yaw, pitch = row.tolist()
        backdrop.light = LightChange((red, green, blue), yaw, pitch)
