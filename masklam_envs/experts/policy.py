"""A multilayer-perceptron policy in NumPy, stored as safetensors: what the shipped experts are.

File layout: tensors ``obs_mean``, ``obs_std`` (S,), ``weight_i`` (out, in) and ``bias_i`` (out,) per layer,
``action_mean`` (A,) and ``action_covariance`` (A, A), all float32; the header's metadata holds one JSON text under
``expert`` (see :class:`ExpertInfo`) and its and the tensors' checksum under ``sha256``.  Loading runs no code.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from masklam_envs.checksum import check, checksum
from masklam_envs.tensor_file import read_whole
from masklam_envs.whole import whole_file

ACTIVATIONS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}
SQUASHES = ("tanh", "clip")
_STATISTICS = ("obs_mean", "obs_std", "action_mean", "action_covariance")


@dataclasses.dataclass(frozen=True)
class ExpertInfo:
    """What is recorded with an expert's weights.

    :param env_id: the Gymnasium id whose state observation the policy reads, e.g. ``"HalfCheetah-v5"``
    :param algorithm: the Stable-Baselines3 algorithm that trained it
    :param timesteps: environment steps of training
    :param seed: training seed
    :param activation: hidden activation, one of ``ACTIVATIONS``
    :param squash: how outputs become numbers in [-1, 1], the actions in units of ``action_bound``: ``"tanh"`` (SAC)
        or ``"clip"`` (PPO)
    :param return_mean: mean undiscounted return over ``return_episodes`` episodes of the deterministic policy
    :param return_std: standard deviation of the same returns
    :param return_episodes: how many episodes those are
    :param random_return: mean return of uniform random actions over the same number of episodes
    :param reference_noise: standard deviation of the Gaussian noise added to the actions of the reference policy,
        whose clipped actions have the stored mean and covariance
    :param command: the command that trained it
    :param action_bound: actions are in [-action_bound, action_bound], the bounds of the task's action space
    :param strength: ``"expert"``, or ``"medium"`` for a checkpoint of the same training
    """

    env_id: str
    algorithm: str
    timesteps: int
    seed: int
    activation: str
    squash: str
    return_mean: float = float("nan")
    return_std: float = float("nan")
    return_episodes: int = 0
    random_return: float = float("nan")
    reference_noise: float = float("nan")
    command: str = ""
    action_bound: float = 1.0
    strength: str = "expert"


class Expert:
    """A deterministic MLP policy ``state observation -> action``.

    :param info: the record stored beside the weights
    :param layers: per layer ``(weight (out, in), bias (out,))``, float32
    :param obs_mean: (S,) mean subtracted from an observation
    :param obs_std: (S,) scale an observation is divided by; the result is clipped to [-10, 10]
    :param action_mean: (A,) mean of the reference policy's actions
    :param action_covariance: (A, A) their covariance
    """

    def __init__(
        self,
        info: ExpertInfo,
        layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
        obs_mean: NDArray[np.float32],
        obs_std: NDArray[np.float32],
        action_mean: NDArray[np.float32],
        action_covariance: NDArray[np.float32],
    ) -> None:
        if info.activation not in ACTIVATIONS or info.squash not in SQUASHES:
            raise ValueError(
                f"expert for {info.env_id}: activation {info.activation!r} must be one of {sorted(ACTIVATIONS)} "
                f"and squash {info.squash!r} one of {SQUASHES}"
            )
        self.info = info
        self.layers = layers
        self.obs_mean = obs_mean
        self.obs_std = obs_std
        self.action_mean = action_mean
        self.action_covariance = action_covariance

    def predict(self, observation: NDArray[np.floating]) -> NDArray[np.float32]:
        """The action for one state observation (S,) or a batch (B, S): float32 (A,) or (B, A) within the bound."""
        if np.shape(observation)[-1:] != self.obs_mean.shape:
            raise ValueError(
                f"the expert of {self.info.env_id} reads states of {self.obs_mean.size} numbers, "
                f"got shape {np.shape(observation)}"
            )
        x = _clipped((np.asarray(observation, np.float32) - self.obs_mean) / self.obs_std, 10)
        activate = ACTIVATIONS[self.info.activation]
        for weight, bias in self.layers[:-1]:
            x = activate(x @ weight.T + bias)
        weight, bias = self.layers[-1]
        x = x @ weight.T + bias
        return np.float32(self.info.action_bound) * (np.tanh(x) if self.info.squash == "tanh" else _clipped(x, 1))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the policy to ``path`` (safetensors), by a temporary name so that no half file is left."""
        from safetensors.numpy import save

        tensors = {name: getattr(self, name) for name in _STATISTICS}
        for i, (weight, bias) in enumerate(self.layers):
            tensors |= {f"weight_{i}": weight, f"bias_{i}": bias}
        tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}
        record = json.dumps(dataclasses.asdict(self.info))
        # Not save_file: it makes the file readable by its owner alone.
        with whole_file(path) as part:
            part.write_bytes(save(tensors, metadata={"expert": record, "sha256": checksum(record, tensors)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Expert:
        """Read a policy written by :meth:`save`; a file without a checksum, from before there was one, is read too.

        :raises ValueError: when the file is damaged or is no expert
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            metadata, data = read_whole(path)
            info, tensors = ExpertInfo(**json.loads(metadata["expert"])), load(data)
            count = sum(name.startswith("weight_") for name in tensors)
            layers = [(tensors[f"weight_{i}"], tensors[f"bias_{i}"]) for i in range(count)]
            expert = cls(info, layers, *(tensors[name] for name in _STATISTICS))
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{os.fspath(path)} is damaged or no MaskLAM expert ({error}); train one with examples/train_expert.py"
            ) from error
        cure = "install masklam again where it is a shipped one, else train one with examples/train_expert.py"
        check(os.fspath(path), cure, metadata.get("sha256"), metadata["expert"], tensors)
        return expert


def _clipped(x: NDArray[np.float32], bound: float) -> NDArray[np.float32]:
    """``np.clip(x, -bound, bound)``, which takes four times as long for so few numbers."""
    return np.minimum(np.maximum(x, np.float32(-bound)), np.float32(bound))
