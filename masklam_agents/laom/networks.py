"""LAOM's networks (protocol, section 1.3): an encoder of stacks, and two heads that live in its features."""

from __future__ import annotations

from collections.abc import Sequence

import torch as th
from torch import nn
from torch.nn import functional as F

from masklam_agents.common.impala import orthogonal
from masklam_agents.common.small import HIDDEN, PatchEncoder
from masklam_agents.common.strided import StridedEncoder

HEAD_BLOCKS = 3
#: the family of networks with which encoder and heads are exactly LAOM's
PUBLISHED = "laom"
EXPANSION = 4


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
    :param again: how many of the inputs, the first ones, later blocks see again; None: all
    """

    def __init__(self, inputs: Sequence[int], hidden: int, outputs: int, again: int | None = None) -> None:
        super().__init__()
        self.again = len(inputs) if again is None else again
        widths = [sum(inputs)] + [hidden + sum(inputs[: self.again])] * (HEAD_BLOCKS - 1)
        self.project = nn.ModuleList(nn.Linear(width, hidden) for width in widths)
        self.blocks = nn.ModuleList(MLPBlock(hidden) for _ in widths)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, *inputs: th.Tensor) -> th.Tensor:
        """Inputs (B, size) each -> (B, outputs)."""
        x = self.blocks[0](self.project[0](th.cat(inputs, dim=-1)))
        for project, block in zip(self.project[1:], self.blocks[1:], strict=True):
            x = block(project(th.cat((x, *inputs[: self.again]), dim=-1)))
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


def make_encoder(channels: int, image_size: int, layout: str, scale: int, published: bool) -> tuple[nn.Module, int]:
    """An encoder of one stack and its number of features: LAOM's for images, a small one for patches.

    :param published: exactly the paper's, see :class:`~masklam_agents.common.strided.StridedEncoder`
    """
    if layout == "patches":
        return PatchEncoder(channels, image_size, HIDDEN), HIDDEN
    encoder = StridedEncoder(channels, image_size, scale, published)
    return encoder, encoder.features


def begin_orthogonal(*modules: nn.Module) -> None:
    """LAOM's first weights: orthogonal of gain 1, biases 0."""
    for module in modules:
        module.apply(orthogonal)
