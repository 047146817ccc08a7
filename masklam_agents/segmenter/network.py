"""The student's network: a U-Net that starts at half resolution."""

from __future__ import annotations

from collections import OrderedDict

import torch as th
from torch import nn
from torch.nn import functional as F


class SegmenterNet(nn.Module):
    """A U-Net (Ronneberger et al., 2015) small enough for hundreds of frames a second on one core.

    Blocks of 2 x 2 pixels become channels first and the mask's logits last (pixel shuffle), so nothing is computed at
    full resolution; halving is a strided convolution, doubling repeats pixels, and skips are added rather than stacked.
    At 64 x 64 with ``base`` 16 one frame takes 17 million multiplications.

    :param base: channels at half resolution; a quarter has twice, an eighth four times as many
    """

    def __init__(self, base: int = 16) -> None:
        super().__init__()
        self.base = base
        wide = (base, 2 * base, 4 * base)
        #: convolutions with their normalisation, in the order of :meth:`forward`; the ONNX graph is made of the same
        self.blocks = nn.ModuleDict(
            OrderedDict(
                stem=_block(12, wide[0]),
                half1=_block(wide[0], wide[0]),
                down1=_block(wide[0], wide[1], stride=2),
                quarter1=_block(wide[1], wide[1]),
                down2=_block(wide[1], wide[2], stride=2),
                eighth1=_block(wide[2], wide[2]),
                eighth2=_block(wide[2], wide[2]),
                up2=_block(wide[2], wide[1], kernel=1),
                merge2=_block(wide[1], wide[1]),
                up1=_block(wide[1], wide[0], kernel=1),
                merge1=_block(wide[0], wide[0]),
            )
        )
        self.head = nn.Conv2d(wide[0], 4, 3, padding=1)

    def forward(self, frames: th.Tensor) -> th.Tensor:
        """Logits (B, H, W) of frames (B, H, W, 3) uint8; H and W are multiples of 8."""
        block = self.blocks
        x = frames.permute(0, 3, 1, 2).float() / 255 - 0.5
        half = block["half1"](block["stem"](F.pixel_unshuffle(x, 2)))
        quarter = block["quarter1"](block["down1"](half))
        deep = block["eighth2"](block["eighth1"](block["down2"](quarter)))
        quarter = block["merge2"](quarter + _doubled(block["up2"](deep)))
        half = block["merge1"](half + _doubled(block["up1"](quarter)))
        return F.pixel_shuffle(self.head(half), 2)[:, 0]


def _block(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _doubled(x: th.Tensor) -> th.Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
