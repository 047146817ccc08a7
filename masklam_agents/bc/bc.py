"""Behaviour cloning on true actions: the ceiling of what a cloned policy can reach with the same network and data."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_envs.data.frames import Frames
from masklam_envs.data.windows import Windows

EVERY_LABEL = 2**62


class BC(LatentActionAlgorithm):
    """The latent policy's network trained straight on true actions.

    :param labels: how many labelled transitions it may see; None: all of them (the normaliser of LAOM's paper)
    :param kwargs: see :class:`~masklam_agents.common.base.LatentActionAlgorithm`
    """

    stages: ClassVar[dict[str, tuple[str, ...]]] = {"clone": ("actor",)}
    latent: ClassVar[bool] = False

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Frames | None = None,
        labels: int | None = None,
        *,
        stage_shares: tuple[float, ...] = (1.0,),
        **kwargs: Any,
    ) -> None:
        labels = EVERY_LABEL if labels is None else labels
        super().__init__(policy, env, dataset, labels, stage_shares=stage_shares, **kwargs)

    def _windows(self, frames: Frames) -> Windows:
        windows = super()._windows(frames)
        windows.anchors = self.labelled(windows)
        return windows

    def _clone_targets(self, frames: Frames, windows: Windows) -> th.Tensor:
        return th.from_numpy(frames.trajectories.labels[windows.step(windows.anchors)]).to(self.device)

    def latents(self, frames: Frames, anchors: np.ndarray) -> np.ndarray:
        """Not for behaviour cloning.

        :raises TypeError: always
        """
        raise TypeError("BC predicts actions itself and has no latent actions; there is nothing to encode or probe")
