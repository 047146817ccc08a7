"""LAOM: latent actions from prediction in feature space (Nikulin et al., arXiv 2502.00379)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from masklam_agents.common.ahead import LossOf
from masklam_agents.common.augment import random_warps, to_patches, warp
from masklam_agents.common.base import LatentActionAlgorithm, without_effect
from masklam_agents.common.checks import check_flags, check_integers, check_numbers
from masklam_agents.common.gather import gather
from masklam_agents.common.networks import to_layout
from masklam_agents.common.precision import autocast
from masklam_agents.common.processes import processes
from masklam_agents.common.training_data import Dataset, Source
from masklam_agents.common.warped import warped
from masklam_agents.laom.policies import LAOMPolicy
from masklam_envs.data.frames import Frames
from masklam_envs.data.windows import Windows


class LAOM(LatentActionAlgorithm):
    """Latent actions by which the features of the next stack are predicted: no pixel is ever reconstructed.

    ``e_t = encoder(o_t)``, ``z = act_head(e_t, e_{t+k})``, ``e^ = obs_head(sg(e_t), z)``; the loss is the mean squared
    error of ``e^`` to ``EMA-encoder(o_{t+1})``, with ``sg`` a stopped gradient and k drawn from 1 .. 10.  Every stack
    is augmented on its own, so what an augmentation changes cannot be predicted and is not worth encoding.

    With ``label_weight`` it is LAOM with supervision: ``+ label_weight * MSE(W z, a)`` on labelled transitions, the
    same ones that stage 3 uses, with k = 1 (the original: k as for the others, and a start index that can run over an
    episode's end; windows here never do).

    With ``network="small"`` the encoder is the small one; with ``"impala"`` it has LAOM's convolutions.  With
    ``"paper"`` (or ``"laom"``) all is LAOM's: also pixels in [-1, 1], features that no activation bounds, a second head
    whose later blocks see z alone again, first weights, and a policy with pooled features.
    ``make_agent("laom-paper")`` and ``"laom-labels-paper"`` have its sizes, warm-up, lines and stages too.

    :param latent_dim: size of the latent action (paper: 8192; 128 here, for CPUs)
    :param head_dim: width of the two heads (paper: 1024)
    :param encoder_scale: multiplies the encoder's depths (16, 32, 32), with networks of images (paper: 6)
    :param tau: share by which the target encoder follows at every update (paper: 0.001)
    :param augment: warp every stack by a random shift, rotation or perspective, or two of them, or none
    :param label_weight: of the supervision (paper: 0.001); 0: none
    :param label_batch: labelled transitions of an update (paper: 128 beside 512); None: a quarter of ``batch_size``
    :param label_target: of the supervision, as in :class:`~masklam_agents.idm.IDM`
    :param kwargs: see :class:`~masklam_agents.common.base.LatentActionAlgorithm`; there is no reconstruction, so
        ``loss``, ``mask_input``, ``mask_softness``, ``object_weight`` and ``bottleneck`` are refused, and ``idm_input``
        because stacks are encoded whole
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"CnnPolicy": LAOMPolicy, "MultiInputPolicy": LAOMPolicy}
    stages: ClassVar[dict[str, tuple[str, ...]]] = {
        "pretrain": ("idm", "fdm", "label_head"),
        "clone": ("actor",),
        "decode": ("decoder",),
    }
    predicts_pixels: ClassVar[bool] = False
    paper_network: ClassVar[str] = "laom"
    policy: LAOMPolicy

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Source | None = None,
        labels: int = 4_096,
        *,
        latent_dim: int = 128,
        head_dim: int = 256,
        encoder_scale: int = 6,
        tau: float = 0.001,
        augment: bool = True,
        label_weight: float = 0.0,
        label_batch: int | None = None,
        label_target: str = "policy",
        **kwargs: Any,
    ) -> None:
        method = {
            "head_dim": head_dim,
            "encoder_scale": encoder_scale,
            "tau": tau,
            "augment": augment,
            "label_weight": label_weight,
            "label_batch": label_batch,
            "label_target": label_target,
        }
        self._labelled: tuple[Dataset, Any, Any, th.Tensor] | None = None
        super().__init__(policy, env, dataset, labels, latent_dim=latent_dim, _method=method, **kwargs)

    def _check_config(self) -> None:
        super()._check_config()
        config = self.config
        if wrong := without_effect(config):
            raise ValueError(f"{type(self).__name__} reconstructs no pixels: leave out {', '.join(wrong)}")
        check_integers(config, 1, "head_dim", "encoder_scale")
        check_integers(config, 1, "label_batch", optional=True)
        check_flags(config, "augment")
        check_numbers(config, "label_weight", "tau")
        if config["label_target"] != "policy" and not config["label_weight"]:
            raise ValueError("label_target is of the supervision: give label_weight too, or leave it out")
        if config["label_batch"] is not None and not config["label_weight"]:
            raise ValueError("label_batch is of the supervision: give label_weight too, or leave it out")
        if not 0 < config["tau"] <= 1:
            raise ValueError(f"tau must be in (0, 1], got {config['tau']!r}")

    def _policy_arguments(self) -> dict[str, Any]:
        return super()._policy_arguments() | {name: self.config[name] for name in ("head_dim", "encoder_scale")}

    def _begin_pretrain(self, frames: Frames) -> LossOf:
        if self.config["label_weight"] and (self._labelled is None or self._labelled[0] is not self.dataset):
            self._labelled = self._labelled_rows(self._need_dataset())
        return super()._begin_pretrain(frames)

    def _leaves_parameters(self, stage: str) -> bool:
        return stage == "pretrain" and not self.config["label_weight"]

    def _labelled_rows(self, dataset: Dataset) -> tuple[Dataset, Any, Any, th.Tensor]:
        """Frames of the labelled transitions, the two stacks of each, their actions."""
        windows = self.windows(dataset)
        anchors = self.labelled(windows)
        index = np.concatenate((windows.stack(anchors), windows.stack(anchors + 1)), axis=1)
        actions = self._true_actions(dataset, windows, anchors, self.config["label_target"])
        return dataset, *dataset.rows(index), actions

    def _pretrain_inputs(
        self, frames: Frames, windows: Windows, anchors: NDArray[np.int64], future: NDArray[np.int64]
    ) -> Any:
        return frames.rgbm, [windows.stack(i) for i in (anchors, future, anchors + 1)]

    def _loss_of_inputs(self, inputs: Any, rng: np.random.Generator | None) -> th.Tensor:
        policy, config = self.policy, self.config
        rgbm, stacks = inputs
        here, there, after = (self._stacks(rgbm, each, rng) for each in stacks)
        with autocast(config["precision"], self.device):
            e, e_future = policy.idm.encoder(here), policy.idm.encoder(there)
            policy.share_statistics()  # after the encoder's first batch, before the target's
            with th.no_grad():
                target = policy.target(after)
            prediction = policy.fdm(policy.idm.head(e, e_future), e.detach())
        loss = th.nn.functional.mse_loss(prediction.float(), target.float())
        return loss if rng is None or not config["label_weight"] else loss + self._label_loss(rng)

    def _label_loss(self, rng: np.random.Generator) -> th.Tensor:
        assert self._labelled is not None
        _, rgbm, index, actions = self._labelled
        rows = rng.integers(len(index), size=self.config["label_batch"] or max(self.config["batch_size"] // 4, 1))
        rows = processes().share(rows)
        first, second = (self._stacks(rgbm, stacks, rng) for stacks in np.split(index[rows], 2, axis=1))
        with autocast(self.config["precision"], self.device):
            encoder = self.policy.idm.encoder
            predicted = self.policy.label_head(self.policy.idm.head(encoder(first), encoder(second)))
        supervised = th.nn.functional.mse_loss(predicted.float(), actions[th.from_numpy(rows)])
        return self.config["label_weight"] * supervised

    def _stacks(self, rgbm: NDArray[np.uint8], index: NDArray[np.int64], rng: np.random.Generator | None) -> th.Tensor:
        """Stacks (B, n) as the encoder reads them, warped where there are augmentations."""
        policy = self.policy
        if rng is None or not self.config["augment"]:
            return policy.models_input(rgbm, index)
        together, layout = processes(), policy.layout
        warps = together.share(random_warps(rng, len(index) * together.count))
        if self.device.type == "cpu":
            x = th.from_numpy(warped(rgbm, index, warps, mask_channel=policy.mask_channel, layout=layout))
            return to_layout(x, layout)
        gathered = th.from_numpy(gather(rgbm, index, mask_channel=policy.mask_channel, layout="image"))
        images = warp(gathered.to(self.device, non_blocking=True).permute(0, 3, 1, 2), warps)
        return to_patches(images, index.shape[1]) if layout == "patches" else images

    def _after_update(self, stage: str) -> None:
        if stage == "pretrain":
            self.policy.follow(self.config["tau"])
