"""The base of all agents: stages, their loop, prediction, saving. A method is a subclass with other defaults or losses.

Stage 1, ``pretrain``: IDM and FDM from action-free windows.  Stage 2, ``clone``: a policy that predicts the frozen
IDM's latent action from the current stack alone.  Stage 3, ``decode``: a decoder from the policy's latent to the true
action, from few labels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common import utils
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback

from masklam_agents.common.losses import reconstruction_loss
from masklam_agents.common.policies import LatentActionPolicy
from masklam_agents.common.precision import autocast
from masklam_agents.common.probe import ProbeResult, linear_probe
from masklam_agents.common.saving import read_agent, space_from_json, space_to_json, write_agent
from masklam_agents.common.stacking import PredictState, frames_of, push
from masklam_envs.data.frames import Frames
from masklam_envs.data.windows import Windows

LOG_EVERY = 50
ENCODE_BATCH = 512


class LatentActionAlgorithm(BaseAlgorithm):
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
    :param stage_shares: shares of ``learn``'s samples that the stages get
    :param precision: ``"auto"``, ``"bf16"`` or ``"fp32"``
    :param policy_kwargs: further keyword arguments of the policy class
    :param tensorboard_log: folder for TensorBoard
    :param verbose: 0 quiet, 1 log to the terminal
    :param seed: of weights and of every sample drawn
    :param device: ``"auto"``, ``"cpu"``, ``"cuda"``
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "CnnPolicy": LatentActionPolicy,
        "MultiInputPolicy": LatentActionPolicy,
    }
    #: the stages in order, and the modules each trains
    stages: ClassVar[dict[str, tuple[str, ...]]] = {
        "pretrain": ("idm", "fdm"),
        "clone": ("actor",),
        "decode": ("decoder",),
    }
    #: False: the policy predicts actions itself
    latent: ClassVar[bool] = True
    policy: LatentActionPolicy

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Frames | None = None,
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
        stage_shares: tuple[float, ...] = (0.3, 0.4, 0.3),
        precision: str = "auto",
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int = 0,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy="MultiInputPolicy" if isinstance(policy, str) and policy == "CnnPolicy" else policy,
            env=env,
            learning_rate=learning_rate,
            policy_kwargs=policy_kwargs,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
            supported_action_spaces=(spaces.Box,),
        )
        self.config: dict[str, Any] = {
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
            "stage_shares": list(stage_shares),
            "precision": precision,
            "policy_kwargs": dict(policy_kwargs or {}),
            "seed": seed,
        }
        self.dataset = dataset
        self._check_config()
        if env is None:
            self._spaces_from_dataset()
        #: updates done in each stage of the current ``learn``
        self.progress = dict.fromkeys(self.stages, 0)
        self._optimizer: th.optim.Optimizer | None = None
        self._optimizer_state: dict[str, th.Tensor] = {}
        self._cache: dict[str, Any] = {}
        if _init_setup_model and self.action_space is not None:
            self._setup_model()

    # ------------------------------------------------------------------ set-up

    def _check_config(self) -> None:
        config = self.config
        for name in ("labels", "latent_dim", "frame_stack", "future_offset", "batch_size"):
            value = config[name]
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
        shares = config["stage_shares"]
        if len(shares) != len(self.stages) or min(shares) < 0 or not 0 < sum(shares) < math.inf:
            names = list(self.stages)
            raise ValueError(f"stage_shares must be {len(names)} numbers >= 0 for {names}, got {shares}")
        reconstruction_loss(th.zeros(1, 3, 1, 1), th.zeros(1, 3, 1, 1), th.ones(1, 1, 1, 1), config["loss"])
        autocast(config["precision"], self.device)

    def _spaces_from_dataset(self) -> None:
        """Without an environment the spaces are those the dataset was recorded in."""
        self.observation_space, self.action_space = None, None  # type: ignore[assignment]
        self.n_envs = 1
        if self.dataset is None:
            return
        size = self.dataset.rgbm.shape[1]
        meta = self.dataset.trajectories.meta
        low, high = (np.asarray(meta[key], np.float32) for key in ("action_low", "action_high"))
        self.observation_space = spaces.Dict({"pixels": spaces.Box(0, 255, (size, size, 3), np.uint8)})
        self.action_space = spaces.Box(low, high)

    def _image_size(self) -> int:
        space: Any = self.observation_space
        pixels = space["pixels"] if isinstance(space, spaces.Dict) and "pixels" in space.spaces else space
        if not isinstance(pixels, spaces.Box) or len(pixels.shape) != 3:
            raise ValueError(f"the observation space needs an image box under the key 'pixels', got {space}")
        return int(sorted(pixels.shape)[1])

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        names = ("network", "latent_dim", "frame_stack", "mask_channel")
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space,
            self.action_space,
            image_size=self._image_size(),
            latent=self.latent,
            **{name: self.config[name] for name in names},
            **self.policy_kwargs,
        ).to(self.device)

    def _need_dataset(self) -> Frames:
        if self.dataset is None:
            raise ValueError(f"{type(self).__name__} needs a dataset to train: pass dataset=render_frames(...)")
        if self.dataset.rgbm.shape[1] != self.policy.image_size:
            raise ValueError(
                f"the dataset's frames are {self.dataset.rgbm.shape[1]} pixels wide, the agent was made for "
                f"{self.policy.image_size}; render the dataset at image_size={self.policy.image_size}"
            )
        return self.dataset

    # ------------------------------------------------------------------ training

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = LOG_EVERY,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Run the stages.

        :param total_timesteps: samples in all, shared out by ``stage_shares``
        :param callback: SB3 callbacks; a step is an update
        :param log_interval: updates between log lines
        :param tb_log_name: name of the TensorBoard run; None: the class's name
        :param reset_num_timesteps: False: go on with an interrupted run, up to the same ``total_timesteps``
        :param progress_bar: show one per stage
        """
        if reset_num_timesteps:
            self.progress = dict.fromkeys(self.stages, 0)
            self.num_timesteps, self._optimizer_state = 0, {}
        self._total_timesteps = total_timesteps
        self.start_time, self._num_timesteps_at_start = time.time_ns(), self.num_timesteps
        if not self._custom_logger:
            name = tb_log_name or type(self).__name__
            self._logger = utils.configure_logger(self.verbose, self.tensorboard_log, name, reset_num_timesteps)
        hook = self._init_callback(callback)
        hook.on_training_start(locals(), globals())
        for stage, updates in self.stage_updates(total_timesteps).items():
            if not self._run_stage(stage, updates, hook, log_interval, progress_bar):
                break
        hook.on_training_end()
        return self

    def stage_updates(self, total_timesteps: int) -> dict[str, int]:
        """Updates that each stage gets of so many samples; at least one, unless its share is 0."""
        shares, batch = self.config["stage_shares"], self.config["batch_size"]
        return {
            stage: max(round(total_timesteps * share / sum(shares) / batch), share > 0)
            for stage, share in zip(self.stages, shares, strict=True)
        }

    def _run_stage(self, stage: str, updates: int, hook: BaseCallback, log_interval: int, progress_bar: bool) -> bool:
        """Train one stage up to so many updates; False when a callback stopped it."""
        first = self.progress[stage]
        if first >= updates:
            return True
        from tqdm.auto import tqdm

        frames = self._need_dataset()
        loss_of = self._begin_stage(stage, frames)
        self._optimizer = self._make_optimizer(stage)
        self.policy.set_training_mode(True)
        bar = tqdm(total=updates, initial=first, disable=not progress_bar, desc=stage, unit="update")
        going = True
        for update in range(first, updates):
            loss = self._update(stage, loss_of, update, updates)
            bar.update()
            if (update + 1) % log_interval == 0 or update + 1 == updates:
                self._log(stage, float(loss), update + 1)
                bar.set_postfix(loss=f"{float(loss):.4g}")
            hook.update_locals(locals())
            if not hook.on_step():
                going = False
                break
        bar.close()
        self.policy.set_training_mode(False)
        if going:
            self._optimizer, self._optimizer_state = None, {}
        return going

    def _update(
        self, stage: str, loss_of: Callable[[np.random.Generator], th.Tensor], update: int, updates: int
    ) -> th.Tensor:
        """One optimiser step; its samples are a function of seed, stage and update, so a resumed run repeats them."""
        optimizer = self._optimizer
        assert optimizer is not None
        for group in optimizer.param_groups:
            group["lr"] = self._peak_rate(stage) * 0.5 * (1 + math.cos(math.pi * update / updates))
        rng = np.random.default_rng((self.config["seed"], list(self.stages).index(stage), update))
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(rng)
        loss.backward()
        optimizer.step()
        self.progress[stage] = update + 1
        self.num_timesteps += self.config["batch_size"]
        self._n_updates += 1
        return loss.detach()

    def _log(self, stage: str, loss: float, updates: int) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(f"stage {stage!r} has loss {loss} at update {updates}; lower its learning rate")
        seconds = max((time.time_ns() - self.start_time) / 1e9, 1e-9)
        assert self._optimizer is not None
        self.logger.record(f"train/{stage}_loss", loss)
        self.logger.record("train/learning_rate", self._optimizer.param_groups[0]["lr"])
        self.logger.record("time/samples_per_second", (self.num_timesteps - self._num_timesteps_at_start) / seconds)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)

    def _peak_rate(self, stage: str) -> float:
        key = {"clone": "policy_learning_rate", "decode": "decoder_learning_rate"}.get(stage, "learning_rate")
        return float(self.config[key])

    def _make_optimizer(self, stage: str) -> th.optim.Optimizer:
        parameters = [p for name in self.stages[stage] for p in getattr(self.policy, name).parameters()]
        optimizer = th.optim.AdamW(
            parameters, self._peak_rate(stage), weight_decay=self.config["weight_decay"], fused=True
        )
        if self._optimizer_state:
            state = optimizer.state_dict()
            for name, tensor in self._optimizer_state.items():
                index, key = name.split(".")
                state["state"].setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict(state)
            self._optimizer_state = {}
        return optimizer

    # ------------------------------------------------------------------ the stages' losses

    def _begin_stage(self, stage: str, frames: Frames) -> Callable[[np.random.Generator], th.Tensor]:
        """Prepare a stage; returns its loss as a function of the random numbers of one update."""
        begin = {"pretrain": self._begin_pretrain, "clone": self._begin_clone, "decode": self._begin_decode}
        return begin[stage](frames)

    def _begin_pretrain(self, frames: Frames) -> Callable[[np.random.Generator], th.Tensor]:
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

    def _begin_clone(self, frames: Frames) -> Callable[[np.random.Generator], th.Tensor]:
        windows = self._windows(frames)
        targets = self._clone_targets(frames, windows)
        config = self.config

        def loss(rng: np.random.Generator) -> th.Tensor:
            rows = rng.integers(len(windows), size=config["batch_size"])
            reach = config["shift"]
            shift = rng.integers(-reach, reach + 1, size=(len(rows), 2)) if reach else None
            index = windows.stack(windows.anchors[rows])
            x = self.policy.prepare(frames.rgbm, index, mask_channel=False, shift=shift)
            with autocast(config["precision"], self.device):
                prediction = self.policy.actor(x)
            return th.nn.functional.mse_loss(prediction.float(), targets[th.from_numpy(rows)])

        return loss

    def _clone_targets(self, frames: Frames, windows: Windows) -> th.Tensor:
        """What the policy imitates: the frozen IDM's latents about their mean, in units of their spread."""
        latents = th.from_numpy(self.latents(frames, windows.anchors)).to(self.device)
        policy = self.policy
        if not self.progress["clone"]:
            policy.latent_mean.copy_(latents.mean(dim=0))
            policy.latent_scale.copy_(latents.var(dim=0).mean().sqrt().clamp(min=1e-6))
        return (latents - policy.latent_mean) / policy.latent_scale

    def _begin_decode(self, frames: Frames) -> Callable[[np.random.Generator], th.Tensor]:
        windows = self._windows(frames)
        chosen = self.labelled(windows)
        with th.no_grad():
            index = windows.stack(chosen)
            features = th.cat([self.policy.act_latent(x) for x in self._batches(frames, index, mask=False)])
        actions = th.from_numpy(frames.trajectories.labels[windows.step(chosen)]).to(self.device)
        size = self.config["batch_size"]

        def loss(rng: np.random.Generator) -> th.Tensor:
            rows = th.from_numpy(rng.integers(len(chosen), size=size))
            return th.nn.functional.mse_loss(self.policy.decoder(features[rows]), actions[rows])

        return loss

    def labelled(self, windows: Windows) -> NDArray[np.int64]:
        """The anchors (n,) whose true actions stage 3 may see: drawn over the whole dataset by the agent's seed.

        The original takes the first rows of the dataset, that is a few whole episodes.
        """
        rng = np.random.default_rng((self.config["seed"], len(self.stages)))
        return np.sort(rng.permutation(windows.anchors)[: self.config["labels"]])

    def _windows(self, frames: Frames) -> Windows:
        """Every transition of the dataset."""
        return Windows(frames, frame_stack=self.config["frame_stack"], future_offset=1)

    # ------------------------------------------------------------------ latents

    def _batches(self, frames: Frames, index: NDArray[np.int64], *, mask: bool) -> Any:
        for start in range(0, len(index), ENCODE_BATCH):
            yield self.policy.prepare(frames.rgbm, index[start : start + ENCODE_BATCH], mask_channel=mask)

    def latents(self, frames: Frames, anchors: NDArray[np.int64]) -> NDArray[np.float32]:
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
        with th.no_grad():
            parts = [self.policy.idm(x).cpu().numpy() for x in self._batches(frames, index, mask=self._mask_channel)]
        return np.concatenate(parts)

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
        x, batched = self._pair(obs, next_obs)
        with th.no_grad():
            z = self.policy.idm(x).cpu().numpy()
        return z if batched else z[0]

    def predict_next(self, obs: Any, next_obs: Any) -> NDArray[np.uint8]:
        """The FDM's next frame (B, H, W, 3) uint8 from ``obs`` and the latent of both; arguments as in ``encode``."""
        x, batched = self._pair(obs, next_obs)
        with th.no_grad():
            image = self.policy.fdm(first_half(x, self.policy.layout), self.policy.idm(x))
        pixels = ((image + 0.5) * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        return pixels if batched else pixels[0]

    def _pair(self, obs: Any, next_obs: Any) -> tuple[th.Tensor, bool]:
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
        flat = frames.reshape(-1, *frames.shape[2:])
        return self.policy.prepare(flat, index, mask_channel=self._mask_channel), batched

    def probe(self, held_out: Frames, limit: int = 20_000) -> ProbeResult:
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

    # ------------------------------------------------------------------ acting

    def predict(
        self,
        observation: Any,
        state: PredictState | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.float32], PredictState | None]:
        """Actions for an observation.

        Velocities show only in a stack of frames: with single-frame observations pass the returned ``state`` on, as
        SB3's ``evaluate_policy`` does; with stacked observations (3 * frame_stack channels) none is needed.

        :param observation: dict with ``pixels``, or pixels: uint8 frames, channels last or first, one or a batch
        :param state: what the last call returned, None at the start
        :param episode_start: (B,) where an episode begins
        :param deterministic: the policy is deterministic; accepted for SB3's interface
        :return: actions (A,) or (B, A) within the action space, and the state
        """
        pixels, batched = frames_of(observation, self.policy.image_size)
        stacks, state = push(pixels, self.config["frame_stack"], state, episode_start)
        self.policy.set_training_mode(False)
        with th.no_grad():
            actions = self.policy._predict(stacks).float().cpu().numpy()
        space = self.action_space
        assert isinstance(space, spaces.Box)
        actions = np.clip(actions.reshape(-1, *space.shape), space.low, space.high)
        return (actions if batched else actions[0]), state

    # ------------------------------------------------------------------ files

    def save(self, path: Any, exclude: Any = None, include: Any = None) -> None:
        """Write the agent, and where it is in training, to ``path`` (``.safetensors`` is added).

        :param exclude: not supported: an agent file is whole
        :param include: not supported
        """
        if exclude or include:
            raise ValueError("a MaskLAM agent file is whole: exclude and include are not supported")
        tensors = {f"policy.{name}": tensor for name, tensor in self.policy.state_dict().items()}
        if self._optimizer is not None:
            for index, entry in self._optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{index}.{key}": th.as_tensor(value) for key, value in entry.items()}
        header = {
            "class": type(self).__name__,
            "config": self.config,
            "progress": self.progress,
            "num_timesteps": self.num_timesteps,
            "total_timesteps": self._total_timesteps,
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
        }
        write_agent(path, header, tensors)

    @classmethod
    def load(  # type: ignore[override]
        cls,
        path: Any,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        dataset: Frames | None = None,
        **kwargs: Any,
    ) -> Self:
        """Read an agent written by :meth:`save`.

        :param path: the file, with or without ``.safetensors``
        :param env: an environment with the same spaces
        :param device: where to put it
        :param dataset: to train on
        :param kwargs: constructor arguments to set anew, e.g. ``verbose``
        :raises ValueError: when the file is damaged, of another class or version, or the environment does not fit
        """
        header, tensors = read_agent(path)
        if header["class"] != cls.__name__:
            raise ValueError(f"{path} holds a {header['class']} agent; load it with {header['class']}.load")
        agent = cls(env=env, dataset=dataset, device=device, _init_setup_model=False, **{**header["config"], **kwargs})
        spaces_of = [space_from_json(header[key]) for key in ("observation_space", "action_space")]
        if env is None:
            agent.observation_space, agent.action_space = spaces_of
        elif agent.action_space.shape != spaces_of[1].shape:
            raise ValueError(f"the agent acts in {spaces_of[1]}, the environment in {agent.action_space}")
        agent._setup_model()
        weights = {n.removeprefix("policy."): t for n, t in tensors.items() if n.startswith("policy.")}
        try:
            agent.policy.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{path} does not fit its own configuration ({error}); save it again") from error
        momenta = {n.removeprefix("optimizer."): t for n, t in tensors.items() if n.startswith("optimizer.")}
        agent._optimizer_state = momenta
        agent.progress = {stage: int(header["progress"][stage]) for stage in cls.stages}
        agent.num_timesteps, agent._total_timesteps = int(header["num_timesteps"]), int(header["total_timesteps"])
        return agent

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "dataset", "_cache"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy"], []


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
