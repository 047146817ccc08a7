"""The base of latent action methods. A method is a subclass with other defaults or losses.

Stage 1, ``pretrain``: IDM and FDM from action-free windows.  Stage 2, ``clone``: a policy that predicts the frozen
IDM's latent action from the current stack alone.  Stage 3, ``decode``: a decoder from the policy's latent to the true
action, from few labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from masklam_agents.common.ahead import LossOf, PreparedLoss
from masklam_agents.common.checks import check_choice, check_integers, check_numbers, is_integer, is_number
from masklam_agents.common.configuration import constructor_arguments
from masklam_agents.common.gather import gather
from masklam_agents.common.losses import LOSSES, reconstruction_loss, softened
from masklam_agents.common.mlp_probe import mlp_probe
from masklam_agents.common.networks import Network
from masklam_agents.common.offline import OfflineAlgorithm
from masklam_agents.common.policies import DECODER_HIDDEN, IDM_INPUTS, as_tensor, evaluating
from masklam_agents.common.precision import autocast
from masklam_agents.common.probe import ProbeResult, Samples, get_targets, linear_probe, moving
from masklam_agents.common.processes import processes
from masklam_agents.common.quantize import BOTTLENECKS, VectorQuantizer
from masklam_agents.common.stacking import frames_of, push
from masklam_agents.common.training_data import Dataset, Source
from masklam_envs.data.frames import Frames
from masklam_envs.data.windows import Windows
from masklam_envs.errors import unknown_name

# Frames encoded at once: on a CPU so many that they stay in its caches.
ENCODE_BATCH = {"cpu": 128, "cuda": 512}
PROBES: dict[str, Callable[..., ProbeResult]] = {"linear": linear_probe, "mlp": mlp_probe}
#: what only a forward model of ours that predicts pixels has, and the values that do nothing
PIXEL_OPTIONS: dict[str, Any] = {
    "loss": "plain",
    "mask_input": False,
    "mask_softness": 0,
    "object_weight": 1.0,
    "bottleneck": "none",
    "bottleneck_options": {},
    "idm_input": "stacks",
}


class LatentActionAlgorithm(OfflineAlgorithm):
    """A latent action model with its policy, trained offline in three stages; SB3's interface around it.

    :param policy: ``"MultiInputPolicy"`` or ``"CnnPolicy"`` (the same), or a subclass of ``LatentActionPolicy``
    :param env: an environment with the observation key ``pixels``, its id, or None: the spaces are the dataset's
    :param dataset: trajectories with frames, see :func:`masklam_envs.render_frames`, or trajectories alone, which are
        seen through ``env``; may be given to ``learn``'s stages later by setting ``agent.dataset``
    :param labels: how many labelled transitions stage 3 may use; drawn over the dataset by the seed
    :param network: ``"small"``, ``"lean"`` (the small one's IDM and FDM with a convolutional policy), ``"impala"``,
        ``"lapo"``, ``"laom"``, or ``"paper"``, which docs/methods.md says for every method, or a function that returns
        a :class:`~masklam_agents.common.networks.NetworkFamily` of yours
    :param latent_dim: size of the latent action (paper: 128)
    :param frame_stack: frames of a stack (paper: 3)
    :param future_offset: largest k of the IDM's second stack, which ends at t + k (paper: 10)
    :param sample_offset: draw k in 1 .. future_offset for every sample; False: k = future_offset
    :param mask_channel: IDM and FDM read the mask as a fourth channel
    :param loss: ``"plain"``, ``"fixed"``, ``"paper"`` or ``"dual"``, see
        :func:`~masklam_agents.common.losses.reconstruction_loss`
    :param mask_input: IDM and FDM see, and with ``loss="plain"`` predict, frames that are mid-grey outside the mask
    :param mask_softness: radius in pixels of the fringe that masked losses add to the mask, see
        :func:`~masklam_agents.common.losses.softened`
    :param object_weight: of objects beside the agent in ``loss="dual"``
    :param bottleneck: ``"none"``, ``"vq"`` or ``"fsq"``: what the latent goes through before the FDM.  Policy, probe
        and ``encode`` take the latent before it, as LAPO's and MaskLAM's code do
    :param bottleneck_options: of the bottleneck, see :mod:`masklam_agents.common.quantize`
    :param idm_input: ``"stacks"``: the IDM reads both stacks; ``"frames"``: the stack at t and the last frame of the
        other, so that with k = 1 it sees no frame twice (LAPO, and the LAPO baseline of MaskLAM's code)
    :param batch_size: samples of an update
    :param learning_rate: peak of stage 1; AdamW, cosine to 0 within each stage unless ``schedules`` says otherwise
    :param policy_learning_rate: peak of stage 2
    :param decoder_learning_rate: peak of stage 3 (paper: 1e-3)
    :param weight_decay: of AdamW
    :param shift: stage 2 looks aside by up to so many pixels, drawn for every sample (random shifts); 0: none
    :param whiten: how stage 2 weighs the latent's directions, see :func:`latent_basis`; None: all alike (the papers)
    :param stage_shares: shares of ``learn``'s samples that the stages get
    :param max_grad_norm: stages whose gradients are clipped, with their largest norm, e.g. ``{"decode": 1.0}``
    :param schedules: stages whose learning rate is no cosine to 0, each with arguments of
        :class:`~masklam_agents.common.schedules.Schedule`, e.g. ``{"pretrain": {"shape": "linear", "warm_up": 0.3}}``
    :param decoder_hidden: widths of the decoder's hidden layers (MaskLAM, LAOM: 256, 256; LAPO: 128, 128)
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
    #: whether there is a forward model that predicts frames
    predicts_pixels: ClassVar[bool] = True

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
        future_offset: int = 10,
        sample_offset: bool = True,
        mask_channel: bool = False,
        loss: str = "plain",
        mask_input: bool = False,
        mask_softness: int = 0,
        object_weight: float = 1.0,
        bottleneck: str = "none",
        bottleneck_options: dict[str, Any] | None = None,
        idm_input: str = "stacks",
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        policy_learning_rate: float = 2e-3,
        decoder_learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        shift: int = 0,
        whiten: float | None = 0.1,
        stage_shares: tuple[float, ...] = (0.3, 0.4, 0.3),
        max_grad_norm: dict[str, float] | None = None,
        schedules: dict[str, dict[str, Any]] | None = None,
        decoder_hidden: tuple[int, ...] = DECODER_HIDDEN,
        precision: str = "auto",
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int = 0,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
        _method: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(**constructor_arguments(locals(), **(_method or {})))

    def _check_config(self) -> None:
        super()._check_config()
        config = self.config
        whiten, hidden = config.get("whiten"), config.get("decoder_hidden", list(DECODER_HIDDEN))
        if whiten is not None and not (is_number(whiten) and whiten):
            raise ValueError(f"whiten must be None or a finite number > 0, got {whiten!r}")
        if not (isinstance(hidden, list) and all(is_integer(width, 1) for width in hidden)):
            raise ValueError(f"decoder_hidden must be integers >= 1, the widths of its layers, got {hidden!r}")
        check_choice(config, "idm_input", IDM_INPUTS)
        check_choice(config, "loss", LOSSES)
        check_choice(config, "bottleneck", BOTTLENECKS)
        check_integers(config, 0, "mask_softness")
        check_numbers(config, "object_weight")
        self._check_loss_options()

    def _check_loss_options(self) -> None:
        """See that no option is given to a loss that does not have it."""
        config = {**PIXEL_OPTIONS, **self.config}
        if config["mask_softness"] and config["loss"] not in ("fixed", "paper"):
            raise ValueError("mask_softness is of masked losses: use loss='fixed' or 'paper', or mask_softness=0")
        if config["loss"] != "dual" and config["object_weight"] != 1:
            raise ValueError("object_weight is of loss='dual' alone: use that, or leave it out")
        if config["loss"] == "dual" and config["mask_input"]:
            raise ValueError("loss='dual' reads parts from the mask, by which mask_input would grey objects: use one")

    def _policy_arguments(self) -> dict[str, Any]:
        names = ("latent_dim", "mask_channel", "mask_input", "bottleneck", "bottleneck_options", "idm_input")
        hidden = tuple(self.config["decoder_hidden"])
        return {name: self.config[name] for name in names} | {"latent": True, "decoder_hidden": hidden}

    # ------------------------------------------------------------------ the stages' losses

    def _in_blocks(self, stage: str) -> bool:
        return stage != "decode"

    def _begin_stage(self, stage: str, frames: Any) -> LossOf:
        begin = {"pretrain": self._begin_pretrain, "clone": self._begin_clone, "decode": self._begin_decode}
        return begin[stage](frames)

    def _begin_pretrain(self, frames: Frames) -> LossOf:
        config = self.config
        windows = Windows(frames, frame_stack=config["frame_stack"], future_offset=config["future_offset"])

        def prepare(rng: np.random.Generator) -> Any:
            anchors = windows.anchors[rng.integers(len(windows), size=config["batch_size"])]
            offset: Any = config["future_offset"]
            if config["sample_offset"]:
                offset = rng.integers(1, config["future_offset"] + 1, size=len(anchors))
            mine = processes().share(np.stack((anchors, anchors + offset), axis=1))
            return self._pretrain_inputs(frames, windows, mine[:, 0], mine[:, 1])

        return PreparedLoss(prepare, self._loss_of_inputs)

    def pretrain_loss(
        self,
        frames: Frames,
        windows: Windows,
        anchors: NDArray[np.int64],
        future: NDArray[np.int64],
        rng: np.random.Generator | None = None,
    ) -> th.Tensor:
        """Loss of stage 1 on windows: the FDM predicts frame t + 1 from the stack at t and the IDM's latent.

        :param anchors: (B,) frame indices t
        :param future: (B,) frame indices t + k at which the IDM's second stack ends
        :param rng: of the update, for methods that draw more; None: they draw nothing
        """
        return self._loss_of_inputs(self._pretrain_inputs(frames, windows, anchors, future), rng)

    def _pretrain_inputs(
        self, frames: Frames, windows: Windows, anchors: NDArray[np.int64], future: NDArray[np.int64]
    ) -> Any:
        """What the loss of windows needs from the frames: gathered ahead by a thread, so it reads no weights."""
        index = self.policy.joined(windows.stack(anchors), windows.stack(future))
        x = self.policy.models_input(frames.rgbm, index, half=self._half)
        masked = self.config["loss"] != "plain" or self.config["mask_input"]
        target = gather(frames.rgbm, anchors[:, None] + 1, mask_channel=masked, layout="planes")
        current = self.policy.gathered_current(frames.rgbm, anchors, half=self._half)
        return x, as_tensor(target).to(self.policy.device), current

    def _loss_of_inputs(self, inputs: Any, rng: np.random.Generator | None) -> th.Tensor:
        """The loss of what ``_pretrain_inputs`` made."""
        policy, config = self.policy, self.config
        x, target, current = inputs
        with autocast(config["precision"], self.device):
            z, bottleneck_loss = policy.coded(policy.idm(x))
            prediction = policy.next_frame(x, z, current)
        rgb, mask = target[:, :3], target[:, 3:]
        if config["mask_input"]:
            rgb = rgb * mask
        weight = None if config["loss"] == "plain" else softened(mask, config["mask_softness"])
        loss = reconstruction_loss(prediction, rgb, weight, config["loss"], config["object_weight"])
        return loss if bottleneck_loss is None else loss + bottleneck_loss

    def _health(self, stage: str) -> dict[str, float]:
        """Use of the codebooks: what falls when they collapse."""
        bottleneck = self.policy.bottleneck
        if stage != "pretrain" or not isinstance(bottleneck, VectorQuantizer):
            return {}
        health = bottleneck.health()
        usage, perplexity = (float(np.mean(x)) for x in (health.usage, health.perplexity))
        return {"codebook_usage": usage, "codebook_perplexity": perplexity}

    def _begin_clone(self, frames: Frames) -> LossOf:
        """The policy imitates the frozen IDM's latents about their mean, in the coordinates of a basis."""
        policy, anchors = self.policy, self.windows(frames).anchors
        with autocast(self.config["precision"], self.device):
            latents = th.from_numpy(self.latents(frames, anchors)).to(self.device)
        if not self.progress["clone"]:
            policy.latent_mean.copy_(latents.mean(dim=0))
            policy.latent_basis.copy_(latent_basis(latents, self.config.get("whiten")))
        targets = th.linalg.solve(policy.latent_basis, latents - policy.latent_mean, left=False)
        return self._clone_loss(frames, anchors, targets)

    def _begin_decode(self, frames: Dataset) -> LossOf:
        windows = self.windows(frames)
        chosen = self.labelled(windows)
        actions = self._true_actions(frames, windows, chosen)
        with th.no_grad():
            index = windows.stack(chosen)
            features = th.cat([self.policy.act_latent(x) for x in self._batches(frames, index)])
            decoder: Any = self.policy.decoder
            decoder.standardize(features)
        size = self.config["batch_size"]

        def loss(rng: np.random.Generator) -> th.Tensor:
            rows = th.from_numpy(processes().share(rng.integers(len(chosen), size=size)))
            return th.nn.functional.mse_loss(self.policy.decoder(features[rows]), actions[rows])

        return loss

    # ------------------------------------------------------------------ latents

    def _batches(self, frames: Dataset, index: NDArray[np.int64]) -> Iterator[th.Tensor]:
        """Frames (N, n) as the policy reads them."""
        for part in self._parts(index):
            yield self.policy.actor_input(*frames.rows(part))

    def _parts(self, index: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """An index (N, n) in batches."""
        size = ENCODE_BATCH.get(self.device.type, 512)
        return np.split(index, range(size, len(index), size))

    def latents(self, frames: Dataset, anchors: NDArray[np.int64]) -> NDArray[np.float32]:
        """Latent actions (N, latent_dim) of the transitions that leave the given frames.

        The IDM's second stack ends one frame later where k was sampled in training, else at ``future_offset``.

        :param anchors: (N,) frame indices, none of them an episode's last frame
        :raises ValueError: when the frames have another size than the agent's
        """
        if frames.image_size != self.policy.image_size:
            raise ValueError(
                f"the frames are {frames.image_size} pixels wide, the agent was made for {self.policy.image_size}: "
                "draw them at that size"
            )
        if self._reads_masks and frames.trajectories.meta.get("masks") == "none":
            raise ValueError(
                f"the latents of this {type(self).__name__} are made of masks, and the frames have none: make some "
                "(masklam segment DATASET --mask-source motion)"
            )
        windows = self.windows(frames)
        index = self.policy.joined(windows.stack(anchors), windows.stack(self.ahead(frames, anchors)))
        with evaluating(self.policy), th.no_grad():
            parts = [self._encode(*frames.rows(part)).float().cpu().numpy() for part in self._parts(index)]
        return np.concatenate(parts)

    def ahead(self, frames: Dataset, anchors: NDArray[np.int64]) -> NDArray[np.int64]:
        """The frames (N,) in which the IDM's second stacks end, of transitions that leave the frames ``anchors`` (N,).

        One frame later where k was sampled in training, else ``future_offset`` later, at most at the episode's end.

        :raises ValueError: for an episode's last frame, which has no transition
        """
        reach = 1 if self.config.get("sample_offset", True) else self.config["future_offset"]
        ends = frames.trajectories.first_frame[1:] - 1
        last = ends[np.searchsorted(ends, anchors)]
        if (anchors >= last).any():
            raise ValueError("an episode's last frame has no transition: leave it out of the anchors")
        return np.minimum(anchors + reach, last)

    def _encode(self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]) -> th.Tensor:
        """Latents (B, latent_dim) of pairs of stacks: frames (F, H, W, 4) chosen by index, see ``joined``."""
        half = self._half and th.is_autocast_enabled(self.device.type)
        return self.policy.idm(self.policy.models_input(*self._seen_by_models(rgbm, index), half=half))

    def _seen_by_models(
        self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Frames (F, H, W, 4) and places in them as IDM and FDM see them, for methods that make masks themselves."""
        return rgbm, index

    @property
    def _reads_masks(self) -> bool:
        return self.policy.mask_channel or self.policy.mask_input

    def encode(self, obs: Any, next_obs: Any) -> NDArray[np.float32]:
        """Latent actions between observations.

        :param obs: stacks of frames at t: a dict of ``pixels`` (B, H, W, 3 * frame_stack) uint8 and, where the method
            reads masks, ``mask`` (B, H, W, frame_stack) uint8; oldest first; unbatched arrays too
        :param next_obs: the same one step later, or ``future_offset`` steps where ``sample_offset`` is False: what the
            IDM saw in training
        :return: (B, latent_dim), or (latent_dim,) for unbatched arrays
        """
        rgbm, index, batched = self._pair(obs, next_obs)
        with evaluating(self.policy), th.no_grad():
            z = self._encode(rgbm, index).float().cpu().numpy()
        return z if batched else z[0]

    def predict_next(self, obs: Any, next_obs: Any) -> NDArray[np.uint8]:
        """The FDM's next frame (B, H, W, 3) uint8 from ``obs`` and the latent of both; arguments as in ``encode``.

        :raises NotImplementedError: when the method predicts no pixels
        """
        if not self.can_predict:
            raise NotImplementedError(f"{type(self).__name__} predicts no pixels")
        rgbm, index, batched = self._pair(obs, next_obs)
        with evaluating(self.policy), th.no_grad():
            image = self._predicted(rgbm, index).float()
        pixels = ((image + 0.5) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        return pixels if batched else pixels[0]

    @property
    def can_predict(self) -> bool:
        """Whether there is a forward model that draws the next frame."""
        return self.predicts_pixels

    def _predicted(self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]) -> th.Tensor:
        """The next frames (B, 3, H, W) in [-0.5, 0.5] of pairs of stacks, by index as in ``_encode``."""
        x = self.policy.models_input(*self._seen_by_models(rgbm, index))
        z, _ = self.policy.coded(self.policy.idm(x))
        return self.policy.next_frame(x, z)

    def _pair(self, obs: Any, next_obs: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64], bool]:
        """Two observations as frames (F, H, W, 4), the index of both into them, whether it is a batch."""
        self._need_policy()
        count = self.config["frame_stack"]
        stacks = []
        for each in (obs, next_obs):
            pixels, batched = frames_of(each, self.policy.image_size)
            rgb, _ = push(pixels, count, None, None)
            rgbm = np.zeros((*rgb.shape[:4], 4), np.uint8)
            rgbm[..., :3] = rgb
            if self._reads_masks:
                rgbm[..., 3] = _mask_stack(each, rgb.shape)
            stacks.append(rgbm)
        frames = np.concatenate(stacks, axis=1)
        index = np.arange(frames.shape[0] * frames.shape[1]).reshape(frames.shape[:2])
        index = self.policy.joined(*np.split(index, 2, axis=1))
        return frames.reshape(-1, *frames.shape[2:]), index, batched

    def spaced(self, frames: Dataset, limit: int) -> NDArray[np.int64]:
        """Anchors (n,) of at most ``limit`` transitions, evenly spaced.

        :raises ValueError: when the limit is no whole number from 1 on
        """
        if not is_integer(limit, 1):
            raise ValueError(f"limit must be an integer >= 1, the transitions to look at, got {limit!r}")
        windows = self.windows(frames)
        return windows.anchors[np.linspace(0, len(windows) - 1, min(limit, len(windows))).astype(np.int64)]

    def probe(
        self,
        held_out: Dataset,
        limit: int = 20_000,
        *,
        target: str = "action",
        view: Any = None,
        train: Dataset | None = None,
        model: str = "linear",
    ) -> ProbeResult:
        """Probe from latent actions to executed actions, or to the distractor's motion.

        :param held_out: episodes the agent was not trained on
        :param limit: at most so many transitions, evenly spaced, of each set
        :param target: ``"action"``, or ``"distractor"``: what the background did in the same step, that is how much of
            it the latent carries; motion that does not vary is left out
        :param view: for ``"distractor"``, what the frames were drawn with: an environment or a ``View``; not needed for
            ``LazyFrames``
        :param train: what the probe is fitted on; None: the agent's dataset
        :param model: ``"linear"`` (ridge regression) or ``"mlp"``, see
            :func:`~masklam_agents.common.mlp_probe.mlp_probe`
        :raises ValueError: for an unknown target, or (``NothingMovesError``) a distractor that does not move
        """
        if model not in PROBES:
            raise ValueError(unknown_name("model of a probe", model, PROBES))
        return PROBES[model](*self.probe_samples(held_out, limit, target=target, view=view, train=train))

    def probe_samples(
        self,
        held_out: Dataset,
        limit: int = 20_000,
        *,
        target: str = "action",
        view: Any = None,
        train: Dataset | None = None,
    ) -> Samples:
        """What a probe is fitted to and scored on; arguments and errors as of :meth:`probe`.

        :return: latents (N, D) and targets (N, K) of the training set, latents (M, D) and targets (M, K) held out
        """
        if train is None and self.dataset is None:
            raise ValueError("a probe is fitted on other episodes: give them by train=, or the agent a dataset")
        both = (self._need_dataset() if train is None else train, held_out)
        values = [self.probe_targets(frames, limit, target=target, view=view) for frames in both]
        if target == "distractor":
            values = list(moving(*values))
        latents = [self.latents(frames, self.spaced(frames, limit)) for frames in both]
        return latents[0], values[0], latents[1], values[1]

    def probe_targets(
        self, frames: Dataset, limit: int = 20_000, *, target: str = "action", view: Any = None
    ) -> NDArray[np.floating]:
        """The targets (N, K) of a probe; arguments and errors as of :meth:`probe`."""
        return get_targets(target)(frames, view)[self.windows(frames).step(self.spaced(frames, limit))]


def without_effect(config: dict[str, Any]) -> list[str]:
    """Options that a configuration sets and that a method without a forward model of pixels refuses."""
    return [name for name, value in PIXEL_OPTIONS.items() if config.get(name, value) != value]


def latent_basis(latents: th.Tensor, whiten: float | None) -> th.Tensor:
    """The basis in whose coordinates the latent policy predicts: latent = coordinates @ basis + mean.

    :param latents: (N, D)
    :param whiten: None: the identity times the latents' overall spread. Else the principal directions, each in units of
        its own spread: directions of small variance count as much as the others, and those are often the ones that tell
        the action. The number is added to every direction's variance, in units of their mean, so that directions of
        noise alone do not.
    :return: (D, D), invertible
    :raises ValueError: when latents are not finite
    """
    if not latents.isfinite().all():
        raise ValueError("no policy can clone latents that are not finite: did stage 1 diverge? Lower learning_rate")
    variance = latents.var(dim=0).mean().clamp(min=1e-12)
    if whiten is None:
        return variance.sqrt() * th.eye(latents.shape[1], device=latents.device)
    values, vectors = th.linalg.eigh(th.cov(latents.double().T))
    return ((values.clamp(min=0) + whiten * variance).sqrt()[:, None] * vectors.T).to(latents)


def _mask_stack(obs: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    batch, count, height, width = shape[:4]
    if not isinstance(obs, dict) or "mask" not in obs:
        raise ValueError("this agent's IDM reads masks: give observations as a dict with 'pixels' and 'mask'")
    mask = np.asarray(obs["mask"])
    mask = mask[None] if mask.ndim == 3 else mask
    if mask.ndim == 4 and mask.shape[2:] == (height, width) and mask.shape[1] in (1, count):
        mask = mask.transpose(0, 2, 3, 1)  # channels first, as SB3 hands out images
    if mask.shape == (batch, height, width, 1):
        mask = np.repeat(mask, count, axis=-1)
    if mask.shape != (batch, height, width, count) or mask.dtype != np.uint8:
        raise ValueError(f"mask must be uint8 of shape {(batch, height, width, count)}, got {mask.dtype} {mask.shape}")
    return np.moveaxis(mask, -1, 1)
