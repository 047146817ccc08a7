"""The small network for CPUs: matrix products over patches, no convolution but one over 8x8 tokens.

An embedding of whitened 4x4 patches followed by 2x2 merging: most of its time is spent in large matrix products.
"""

from __future__ import annotations

import torch as th
from torch import nn
from torch.nn import functional as F

from masklam_agents.common.gather import PATCH
from masklam_agents.common.whitening import WhitenedLinear

EMBED, MERGED, HIDDEN, MIXED = 64, 64, 256, 128


class PatchTokens(nn.Module):
    """4x4 patches -> embedding -> 2x2 neighbours merged: (B, S/4 * S/4, C * 16) -> (B, S/8 * S/8, MERGED).

    :param channels: channels of the input image
    :param image_size: S, a multiple of 8
    """

    def __init__(self, channels: int, image_size: int) -> None:
        super().__init__()
        if image_size % (2 * PATCH):
            raise ValueError(f"network 'small' needs an image_size that is a multiple of {2 * PATCH}, got {image_size}")
        self.side = image_size // (2 * PATCH)
        self.tokens = self.side**2
        self.embed = WhitenedLinear(channels * PATCH * PATCH, EMBED)
        self.merge = nn.Linear(4 * EMBED, MERGED)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Tokens of 8x8 pixels."""
        h = F.relu(self.embed(x)).view(-1, self.tokens, 4 * EMBED)  # the four patches of a block follow each other
        return F.relu(self.merge(h))


class PatchEncoder(nn.Module):
    """Tokens, then three dense layers: the IDM and the policy.

    :param channels: channels of the input image
    :param image_size: side of the image, pixels
    :param out_dim: size of the output
    """

    def __init__(self, channels: int, image_size: int, out_dim: int) -> None:
        super().__init__()
        self.tokens = PatchTokens(channels, image_size)
        self.hidden = nn.Linear(self.tokens.tokens * MERGED, HIDDEN)
        self.deeper = nn.Linear(HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, out_dim)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """(B, tokens, features) -> (B, out_dim)."""
        h = F.relu(self.hidden(self.tokens(x).flatten(1)))
        return self.out(F.relu(self.deeper(h)))


class PatchDecoder(nn.Module):
    """The FDM: tokens and latent meet in a dense layer, neighbours in a convolution, which change 8x8 pixels each.

    It predicts how the current frame changes.  Where it has to draw the next frame itself, a loss over all pixels
    spends so small a network on copying what stands still, and LAPO's latent collapses even on a plain scene
    (docs/results.md).

    :param channels: channels of the input image
    :param image_size: side of the image, pixels
    :param latent_dim: size of the latent action
    """

    def __init__(self, channels: int, image_size: int, latent_dim: int) -> None:
        super().__init__()
        self.tokens = PatchTokens(channels, image_size)
        count = self.tokens.tokens
        self.state = nn.Linear(count * MERGED, HIDDEN)
        self.latent = nn.Linear(latent_dim, HIDDEN, bias=False)
        self.spread = nn.Linear(HIDDEN, count * MERGED)
        self.mix = nn.Conv2d(2 * MERGED, MIXED, 3, padding=1)
        self.pixels = nn.Linear(MIXED, 3 * (2 * PATCH) ** 2)

    def forward(self, x: th.Tensor, z: th.Tensor) -> th.Tensor:
        """The change (B, 3, H, W) from the current frame to the next, in units of a pixel's whole range."""
        tokens = self.tokens(x)
        h = F.relu(self.state(tokens.flatten(1)) + self.latent(z))
        h = F.relu(self.spread(h)).view(tokens.shape)
        side, size = self.tokens.side, 2 * PATCH
        grid = th.cat((tokens, h), dim=-1).unflatten(1, (side, side)).permute(0, 3, 1, 2)
        patches = self.pixels(F.relu(self.mix(grid)).permute(0, 2, 3, 1))
        image = patches.unflatten(-1, (3, size, size)).permute(0, 3, 1, 4, 2, 5)
        return image.reshape(-1, 3, side * size, side * size)
