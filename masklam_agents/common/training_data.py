"""What agents of recorded frames are given: frames or physics, and the actions in them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from masklam_agents.common.shown import shown_view
from masklam_envs.data.cache import open_frames
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.replay import warn_of_other_mujoco
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.data.windows import Windows

#: which actions labelled transitions teach a model of frame pairs: the policy's own, or those executed after noise
LABEL_TARGETS = ("policy", "executed")
Dataset = Frames | LazyFrames
#: what an agent can be given: frames, or physics that is seen through its environment
Source = Dataset | Trajectories


def checked_source(dataset: Any) -> Source | None:
    """The same.

    :raises TypeError: when it is nothing an agent can be given
    """
    if dataset is None or isinstance(dataset, Frames | LazyFrames | Trajectories):
        return dataset
    cure = "Trajectories.load(path) opens a folder" if isinstance(dataset, str | os.PathLike) else "see render_frames"
    raise TypeError(f"dataset must be Frames, LazyFrames or Trajectories, got {dataset!r}: {cure}")


def recorded_in(dataset: Source) -> Trajectories:
    """The trajectories of a dataset, without drawing it."""
    return dataset if isinstance(dataset, Trajectories) else dataset.trajectories


def opened(recorded: Trajectories, env: Any, progress_bar: bool) -> Dataset:
    """The frames of recorded physics as an agent's environment shows them.

    :param env: the agent's, or None
    :raises ValueError: when it is none of ``masklam_envs``, or a wrapper round it changes frames or actions
    """
    view = shown_view(env)
    if view is None:
        raise ValueError(
            "recorded physics is seen through an environment: pass env= (one of masklam_envs), or the frames "
            "themselves as dataset=open_frames(trajectories, env)"
        )
    warn_of_other_mujoco(recorded)
    return open_frames(recorded, view, progress_bar=progress_bar)


def spaces_of(dataset: Dataset) -> tuple[spaces.Dict, spaces.Box]:
    """The observation and action space that a dataset was recorded in."""
    size, recorded = dataset.image_size, dataset.trajectories
    # Without actions stage 1 trains all the same; the decoder, made for one, is never used.
    count = recorded.actions.shape[1] or 1
    low, high = (
        np.asarray(recorded.meta.get(key) or count * [end], np.float32)
        for key, end in (("action_low", -1), ("action_high", 1))
    )
    return spaces.Dict({"pixels": spaces.Box(0, 255, (size, size, 3), np.uint8)}), spaces.Box(low, high)


def image_size_of(space: Any) -> int:
    """Side of the frames in an environment's observation space, pixels.

    :raises ValueError: when it has no frames
    """
    pixels = space["pixels"] if isinstance(space, spaces.Dict) and "pixels" in space.spaces else space
    if not isinstance(pixels, spaces.Box) or len(pixels.shape) != 3:
        raise ValueError(f"the observation space needs an image box under the key 'pixels', got {space}")
    return int(sorted(pixels.shape)[1])


def true_actions(
    dataset: Dataset, windows: Windows, anchors: NDArray[np.int64], space: Any, target: str = "policy"
) -> NDArray[np.float32]:
    """The actions (N, A) in the frames of anchors (N,): the policy's, before noise was added, or the executed ones.

    :param windows: of the dataset
    :param space: that the agent acts in
    :param target: one of :data:`LABEL_TARGETS`
    :raises ValueError: when the dataset has none, or others than the agent
    """
    trajectories = dataset.trajectories
    recorded = trajectories.labels if target == "policy" else trajectories.actions
    if not recorded.shape[1]:
        raise ValueError(
            "the dataset has no actions: train stage 1 alone (stage_shares=(1, 0, 0)), then set agent.dataset to "
            "one with actions"
        )
    if recorded.shape[1:] != space.shape:
        raise ValueError(f"the dataset's actions have shape {recorded.shape[1:]}, the agent acts in {space.shape}")
    _check_bounds(trajectories.meta, space)
    if not np.isfinite(recorded).all():
        wrong = int(np.flatnonzero(~np.isfinite(recorded).all(axis=1))[0])
        raise ValueError(f"the dataset's action {wrong} is {recorded[wrong]}: leave out what is not finite")
    return recorded[windows.step(anchors)]


def _check_bounds(meta: dict[str, Any], space: Any) -> None:
    """Complain of actions that mean something else to the agent: they were recorded within other bounds.

    Of data that came as pixels the bounds are often a guess, so they decide nothing.
    """
    low, high = meta.get("action_low"), meta.get("action_high")
    if meta.get("base") and low and high and not (np.allclose(low, space.low) and np.allclose(high, space.high)):
        raise ValueError(
            f"the dataset's actions were recorded within {low} and {high}, the agent acts in {space}: collect them "
            "in the environment that the agent is given, or give it the one they are from"
        )
