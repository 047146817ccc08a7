"""MaskLAM: latent actions from the reconstruction of the agent's pixels only (arXiv 2602.02259)."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.common.checks import check_choice
from masklam_agents.common.training_data import Source

PRESETS: dict[str, dict[str, Any]] = {
    "fixed": {"loss": "fixed"},
    "paper": {"loss": "paper"},
}


class MaskLAM(LatentActionAlgorithm):
    """LAPO whose loss is weighted by the agent's mask of the target frame; IDM and FDM also see the mask.

    The latent policy never sees a mask, so none is needed to act.

    :param preset: ``"fixed"`` normalises the loss in each sample (large agents weigh no more than small ones) and
        counts samples without agent as 0; ``"paper"`` is the published code's loss, which keeps its one normaliser for
        the whole batch and its sum over channels, and repairs the NaN of a batch without agent.
        ``make_agent("masklam-paper")`` also has the published sizes, rates and k, which never reaches 10
    :param mask_channel: IDM and FDM read the mask as a fourth channel of each frame
    :param kwargs: see :class:`~masklam_agents.common.base.LatentActionAlgorithm`
    """

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Source | None = None,
        labels: int = 4_096,
        *,
        preset: str = "fixed",
        mask_channel: bool = True,
        **kwargs: Any,
    ) -> None:
        check_choice({"preset": preset}, "preset", PRESETS)
        chosen = {**PRESETS[preset], **kwargs}
        super().__init__(policy, env, dataset, labels, mask_channel=mask_channel, **chosen)
