"""The base of latent action methods. A method is a subclass with other defaults or losses.

Stage 1, ``pretrain``: IDM and FDM from action-free windows.  Stage 2, ``clone``: a policy that predicts the frozen
IDM's latent action from the current stack alone.  Stage 3, ``decode``: a decoder from the policy's latent to the true
action, from few labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from masklam_agents.common.losses import reconstruction_loss
from masklam_agents.common.offline import Dataset, LossOf, OfflineAlgorithm
from masklam_agents.common.precision import autocast
from masklam_agents.common.probe import ProbeResult, linear_probe
from masklam_agents.common.stacking import frames_of, push
from masklam_envs.data.frames import Frames
from masklam_envs.data.windows import Windows

ENCODE_BATCH = 512


class LatentActionAlgorithm(OfflineAlgorithm):
    """A latent action model with its policy, trained offline in three stages; SB3's interface around it.

    :param policy: ``"MultiInputPolicy"`` or ``"CnnPolicy"`` (the same), or a subclass of ``LatentActionPolicy``
    :param env: an environment with the observation key ``pixels``, its id, or None: the spaces are the dataset's
    :param dataset: trajectories with frames, see :func:`masklam_envs.render_frames`; may be given to ``learn``'s stages
        later by setting ``agent.dataset``
    :param labels: how many labelled transitions stage 3 may use; drawn over the dataset by the seed
    :param network: ``"small"`` or ``"impala"``
    :param latent_dim: size of the latent action (paper: 128)
    :param frame_stack: frames of a stack (paper: 3)
    :param future_offset: largest k of the IDM's second stack, which ends at t + k (paper: 10)
    :param sample_offset: draw k in 1 .. future_offset for every sample; False: k = future_offset
    :param mask_channel: IDM and FDM read the mask as a fourth channel
    :param loss: ``"plain"``, ``"fixed"`` or ``"paper"``, see :func:`~masklam_agents.common.losses.reconstruction_loss`
    :param batch_size: samples of an update
    :param learning_rate: peak of stage 1; AdamW, cosine to 0 within each stage
    :param policy_learning_rate: peak of stage 2
    :param decoder_learning_rate: peak of stage 3 (paper: 1e-3)
    :param weight_decay: of AdamW
    :param shift: stage 2 looks aside by up to so many pixels, drawn for every sample (random shifts); 0: none
    :param whiten: how stage 2 weighs the latent's directions, see :func:`latent_basis`; None: all alike (the papers)
    :param stage_shares: shares of ``learn``'s samples that the stages get
    :param precision: ``"auto"``, ``"bf16"`` or ``"fp32"``
    :param policy_kwargs: further keyword arguments of the policy class
    :param tensorboard_log: folder for TensorBoard
    :param verbose: 0 quiet, 1 log to the terminal
    :param seed: of weights and of every sample drawn
    :param device: ``"auto"``, ``"cpu"``, ``"cuda"``
    """

    stages: ClassVar[dict[str, tuple[str, ...]]] = {
        "pretrain": ("idm", "fdm"),
        "clone": ("actor",),
        "decode": ("decoder",),
    }

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Dataset | None = None,
        labels: int = 4_096,
        *,
        network: str = "small",
        latent_dim: int = 128,
        frame_stack: int = 3,
        future_offset: int = 10,
        sample_offset: bool = True,
        mask_channel: bool = False,
        loss: str = "plain",
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        policy_learning_rate: float = 2e-3,
        decoder_learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        shift: int = 0,
        whiten: float | None = 0.1,
        stage_shares: tuple[float, ...] = (0.3, 0.4, 0.3),
        precision: str = "auto",
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int = 0,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        config = {
            "labels": labels,
            "network": network,
            "latent_dim": latent_dim,
            "frame_stack": frame_stack,
            "future_offset": future_offset,
            "sample_offset": sample_offset,
            "mask_channel": mask_channel,
            "loss": loss,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "policy_learning_rate": policy_learning_rate,
            "decoder_learning_rate": decoder_learning_rate,
            "weight_decay": weight_decay,
            "shift": shift,
            "whiten": whiten,
            "stage_shares": list(stage_shares),
            "precision": precision,
            "policy_kwargs": dict(policy_kwargs or {}),
            "seed": seed,
        }
        super().__init__(
            policy,
            env,
            dataset,
            config,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            _init_setup_model=_init_setup_model,
        )

    def _check_config(self) -> None:
        super()._check_config()
        whiten = self.config["whiten"]
        if whiten is not None and not (isinstance(whiten, (int, float)) and 0 < whiten < math.inf):
            raise ValueError(f"whiten must be None or a finite number > 0, got {whiten!r}")
        pixel = th.zeros(1, 3, 1, 1)
        reconstruction_loss(pixel, pixel, pixel[:, :1], self.config["loss"])

    def _policy_arguments(self) -> dict[str, Any]:
        return {name: self.config[name] for name in ("latent_dim", "mask_channel")} | {"latent": True}

    # ------------------------------------------------------------------ the stages' losses

    def _in_blocks(self, stage: str) -> bool:
        return stage != "decode"

    def _begin_stage(self, stage: str, frames: Any) -> LossOf:
        begin = {"pretrain": self._begin_pretrain, "clone": self._begin_clone, "decode": self._begin_decode}
        return begin[stage](frames)

    def _begin_pretrain(self, frames: Frames) -> LossOf:
        config = self.config
        windows = Windows(frames, frame_stack=config["frame_stack"], future_offset=config["future_offset"])

        def loss(rng: np.random.Generator) -> th.Tensor:
            anchors = windows.anchors[rng.integers(len(windows), size=config["batch_size"])]
            offset: Any = config["future_offset"]
            if config["sample_offset"]:
                offset = rng.integers(1, config["future_offset"] + 1, size=len(anchors))
            return self.pretrain_loss(frames, windows, anchors, anchors + offset)

        return loss

    def pretrain_loss(
        self, frames: Frames, windows: Windows, anchors: NDArray[np.int64], future: NDArray[np.int64]
    ) -> th.Tensor:
        """Loss of stage 1 on windows: the FDM predicts frame t + 1 from the stack at t and the IDM's latent.

        :param anchors: (B,) frame indices t
        :param future: (B,) frame indices t + k at which the IDM's second stack ends
        """
        policy, config = self.policy, self.config
        index = np.concatenate((windows.stack(anchors), windows.stack(future)), axis=1)
        x = policy.prepare(frames.rgbm, index, mask_channel=config["mask_channel"])
        target = th.from_numpy(frames.rgbm[anchors + 1]).to(self.device).permute(0, 3, 1, 2).float() / 255
        with autocast(config["precision"], self.device):
            z = policy.idm(x)
            prediction = policy.fdm(first_half(x, policy.layout), z)
        mask = None if config["loss"] == "plain" else target[:, 3:]
        return reconstruction_loss(prediction.float(), target[:, :3] - 0.5, mask, config["loss"])

    def _begin_clone(self, frames: Frames) -> LossOf:
        """The policy imitates the frozen IDM's latents about their mean, in the coordinates of a basis."""
        policy, anchors = self.policy, self._windows(frames).anchors
        with autocast(self.config["precision"], self.device):
            latents = th.from_numpy(self.latents(frames, anchors)).to(self.device)
        if not self.progress["clone"]:
            policy.latent_mean.copy_(latents.mean(dim=0))
            policy.latent_basis.copy_(latent_basis(latents, self.config["whiten"]))
        targets = th.linalg.solve(policy.latent_basis, latents - policy.latent_mean, left=False)
        return self._clone_loss(frames, anchors, targets)

    def _begin_decode(self, frames: Dataset) -> LossOf:
        windows = self._windows(frames)
        chosen = self.labelled(windows)
        actions = self._true_actions(frames, windows, chosen)
        with th.no_grad():
            index = windows.stack(chosen)
            features = th.cat([self.policy.act_latent(x) for x in self._batches(frames, index, mask=False)])
            decoder: Any = self.policy.decoder
            decoder.standardize(features)
        size = self.config["batch_size"]

        def loss(rng: np.random.Generator) -> th.Tensor:
            rows = th.from_numpy(rng.integers(len(chosen), size=size))
            return th.nn.functional.mse_loss(self.policy.decoder(features[rows]), actions[rows])

        return loss

    # ------------------------------------------------------------------ latents

    def _batches(self, frames: Dataset, index: NDArray[np.int64], *, mask: bool) -> Iterator[th.Tensor]:
        for start in range(0, len(index), ENCODE_BATCH):
            yield self.policy.prepare(*frames.rows(index[start : start + ENCODE_BATCH]), mask_channel=mask)

    def latents(self, frames: Dataset, anchors: NDArray[np.int64]) -> NDArray[np.float32]:
        """Latent actions (N, latent_dim) of the transitions that leave the given frames.

        The IDM's second stack ends one frame later where k was sampled in training, else at ``future_offset``.

        :param anchors: (N,) frame indices, none of them an episode's last frame
        """
        windows = self._windows(frames)
        reach = 1 if self.config["sample_offset"] else self.config["future_offset"]
        ends = frames.trajectories.first_frame[1:] - 1
        last = ends[np.searchsorted(ends, anchors)]
        if (anchors >= last).any():
            raise ValueError("an episode's last frame has no transition: leave it out of the anchors")
        index = np.concatenate((windows.stack(anchors), windows.stack(np.minimum(anchors + reach, last))), axis=1)
        parts = np.split(index, range(ENCODE_BATCH, len(index), ENCODE_BATCH))
        with th.no_grad():
            return np.concatenate([self._encode(*frames.rows(part)).float().cpu().numpy() for part in parts])

    def _encode(self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]) -> th.Tensor:
        """Latents (B, latent_dim) of pairs of stacks: frames (F, H, W, 4) chosen by index (B, 2 * frame_stack)."""
        return self.policy.idm(self.policy.prepare(rgbm, index, mask_channel=self._mask_channel))

    @property
    def _mask_channel(self) -> bool:
        return bool(self.config["mask_channel"])

    def encode(self, obs: Any, next_obs: Any) -> NDArray[np.float32]:
        """Latent actions between observations.

        :param obs: stacks of frames at t: a dict of ``pixels`` (B, H, W, 3 * frame_stack) uint8 and, where the method
            reads masks, ``mask`` (B, H, W, frame_stack) uint8; oldest first; unbatched arrays too
        :param next_obs: the same one step later
        :return: (B, latent_dim), or (latent_dim,) for unbatched arrays
        """
        rgbm, index, batched = self._pair(obs, next_obs)
        with th.no_grad():
            z = self._encode(rgbm, index).float().cpu().numpy()
        return z if batched else z[0]

    def predict_next(self, obs: Any, next_obs: Any) -> NDArray[np.uint8]:
        """The FDM's next frame (B, H, W, 3) uint8 from ``obs`` and the latent of both; arguments as in ``encode``."""
        rgbm, index, batched = self._pair(obs, next_obs)
        x = self.policy.prepare(rgbm, index, mask_channel=self._mask_channel)
        with th.no_grad():
            image = self.policy.fdm(first_half(x, self.policy.layout), self.policy.idm(x))
        pixels = ((image + 0.5) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        return pixels if batched else pixels[0]

    def _pair(self, obs: Any, next_obs: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64], bool]:
        """Two observations as frames (F, H, W, 4), the index (B, 2 * frame_stack) into them, whether it is a batch."""
        count = self.config["frame_stack"]
        stacks = []
        for each in (obs, next_obs):
            pixels, batched = frames_of(each, self.policy.image_size)
            rgb, _ = push(pixels, count, None, None)
            rgbm = np.zeros((*rgb.shape[:4], 4), np.uint8)
            rgbm[..., :3] = rgb
            if self._mask_channel:
                rgbm[..., 3] = _mask_stack(each, rgb.shape)
            stacks.append(rgbm)
        frames = np.concatenate(stacks, axis=1)
        index = np.arange(frames.shape[0] * frames.shape[1]).reshape(frames.shape[:2])
        return frames.reshape(-1, *frames.shape[2:]), index, batched

    def probe(self, held_out: Dataset, limit: int = 20_000) -> ProbeResult:
        """Linear probe from latent actions to executed actions.

        :param held_out: episodes the agent was not trained on
        :param limit: at most so many transitions, evenly spaced, of each set
        """
        pairs = []
        for frames in (self._need_dataset(), held_out):
            windows = self._windows(frames)
            chosen = windows.anchors[np.linspace(0, len(windows) - 1, min(limit, len(windows))).astype(np.int64)]
            pairs += [self.latents(frames, chosen), frames.trajectories.actions[windows.step(chosen)]]
        return linear_probe(*pairs)


