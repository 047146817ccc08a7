"""Agents trained on recorded frames behind SB3's interface: data, acting, files. A method says what its losses are."""

from __future__ import annotations

import functools
import inspect
import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import maybe_make_env
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.utils import get_system_info

from masklam_agents.common.ahead import LossOf, PreparedLoss
from masklam_agents.common.checks import check_choice, check_flags, check_integers, check_numbers, is_integer, is_number
from masklam_agents.common.configuration import OF_AGENTS, check_names, whole_signature
from masklam_agents.common.networks import named
from masklam_agents.common.policies import LatentActionPolicy, evaluating
from masklam_agents.common.precision import autocast, trains_in_bf16
from masklam_agents.common.processes import processes
from masklam_agents.common.saving import read_agent, space_from_json, space_to_json, write_agent
from masklam_agents.common.schedules import RATES, STAGES, check_schedules
from masklam_agents.common.shown import check_colours, check_single
from masklam_agents.common.stacking import PredictState, frames_of, push
from masklam_agents.common.staged import StagedAlgorithm
from masklam_agents.common.training_data import (
    LABEL_TARGETS,
    Dataset,
    Source,
    checked_source,
    image_size_of,
    opened,
    recorded_in,
    spaces_of,
    true_actions,
)
from masklam_envs.data.blocks import Blocks
from masklam_envs.data.mask_check import warn_of_useless_masks
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.data.windows import Windows, warn_of_short_episodes
from masklam_envs.errors import unknown_name

LABELS_STREAM = 3  # of the seed; the stages have those before it


