"""Behaviour cloning on true actions: the ceiling of what a cloned policy can reach with the same network and data."""

from __future__ import annotations

from typing import Any

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from masklam_agents.common.ahead import LossOf
from masklam_agents.common.configuration import constructor_arguments
from masklam_agents.common.networks import Network
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.training_data import Dataset, Source

EVERY_LABEL = 2**62


class BC(OfflineAlgorithm):
    """The latent policy's network trained straight on true actions, those before collection added noise.

    ``make_agent("bc-labels-paper")`` and ``"bc-all-paper"`` have the network and the rates of LAOM's paper,
    ``"bc-masklam-paper"`` those of MaskLAM's code.  Labels are drawn over the whole dataset (the originals: whole
    trajectories, or the first rows).

    :param policy: as in :class:`~masklam_agents.common.base.LatentActionAlgorithm`, and so are all others but these
    :param labels: how many labelled transitions it may see; None: all of them (the normaliser of LAOM's paper)
    :param policy_learning_rate: peak of AdamW, cosine to 0 unless ``schedules`` says otherwise
    """

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Source | None = None,
        labels: int | None = None,
        *,
        network: Network = "small",
        frame_stack: int = 3,
        batch_size: int = 128,
        policy_learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        shift: int = 0,
        max_grad_norm: dict[str, float] | None = None,
        schedules: dict[str, dict[str, Any]] | None = None,
        precision: str = "auto",
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int = 0,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(**constructor_arguments(locals(), labels=EVERY_LABEL if labels is None else labels))

    def _in_blocks(self, stage: str) -> bool:
        return bool(self.config["labels"] >= len(self._need_dataset().trajectories))

    def _begin_stage(self, stage: str, frames: Dataset) -> LossOf:
        windows = self.windows(frames)
        anchors = self.labelled(windows)
        return self._clone_loss(frames, anchors, self._true_actions(frames, windows, anchors))
