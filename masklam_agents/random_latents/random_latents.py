"""Random latents: the lower bound. An inverse model that is never trained, then stages 2 and 3 as for everyone."""

from __future__ import annotations

from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.common.configuration import constructor_arguments
from masklam_agents.common.networks import Network, NetworkFamily
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.policies import LatentActionPolicy
from masklam_agents.common.training_data import Source


class RandomLatentsPolicy(LatentActionPolicy):
    """As ``LatentActionPolicy``, without forward model."""

    def _make_models(self, family: NetworkFamily, channels: int, latent_dim: int) -> None:
        self.idm = family.idm(2 * channels, self.image_size, latent_dim)


class RandomLatents(LatentActionAlgorithm):
    """Latents of an inverse model with its first, random weights; there is no stage 1.

    They are random features of two stacks, not noise: a linear map reads some of the action from them.  What a method's
    stage 1 is worth is what it gains over this.

    :param policy: as in :class:`~masklam_agents.common.base.LatentActionAlgorithm`, and so are all others but these
    :param stage_shares: shares of ``learn``'s samples that stages 2 and 3 get
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "CnnPolicy": RandomLatentsPolicy,
        "MultiInputPolicy": RandomLatentsPolicy,
    }
    stages: ClassVar[dict[str, tuple[str, ...]]] = {"clone": ("actor",), "decode": ("decoder",)}
    predicts_pixels: ClassVar[bool] = False

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Source | None = None,
        labels: int = 4_096,
        *,
        network: Network = "small",
        latent_dim: int = 128,
        frame_stack: int = 3,
        batch_size: int = 128,
        policy_learning_rate: float = 2e-3,
        decoder_learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        shift: int = 0,
        whiten: float | None = 0.1,
        stage_shares: tuple[float, ...] = (0.6, 0.4),
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
        OfflineAlgorithm.__init__(self, **constructor_arguments(locals()))

    def _policy_arguments(self) -> dict[str, Any]:
        return {"latent": True, "latent_dim": self.config["latent_dim"], "mask_channel": False}
