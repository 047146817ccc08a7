"""``colour``: the colours of everything in the scene drift, as in the Distracting Control Suite."""

from __future__ import annotations

import numpy as np

from masklam_envs.distractors.base import Backdrop, Context, Float64Array
from masklam_envs.distractors.options import checked_flag, checked_number
from masklam_envs.distractors.walk import BoundedWalk

# Of a step, as a share of the scale.
STEP_STD = 0.03


class Colour(BoundedWalk):
    """Every paint's red, green and blue walk at random within ``scale`` of what they are, cut to [0, 1].

    A paint is a material, or a colour that geoms without material share.  As in the Distracting Control Suite (Stone et
    al. 2021, https://arxiv.org/abs/2101.02722), there for materials only: uniform start, steps of standard deviation
    0.03 ``scale``, clipped to the bounds.

    :param scale: the largest change of a channel, in [0, 1]; the suite's easy, medium and hard are 0.1, 0.2 and 0.3
    :param dynamic: False: one colour for a whole episode
    :raises ValueError: when an option is out of its range, or there is no model
    """

    def __init__(self, context: Context, *, scale: float = 0.1, dynamic: bool = True) -> None:
        scale = checked_number("colour", "scale", scale, 0.0, 1.0)
        scene = context.scene_for("colour")
        self._paints = scene.paints
        first = np.unique(scene.paints, return_index=True)[1]
        colours = scene.colours[first].ravel()
        low, high = np.clip(colours - scale, 0.0, 1.0), np.clip(colours + scale, 0.0, 1.0)
        super().__init__(context, low, high, STEP_STD * scale if checked_flag("colour", "dynamic", dynamic) else 0.0)

    def paint(self, row: Float64Array, backdrop: Backdrop) -> None:
        """Colour every geom."""
        backdrop.colours = row.reshape(-1, 3)[self._paints]
