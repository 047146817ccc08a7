"""What a latent action model of others is shown."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

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
