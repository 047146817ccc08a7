"""LAOM's networks (protocol, section 1.3): an encoder of stacks, and two heads that live in its features."""

from __future__ import annotations

from collections.abc import Sequence

import torch as th
from torch import nn
from torch.nn import functional as F

from masklam_agents.common.impala import DEPTHS
from masklam_agents.common.small import HIDDEN, PatchEncoder

HEAD_BLOCKS = 3
EXPANSION = 4


class ResidualBlock(nn.Module):
    """``x + conv(relu6(conv(relu6(x))))`` with 3x3 kernels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Same shape as ``x``."""
        return x + self.second(F.relu6(self.first(F.relu6(x))))


class StridedEncoder(nn.Sequential):
    """Three stride-2 convolutions with two residual blocks each: (B, C, S, S) -> (B, 32 * scale * (S/8)^2).

    :param channels: input channels
    :param image_size: S, a multiple of 8
    :param scale: multiplies the depths (16, 32, 32); 6 in LAOM, 12 in its IDM baseline
    """

    def __init__(self, channels: int, image_size: int, scale: int) -> None:
        layers: list[nn.Module] = []
        for depth in DEPTHS:
            width = depth * scale
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), ResidualBlock(width), ResidualBlock(width)]
            channels = width
        super().__init__(*layers, nn.ReLU6(), nn.Flatten())
        self.features = channels * (image_size // 8) ** 2


class MLPBlock(nn.Module):
    """``norm(x + W relu6(V x))``, four times as wide inside.

    :param size: of input and output
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.wide = nn.Linear(size, EXPANSION * size)
        self.narrow = nn.Linear(EXPANSION * size, size)
        self.norm = nn.LayerNorm(size)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """(B, size) -> (B, size)."""
        return self.norm(x + self.narrow(F.relu6(self.wide(x))))


class Head(nn.Module):
    """Three MLP blocks, each of which sees the head's inputs again beside what the block before made of them.

    :param inputs: sizes of the inputs
    :param hidden: width of the blocks (LAOM: 1024)
    :param outputs: size of the output
    """

    def __init__(self, inputs: Sequence[int], hidden: int, outputs: int) -> None:
        super().__init__()
        seen = sum(inputs)
        widths = [seen] + [hidden + seen] * (HEAD_BLOCKS - 1)
        self.project = nn.ModuleList(nn.Linear(width, hidden) for width in widths)
        self.blocks = nn.ModuleList(MLPBlock(hidden) for _ in widths)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, *inputs: th.Tensor) -> th.Tensor:
        """Inputs (B, size) each -> (B, outputs)."""
        seen = th.cat(inputs, dim=-1)
        x = self.blocks[0](self.project[0](seen))
        for project, block in zip(self.project[1:], self.blocks[1:], strict=True):
            x = block(project(th.cat((x, seen), dim=-1)))
        return self.out(x)


class SharedEncoderIDM(nn.Module):
    """The inverse model: both stacks through one encoder, then the act head.

    :param encoder: of stacks, with its number of ``features``
    :param hidden: width of the head
    :param outputs: size of the latent, or action
    :param layout: in which two stacks are joined
    """

    encoder: nn.Module
    head: Head

    def __init__(self, encoder: nn.Module, features: int, hidden: int, outputs: int, layout: str) -> None:
        super().__init__()
        self.layout, self.encoder = layout, encoder
        self.head = Head((features, features), hidden, outputs)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Two stacks as the layout joins them -> (B, outputs)."""
        return self.head(*(self.encoder(half) for half in halves(x, self.layout)))


def halves(x: th.Tensor, layout: str) -> tuple[th.Tensor, ...]:
    """The two stacks of a batch: features are joined last in patches, channels in images."""
    return x.chunk(2, dim=-1 if layout == "patches" else 1)


def make_encoder(channels: int, image_size: int, layout: str, scale: int) -> tuple[nn.Module, int]:
    """An encoder of one stack and its number of features: LAOM's for images, a small one for patches."""
    if layout == "patches":
        return PatchEncoder(channels, image_size, HIDDEN), HIDDEN
    if image_size % 8:
        raise ValueError(f"LAOM's encoder needs an image_size that is a multiple of 8, got {image_size}")
    encoder = StridedEncoder(channels, image_size, scale)
    return encoder, encoder.features
