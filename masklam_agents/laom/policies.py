"""LAOM's modules."""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
import torch as th
from gymnasium import spaces
from torch import nn

from masklam_agents.common.networks import NetworkFamily
from masklam_agents.common.policies import LatentActionPolicy
from masklam_agents.laom.networks import PUBLISHED, Head, SharedEncoderIDM, begin_orthogonal, make_encoder


class LAOMPolicy(LatentActionPolicy):
    """``idm`` is encoder and act head, ``fdm`` the obs head, ``target`` the encoder's moving average.

    :param observation_space: as in ``LatentActionPolicy``, and so are all others but these
    :param head_dim: width of both heads
    :param encoder_scale: of the encoder, with networks of images
    """

    idm: SharedEncoderIDM
    fdm: Head
    label_head: nn.Linear
    target: nn.Module

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        *,
        head_dim: int,
        encoder_scale: int,
        **kwargs: Any,
    ) -> None:
        self._sizes = (head_dim, encoder_scale, int(np.prod(action_space.shape)))
        super().__init__(observation_space, action_space, **kwargs)

    def _make_models(self, family: NetworkFamily, channels: int, latent_dim: int) -> None:
        hidden, scale, action_dim = self._sizes
        published = self.network == PUBLISHED
        encoder, features = make_encoder(channels, self.image_size, family.layout, scale, published)
        self.idm = SharedEncoderIDM(encoder, features, hidden, latent_dim, family.layout)
        self.fdm = Head((latent_dim, features), hidden, features, again=1 if published else None)
        self.label_head = nn.Linear(latent_dim, action_dim)
        if published:
            begin_orthogonal(self.idm, self.fdm, self.label_head)
        self.target = copy.deepcopy(encoder).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """The target never trains: it follows."""
        super().train(mode)
        self.target.eval()
        return self

    @th.no_grad()
    def follow(self, tau: float) -> None:
        """Move the target's weights towards the encoder's by a share ``tau``."""
        pairs = zip(self.target.parameters(), self.idm.encoder.parameters(), strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast, tau)

    @th.no_grad()
    def share_statistics(self) -> None:
        """Give the target the encoder's buffers: how inputs are whitened."""
        for slow, fast in zip(self.target.buffers(), self.idm.encoder.buffers(), strict=True):
            slow.copy_(fast)
