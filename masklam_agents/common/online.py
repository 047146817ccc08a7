"""Reinforcement learning from a cloned policy: its network on stacked pixels becomes the actor of SB3's PPO or A2C."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, PyTorchObs
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import nn

from masklam_agents.common.gather import PATCH, SCALE
from masklam_agents.common.networks import get_network
from masklam_agents.common.policies import DECODER_HIDDEN, ActionDecoder
from masklam_agents.common.shown import check_colours, check_single
from masklam_agents.common.stacking import PredictState, frames_of, push
from masklam_agents.common.staged import check_samples
from masklam_agents.common.vec_env import MaskVecEnv
from masklam_agents.common.whitening import WhitenedLinear
from masklam_envs.errors import unknown_name

if TYPE_CHECKING:
    from masklam_agents.common.offline import OfflineAlgorithm

#: environments side by side where ``env`` is an id
NUM_ENVS = 8
#: standard deviation of the actions at the start, in half ranges of the action space
EXPLORATION = 0.3
TRAINED = ("all", "decoder")

ALGORITHMS: dict[str, tuple[type[OnPolicyAlgorithm], dict[str, Any]]] = {
    # Discount and trace of examples/train_expert.py, with which the shipped experts were trained.
    "PPO": (PPO, {"n_steps": 256, "batch_size": 256, "n_epochs": 4, "gamma": 0.98, "gae_lambda": 0.92}),
    "A2C": (A2C, {"n_steps": 16, "gamma": 0.98, "gae_lambda": 0.92}),
}


class StackedPixels(VecEnvWrapper):
    """The last frames on channels, first, and nothing else: (3 * n, H, W) uint8, oldest frame first.

    At an episode's start the first frame is repeated, as in the windows an agent was trained on; SB3's
    ``VecFrameStack`` puts black ones there.  Observations that are such stacks already pass.

    :param venv: environments whose observation is, or has under ``pixels``, frames (H, W, 3) uint8
    :param frame_stack: n
    :param image_size: H and W
    """

    def __init__(self, venv: VecEnv, frame_stack: int, image_size: int) -> None:
        space = spaces.Box(0, 255, (3 * frame_stack, image_size, image_size), np.uint8)
        super().__init__(venv, observation_space=space)
        self.frame_stack, self.image_size = frame_stack, image_size
        self._state: PredictState | None = None

    def reset(self) -> VecEnvObs:
        """Start all episodes."""
        self._state = None
        return self._push(self.venv.reset(), None)

    def step_wait(self) -> VecEnvStepReturn:
        """The newest frames join the stacks; an ended episode's last stack is its info's ``terminal_observation``."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for i in np.flatnonzero(dones):
            pixels, _ = frames_of(infos[i]["terminal_observation"], self.image_size)
            before = None if self._state is None else (self._state[0][i : i + 1],)
            infos[i]["terminal_observation"] = _on_channels(push(pixels, self.frame_stack, before, None)[0])[0]
        return self._push(observations, dones), rewards, dones, infos

    def _push(self, observations: VecEnvObs, starts: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        pixels, _ = frames_of(observations, self.image_size)
        stacks, self._state = push(pixels, self.frame_stack, self._state, starts)
        return _on_channels(stacks)


def _on_channels(stacks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stacks (B, n, H, W, 3) as (B, 3 * n, H, W)."""
    moved = stacks.transpose(0, 1, 4, 2, 3)
    return moved.reshape(len(moved), -1, *moved.shape[3:])


def network_input(pixels: th.Tensor, layout: str) -> th.Tensor:
    """Stacked frames (B, 3 * n, H, W), bytes or floats in [0, 255], in a layout that ``gather`` describes."""
    if layout == "image":
        x = pixels.contiguous(memory_format=th.channels_last)
    else:  # moved as bytes where they are bytes: a quarter of the memory
        batch, channels, height, width = pixels.shape
        rows, columns = height // (2 * PATCH), width // (2 * PATCH)
        x = pixels.view(batch, channels // 3, 3, rows, 2, PATCH, columns, 2, PATCH)
        x = x.permute(0, 3, 6, 4, 7, 1, 5, 8, 2).reshape(batch, 4 * rows * columns, -1)
    return th.mul(x, float(SCALE)).sub_(0.5)


class LatentFeatures(BaseFeaturesExtractor):
    """The latent policy: stacked pixels to latent actions.

    :param observation_space: of :class:`StackedPixels`
    :param network: name of a network family
    :param frame_stack: frames of a stack
    :param latent_dim: size of the latent action, or of the action where there is no latent (behaviour cloning)
    """

    latent_mean: th.Tensor
    latent_basis: th.Tensor

    def __init__(self, observation_space: spaces.Box, network: str, frame_stack: int, latent_dim: int) -> None:
        super().__init__(observation_space, latent_dim)
        family = get_network(network)
        self.layout = family.policy_layout
        self.actor = family.policy(3 * frame_stack, observation_space.shape[1], latent_dim)
        self.register_buffer("latent_mean", th.zeros(latent_dim))
        self.register_buffer("latent_basis", th.eye(latent_dim))

    def forward(self, pixels: th.Tensor) -> th.Tensor:
        """(B, 3 * n, H, W) in [0, 255] -> (B, latent_dim)."""
        return self.latents(network_input(pixels, self.layout))

    def latents(self, x: th.Tensor) -> th.Tensor:
        """Network input -> (B, latent_dim)."""
        return self.actor(x) @ self.latent_basis + self.latent_mean


#: what no ``policy_kwargs`` change: the actor is the agent's
OF_THE_AGENT = (
    *("net_arch", "activation_fn", "ortho_init", "normalize_images", "share_features_extractor"),
    *("features_extractor_class", "features_extractor_kwargs"),
    *("network", "frame_stack", "latent_dim", "decodes", "decoder_hidden"),
)


class LatentActorCritic(ActorCriticPolicy):
    """An actor that is a latent policy and a decoder, and a critic with a latent policy of its own.

    The decoder's output is the mean of a Gaussian; a dense layer makes the value of the critic's latent.

    :param observation_space: of :class:`StackedPixels`
    :param action_space: a bounded Box
    :param lr_schedule: learning rate
    :param network: name of a network family
    :param frame_stack: frames of a stack
    :param latent_dim: size of the latent action
    :param decodes: False: the latent is the action (behaviour cloning)
    :param decoder_hidden: widths of the decoder's hidden layers
    :param trained: ``"all"`` or ``"decoder"``, which holds the latent policy as it is
    :param kwargs: of SB3's ``ActorCriticPolicy``
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Any,
        *,
        network: str,
        frame_stack: int,
        latent_dim: int,
        decodes: bool = True,
        decoder_hidden: tuple[int, ...] = DECODER_HIDDEN,
        trained: str = "all",
        **kwargs: Any,
    ) -> None:
        self.decodes, self.decoder_hidden, self.trained = decodes, decoder_hidden, trained
        self._holds = False
        self._held: list[nn.Parameter] = []
        features = {"network": network, "frame_stack": frame_stack, "latent_dim": latent_dim}
        fixed = {
            "net_arch": {"pi": [], "vf": [256]},
            "activation_fn": nn.ReLU,
            "ortho_init": False,
            "normalize_images": False,
            "share_features_extractor": False,
            "features_extractor_class": LatentFeatures,
            "features_extractor_kwargs": features,
        }
        super().__init__(observation_space, action_space, lr_schedule, **{**kwargs, **fixed})

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        size = int(np.prod(self.action_space.shape or ()))
        self.action_net = ActionDecoder(self.features_dim, size, self.decoder_hidden) if self.decodes else nn.Identity()
        # A new one, because the decoder's weights are new: the base class made its own before they existed.
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def extract_features(  # type: ignore[override]  # as SB3's own
        self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor | None = None
    ) -> th.Tensor | tuple[th.Tensor, th.Tensor]:
        """Latents of actor and critic, from one input: making it costs more than a pass through a small network."""
        if features_extractor is not None:
            return super().extract_features(obs, features_extractor)
        actor, critic = self.pi_features_extractor, self.vf_features_extractor
        assert isinstance(obs, th.Tensor) and isinstance(actor, LatentFeatures) and isinstance(critic, LatentFeatures)
        x = network_input(obs, actor.layout)
        return actor.latents(x), critic.latents(x)

    def hold_actor(self, held: bool) -> None:
        """From the next update on hold all weights behind the actions, or let those move that are trained."""
        self._holds = held

    def set_training_mode(self, mode: bool) -> None:
        """Weights are held while an update is made and not else: an agent has the same modules."""
        super().set_training_mode(mode)
        for parameter in self._held:
            parameter.requires_grad_(True)
        self._held = [each for each in self._to_hold() if each.requires_grad] if mode else []
        for parameter in self._held:
            parameter.requires_grad_(False)

    def _to_hold(self) -> list[nn.Parameter]:
        latents = [] if self.trained == "all" and not self._holds else [*self.pi_features_extractor.parameters()]
        return [*latents, *self.action_net.parameters(), self.log_std] if self._holds else latents

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        features = data.pop("features_extractor_kwargs")
        mine = {"decodes": self.decodes, "decoder_hidden": self.decoder_hidden, "trained": self.trained}
        return data | {**features, **mine}


class WarmUp(BaseCallback):
    """Hold the actor until so many environment steps are done, while the critic learns what it is worth.

    :param steps: environment steps; above 0: at least for the first update, however long a rollout is; infinite: always
    """

    def __init__(self, steps: float) -> None:
        super().__init__()
        self.steps = steps

    def _on_rollout_end(self) -> None:
        model: Any = self.model
        first = self.num_timesteps <= model.n_steps * model.n_envs
        model.policy.hold_actor(self.num_timesteps < self.steps or (first and self.steps > 0))

    def _on_step(self) -> bool:
        return True


def stacked_env(env: GymEnv | str, frame_stack: int, image_size: int) -> StackedPixels:
    """Environments as an online policy sees them.

    :param env: a ``VecEnv``, an environment, or an id of this package, of which 8 are made
    :param frame_stack: frames of a stack
    :param image_size: side of a frame, pixels
    """
    check_single(env)
    check_colours(env)
    if isinstance(env, str):
        env = MaskVecEnv(env, NUM_ENVS)
    if not isinstance(env, VecEnv):
        single: gym.Env[Any, Any] = env
        env = DummyVecEnv([lambda: Monitor(single)])
    return StackedPixels(env, frame_stack, image_size)


def finetune(
    agent: OfflineAlgorithm,
    env: GymEnv | str,
    total_timesteps: int,
    algorithm: str,
    *,
    trained: str,
    warm_up: float,
    normalize_reward: bool,
    callback: MaybeCallback,
    progress_bar: bool,
    **kwargs: Any,
) -> OnPolicyAlgorithm:
    """See :meth:`masklam_agents.common.offline.OfflineAlgorithm.finetune`."""
    if trained not in TRAINED:
        raise ValueError(unknown_name("part to train", trained, TRAINED))
    if not 0 <= warm_up <= 1:
        raise ValueError(f"warm_up is a share of the steps in [0, 1], got {warm_up}")
    check_samples(total_timesteps, "step")
    model = online_model(agent, env, algorithm, trained=trained, normalize_reward=normalize_reward, **kwargs)
    hooks: list[BaseCallback] = []
    if warm_up:
        assert isinstance(model.policy, LatentActorCritic)
        model.policy.hold_actor(True)
        hooks.append(WarmUp(math.inf if warm_up == 1 else max(1, round(warm_up * total_timesteps))))
    given: list[Any] = callback if isinstance(callback, list) else [callback]
    hooks += [each if isinstance(each, BaseCallback) else ConvertCallback(each) for each in given if each is not None]
    try:
        return model.learn(total_timesteps, callback=CallbackList(hooks), progress_bar=progress_bar)
    finally:
        _let_go(model)


def _let_go(model: OnPolicyAlgorithm) -> None:
    """Leave nothing of a warm-up, or of an update that was stopped, in modules that the agent has too."""
    policy = model.policy
    assert isinstance(policy, LatentActorCritic)
    policy.hold_actor(False)
    policy.set_training_mode(False)


def online_model(
    agent: OfflineAlgorithm, env: GymEnv | str, algorithm: str, *, trained: str, normalize_reward: bool, **kwargs: Any
) -> OnPolicyAlgorithm:
    """The SB3 algorithm whose actor is the agent's policy; from now on they are the same modules.

    :raises ValueError: for an unknown algorithm, or an action space that is not the agent's
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(unknown_name("algorithm", algorithm, ALGORITHMS))
    cls, defaults = ALGORITHMS[algorithm]
    venv: VecEnv = stacked_env(env, agent.config["frame_stack"], agent.policy.image_size)
    space = agent.action_space
    assert isinstance(space, spaces.Box)
    if venv.action_space != space:
        raise ValueError(f"the agent acts in {space}, the environment in {venv.action_space}")
    options: dict[str, Any] = {
        "learning_rate": 1e-4,
        "seed": agent.config["seed"],
        "device": agent.device,
        **defaults,
        **kwargs,
    }
    if normalize_reward:
        venv = VecNormalize(venv, norm_obs=False, gamma=options["gamma"])
    _check_policy_kwargs(options.get("policy_kwargs", {}))
    if trained == "decoder" and not isinstance(agent.policy.decoder, ActionDecoder):
        raise ValueError(f"{type(agent).__name__} has no decoder, its policy acts: use trained='all'")
    spread = EXPLORATION * float(np.mean(space.high - space.low)) / 2
    options["policy_kwargs"] = {
        "log_std_init": math.log(spread),
        **options.get("policy_kwargs", {}),
        "network": agent.policy.network,
        "frame_stack": agent.config["frame_stack"],
        "latent_dim": len(agent.policy.latent_mean),
        "decodes": isinstance(agent.policy.decoder, ActionDecoder),
        "decoder_hidden": getattr(agent.policy.decoder, "hidden", DECODER_HIDDEN),
        "trained": trained,
    }
    model = cls(LatentActorCritic, venv, **options)
    assert isinstance(model.policy, LatentActorCritic)
    _start_from(model.policy, agent)
    _fit_whitening(model)
    return model


def _check_policy_kwargs(given: dict[str, Any]) -> None:
    if taken := sorted(set(given) & {*OF_THE_AGENT, "trained"}):
        raise ValueError(
            f"policy_kwargs of finetune hold {', '.join(taken)}, which the agent's own networks decide: leave it out"
        )


def _start_from(policy: LatentActorCritic, agent: OfflineAlgorithm) -> None:
    """Give actor and critic the agent's weights, then the agent the actor's modules."""
    mine = agent.policy
    for features in (policy.pi_features_extractor, policy.vf_features_extractor):
        assert isinstance(features, LatentFeatures)
        features.actor.load_state_dict(mine.actor.state_dict())
        features.latent_mean.copy_(mine.latent_mean)
        features.latent_basis.copy_(mine.latent_basis)
    policy.action_net.load_state_dict(mine.decoder.state_dict())
    if isinstance(policy.action_net, ActionDecoder) and not agent.progress.get("decode"):
        # No labels: the decoder begins at random, and its input in the scale that the basis tells.
        policy.action_net.mean.copy_(mine.latent_mean)
        policy.action_net.scale.copy_(mine.latent_basis.norm(dim=0).clamp(min=1e-6))
    mine.actor, mine.decoder = policy.pi_features_extractor.actor, policy.action_net  # type: ignore[assignment]


@th.no_grad()
def _fit_whitening(model: OnPolicyAlgorithm) -> None:
    """Networks that take their input's statistics from their first batch take them before the first action."""
    policy: Any = model.policy
    if all(bool(m.fitted) for m in policy.modules() if isinstance(m, WhitenedLinear)):
        return
    assert model.env is not None
    pixels, _ = policy.obs_to_tensor(model.env.reset())
    policy.set_training_mode(True)
    policy.extract_features(pixels)
    policy.set_training_mode(False)
