"""LAOM's convolutions (protocol, section 1.3): three of stride 2, with two residual blocks each."""

from __future__ import annotations

import torch as th
from torch import nn
from torch.nn import functional as F

from masklam_agents.common.impala import DEPTHS, ResidualBlock, feature_side, orthogonal

POLICY_SCALE = 32


def strided_layers(channels: int, scale: int) -> list[nn.Module]:
    """The layers: (B, C, S, S) -> (B, 32 * scale, S/8, S/8).

    :param channels: input channels
    :param scale: multiplies the depths (16, 32, 32)
    """
    layers: list[nn.Module] = []
    for depth in DEPTHS:
        width = depth * scale
        blocks = (ResidualBlock(width, F.relu6) for _ in range(2))
        layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), *blocks]
        channels = width
    return layers


class StridedEncoder(nn.Sequential):
    """(B, C, S, S) -> (B, 32 * scale * (S/8)^2).

    :param channels: input channels
    :param image_size: S, a multiple of 8
    :param scale: multiplies the depths (16, 32, 32); 6 in LAOM, 12 in its IDM baseline
    :param published: as LAOM's code has it: pixels in [-1, 1] and unbounded features; False: pixels in [-0.5, 0.5] and
        features that a ReLU6 bounds
    """

    def __init__(self, channels: int, image_size: int, scale: int, published: bool = False) -> None:
        last = [nn.Flatten()] if published else [nn.ReLU6(), nn.Flatten()]
        super().__init__(*strided_layers(channels, scale), *last)
        self.features = DEPTHS[-1] * scale * feature_side(image_size, "laom") ** 2
        self.factor = 2.0 if published else 1.0

    def forward(self, x: th.Tensor) -> th.Tensor:
        """(B, C, S, S) in [-0.5, 0.5] -> (B, features)."""
        return super().forward(self.factor * x)


class PooledPolicy(nn.Module):
    """LAOM's policy: the convolutions x 32, their mean over the image, one linear layer.

    About 100 M parameters.

    :param channels: input channels
    :param image_size: side of the image, a multiple of 8
    :param out_dim: size of the output
    """

    def __init__(self, channels: int, image_size: int, out_dim: int) -> None:
        super().__init__()
        feature_side(image_size, "laom")
        self.layers = nn.Sequential(*strided_layers(channels, POLICY_SCALE))
        self.out = nn.Linear(DEPTHS[-1] * POLICY_SCALE, out_dim)
        self.apply(orthogonal)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """(B, C, S, S) in [-0.5, 0.5] -> (B, out_dim)."""
        return self.out(F.relu6(self.layers(2 * x).mean(dim=(2, 3))))
