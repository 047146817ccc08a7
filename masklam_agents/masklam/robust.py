"""Robust MaskLAM: MaskLAM on masks that a small network has learned from the given ones."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback

from masklam_agents.common.ahead import LossOf, PreparedLoss
from masklam_agents.common.checks import check_choice
from masklam_agents.common.policies import LatentActionPolicy
from masklam_agents.common.precision import autocast
from masklam_agents.common.processes import processes
from masklam_agents.common.training_data import Source
from masklam_agents.masklam.masklam import MaskLAM
from masklam_agents.segmenter.network import SegmenterNet
from masklam_agents.segmenter.training import segmentation_loss, varied
from masklam_envs.data.frames import Frames
from masklam_envs.data.remasked import FRAMES_AT_ONCE, remasked
from masklam_envs.masks.threshold import hard, is_agent

BASE = 16  # channels of the segmenter
RELEARNED = ("soft", "hard")


class SegmentingPolicy(LatentActionPolicy):
    """A policy with a segmenter beside its models.

    :param args: of :class:`~masklam_agents.common.policies.LatentActionPolicy`
    :param kwargs: of the same
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.image_size % 8:
            raise ValueError(
                f"the segmenter needs frames whose side is a multiple of 8 pixels, got {self.image_size}; use another "
                "image_size"
            )
        self.segmenter = SegmenterNet(BASE)
        self.segmenter.to(memory_format=th.channels_last)  # type: ignore[call-overload]  # torch's hint leaves it out

    @th.no_grad()
    def segment(self, frames: NDArray[np.uint8], precision: str) -> NDArray[np.uint8]:
        """How sure the segmenter is of the agent: (F, H, W) in 0 .. 255, of frames (F, H, W, 3 or 4)."""
        self.segmenter.eval()
        found = np.empty(frames.shape[:3], np.uint8)
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            part = slice(start, start + FRAMES_AT_ONCE)
            pixels = th.from_numpy(np.ascontiguousarray(frames[part, ..., :3])).to(self.device)
            with autocast(precision, self.device):
                logits = self.segmenter(pixels)
            found[part] = (255 * logits.float().sigmoid()).round().byte().cpu().numpy()
        return found


class RobustMaskLAM(MaskLAM):
    """MaskLAM for masks that are wrong in places: a segmenter learns them first, and its masks are used instead.

    What errs at random - flicker, false alarms - is different in every frame, and a network that sees one frame cannot
    learn it: what remains is what the masks have in common.  The same frame always gets the same mask, so masks are
    steady in time, and soft where the given ones disagree.  Frames whose mask is empty teach nothing, as most are lost
    ones.  Mistakes that all frames share stay.  The stage ``segment`` comes before the others, with the loss of
    :func:`~masklam_agents.segmenter.train_segmenter`; ``docs/methods.md`` has what it brings.  After it the agent needs
    no masks: ``encode``, ``probe`` and ``predict_next`` segment frames by themselves.

    :param relearned: ``"soft"``: masks weigh by how sure the segmenter is; ``"hard"``: all or nothing
    :param segment_learning_rate: peak of the stage ``segment``
    :param stage_shares: shares of ``learn``'s samples that ``segment`` and the three other stages get
    :param kwargs: see :class:`~masklam_agents.masklam.MaskLAM`
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "CnnPolicy": SegmentingPolicy,
        "MultiInputPolicy": SegmentingPolicy,
    }
    stages: ClassVar[dict[str, tuple[str, ...]]] = {"segment": ("segmenter",), **MaskLAM.stages}
    policy: SegmentingPolicy

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Source | None = None,
        labels: int = 4_096,
        *,
        relearned: str = "soft",
        segment_learning_rate: float = 3e-3,
        stage_shares: tuple[float, ...] = (0.1, 0.3, 0.35, 0.25),
        **kwargs: Any,
    ) -> None:
        method = {"relearned": relearned, "segment_learning_rate": segment_learning_rate}
        super().__init__(policy, env, dataset, labels, stage_shares=stage_shares, _method=method, **kwargs)

    def _check_config(self) -> None:
        super()._check_config()
        check_choice(self.config, "relearned", RELEARNED)
        if self.config["loss"] == "dual":
            raise ValueError("the segmenter tells the agent from the rest, and loss='dual' three parts: use another")

    def segment(self, total_timesteps: int, callback: MaybeCallback = None, **kwargs: Any) -> Self:
        """Run the first stage alone, see :meth:`pretrain`, which comes after it."""
        return self._train_stage("segment", total_timesteps, callback, **kwargs)

    def _begin_stage(self, stage: str, frames: Any) -> LossOf:
        return self._begin_segment(frames) if stage == "segment" else super()._begin_stage(stage, frames)

    def _begin_segment(self, frames: Frames) -> LossOf:
        known = np.flatnonzero([is_agent(mask).any() for mask in frames.rgbm[..., 3]])
        if not len(known):
            raise ValueError(
                "no frame has an agent in its mask: there is nothing to learn masks from; give other masks"
            )

        def prepare(rng: np.random.Generator) -> tuple[th.Tensor, th.Tensor]:
            rows = processes().share(known[rng.integers(len(known), size=self.config["batch_size"])])
            batch = frames.rgbm[rows]
            labels = th.from_numpy(is_agent(batch[..., 3]).astype(np.float32))
            pixels = th.from_numpy(varied(batch[..., :3], rng))
            device = self.policy.device  # not the agent's: "cuda" is another GPU on this thread
            return pixels.to(device), labels.to(device)

        def loss(batch: tuple[th.Tensor, th.Tensor], rng: np.random.Generator) -> th.Tensor:
            pixels, labels = batch
            with autocast(self.config["precision"], self.device):
                logits = self.policy.segmenter(pixels)
            return segmentation_loss(logits.float(), labels)

        return PreparedLoss(prepare, loss)

    def _begin_pretrain(self, frames: Frames) -> LossOf:
        if not self.progress["segment"]:
            raise ValueError("the segmenter is not trained: call segment(samples) before pretrain, or learn for both")
        rgbm = self._relearned(frames.rgbm)
        return super()._begin_pretrain(Frames(frames.trajectories, rgbm, frames.tracks))

    def _relearned(self, rgbm: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Frames (F, H, W, 4) with the segmenter's masks."""

        def masks(part: slice) -> NDArray[np.uint8]:
            found = self.policy.segment(rgbm[part], self.config["precision"])
            return hard(found) if self.config["relearned"] == "hard" else found

        return remasked(rgbm, masks)

    def _seen_by_models(
        self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        wanted, places = np.unique(index, return_inverse=True)
        return self._relearned(rgbm[wanted]), places.reshape(index.shape)

    @property
    def _reads_masks(self) -> bool:
        return False

    def _needs_masks(self, stage: str) -> bool:
        return stage == "segment"
