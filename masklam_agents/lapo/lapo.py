"""LAPO, the latent action policy without masks (Schmidt & Jiang, arXiv 2312.10812)."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.common.training_data import Source


class LAPO(LatentActionAlgorithm):
    """Latent actions from the plain reconstruction loss over the whole frame.

    Continuous 128-d latent and one-step IDM by default, as the LAPO baseline of MaskLAM's code
    (``make_agent("lapo-masklam-paper")`` has its sizes); ``future_offset=10`` makes the multi-step variant.

    ``make_agent("lapo-paper")`` is the original: three frames before the IDM, a U-Net as forward model
    (``network="lapo"``), eight quantised chunks, its rates and stages.  It keeps random codes that can collapse; it
    repairs windows that run over an episode's end, counts of codes that begin at 0, and a policy that sees one frame
    alone: here it sees two.

    :param future_offset: largest k of the IDM's second stack
    :param kwargs: see :class:`~masklam_agents.common.base.LatentActionAlgorithm`
    """

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Source | None = None,
        labels: int = 4_096,
        *,
        future_offset: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, dataset, labels, future_offset=future_offset, **kwargs)
