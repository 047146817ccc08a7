"""Frames of recorded physics, under any distractor: the same bytes the live environment showed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    def pixels(self) -> NDArray[np.uint8]:
        """(F, H, W, 3) view."""
        return self.rgbm[..., :3]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(F, H, W, 1) view."""
        return self.rgbm[..., 3:]


def render_frames(trajectories: Trajectories, env: MaskEnv | View | Any, *, progress_bar: bool = False) -> Frames:
    """Draw every frame of recorded physics.

    :param trajectories: the physics
    :param env: an environment of this package (only its view is used: model, camera, distractor), or a
        :class:`~masklam_envs.view.View`
    :param progress_bar: show one
    :raises ValueError: when the physics is of another model
    """
    view: View = env if isinstance(env, View) else env.unwrapped.view  # type: ignore[union-attr]
    if trajectories.qpos.shape[1] != view.model.nq:
        raise ValueError(
            f"the trajectories have {trajectories.qpos.shape[1]} positions, the model has {view.model.nq}: "
            f"they were recorded in {trajectories.meta.get('base')}"
        )
    from tqdm.auto import trange

    size = view.config.image_size
    starts = trajectories.first_frame
    rgbm = np.empty((int(starts[-1]), size, size, 4), np.uint8)
    tracks = []
    for e in trange(trajectories.episodes, disable=not progress_bar, desc="render", unit="episode"):
        actions, states = trajectories.episode_actions(e), trajectories.states(e)
        rows = view.distractor.track(int(trajectories.distractor_seeds[e]), actions, states)
        for frame, row in zip(range(starts[e], starts[e + 1]), rows, strict=True):
            rgbm[frame, :, :, :3], rgbm[frame, :, :, 3:] = view.frame(trajectories.qpos[frame], row)
        tracks.append(rows)
    return Frames(trajectories, rgbm, tracks)