def latent_basis(latents: th.Tensor, whiten: float | None) -> th.Tensor:
    """The basis in whose coordinates the latent policy predicts: latent = coordinates @ basis + mean.

    :param latents: (N, D)
    :param whiten: None: the identity times the latents' overall spread. Else the principal directions, each in units of
        its own spread: directions of small variance count as much as the others, and those are often the ones that tell
        the action. The number is added to every direction's variance, in units of their mean, so that directions of
        noise alone do not.
    :return: (D, D), invertible
    """
    variance = latents.var(dim=0).mean().clamp(min=1e-12)
    if whiten is None:
        return variance.sqrt() * th.eye(latents.shape[1], device=latents.device)
    values, vectors = th.linalg.eigh(th.cov(latents.double().T))
    return ((values.clamp(min=0) + whiten * variance).sqrt()[:, None] * vectors.T).to(latents)


def first_half(x: th.Tensor, layout: str) -> th.Tensor:
    """The first of the two stacks in a batch the IDM reads."""
    if layout == "patches":
        return x[..., : x.shape[-1] // 2]
    return x[:, : x.shape[1] // 2]


def _mask_stack(obs: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    batch, count, height, width = shape[:4]
    if not isinstance(obs, dict) or "mask" not in obs:
        raise ValueError("this agent's IDM reads masks: give observations as a dict with 'pixels' and 'mask'")
    mask = np.asarray(obs["mask"])
    mask = mask[None] if mask.ndim == 3 else mask
    if mask.shape == (batch, height, width, 1):
        mask = np.repeat(mask, count, axis=-1)
    if mask.shape != (batch, height, width, count) or mask.dtype != np.uint8:
        raise ValueError(f"mask must be uint8 of shape {(batch, height, width, count)}, got {mask.dtype} {mask.shape}")
    return np.moveaxis(mask, -1, 1)
