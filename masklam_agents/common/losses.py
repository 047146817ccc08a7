"""Reconstruction losses of a predicted frame (equations in the protocol of MaskLAM, section 1.2)."""

from __future__ import annotations

from typing import Any

import torch as th
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from masklam_agents.common.processes import processes
from masklam_envs.errors import unknown_name

LOSSES = ("plain", "fixed", "paper", "dual")


def reconstruction_loss(
    prediction: th.Tensor, target: th.Tensor, mask: th.Tensor | None, kind: str, object_weight: float = 1.0
) -> th.Tensor:
    """Squared error of the predicted frame.

    * ``"plain"``: mean over samples, channels and pixels (LAPO).
    * ``"fixed"``: within each sample the mean over the mask's pixels and the channels, then the mean over samples, so
      that every sample weighs the same however large its agent is; a sample without agent counts 0.
    * ``"paper"``: sum over everything inside the masks, divided by the number of mask pixels of the whole batch;
      channels are summed, so its value is three times a mean. A batch without agent gives 0 (the original: NaN).
    * ``"dual"``: ``"fixed"`` of the agent's pixels plus ``object_weight`` times ``"fixed"`` of the objects', so that a
      puck of a few pixels weighs as much as an arm. Masks tell them apart: above 3/4 the agent, from 1/4 on an object.

    Computed in float32; the gradient flows to the prediction alone.

    :param prediction: (B, 3, H, W) in [-0.5, 0.5], float32 or bf16
    :param target: (B, 3, H, W) the frame at t + 1, float32
    :param mask: (B, 1, H, W) in [0, 1], the *target* frame's mask; may be None for ``"plain"``
    :param kind: one of ``LOSSES``
    :param object_weight: of ``"dual"``
    :return: scalar
    """
    if kind not in LOSSES:
        raise ValueError(unknown_name("loss", kind, LOSSES))
    if kind == "plain":
        weight = target.new_full((1, 1, 1, 1), 1 / target.numel())
    elif mask is None:
        raise ValueError(f"loss {kind!r} needs the target frame's mask; use 'plain' without masks")
    elif kind == "dual":
        agent, objects = mask > 0.75, (mask >= 0.25) & (mask <= 0.75)
        weight = _sample_means(agent.to(target)) + object_weight * _sample_means(objects.to(target))
    elif kind == "paper":
        together = processes()
        weight = mask / together.mean(mask.sum()).clamp(min=1 / together.count)
    else:
        weight = _sample_means(mask)
    loss: th.Tensor = _WeightedSquares.apply(prediction, target, weight)
    return loss


def _sample_means(mask: th.Tensor) -> th.Tensor:
    """The weights of a mean over samples of each sample's mean in its mask; a sample without mask counts 0."""
    return mask / (3 * len(mask) * mask.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1))


class _WeightedSquares(th.autograd.Function):
    """``sum of weight * (prediction - target) ** 2``, in half the passes through memory that autograd would take."""

    @staticmethod
    def forward(ctx: Any, prediction: th.Tensor, target: th.Tensor, weight: th.Tensor) -> th.Tensor:
        error = prediction.to(th.float32, copy=True).sub_(target)
        weighted = error * weight
        ctx.save_for_backward(weighted.to(prediction.dtype))
        return th.dot(weighted.flatten(), error.flatten())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: th.Tensor) -> tuple[th.Tensor, None, None]:
        (weighted,) = ctx.saved_tensors
        return weighted * (2 * gradient).to(weighted.dtype), None, None


def softened(mask: th.Tensor, radius: int) -> th.Tensor:
    """A mask with a fringe that fades: the larger of the mask and its mean over the square of ``2 radius + 1`` pixels.

    The mask itself keeps its weight, so a limb two pixels thin is not blurred away.

    :param mask: (B, 1, H, W) in [0, 1]
    :param radius: pixels; 0: the mask as it is
    """
    if not radius:
        return mask
    return th.maximum(mask, F.avg_pool2d(mask, 2 * radius + 1, stride=1, padding=radius))
