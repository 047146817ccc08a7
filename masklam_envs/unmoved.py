"""Does an environment move what its positions do not tell?  Frames are drawn from positions, also live ones."""

from __future__ import annotations

import warnings
from typing import Any

import mujoco
import numpy as np

from masklam_envs.drawn_model import VISIBLE_GROUPS

# What a frame shows beside the positions, by what it belongs to.
LOOKS = {
    "body": ("pos", "quat"),
    "geom": ("pos", "quat", "size", "rgba"),
    "mat": ("rgba",),
    "cam": ("pos", "quat", "fovy"),
    "light": ("pos", "dir", "diffuse", "ambient"),
}

CURE = "masklam_envs.PlacedEnv(env, ['body:goal', ...]) makes such places a part of the positions: docs/environments.md"


def drawn_mocap(model: mujoco.MjModel) -> list[int]:
    """The mocap bodies that have a visible geom, or one below them."""
    visible = (model.geom_group < VISIBLE_GROUPS) & (model.geom_rgba[:, 3] > 0)
    shown = {int(root) for root in model.body_rootid[model.geom_bodyid[visible]]}
    return [body for body in np.flatnonzero(model.body_mocapid >= 0).tolist() if body in shown]


def warn_of_mocap(model: mujoco.MjModel) -> None:
    """A warning where a visible body moves and is drawn where the model has it."""
    if names := [model.body(body).name or str(body) for body in drawn_mocap(model)]:
        warnings.warn(
            f"mocap bodies are drawn where the model has them, not where they are moved to: {', '.join(names)}; {CURE}",
            UserWarning,
            stacklevel=4,
        )


class Unmoved:
    """Remembers how a model looks, and finds what has changed.

    :param model: the model as it is drawn
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._mocap = drawn_mocap(model)
        self._before = {name: getattr(model, name).copy() for name in _fields()}

    def check(self, data: Any) -> None:
        """Compare.

        :param data: the model's data, whose mocap bodies are to be where the model has them
        :raises ValueError: names what moved, and the cure
        """
        mocap = [f"mocap body:{self._model.body(body).name}" for body in self._mocap if self._is_moved(body, data)]
        if moved := [*self._changed(), *mocap]:
            raise ValueError(
                f"the environment moves or changes what recorded positions do not tell ({', '.join(moved)}), so its "
                f"frames could not be drawn again; {CURE}; colours, sizes and cameras have to stay as they are"
            )

    def _changed(self) -> list[str]:
        """The first thing that differs, of each field that does."""
        found = []
        for field, before in self._before.items():
            now = getattr(self._model, field)
            if not np.array_equal(now, before):
                kind = field.partition("_")[0]
                row = int(np.flatnonzero((now != before).reshape(len(now), -1).any(axis=1))[0])
                found.append(f"{kind}:{getattr(self._model, kind)(row).name or row} ({field})")
        return found

    def _is_moved(self, body: int, data: Any) -> bool:
        slot = self._model.body_mocapid[body]
        pose = np.concatenate((data.mocap_pos[slot], data.mocap_quat[slot]))
        return not np.array_equal(pose, np.concatenate((self._model.body_pos[body], self._model.body_quat[body])))


def _fields() -> list[str]:
    return [f"{kind}_{what}" for kind, looks in LOOKS.items() for what in looks]
