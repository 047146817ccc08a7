"""Visual distractors: what moves behind the agent (a track) and how it looks (a painter).

* ``none`` - the scene's own sky and ground
* ``video`` - a clip played back and forth, knowing nothing of the actions
* ``action`` - a background panned by the action, by a correlation that is set as a number

>>> import numpy as np
>>> reference = ActionReference.uniform([-1, -1], [1, 1])
>>> distractor = make_distractor(["video", "action"], correlation=0.9, action_reference=reference, image_size=64)
>>> rows = distractor.track(seed=0, actions=np.zeros((10, 2)), states=np.zeros((11, 4)))
>>> rows.shape, distractor.plate(rows[3]).shape
((11, 6), (64, 64, 3))
"""

from __future__ import annotations

from masklam_envs.distractors.base import Backdrop, Backdrops, Context, Footage, Part
from masklam_envs.distractors.compose import Distractor, LiveTrack
from masklam_envs.distractors.presets import PRESETS, distractor_names, make_distractor, register_distractor
from masklam_envs.distractors.reference import ActionReference

__all__ = [
    "PRESETS",
    "ActionReference",
    "Backdrop",
    "Backdrops",
    "Context",
    "Distractor",
    "Footage",
    "LiveTrack",
    "Part",
    "distractor_names",
    "make_distractor",
    "register_distractor",
]
