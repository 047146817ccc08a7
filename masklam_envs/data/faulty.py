"""Faults of recorded masks: of datasets of pixels, and of what a mask source found.

Physics that is drawn has them by the environment's argument ``mask_faults``; this is for masks that are there.

* :func:`faulty_frames` - the same frames with faults.
* :func:`faulty_episode` - one episode; :func:`fault_seed` - the seed of its chance.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.frames import Frames
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.masks.episode import EpisodeFaults, MaskFault, Seen
from masklam_envs.masks.faults import make_faults


def faulty_frames(frames: Frames, faults: Any, seed: int = 0) -> Frames:
    """Frames with faults of their masks, in memory; of physics they are those of an environment with ``mask_faults``.

    :param frames: drawn, imported or loaded ones
    :param faults: as in :func:`~masklam_envs.masks.faults.make_faults`; occlusion may change pixels, too
    :param seed: of chance in episodes that came as pixels; those of physics have a seed of their own
    :return: a copy; its record ``meta["mask_faults"]`` says which
    :raises ValueError: for an unknown fault or option, or the fault ``"ghost"``, which only drawn physics can have
    """
    made = known_faults(faults)
    rgbm = np.array(frames.rgbm)
    for episode, (first, end) in enumerate(itertools.pairwise(frames.trajectories.first_frame)):
        own = fault_seed(frames.trajectories, episode, seed)
        rgbm[first:end, ..., :3], rgbm[first:end, ..., 3:] = faulty_episode(
            made, own, frames.pixels[first:end], frames.mask[first:end]
        )
    meta = {**frames.trajectories.meta, "masks": "faulty", "mask_faults": faults}
    return Frames(dataclasses.replace(frames.trajectories, meta=meta), rgbm, frames.tracks)


def known_faults(faults: Any) -> list[MaskFault]:
    """The faults of a configuration, for masks that are there.

    :raises ValueError: as :func:`faulty_frames`
    """
    made = make_faults(faults)
    if any(fault.needs_ghost for fault in made):
        raise ValueError(
            "recorded masks do not know which pixels are a ghost's: draw the physics in an environment with "
            "mask_faults='ghost'"
        )
    return made


def faulty_episode(
    faults: Sequence[MaskFault], seed: int, pixels: NDArray[np.uint8], masks: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (T, H, W, 3) and masks (T, H, W, 1), uint8, of a whole episode with faults.

    :param faults: from :func:`known_faults`
    :param seed: of the episode's distractor, or :func:`fault_seed`
    """
    episode = EpisodeFaults(faults, seed, length=len(masks), draw=lambda t: Seen(masks[t], None, pixels[t]))
    shown = [episode.at(t, pixels[t], masks[t]) for t in range(len(masks))]
    return np.stack([part[0] for part in shown]), np.stack([part[1] for part in shown])


def fault_seed(trajectories: Trajectories, episode: int, seed: int = 0) -> int:
    """The seed of chance in an episode's faults: that of its distractor, where there was one."""
    if trajectories.qpos.shape[1]:
        return int(trajectories.distractor_seeds[episode])
    return int(np.random.SeedSequence([seed, episode]).generate_state(1, np.uint64)[0] >> 1)
