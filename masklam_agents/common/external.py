"""Latent action models that are not ours: what they must do, how they are named, and the agent around them.

A model is a class with one or two methods, three if it can draw what it predicts::

    class YourLAM(torch.nn.Module):
        def __init__(self, image_size, frame_stack, latent_dim): ...
        def encode(self, obs, next_obs): ...   # -> (B, latent_dim)
        def loss(self, batch): ...             # a LAMBatch -> scalar; leave it out where the model trains itself
        def predict_next(self, obs, z): ...    # -> (B, 3, H, W) in [-0.5, 0.5]; optional

    register_lam("yours", "your_module:YourLAM")
    agent = ExternalLAM(lam="yours", dataset=frames, labels=4_096)

``obs`` and ``next_obs`` are dicts of stacks of S frames, oldest first: ``pixels`` and, with ``mask_channel=True``,
``mask``.  A torch module gets float32 tensors on the agent's device, ``pixels`` (B, 3 * S, H, W) in [-0.5, 0.5] and
``mask`` (B, S, H, W) in [0, 1].  Any other object gets uint8 NumPy arrays as environments show them, channels last:
``pixels`` (B, H, W, 3 * S) and ``mask`` (B, H, W, S); it has trained itself and may answer in NumPy or torch.
Cloning, decoding, probe, prediction and evaluation are the shared ones.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from torch import nn

from masklam_agents.common.ahead import LossOf
from masklam_agents.common.base import LatentActionAlgorithm, without_effect
from masklam_agents.common.configuration import NOT_CONFIGURATION, check_names, whole_signature
from masklam_agents.common.gather import gather
from masklam_agents.common.lam_protocol import LAMBatch as LAMBatch
from masklam_agents.common.lam_protocol import Shown, checked_latents, checked_loss, checked_prediction
from masklam_agents.common.networks import NetworkFamily
from masklam_agents.common.policies import LatentActionPolicy
from masklam_agents.common.precision import autocast
from masklam_agents.common.processes import processes
from masklam_agents.common.seeded import seeded, streams_kept
from masklam_agents.common.training_data import Source
from masklam_agents.methods import METHODS, register_method
from masklam_envs.data.frames import Frames
from masklam_envs.data.windows import Windows
from masklam_envs.entry_points import entry_point_for, load
from masklam_envs.errors import unknown_name

_LAMS: dict[str, str] = {}


def register_lam(name: str, entry_point: str | type, **options: Any) -> None:
    """Make a latent action model available by name, also to ``make_agent`` and everything else that takes a method.

    The same model again, as when a notebook's cell is run anew, takes the options that it is given now; agents that are
    made already keep theirs.

    :param name: what configurations, agent files and tables of methods call it
    :param entry_point: ``"module:Class"``, imported when the name is first used, or a class at the top of a module;
        called with the keyword arguments ``image_size``, ``frame_stack``, ``latent_dim`` and the agent's ``lam_kwargs``
    :param options: keyword arguments of the agent that the name makes, e.g. ``mask_channel=True`` for one that is shown
        masks
    :raises ValueError: when the name stands for something else, the entry point has another form, or the agent takes no
        such option
    """
    entry_point = entry_point_for("model", name, entry_point)
    check_names(
        "options of a model", options, whole_signature(ExternalLAM).parameters.keys() - {*NOT_CONFIGURATION, "lam"}
    )
    if name in METHODS:
        if _LAMS.get(name) != entry_point:
            raise ValueError(f"{name!r} is registered already ({METHODS[name].summary}); choose another name")
        del METHODS[name]
    _LAMS[name] = entry_point
    register_method(name, "masklam_agents:ExternalLAM", f"the model {entry_point}", lam=name, **options)


def lam_class(name: str) -> Callable[..., Any]:
    """The class behind a registered name; only registered ones, so that no agent file can have a module imported.

    :raises ValueError: when there is none
    """
    if name not in _LAMS:
        raise ValueError(
            f"{unknown_name('model', name, _LAMS)}. Register it first: register_lam(name, 'module:Class'), or on a "
            "command line --plugin with the module that does so"
        )
    made: Callable[..., Any] = load(f"model {name!r}", _LAMS[name])
    return made


class ExternalPolicy(LatentActionPolicy):
    """The latent policy and the decoder of a network family, with somebody's model in place of IDM and FDM.

    :param args: see :class:`~masklam_agents.common.policies.LatentActionPolicy`
    :param lam: a registered name
    :param lam_kwargs: further keyword arguments of the model
    :param kwargs: see :class:`~masklam_agents.common.policies.LatentActionPolicy`
    """

    lam: Any

    def __init__(self, *args: Any, lam: str, lam_kwargs: dict[str, Any], **kwargs: Any) -> None:
        self._lam_name, self._lam_kwargs = lam, lam_kwargs
        super().__init__(*args, **kwargs)

    def _make_models(self, family: NetworkFamily, channels: int, latent_dim: int) -> None:
        shown = {"image_size": self.image_size, "frame_stack": self.frame_stack, "latent_dim": latent_dim}
        self.lam = lam_class(self._lam_name)(**shown, **self._lam_kwargs)
        if not callable(getattr(self.lam, "encode", None)):
            name = type(self.lam).__name__
            raise TypeError(f"model {self._lam_name!r} needs a method encode(obs, next_obs), {name} has none")


class ExternalLAM(LatentActionAlgorithm):
    """An agent around a latent action model that is not ours; see the head of this module for what that must do.

    A model with ``loss`` is trained in stage 1 as ours are.  One without has trained itself: stage 1 is left out.
    Parameters and buffers of a torch module are saved with the agent; any other object is made again when the agent is
    loaded, so let ``lam_kwargs`` say where its weights lie.

    :param lam: the name given to :func:`register_lam`
    :param lam_kwargs: keyword arguments of the model beside ``image_size``, ``frame_stack`` and ``latent_dim``; plain
        JSON values
    :param mask_channel: the model is shown masks
    :param future_offset: largest k of ``next_obs`` in training, see ``sample_offset``
    :param kwargs: see :class:`~masklam_agents.common.base.LatentActionAlgorithm`; ``network`` is the latent policy's.
        The model has a loss and a latent of its own, so ``loss``, ``mask_input``, ``mask_softness``, ``bottleneck`` and
        ``bottleneck_options`` are refused
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "CnnPolicy": ExternalPolicy,
        "MultiInputPolicy": ExternalPolicy,
    }
    stages: ClassVar[dict[str, tuple[str, ...]]] = {
        "pretrain": ("lam",),
        "clone": ("actor",),
        "decode": ("decoder",),
    }
    policy: ExternalPolicy
    _tried_out = False

    def __init__(
        self,
        policy: str | type[BasePolicy] = "MultiInputPolicy",
        env: GymEnv | str | None = None,
        dataset: Source | None = None,
        labels: int = 4_096,
        *,
        lam: str,
        lam_kwargs: dict[str, Any] | None = None,
        future_offset: int = 1,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, dataset, labels, future_offset=future_offset, _init_setup_model=False, **kwargs)
        try:
            options = json.loads(json.dumps(lam_kwargs or {}))
        except TypeError as error:
            raise TypeError(f"lam_kwargs must be plain JSON values, got {lam_kwargs!r} ({error})") from error
        self.config |= {"lam": lam, "lam_kwargs": options}
        if _init_setup_model and self.action_space is not None:
            self._setup_model()

    def _check_config(self) -> None:
        super()._check_config()
        if wrong := without_effect(self.config):
            raise ValueError(
                f"the model of an ExternalLAM has its own loss, input and latent: leave out {', '.join(wrong)}, or "
                "hand them to the model in lam_kwargs"
            )

    def _policy_arguments(self) -> dict[str, Any]:
        return super()._policy_arguments() | {name: self.config[name] for name in ("lam", "lam_kwargs")}

    def _make_optimizer(self, stage: str) -> th.optim.Optimizer:
        lam = self.policy.lam
        if stage == "pretrain" and not (self._is_module and any(True for _ in lam.parameters())):
            what = "torch module with parameters" if self._is_module else "torch.nn.Module"
            raise TypeError(
                f"model {self.config['lam']!r} has a loss to be trained by, but {type(lam).__name__} is no {what}: "
                "make it one, or leave loss out where the model has trained itself"
            )
        return super()._make_optimizer(stage)

    def _loss_name(self, stage: str) -> str:
        return f"loss() of model {self.config['lam']!r}" if stage == "pretrain" else super()._loss_name(stage)

    def _leaves_parameters(self, stage: str) -> bool:
        return stage == "pretrain"

    @property
    def _is_module(self) -> bool:
        return isinstance(self.policy.lam, nn.Module)

    def shares(self) -> list[float]:
        """A model without loss has trained itself."""
        shares = super().shares()
        trains = not hasattr(self, "policy") or hasattr(self.policy.lam, "loss")
        return shares if trains else [0.0, *shares[1:]]

    def pretrain(self, total_timesteps: int, callback: MaybeCallback = None, **kwargs: Any) -> Self:
        """Run stage 1 alone, where the model has a ``loss``."""
        if not hasattr(self.policy.lam, "loss"):
            raise ValueError(f"model {self.config['lam']!r} has no loss, so it has trained itself: begin with clone()")
        return super().pretrain(total_timesteps, callback, **kwargs)

    def _begin_pretrain(self, frames: Frames) -> LossOf:
        if not self._tried_out and self._is_module:
            self._try_out(frames)
        self._tried_out = True
        return super()._begin_pretrain(frames)

    def _try_out(self, frames: Frames) -> None:
        """Ask the model everything once, so that a mistake in ``encode`` does not wait for the end of stage 1.

        It is a copy that is asked: a loss may change buffers and counters of the model's.
        """
        lam, windows = self.policy.lam, self.windows(frames)
        anchors = processes().share(np.resize(windows.anchors, self.config["batch_size"]))
        index = np.concatenate((windows.stack(anchors), windows.stack(anchors + 1)), axis=1)
        if (copied := _copied(lam)) is None:
            return
        self.policy.lam = copied
        try:
            with streams_kept():
                with th.no_grad(), autocast(self.config["precision"], self.device):
                    self._encode(frames.rgbm, index)
                    if self.can_predict:
                        self._predicted(frames.rgbm, index)
                # As an update does it: in training mode, with gradients.
                inputs = self._pretrain_inputs(frames, windows, anchors, anchors + 1)
                self._loss_of_inputs(inputs, self._random_numbers("pretrain", 0))
        finally:
            self.policy.lam = lam

    def _pretrain_inputs(
        self, frames: Frames, windows: Windows, anchors: NDArray[np.int64], future: NDArray[np.int64]
    ) -> Any:
        index = np.concatenate((windows.stack(anchors), windows.stack(future), anchors[:, None] + 1), axis=1)
        return self._tensors(frames.rgbm, index)

    def _loss_of_inputs(self, inputs: Any, rng: np.random.Generator | None) -> th.Tensor:
        obs, next_obs, target = inputs
        # Without random numbers of an update the model draws from torch's own.
        drawn = contextlib.nullcontext() if rng is None else seeded(_seed_of(rng), self.device)
        with drawn, autocast(self.config["precision"], self.device):
            loss = self.policy.lam.loss(LAMBatch(obs, next_obs, target))
        return checked_loss(loss, self.config["lam"]).float()

    def _tensors(self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]) -> list[Shown[th.Tensor]]:
        """Frames (F, H, W, 4) by index (B, n) as observations of ``frame_stack`` frames, and of what is left over."""
        x = th.from_numpy(gather(rgbm, index, mask_channel=True, layout="image")).to(self.policy.device)
        x = x.unflatten(-1, (index.shape[1], 4)).permute(0, 3, 4, 1, 2)
        seen = [Shown(pixels=part[:, :, :3].flatten(1, 2)) for part in x.split(self.config["frame_stack"], dim=1)]
        if self.policy.mask_channel:
            for shown, part in zip(seen, x.split(self.config["frame_stack"], dim=1), strict=True):
                shown["mask"] = part[:, :, 3]
        return seen

    def _arrays(self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]) -> list[Shown[NDArray[np.uint8]]]:
        """The same two observations as environments show them."""
        frames = rgbm[index].transpose(0, 2, 3, 1, 4)
        seen: list[Shown[NDArray[np.uint8]]] = []
        for part in np.split(frames, 2, axis=3):
            seen.append(Shown(pixels=part[..., :3].reshape(*part.shape[:3], -1)))
            if self.policy.mask_channel:
                seen[-1]["mask"] = part[..., 3]
        return seen

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Within it the model answers: without dropout, and a model that draws numbers gives the same ones each time.

        Else a clone that goes on would go on with other targets.
        """
        lam = self.policy.lam
        training = getattr(lam, "training", False)
        if self._is_module:
            lam.eval()
        try:
            with seeded(self.config["seed"], self.device):
                yield
        finally:
            if self._is_module:
                lam.train(training)

    def _encode(self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]) -> th.Tensor:
        lam = self.policy.lam
        with self._asked():
            seen = self._tensors(rgbm, index) if self._is_module else self._arrays(rgbm, index)
            z = lam.encode(*seen)
        return checked_latents(z, self.config["lam"], (len(index), self.config["latent_dim"]), self.device)

    @property
    def can_predict(self) -> bool:
        """Whether the model is a torch module with ``predict_next(obs, z)``."""
        return self._is_module and hasattr(self.policy.lam, "predict_next")

    def _predicted(self, rgbm: NDArray[np.uint8], index: NDArray[np.int64]) -> th.Tensor:
        size = self.policy.image_size
        with self._asked():
            image = self.policy.lam.predict_next(self._tensors(rgbm, index)[0], self._encode(rgbm, index))
        return checked_prediction(image, self.config["lam"], (len(index), 3, size, size))

    def predict_next(self, obs: Any, next_obs: Any) -> NDArray[np.uint8]:
        """The model's next frame (B, H, W, 3) uint8; arguments as in ``encode``.

        :raises NotImplementedError: when the model is no torch module with ``predict_next(obs, z)``
        """
        if not self.can_predict:
            raise NotImplementedError(f"model {self.config['lam']!r} has no predict_next(obs, z) and draws nothing")
        return super().predict_next(obs, next_obs)


def _seed_of(rng: np.random.Generator) -> int:
    """Of what torch draws in an update: processes that share a batch draw different numbers for their parts."""
    return int(rng.integers(2**62)) + processes().rank


def _copied(lam: nn.Module) -> nn.Module | None:
    """A copy to be tried out; None of a model that cannot be copied."""
    parts = [value for part in lam.modules() for value in vars(part).values()]
    computed = [value for value in parts if isinstance(value, th.Tensor) and not value.is_leaf]
    try:
        # deepcopy refuses tensors with a history, which a model may note down of its last batch.
        return copy.deepcopy(lam, {id(tensor): tensor.detach().clone() for tensor in computed})
    except Exception:  # an open file, a lock, whatever a model holds; or no memory for two: it is no mistake
        return None
