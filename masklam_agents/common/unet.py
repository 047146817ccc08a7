"""LAPO's networks (arXiv 2312.10812, as its code has them): a U-Net as forward model, IMPALA with a layer of 256."""

from __future__ import annotations

import itertools

import torch as th
from torch import nn
from torch.nn import functional as F

from masklam_agents.common.impala import IDM_SCALE, ImpalaEncoder, feature_side

BASE = 24
HIDDEN = 256
HALVINGS = 5


class NarrowResidual(nn.Module):
    """``x + conv(relu(conv(relu(x))))`` with 3x3 kernels and half the channels inside.

    :param channels: of input and output
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.second = nn.Conv2d(channels // 2, channels, 3, padding=1)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Same shape as ``x``."""
        return x + self.second(F.relu(self.first(F.relu(x))))


class UNetFDM(nn.Module):
    """A U-Net from a stack to the next frame; the latent is shown to every pixel of the input, and at the bottom.

    Five halvings lead to channels of 24, 48, .. 384 and a last convolution to one place of 768; six transposed
    convolutions lead back, each with the features of its size beside it, the first with the latent.  Batches are
    normalised: with several processes each takes the statistics of its own share.

    :param channels: input channels
    :param image_size: side of the image, a multiple of 32 (LAPO: 64)
    :param latent_dim: size of the latent action
    :raises ValueError: when the image's side is no multiple of 32
    """

    def __init__(self, channels: int, image_size: int, latent_dim: int) -> None:
        super().__init__()
        bottom, rest = divmod(image_size, 2**HALVINGS)
        if rest:
            raise ValueError(
                f"network 'lapo' needs an image_size that is a multiple of {2**HALVINGS}, got {image_size}"
            )
        widths = [BASE * 2**level for level in range(HALVINGS + 1)]
        down = [channels + latent_dim, *widths[:-1]]
        self.down = nn.ModuleList(_halving(*pair) for pair in itertools.pairwise(down))
        self.bottom = nn.Conv2d(widths[-2], widths[-1], bottom)
        self.up = nn.ModuleList([_growing(widths[-1] + latent_dim, widths[-2], bottom)])
        for level in reversed(range(HALVINGS)):
            self.up.append(_growing(2 * widths[level], widths[max(level - 1, 0)], 2))
        self.out = nn.Sequential(
            nn.Conv2d(BASE + channels, BASE, 3, padding=1), NarrowResidual(BASE), nn.ReLU(), nn.Conv2d(BASE, 3, 1)
        )

    def forward(self, x: th.Tensor, z: th.Tensor) -> th.Tensor:
        """The predicted next frame (B, 3, H, W) in [-0.5, 0.5]."""
        latent = z[:, :, None, None]
        h = th.cat((x, latent.to(x.dtype).expand(-1, -1, *x.shape[2:])), dim=1)
        beside = [latent]
        for layer in self.down:
            h = layer(h)
            beside.insert(1, h)
        h = self.bottom(h)
        for layer, other in zip(self.up, beside, strict=True):
            h = layer(th.cat((h, other.to(h.dtype)), dim=1))
        return th.tanh(self.out(th.cat((h, x.to(h.dtype)), dim=1))) / 2


def _halving(channels: int, width: int) -> nn.Module:
    """(B, channels, S, S) -> (B, width, S / 2, S / 2)."""
    convolution = nn.Conv2d(channels, width, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), NarrowResidual(width), nn.MaxPool2d(2), nn.ReLU())


def _growing(channels: int, width: int, factor: int) -> nn.Module:
    """(B, channels, S, S) -> (B, width, factor * S, factor * S)."""
    convolution = nn.ConvTranspose2d(channels, width, factor, factor)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), NarrowResidual(width), nn.ReLU())


def lapo_encoder(channels: int, image_size: int, out_dim: int) -> nn.Module:
    """LAPO's inverse model and policy: IMPALA (16, 32, 32) x 4, flattened, a hidden layer of 256.

    :param channels: input channels
    :param image_size: side of the image, a multiple of 8
    :param out_dim: size of the output
    """
    encoder = ImpalaEncoder(channels, IDM_SCALE)
    features = encoder.out_channels * feature_side(image_size, "lapo") ** 2
    return nn.Sequential(encoder, nn.Flatten(), nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, out_dim))
