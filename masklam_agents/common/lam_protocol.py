"""What a latent action model of others is shown, and what it may answer: a wrong answer is named, with its model."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np
import torch as th

from masklam_envs.errors import unknown_name

Values = TypeVar("Values")


class Shown(dict[str, Values]):
    """A model's view of frames, by ``"pixels"`` and, of an agent with ``mask_channel=True``, ``"mask"``."""

    def __missing__(self, key: str) -> Values:
        if key != "mask":
            raise KeyError(unknown_name("part of an observation", key, self))
        raise KeyError(
            "the model reads masks and its agent shows none: make the agent with mask_channel=True, as in "
            "ExternalLAM(..., mask_channel=True), or for make_agent and masklam benchmark in "
            "register_lam(..., mask_channel=True)"
        )


@dataclasses.dataclass(frozen=True)
class LAMBatch:
    """What a model's ``loss`` gets: float32 tensors on the agent's device; masks of agents with ``mask_channel=True``.

    :param obs: stacks that end at frame t: ``pixels`` (B, 3 * S, H, W) in [-0.5, 0.5], ``mask`` (B, S, H, W) in [0, 1]
    :param next_obs: the same for stacks that end at t + k, k from 1 to the agent's ``future_offset``
    :param target: frame t + 1: ``pixels`` (B, 3, H, W) and ``mask`` (B, 1, H, W)
    """

    obs: dict[str, th.Tensor]
    next_obs: dict[str, th.Tensor]
    target: dict[str, th.Tensor]


def checked_loss(loss: Any, model: str) -> th.Tensor:
    """What ``loss`` returned, as a scalar that an update can go down.

    :param model: its registered name
    :raises TypeError: when it is no tensor
    :raises ValueError: when it is no scalar, or has no gradient where gradients are on
    """
    wanted = f"loss() of model {model!r} must return a scalar tensor with a gradient"
    if not isinstance(loss, th.Tensor):
        raise TypeError(f"{wanted}, got {_told(loss)}: return one tensor, without item(), the sum of all parts")
    if loss.numel() != 1:
        raise ValueError(f"{wanted}, got {_told(loss)}: take its mean() or sum()")
    if th.is_grad_enabled() and not loss.requires_grad:
        raise ValueError(
            f"{wanted}, got one that depends on no parameter: compute it from the model's parameters that require a "
            "gradient, without detach(), item() or no_grad() on the way"
        )
    return loss.reshape(())


def checked_latents(z: Any, model: str, shape: tuple[int, int], device: th.device) -> th.Tensor:
    """What ``encode`` returned, as a float32 tensor on a device.

    :param model: its registered name
    :param shape: (B, latent_dim)
    :raises TypeError: when it is no array of numbers
    :raises ValueError: when it has another shape, or is not finite
    """
    wanted = f"encode() of model {model!r} must return latents of shape {shape}"
    try:
        if not hasattr(z, "__array__"):
            raise TypeError("no array")
        latents = th.as_tensor(z if isinstance(z, th.Tensor) else np.array(z, np.float32), dtype=th.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{wanted}, a tensor or a NumPy array, got {_told(z)}: return the latents alone") from error
    if latents.shape != shape:
        raise ValueError(f"{wanted}, got {tuple(latents.shape)}; is the agent's latent_dim the model's?")
    if not (finite := latents.isfinite()).all():
        raise ValueError(
            f"the latents of model {model!r} are not finite: {int((~finite).sum())} of {finite.numel()} numbers are "
            "NaN or infinite. Does encode() divide by zero or take a logarithm of it, or did stage 1 diverge (then "
            "lower learning_rate)?"
        )
    return latents.to(device)


def checked_prediction(image: Any, model: str, shape: tuple[int, int, int, int]) -> th.Tensor:
    """What ``predict_next`` returned.

    :param model: its registered name
    :param shape: (B, 3, H, W)
    :raises TypeError: when it is no tensor of real numbers
    :raises ValueError: when it has another shape
    """
    wanted = f"predict_next() of model {model!r} must return the next frame alone, {shape} in [-0.5, 0.5]"
    if not isinstance(image, th.Tensor) or not image.is_floating_point():
        raise TypeError(f"{wanted}, a tensor of real numbers, got {_told(image)}")
    if image.shape != shape:
        raise ValueError(f"{wanted}, got {_told(image)}")
    return image


def _told(value: Any) -> str:
    """What a value is, for a message."""
    if isinstance(value, (th.Tensor, np.ndarray)):
        return f"{type(value).__name__} {value.dtype} of shape {tuple(value.shape)}".replace("torch.", "")
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {', '.join(map(_told, value)) or 'nothing'}"
    return "None" if value is None else f"a {type(value).__name__}"
