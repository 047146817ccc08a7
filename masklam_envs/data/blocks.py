"""Which episodes are in memory at which update of a training run."""

from __future__ import annotations

import math

import numpy as np

from masklam_envs.data.frames import Frames, LazyFrames


class Blocks:
    """A dataset in blocks of whole episodes; every pass has another order.

    What block an update uses is a function of the seed and the update's number, so an interrupted run goes on with the
    same data.  Frames in memory are one block.

    :param dataset: frames
    :param batch_size: samples of an update
    :param seed: of the episodes' order
    """

    def __init__(self, dataset: Frames | LazyFrames, *, batch_size: int, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        transitions, episodes = len(dataset.trajectories), dataset.trajectories.episodes
        lazy = isinstance(dataset, LazyFrames)
        #: blocks of a pass
        self.count = math.ceil(episodes / dataset.block) if isinstance(dataset, LazyFrames) else 1
        #: updates that use one block; a pass has about one sample for every transition
        self.updates = max(1, round(transitions / self.count / batch_size)) if lazy else 0

    def number(self, update: int) -> int:
        """The block, counted from the start of training, that an update uses."""
        return update // self.updates if self.updates else 0

    def load(self, number: int) -> Frames:
        """The frames of a block."""
        if isinstance(self.dataset, Frames):
            return self.dataset
        turn, part = divmod(number, self.count)
        order = np.random.default_rng((self.seed, turn)).permutation(self.dataset.trajectories.episodes)
        return self.dataset.select(np.array_split(order, self.count)[part])
