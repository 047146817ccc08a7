"""The paper's IMPALA networks (protocol of MaskLAM, sections 1.2 and 2): residual convolutions at full resolution."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch as th
from torch import nn
from torch.nn import functional as F

DEPTHS = (16, 32, 32)
IDM_SCALE, FDM_SCALE, POLICY_SCALE = 4, 6, 4


class ResidualBlock(nn.Module):
    """``x + conv(f(conv(f(x))))`` with 3x3 kernels.

    :param channels: of input and output
    :param activation: f
    """

    def __init__(self, channels: int, activation: Callable[[th.Tensor], th.Tensor] = F.relu) -> None:
        super().__init__()
        self.activation = activation
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Same shape as ``x``."""
        f = self.activation
        return x + self.second(f(self.first(f(x))))


class ImpalaEncoder(nn.Sequential):
    """Three blocks of conv 3x3, max-pool 3/2 and two residual blocks: (B, C, S, S) -> (B, 32 * scale, S/8, S/8).

    :param channels: input channels
    :param scale: multiplies the depths (16, 32, 32)
    """

    def __init__(self, channels: int, scale: int) -> None:
        layers: list[nn.Module] = []
        for depth in DEPTHS:
            width = depth * scale
            layers += [
                nn.Conv2d(channels, width, 3, padding=1),
                nn.MaxPool2d(3, 2, padding=1),
                ResidualBlock(width),
                ResidualBlock(width),
            ]
            channels = width
        super().__init__(*layers, nn.ReLU())
        self.out_channels = channels


class ImpalaFDM(nn.Module):
    """Encoder, latent joined on channels, three transposed convolutions, 1x1 convolution to RGB, ``tanh / 2``.

    :param channels: input channels
    :param image_size: side of the image, a multiple of 8
    :param latent_dim: size of the latent action
    """

    def __init__(self, channels: int, image_size: int, latent_dim: int) -> None:
        super().__init__()
        side = feature_side(image_size)
        self.encoder = ImpalaEncoder(channels, FDM_SCALE)
        features = self.encoder.out_channels
        self.latent = nn.Linear(latent_dim, features * side * side)
        widths = [2 * features] + [depth * FDM_SCALE for depth in reversed(DEPTHS)]
        layers: list[nn.Module] = []
        for width_in, width_out in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(width_in, width_out, 2, 2), nn.GELU()]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 1))
        self.apply(orthogonal)

    def forward(self, x: th.Tensor, z: th.Tensor) -> th.Tensor:
        """The predicted next frame (B, 3, H, W) in [-0.5, 0.5]."""
        h = self.encoder(x)
        h = th.cat((h, self.latent(z).view_as(h)), dim=1)
        return th.tanh(self.decoder(h)) / 2


def impala_idm(channels: int, image_size: int, latent_dim: int) -> nn.Module:
    """IMPALA (16, 32, 32) x 4, flattened, one linear layer: about 2.6 M parameters at 64 pixels and 24 channels."""
    return _flat(channels, image_size, latent_dim, IDM_SCALE)


def impala_policy(channels: int, image_size: int, out_dim: int) -> nn.Module:
    """The latent policy: the same encoder as the IDM on one stack without mask."""
    return _flat(channels, image_size, out_dim, POLICY_SCALE)


def orthogonal(module: nn.Module) -> None:
    """Orthogonal weights of gain 1 and zero biases, on convolutions and linear layers (the paper's code)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.orthogonal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _flat(channels: int, image_size: int, out_dim: int, scale: int) -> nn.Module:
    encoder = ImpalaEncoder(channels, scale)
    features = encoder.out_channels * feature_side(image_size) ** 2
    return nn.Sequential(encoder, nn.Flatten(), nn.Linear(features, out_dim)).apply(orthogonal)


def feature_side(image_size: int, network: str = "impala") -> int:
    """Side of the encoder's output.

    :raises ValueError: when the image's side is no multiple of 8
    """
    if image_size % 8:
        raise ValueError(f"network {network!r} needs an image_size that is a multiple of 8, got {image_size}")
    return image_size // 8
