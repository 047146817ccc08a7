"""Parts of a dataset: which transitions have labels, and which episodes and backgrounds are kept for testing."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.frames import LazyFrames, view_of
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.data.windows import Windows
from masklam_envs.errors import unknown_name
from masklam_envs.view import View

SPREADS = ("dataset", "episodes")


def labelled_anchors(
    windows: Windows,
    *,
    transitions: int | None = None,
    episodes: int | None = None,
    spread: str = "dataset",
    seed: int = 0,
) -> NDArray[np.int64]:
    """The anchors whose true actions a method may see.  With one seed, a smaller subset is part of every larger one.

    :param windows: of the dataset
    :param transitions: so many anchors (papers: 2,048 to 128,000); or
    :param episodes: all anchors of so many episodes (papers: 2 to 128)
    :param spread: where ``transitions`` lie: ``"dataset"``: anywhere, ``"episodes"``: in as few episodes as hold them,
        as where the first rows of a file are taken
    :param seed: of the choice
    :return: (n,) int64, sorted
    :raises ValueError: when both numbers or none are given, or the dataset does not have so many
    """
    if (transitions is None) == (episodes is None):
        raise ValueError(f"give either transitions or episodes, got {transitions} and {episodes}")
    if spread not in SPREADS:
        raise ValueError(unknown_name("spread", spread, SPREADS))
    rng = np.random.default_rng(seed)
    anchors = windows.anchors
    if episodes is not None:
        chosen = _chosen(rng, np.unique(windows.episode(anchors)), episodes, "episodes with windows")
        return anchors[np.isin(windows.episode(anchors), chosen)]
    if spread == "dataset":
        return np.sort(_chosen(rng, anchors, int(transitions or 0), "windows"))
    # Whole episodes in the seed's order; the last one from its beginning.
    rank = np.argsort(rng.permutation(windows.frames.trajectories.episodes))
    in_order = anchors[np.argsort(rank[windows.episode(anchors)], kind="stable")]
    _check_count(int(transitions or 0), len(anchors), "windows")
    return np.sort(in_order[:transitions])


@dataclasses.dataclass(frozen=True)
class Splits:
    """Episode numbers of each part, sorted; no episode is in two of them.

    :param train: to learn from
    :param validation: to choose by
    :param test: to report
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_episodes(trajectories: Trajectories, *, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> Splits:
    """Split a dataset by episode.

    :param validation: share of the episodes in [0, 1), rounded up
    :param test: the same
    :param seed: of the choice
    :raises ValueError: for shares out of range, or where no episode is left to train on
    """
    if min(validation, test) < 0 or validation + test >= 1:
        raise ValueError(f"validation and test must be shares >= 0, together below 1, got {validation} and {test}")
    count = trajectories.episodes
    # 0.07 of 100 is 7, though the product is a little above.
    first, second = (math.ceil(round(share * count, 9)) for share in (test, validation))
    if first + second >= count:
        raise ValueError(f"{count} episodes are too few for {first} of test and {second} of validation; collect more")
    order = np.random.default_rng(seed).permutation(count)
    parts = np.split(order, [first, first + second])
    return Splits(train=np.sort(parts[2]), validation=np.sort(parts[1]), test=np.sort(parts[0]))


def split_frames(
    trajectories: Trajectories, env: Any, *, validation: float = 0.1, test: float = 0.1, seed: int = 0, block: int = 25
) -> dict[str, LazyFrames]:
    """Split recorded physics by episode and by background.

    Training, validation and test episodes are each seen before backgrounds of their own, which share no clip where
    there are three: three quarters of the training clips, the others of them, and the test clips.  ``"test_seen"`` are
    the test episodes before the backgrounds of training, so that what new backgrounds cost can be told from what new
    episodes cost.  Without validation episodes training has all training clips.

    :param env: an environment of this package: its view is used
    :param validation: as in :func:`split_episodes`
    :param test: the same
    :param seed: of the choice of episodes
    :param block: as in :class:`~masklam_envs.data.frames.LazyFrames`
    :return: ``train``, ``validation``, ``test`` and ``test_seen``; parts without episodes are left out
    """
    splits = split_episodes(trajectories, validation=validation, test=test, seed=seed)
    seen = "fit" if len(splits.validation) else "train"
    plan = {
        "train": (splits.train, seen),
        "validation": (splits.validation, "validation"),
        "test": (splits.test, "test"),
        "test_seen": (splits.test, seen),
    }
    return {
        name: LazyFrames(trajectories.select(episodes), view_of_split(env, backgrounds), block=block)
        for name, (episodes, backgrounds) in plan.items()
        if len(episodes)
    }


def view_of_split(env: Any, split: str) -> View:
    """An environment's view with the backgrounds of a split, one of :data:`masklam_envs.distractors.base.SPLITS`."""
    return view_of(env).again(split=split)


def _chosen(rng: np.random.Generator, what: NDArray[np.int64], count: int, name: str) -> NDArray[np.int64]:
    _check_count(count, len(what), name)
    return rng.permutation(what)[:count]


def _check_count(count: int, there: int, name: str) -> None:
    if not 1 <= count <= there:
        raise ValueError(f"{count} labelled {name} were asked for, the dataset has {there}; ask for 1 to {there}")
