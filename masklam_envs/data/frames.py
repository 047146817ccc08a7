"""Frames of recorded physics, under any distractor: the same bytes the live environment showed.

:class:`Frames` holds them in memory, :class:`LazyFrames` draws them when they are asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.replay import warn_of_other_mujoco
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.env import MaskEnv
from masklam_envs.view import View


@dataclasses.dataclass(frozen=True)
class Frames:
    """Trajectories with pixels and masks of every frame: a dataset for the agents.

    :param trajectories: the physics
    :param rgbm: (F, H, W, 4) uint8: RGB under the distractor and, as fourth channel, the agent mask
    :param tracks: per episode the distractor's rows (T + 1, D)
    :raises ValueError: when the number of frames is not the trajectories'
    """

    trajectories: Trajectories
    rgbm: NDArray[np.uint8]
    tracks: list[NDArray[np.float64]]

    def __post_init__(self) -> None:
        want = int(self.trajectories.first_frame[-1])
        if self.rgbm.ndim != 4 or self.rgbm.shape[3] != 4 or self.rgbm.dtype != np.uint8 or len(self.rgbm) != want:
            raise ValueError(
                f"rgbm must be uint8 of shape ({want}, H, W, 4): RGB and mask of every frame of the "
                f"{self.trajectories.episodes} episodes; got {self.rgbm.dtype} {self.rgbm.shape}"
            )

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.rgbm)

    @property
    def image_size(self) -> int:
        """Side of a frame, pixels."""
        return int(self.rgbm.shape[1])

    def select(self, episodes: Iterable[int]) -> Frames:
        """The given episodes, copied in the given order."""
        chosen = list(episodes)
        trajectories, starts = self.trajectories.select(chosen), self.trajectories.first_frame
        index = [np.arange(starts[e], starts[e + 1]) for e in chosen]
        return Frames(
            trajectories, self.rgbm[np.concatenate([[], *index]).astype(int)], [self.tracks[e] for e in chosen]
        )

    def rows(self, index: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """An array (F, H, W, 4) of frames, and where in it the frames ``index`` are: here the data itself."""
        return self.rgbm, index

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(F, H, W, 3) view."""
        return self.rgbm[..., :3]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(F, H, W, 1) view."""
        return self.rgbm[..., 3:]


class LazyFrames:
    """Trajectories whose frames are drawn when they are asked for: any number of episodes in little memory.

    Training draws ``block`` episodes at a time, takes as many samples of them as they have transitions and goes on to
    the next; see :class:`~masklam_envs.data.blocks.Blocks`.

    :param trajectories: the physics
    :param env: an environment of this package (only its view is used: model, camera, distractor), or a
        :class:`~masklam_envs.view.View`
    :param block: episodes in memory at a time; 25 of 1,000 steps take 0.4 GB at 64x64
    :raises ValueError: when the physics is of another model, or ``block`` is below 1
    """

    def __init__(self, trajectories: Trajectories, env: MaskEnv | View | Any, *, block: int = 25) -> None:
        if block < 1:
            raise ValueError(f"block must be at least one episode, got {block}")
        self.trajectories, self.block = trajectories, block
        self.view = _view_of(env, trajectories)
        self._episodes: dict[int, _Episode] = {}

    def __len__(self) -> int:
        """The number of frames."""
        return int(self.trajectories.first_frame[-1])

    @property
    def image_size(self) -> int:
        """Side of a frame, pixels."""
        return self.view.config.image_size

    def select(self, episodes: Iterable[int]) -> Frames:
        """The frames of the given episodes, drawn."""
        return render_frames(self.trajectories.select(episodes), self.view)

    def rows(self, index: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """An array (F, H, W, 4) of just the frames ``index`` asks for, and where in it they are."""
        wanted, place = np.unique(index, return_inverse=True)
        starts, size = self.trajectories.first_frame, self.image_size
        rgbm = np.empty((len(wanted), size, size, 4), np.uint8)
        episodes = np.searchsorted(starts, wanted, side="right") - 1
        for out, frame, episode in zip(rgbm, wanted, episodes, strict=True):
            if episode not in self._episodes:
                self._episodes[episode] = _Episode(self.view, self.trajectories, episode)
            self._episodes[episode].draw(int(frame - starts[episode]), out)
        return rgbm, place.reshape(index.shape)


def render_frames(trajectories: Trajectories, env: MaskEnv | View | Any, *, progress_bar: bool = False) -> Frames:
    """Draw every frame of recorded physics.

    :param trajectories: the physics
    :param env: an environment of this package (only its view is used: model, camera, distractor), or a
        :class:`~masklam_envs.view.View`
    :param progress_bar: show one
    :raises ValueError: when the physics is of another model
    """
    from tqdm.auto import trange

    view = _view_of(env, trajectories)
    size = view.config.image_size
    starts = trajectories.first_frame
    rgbm = np.empty((int(starts[-1]), size, size, 4), np.uint8)
    tracks = []
    for e in trange(trajectories.episodes, disable=not progress_bar, desc="render", unit="episode"):
        episode = _Episode(view, trajectories, e)
        tracks.append(episode.rows)
        for t, out in enumerate(rgbm[starts[e] : starts[e + 1]]):
            episode.draw(t, out)
    return Frames(trajectories, rgbm, tracks)


def _view_of(env: MaskEnv | View | Any, trajectories: Trajectories) -> View:
    view: View = env if isinstance(env, View) else env.unwrapped.view  # type: ignore[union-attr]
    if view is not env:  # a bare view is what blocks of an opened dataset are drawn with, over and over
        warn_of_other_mujoco(trajectories)
    if trajectories.qpos.shape[1] != view.model.nq:
        raise ValueError(
            f"the trajectories have {trajectories.qpos.shape[1]} positions, the model has {view.model.nq}: "
            f"they were recorded in {trajectories.meta.get('base')}"
        )
    return view


class _Episode:
    """A recorded episode as it is drawn: its distractor's rows (T + 1, D) and its masks' faults."""

    def __init__(self, view: View, trajectories: Trajectories, episode: int) -> None:
        seed = int(trajectories.distractor_seeds[episode])
        actions, states = trajectories.episode_actions(episode), trajectories.states(episode)
        self.view = view
        self.qpos = trajectories.qpos[slice(*trajectories.first_frame[episode : episode + 2])]
        self.rows = view.distractor.track(seed, actions, states)
        self.faults = view.episode_faults(seed, length=len(self.rows), draw=self._true_mask)

    def draw(self, t: int, out: NDArray[np.uint8]) -> None:
        """Frame ``t`` and its mask into ``out`` (H, W, 4)."""
        pixels, mask = self.view.frame(self.qpos[t], self.rows[t])
        out[..., :3], out[..., 3:] = self.faults.at(t, pixels, mask)

    def _true_mask(self, t: int) -> NDArray[np.uint8]:
        return self.view.frame(self.qpos[t], self.rows[t])[1]
