"""IDM: an inverse model trained on labelled actions alone, whose guesses on all video are cloned."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv
from torch import nn

from masklam_agents.common.ahead import LossOf, PreparedLoss
from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.common.checks import check_integers
from masklam_agents.common.configuration import constructor_arguments
from masklam_agents.common.networks import Network, NetworkFamily
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.policies import LatentActionPolicy
from masklam_agents.common.precision import autocast
from masklam_agents.common.processes import processes
from masklam_agents.common.training_data import Dataset, Source
from masklam_agents.laom.networks import PUBLISHED, SharedEncoderIDM, begin_orthogonal, make_encoder

ENCODER_SCALE = 12  # LAOM's paper


class IDMPolicy(LatentActionPolicy):
    """The inverse model's output is the action itself: no forward model, no decoder.

    :param args: as in ``LatentActionPolicy``
    :param head_dim: width of LAOM's act head over a shared encoder; None: the network family's own inverse model
    :param encoder_scale: of that encoder
    :param kwargs: as in ``LatentActionPolicy``
    """

    def __init__(
        self, *args: Any, head_dim: int | None = None, encoder_scale: int = ENCODER_SCALE, **kwargs: Any
    ) -> None:
        self._sizes = (head_dim, encoder_scale)
        super().__init__(*args, **kwargs)
        self.decoder = nn.Identity()

    def _make_models(self, family: NetworkFamily, channels: int, latent_dim: int) -> None:
        hidden, scale = self._sizes
        if hidden is None:
            self.idm = family.idm(2 * channels, self.image_size, latent_dim)
            return
        published = self.network == PUBLISHED
        encoder, features = make_encoder(channels, self.image_size, family.layout, scale, published)
        self.idm = SharedEncoderIDM(encoder, features, hidden, latent_dim, family.layout)
        if published:
            begin_orthogonal(self.idm)


class IDM(LatentActionAlgorithm):
    """Stage 1 learns actions from pairs of stacks with few labels; stage 2 clones its guesses on all video.

    The baseline of LAOM's paper (arXiv 2502.00379).  Its "latent" is the guessed action, so ``encode`` and ``probe``
    work as for the other methods; there is nothing to decode.  Labels are drawn over the whole dataset (the original:
    whole trajectories).  ``make_agent("idm-paper")`` has the paper's networks (``network="paper"`` with ``head_dim``),
    rates and stages.

    :param policy: as in :class:`~masklam_agents.common.base.LatentActionAlgorithm`, and so are all others but these
    :param labels: how many labelled transitions stage 1 sees
    :param learning_rate: peak of stage 1
    :param policy_learning_rate: peak of stage 2
    :param stage_shares: shares of ``learn``'s samples that the two stages get
    :param head_dim: None: the network family's inverse model; else LAOM's act head of this width over a shared encoder
        (paper: 1024)
    :param encoder_scale: of that encoder, with networks of images (paper: 12)
    :param label_target: what stage 1 learns where noise was added to the actions: ``"policy"``, those before it, which
        all methods have as labels and which a policy should imitate; ``"executed"``, those that the pixels show
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"CnnPolicy": IDMPolicy, "MultiInputPolicy": IDMPolicy}
    stages: ClassVar[dict[str, tuple[str, ...]]] = {"pretrain": ("idm",), "clone": ("actor",)}
    predicts_pixels: ClassVar[bool] = False
    paper_network: ClassVar[str] = "laom"

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Source | None = None,
        labels: int = 4_096,
        *,
        network: Network = "small",
        frame_stack: int = 3,
        mask_channel: bool = False,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        policy_learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        shift: int = 0,
        stage_shares: tuple[float, ...] = (0.4, 0.6),
        max_grad_norm: dict[str, float] | None = None,
        schedules: dict[str, dict[str, Any]] | None = None,
        head_dim: int | None = None,
        encoder_scale: int = ENCODER_SCALE,
        label_target: str = "policy",
        precision: str = "auto",
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int = 0,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        OfflineAlgorithm.__init__(self, **constructor_arguments(locals()))

    def _check_config(self) -> None:
        super()._check_config()
        check_integers(self.config, 1, "head_dim", optional=True)
        check_integers(self.config, 1, "encoder_scale")
        if self.config["encoder_scale"] != ENCODER_SCALE and self.config["head_dim"] is None:
            raise ValueError("encoder_scale is of the encoder under the act head: give head_dim too, or leave it out")

    def _policy_arguments(self) -> dict[str, Any]:
        names = ("mask_channel", "head_dim", "encoder_scale")
        size = int(np.prod(self.action_space.shape or ()))
        return {name: self.config[name] for name in names} | {"latent": True, "latent_dim": size}

    def _in_blocks(self, stage: str) -> bool:
        return stage == "clone"

    def _begin_stage(self, stage: str, frames: Any) -> LossOf:
        return self._begin_clone(frames) if stage == "clone" else self._begin_supervised(frames)

    def _begin_supervised(self, frames: Dataset) -> LossOf:
        windows = self.windows(frames)
        anchors = self.labelled(windows)
        actions = self._true_actions(frames, windows, anchors, self.config["label_target"])
        index = np.concatenate((windows.stack(anchors), windows.stack(anchors + 1)), axis=1)
        rgbm, pairs = frames.rows(index)

        def prepare(rng: np.random.Generator) -> tuple[NDArray[np.int64], th.Tensor]:
            rows: NDArray[np.int64] = processes().share(rng.integers(len(anchors), size=self.config["batch_size"]))
            return rows, self.policy.models_input(rgbm, pairs[rows], half=self._half)

        def loss(batch: tuple[NDArray[np.int64], th.Tensor], rng: np.random.Generator) -> th.Tensor:
            rows, x = batch
            with autocast(self.config["precision"], self.device):
                guess = self.policy.idm(x)
            return th.nn.functional.mse_loss(guess.float(), actions[th.from_numpy(rows)])

        return PreparedLoss(prepare, loss)