class OfflineAlgorithm(StagedAlgorithm):
    """An agent trained on recorded frames, stage after stage.

    :param policy: ``"MultiInputPolicy"`` or ``"CnnPolicy"`` (the same), or a subclass of ``LatentActionPolicy``
    :param env: an environment with the observation key ``pixels``, its id, or None: the spaces are the dataset's
    :param dataset: trajectories with frames, see :func:`masklam_envs.render_frames`; or trajectories alone: they are
        seen through ``env``, from a file that is drawn once or on the fly, as their size decides, see
        :func:`masklam_envs.open_frames`.  May be set later as ``agent.dataset``
    :param config: every other argument of the method, as names and numbers: what an agent file records
    :param tensorboard_log: folder for TensorBoard
    :param verbose: 0 quiet, 1 log to the terminal
    :param device: ``"auto"``, ``"cpu"``, ``"cuda"``
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "CnnPolicy": LatentActionPolicy,
        "MultiInputPolicy": LatentActionPolicy,
    }
    stages: ClassVar[dict[str, tuple[str, ...]]] = {"clone": ("actor",)}
    #: the family that ``network="paper"`` stands for
    paper_network: ClassVar[str] = "impala"
    __signature__: ClassVar[inspect.Signature]
    policy: LatentActionPolicy

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let ``help`` and notebooks show all arguments of a method."""
        super().__init_subclass__(**kwargs)
        cls.__signature__ = whole_signature(cls)

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str | None,
        dataset: Source | None,
        config: dict[str, Any],
        *,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        check_single(env)
        check_colours(env)
        super().__init__(
            config | {"network": named(config["network"])},
            policy="MultiInputPolicy" if isinstance(policy, str) and policy == "CnnPolicy" else policy,
            env=env,
            learning_rate=config["policy_learning_rate"],
            policy_kwargs=config["policy_kwargs"],
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=config["seed"],
            supported_action_spaces=(spaces.Box,),
        )
        self._dataset = checked_source(dataset)
        self._check_config()
        if env is None:
            self._spaces_from_dataset()
        if _init_setup_model and self.action_space is not None:
            self._setup_model()

    # ------------------------------------------------------------------ what a method says

    @abstractmethod
    def _begin_stage(self, stage: str, frames: Any) -> LossOf:
        """Prepare a stage for a block of frames; returns its loss as a function of the random numbers of one update.

        :param stage: its name
        :param frames: ``Frames``; or the whole dataset, lazy or not, where ``_in_blocks`` says False
        """

    def _in_blocks(self, stage: str) -> bool:
        """Whether a stage goes through a lazy dataset block by block; else it picks what it needs by itself."""
        return True

    def _policy_arguments(self) -> dict[str, Any]:
        """Arguments of the policy that only some methods have."""
        return {"latent_dim": 0, "mask_channel": False, "latent": False}

    # ------------------------------------------------------------------ set-up

    def _check_config(self) -> None:
        config = self.config
        check_integers(config, 1, "labels", "latent_dim", "frame_stack", "future_offset", "batch_size")
        check_integers(config, 0, "shift")
        check_flags(config, "sample_offset", "mask_channel", "mask_input")
        check_numbers(config, *RATES.values(), "weight_decay")
        check_choice(config, "label_target", LABEL_TARGETS)
        if not (is_integer(config["seed"], 0) and config["seed"] < 2**32):
            raise ValueError(f"seed must be an integer from 0 to 2**32 - 1, or None for any, got {config['seed']!r}")
        self._check_shares()
        clipped = config.get("max_grad_norm", {})
        if unknown := set(clipped) - set(STAGES):
            raise ValueError(unknown_name("stage of max_grad_norm", min(unknown), STAGES))
        if not all(is_number(norm) and norm for norm in clipped.values()):
            raise ValueError(f"max_grad_norm must hold numbers > 0, got {clipped}")
        check_schedules(config.get("schedules", {}), STAGES)
        if self.policy_class in self.policy_aliases.values():
            taken = whole_signature(self.policy_class).parameters.keys()
            check_names("policy_kwargs", config["policy_kwargs"], taken - {*OF_AGENTS, *config})
        autocast(config["precision"], self.device)

    def _check_shares(self) -> None:
        given, names = self.config.get("stage_shares", [1.0]), list(self.stages)
        whole = isinstance(given, list) and len(given) == len(names) and all(map(is_number, given))
        if not (whole and any(self.shares())):
            raise ValueError(f"stage_shares must be {len(names)} numbers >= 0 for {names}, not all 0, got {given}")

    def _spaces_from_dataset(self) -> None:
        """Without an environment the spaces are those the dataset was recorded in."""
        self.observation_space, self.action_space = None, None  # type: ignore[assignment]
        self.n_envs = 1
        if self.dataset is None:
            return
        self.observation_space, self.action_space = spaces_of(self.dataset)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Give the agent an environment, also one that shows more than the dataset does (a mask), or stacks of frames.

        :param env: with frames of the agent's size and its action space; any number of environments side by side
        :param force_reset: as in SB3
        :raises ValueError: when they are others, or not in colour
        """
        check_single(env)
        check_colours(env)
        wrapped = self._wrap_env(maybe_make_env(env, self.verbose), self.verbose)
        space = wrapped.action_space
        if self.action_space is None:  # made without environment and dataset
            self.observation_space, self.action_space = wrapped.observation_space, space
            self._setup_model()
        self._check_spaces(self.policy.image_size, self.action_space, wrapped.observation_space, space)
        self.observation_space, self.n_envs = wrapped.observation_space, wrapped.num_envs
        super().set_env(wrapped, force_reset)

    def _check_spaces(self, size: int, space: Any, observation_space: Any, action_space: Any) -> None:
        """See that an environment's spaces are those of an agent that sees so many pixels and acts in ``space``."""
        if (shown := image_size_of(observation_space)) != size or space != action_space:
            raise ValueError(
                f"the agent sees {size} pixels and acts in {space}, the environment shows {shown} and acts in "
                f"{action_space}"
            )

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.config["seed"])
        self.policy = self._make_policy().to(self.device)
        self.policy.set_training_mode(False)  # training begins by asking for it

    def _make_policy(self) -> LatentActionPolicy:
        network = self.config["network"]
        made: Any = self.policy_class(
            self.observation_space,
            self.action_space,
            image_size=image_size_of(self.observation_space),
            network=self.paper_network if network == "paper" else network,
            frame_stack=self.config["frame_stack"],
            **self._policy_arguments(),
            **self.policy_kwargs,
        )
        return made

    @property
    def dataset(self) -> Dataset | None:
        """What the agent is trained on; recorded physics becomes frames when it is first asked for."""
        if isinstance(self._dataset, Trajectories):
            self._dataset = opened(self._dataset, self.env, self.verbose > 0)
        return self._dataset

    @dataset.setter
    def dataset(self, dataset: Source | None) -> None:
        self._dataset = checked_source(dataset)
        if self.action_space is None and dataset is not None:
            self._spaces_from_dataset()
            self._setup_model()

    def _need_policy(self) -> None:
        """Complain of an agent without networks: what they are made for is not known yet."""
        if getattr(self, "policy", None) is None:
            raise ValueError(f"this {type(self).__name__} has no networks yet: give it env= or dataset= first")

    def _need_dataset(self) -> Dataset:
        if self.dataset is None:
            raise ValueError(f"{type(self).__name__} needs a dataset to train: pass dataset=render_frames(...)")
        if self.dataset.image_size != self.policy.image_size:
            raise ValueError(
                f"the dataset's frames are {self.dataset.image_size} pixels wide, the agent was made for "
                f"{self.policy.image_size}; render the dataset at image_size={self.policy.image_size}"
            )
        return self.dataset

    def _check_masks(self, stage: str) -> None:
        if self._needs_masks(stage) and self._need_dataset().trajectories.meta.get("masks") == "none":
            raise ValueError(
                f"this {type(self).__name__} learns from masks and the dataset has none: import it with a mask source "
                "(masklam import --mask-source motion), or use mask_channel=False, mask_input=False, loss='plain'"
            )

    def _needs_masks(self, stage: str) -> bool:
        """Whether a stage looks at the dataset's masks."""
        return self._learns_from_masks if stage == "pretrain" else stage == "clone" and self._reads_masks

    @property
    def _reads_masks(self) -> bool:
        """Whether latents are made of masks too."""
        return False

    def _warn_of_data(self, first: bool) -> None:
        if self._learns_from_masks and first:
            warn_of_useless_masks(self._need_dataset())
        if self._dataset is not None:
            warn_of_short_episodes(recorded_in(self._dataset), self.config.get("future_offset", 1))

    @property
    def _learns_from_masks(self) -> bool:
        reads = self.config.get("mask_channel") or self.config.get("mask_input")
        return bool(reads or self.config.get("loss", "plain") != "plain")

    def _true_actions(
        self, frames: Dataset, windows: Windows, anchors: NDArray[np.int64], target: str = "policy"
    ) -> th.Tensor:
        """The actions (N, A) of anchors (N,): :func:`~masklam_agents.common.training_data.true_actions`."""
        return th.from_numpy(true_actions(frames, windows, anchors, self.action_space, target)).to(self.device)

    # ------------------------------------------------------------------ losses

    def _losses(self, stage: str) -> tuple[Callable[[int], LossOf], int]:
        """The loss of an update by its number, and how many updates share one (0: all).

        The stage begins anew with every block of the dataset.
        """
        dataset, config = self._need_dataset(), self.config
        self._check_masks(stage)
        if not self._in_blocks(stage):
            whole = self._begin_stage(stage, dataset)
            return lambda update: whole, 0
        blocks = Blocks(dataset, batch_size=config["batch_size"], seed=config["seed"])

        @functools.lru_cache(maxsize=1)
        def of_block(number: int) -> LossOf:
            return self._begin_stage(stage, blocks.load(number))

        return lambda update: of_block(blocks.number(update)), blocks.updates

    def _clone_loss(self, frames: Dataset, anchors: NDArray[np.int64], targets: th.Tensor) -> LossOf:
        """The actor's squared error on targets (N, D), one for the stack that ends at each anchor (N,)."""
        config = self.config
        rgbm, stacks = frames.rows(self.windows(frames).stack(anchors))
        share = processes().share

        def prepare(rng: np.random.Generator) -> tuple[NDArray[np.int64], th.Tensor]:
            rows = rng.integers(len(anchors), size=config["batch_size"])
            reach = config["shift"]
            shift = rng.integers(-reach, reach + 1, size=(len(rows), 2)) if reach else None
            rows, shift = share(rows), None if shift is None else share(shift)
            return rows, self.policy.actor_input(rgbm, stacks[rows], shift, half=self._half)

        def loss(batch: tuple[NDArray[np.int64], th.Tensor], rng: np.random.Generator) -> th.Tensor:
            rows, x = batch
            with autocast(config["precision"], self.device):
                prediction = self.policy.actor(x)
            return th.nn.functional.mse_loss(prediction.float(), targets[th.from_numpy(rows)])

        return PreparedLoss(prepare, loss)

    @property
    def _half(self) -> bool:
        """Whether the networks train in bf16, so that their inputs may come in it."""
        return trains_in_bf16(self.config["precision"], self.device)

    def labelled(self, windows: Windows) -> NDArray[np.int64]:
        """The anchors (n,) whose true actions stage 3 may see: drawn over the whole dataset by the agent's seed.

        The original takes the first rows of the dataset, that is a few whole episodes.  With one seed every method gets
        the same ones, and fewer labels are a part of more.
        """
        rng = np.random.default_rng((self.config["seed"], LABELS_STREAM))
        return np.sort(rng.permutation(windows.anchors)[: self.config["labels"]])

    def windows(self, frames: Dataset) -> Windows:
        """Every transition of the dataset."""
        return Windows(frames, frame_stack=self.config["frame_stack"], future_offset=1)

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
        self._need_policy()
        pixels, batched = frames_of(observation, self.policy.image_size)
        stacks, state = push(pixels, self.config["frame_stack"], state, episode_start)
        with evaluating(self.policy), th.no_grad():
            actions = self.policy._predict(stacks).float().cpu().numpy()
        space = self.action_space
        assert isinstance(space, spaces.Box)
        actions = np.clip(actions.reshape(-1, *space.shape), space.low, space.high)
        return (actions if batched else actions[0]), state

    # ------------------------------------------------------------------ going on by reinforcement

    def finetune(
        self,
        env: GymEnv | str,
        total_timesteps: int,
        algorithm: str = "PPO",
        *,
        trained: str = "all",
        warm_up: float = 0.05,
        normalize_reward: bool = True,
        callback: MaybeCallback = None,
        progress_bar: bool = False,
        **kwargs: Any,
    ) -> OnPolicyAlgorithm:
        """Go on by reinforcement learning from the environment's reward, starting from the policy as it is.

        The latent policy's network on stacked pixels and the action decoder become the actor of an SB3 algorithm; its
        critic starts from the latent policy too.  With a decoder that saw no label this is LAPO's online decoding.
        The agent's own weights are what moves: ``predict`` and ``save`` are the fine-tuned agent's.  The returned model
        also has the critic and the optimiser: ``model.save``, ``PPO.load`` and ``model.learn`` go on from there.

        :param env: a ``VecEnv``, an environment of single frames or of ready stacks, or an id, of which 8 are made
        :param total_timesteps: environment steps
        :param algorithm: ``"PPO"`` or ``"A2C"``; :class:`~masklam_agents.latent_env.LatentActionEnv` takes any other
        :param trained: ``"all"``, or ``"decoder"``: the latent policy stays as it was cloned
        :param warm_up: share of the steps in which the critic alone learns, in [0, 1]
        :param normalize_reward: divide rewards by the running spread of returns (``VecNormalize``)
        :param callback: SB3 callbacks; their ``model`` is the SB3 algorithm
        :param progress_bar: show one
        :param kwargs: of the algorithm, such as ``learning_rate`` and ``n_steps``
        :return: the SB3 algorithm
        :raises ValueError: for an unknown name, fewer than one step, or an environment of another action space
        """
        from masklam_agents.common.online import finetune

        return finetune(
            self,
            env,
            total_timesteps,
            algorithm,
            trained=trained,
            warm_up=warm_up,
            normalize_reward=normalize_reward,
            callback=callback,
            progress_bar=progress_bar,
            **kwargs,
        )

    # ------------------------------------------------------------------ files

    def save(self, path: Any, exclude: Any = None, include: Any = None) -> None:
        """Write the agent, and where it is in training, to ``path`` (``.safetensors`` is added).

        Of several processes that train together the first alone writes.

        :param exclude: not supported: an agent file is whole
        :param include: not supported
        """
        if exclude or include:
            raise ValueError("a MaskLAM agent file is whole: exclude and include are not supported")
        self._need_policy()
        if processes().rank:
            return
        tensors = {f"policy.{name}": tensor for name, tensor in self.policy.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self._momenta().items()}
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
        dataset: Source | None = None,
        *,
        custom_objects: None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Read an agent written by :meth:`save`.

        :param path: the file, with or without ``.safetensors``
        :param env: an environment with the same spaces
        :param device: where to put it
        :param dataset: to train on, as for the constructor
        :param custom_objects: not supported, and not needed: files hold names and numbers, no objects
        :param print_system_info: print the versions here (SB3's)
        :param force_reset: as in SB3; an agent that was read has no observation to go on from, so nothing depends on it
        :param kwargs: constructor arguments to set anew, e.g. ``verbose``
        :raises ValueError: when the file is damaged, of another class or version, or the environment does not fit
        """
        if custom_objects:
            raise ValueError("agent files hold no objects to replace: give constructor arguments as keywords instead")
        if print_system_info:
            get_system_info()
        header, tensors = read_agent(path)
        if header["class"] != cls.__name__:
            raise ValueError(f"{path} holds a {header['class']} agent; load it with {header['class']}.load")
        agent = cls._configured(path, header["config"], kwargs, env=env, dataset=dataset, device=device)
        observation_space, action_space = (
            space_from_json(header[key]) for key in ("observation_space", "action_space")
        )
        if env is None:
            agent.observation_space, agent.action_space = observation_space, action_space
        else:
            size = image_size_of(observation_space)
            agent._check_spaces(size, action_space, agent.observation_space, agent.action_space)
        agent._setup_model()
        agent._take_weights(
            path, _under("policy.", tensors), {n: v for n, v in header["config"].items() if n in kwargs}
        )
        agent._take_training(path, _under("optimizer.", tensors), header)
        return agent

    @classmethod
    def _configured(cls, path: Any, config: dict[str, Any], changes: dict[str, Any], **given: Any) -> Self:
        """An agent without networks, with a file's configuration and what is set anew."""
        try:
            agent = cls(_init_setup_model=False, **given, **{**config, **changes})
        except TypeError as error:
            raise ValueError(f"{path} does not fit this {cls.__name__}, is it of another version? ({error})") from error
        if foreign := set(config) - set(agent.config):
            raise ValueError(f"{path} sets what no {cls.__name__} has: {', '.join(sorted(foreign))}")
        return agent

    def _take_weights(self, path: Any, weights: dict[str, th.Tensor], replaced: dict[str, Any]) -> None:
        """The networks' weights.

        :param replaced: the file's own values of what was set anew
        """
        try:
            self.policy.load_state_dict(weights)
        except RuntimeError as error:
            for name, value in replaced.items():
                if self.config[name] != value:
                    raise ValueError(
                        f"{name}={self.config[name]!r} makes other networks than those in {path}, which has {value!r}: "
                        "leave it out"
                    ) from error
            raise ValueError(f"{path} does not fit its own configuration ({error}); save it again") from error

    def _take_training(self, path: Any, momenta: dict[str, th.Tensor], header: dict[str, Any]) -> None:
        """Where training was."""
        if strange := [name for name in momenta if not re.fullmatch(r"\d+\.(step|exp_avg|exp_avg_sq)", name)]:
            raise ValueError(f"{path} holds no momenta of AdamW: {strange[0]!r}; save it again")
        self._optimizer_state = momenta
        self.progress = {stage: int(header["progress"][stage]) for stage in self.stages}
        self.num_timesteps, self._total_timesteps = int(header["num_timesteps"]), int(header["total_timesteps"])

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_dataset"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy"], []


def _under(prefix: str, tensors: dict[str, th.Tensor]) -> dict[str, th.Tensor]:
    """The tensors whose names begin so, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
