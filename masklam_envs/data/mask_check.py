"""A look at a dataset's masks before something is trained on them."""

from __future__ import annotations

import warnings

import numpy as np

from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.masks.quality import USELESS_EMPTY, measure
from masklam_envs.masks.threshold import HALF

EPISODES, FRAMES = 4, 16  # that are looked at, and of each


def warn_of_useless_masks(dataset: Frames | LazyFrames) -> None:
    """Warn when a method that learns from masks would learn nothing from these.

    A few frames are looked at.  Where they are drawn by a view that has the simulator's masks too, the masks are
    compared with those (useless below an IoU of 0.3); everywhere more than 5 % of empty ones are worth a warning.

    :param dataset: what is trained on; one with a column of masks was checked when it was opened
    """
    if isinstance(dataset, LazyFrames) and dataset.masks is not None:
        return
    complaints = mask_complaints(dataset)
    if complaints:
        warnings.warn(
            f"{dataset.trajectories.name}: the masks are of little use for training: {'; '.join(complaints)}; look "
            "at them (masklam inspect, masklam segment --sheet FILE), or train without them (mask_channel=False, "
            "loss='plain')",
            stacklevel=3,
        )


def mask_complaints(dataset: Frames | LazyFrames) -> list[str]:
    """What can be said against a dataset's masks, by a few of its frames; see :func:`warn_of_useless_masks`."""
    if isinstance(dataset, LazyFrames) and dataset.masks is not None and dataset.masks.quality is not None:
        return dataset.masks.quality.complaints
    index = _some_frames(dataset)
    rgbm, place = dataset.rows(index)
    masks = np.ascontiguousarray(rgbm[place][..., 3])
    drawn = isinstance(dataset, LazyFrames) and dataset.masks is None
    if isinstance(dataset, LazyFrames) and drawn and (dataset.view.mask_source is not None or dataset.view.faults):
        simple = dataset.view.again(mask_source="simulator", mask_faults=None)
        truth, place = LazyFrames(dataset.trajectories, simple).rows(index)
        return measure(masks, np.ascontiguousarray(truth[place][..., 3])).complaints
    empty = float((masks.max(axis=(1, 2)) < HALF).mean())
    return [f"{empty:.0%} of them are empty, more than {USELESS_EMPTY:.0%}"] if empty > USELESS_EMPTY else []


def _some_frames(dataset: Frames | LazyFrames) -> np.ndarray:
    """Frames evenly spaced over a few episodes: a fault may have to look at a whole episode for one of its frames."""
    starts = dataset.trajectories.first_frame
    chosen = np.unique(np.linspace(0, len(starts) - 2, EPISODES).astype(int))
    parts = [np.linspace(starts[e], starts[e + 1] - 1, FRAMES).astype(np.int64) for e in chosen]
    return np.unique(np.concatenate(parts))
