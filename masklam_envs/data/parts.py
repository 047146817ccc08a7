"""Frames whose masks tell the agent from the objects it handles, for losses that weigh the two apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.view import View

AGENT, OBJECT = 255, 128


class PartFrames(LazyFrames):
    """Frames drawn when they are asked for, masked 255 where the agent is seen, 128 where an object is, else 0.

    Everything is drawn twice, once for each mask; the pixels are those of :class:`LazyFrames`.

    :param trajectories: the physics, of a task with objects
    :param env: as in :class:`LazyFrames`; its mask's source and target do not matter
    :param block: as in :class:`~masklam_envs.data.frames.LazyFrames`
    :raises ValueError: when the model has no object
    """

    def __init__(self, trajectories: Trajectories, env: Any, *, block: int = 25) -> None:
        super().__init__(trajectories, env, block=block)
        seen = self.view
        views = {target: seen.again(mask_target=target, mask_source="simulator") for target in ("agent", "object")}
        self.view: View = views["agent"]
        self._objects = LazyFrames(trajectories, views["object"], block=block)

    def seen_by(self, view: View) -> PartFrames:
        """The same episodes drawn by another view."""
        return PartFrames(self.trajectories, view, block=self.block)

    def part(self, episodes: Sequence[int]) -> PartFrames:
        """Some of the episodes, at least one, in the given order."""
        return PartFrames(self.trajectories.select(episodes), self.view, block=self.block)

    def select(self, episodes: Iterable[int]) -> Frames:
        """The frames of the given episodes, drawn."""
        chosen = list(episodes)
        frames = super().select(chosen)
        _mark(frames.rgbm, self._objects.select(chosen).rgbm)
        return frames

    def rows(self, index: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """An array (F, H, W, 4) of just the frames ``index`` asks for, and where in it they are."""
        rgbm, place = super().rows(index)
        _mark(rgbm, self._objects.rows(index)[0])
        return rgbm, place


def _mark(rgbm: NDArray[np.uint8], objects: NDArray[np.uint8]) -> None:
    """Write objects into the masks of the agent (F, H, W, 4), which stays in front."""
    rgbm[..., 3] = np.maximum(rgbm[..., 3], np.where(objects[..., 3] > 0, np.uint8(OBJECT), np.uint8(0)))
