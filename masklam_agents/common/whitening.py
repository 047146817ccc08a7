"""Layers that see their input whitened: the same function class, far better conditioned for gradient descent.

Natural footage has a 1/f spectrum, so a patch of pixels varies thousands of times more in its mean colour than in its
edges, and an optimiser learns what a moving background shows long before it learns a thin limb's place.
"""

from __future__ import annotations

import torch as th
from torch import nn
from torch.nn import functional as F

from masklam_agents.common.processes import processes

# Added to every variance, for inputs in units of the whole range of a pixel: what varies less than 0.07 is left small.
RIDGE = 5e-3


class WhitenedLinear(nn.Module):
    """``W Z (x - mean) + b``, with ``Z`` the PCA whitening of the first batch seen in training mode.

    As the frozen first layers of Coates, Ng & Lee 2011 (PCA-whitened patches).  ``Z`` and the mean are buffers: saved
    with the weights, never trained.  They are folded into the weight, so the layer costs what a linear layer does.

    :param in_features: size of the input's last dimension
    :param out_features: size of the output's
    """

    mean: th.Tensor
    whitening: th.Tensor
    fitted: th.Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.register_buffer("mean", th.zeros(in_features))
        self.register_buffer("whitening", th.eye(in_features))
        self.register_buffer("fitted", th.zeros((), dtype=th.bool))
        self._open = True  # read without a wait for the device, unlike the buffer

    def forward(self, x: th.Tensor) -> th.Tensor:
        """(..., in_features) -> (..., out_features)."""
        self._fit_once(x)
        return F.linear(x, *self._folded())

    def _fit_once(self, x: th.Tensor) -> None:
        if self.training and self._open:
            self._open = False
            if not self.fitted:
                self.fit(x)

    def _folded(self) -> tuple[th.Tensor, th.Tensor]:
        """Weight and bias for inputs as they are."""
        with th.autocast(self.mean.device.type, enabled=False):
            weight = self.linear.weight @ self.whitening
            return weight, self.linear.bias - weight @ self.mean

    @th.no_grad()
    def fit(self, x: th.Tensor) -> None:
        """Take the statistics of inputs (..., in_features): more rows than features, or the ridge decides."""
        rows = x.reshape(-1, x.shape[-1]).double()
        mean = processes().mean(rows.mean(dim=0))
        rows = rows - mean
        values, vectors = th.linalg.eigh(processes().mean(rows.T @ rows / len(rows)))
        self.mean.copy_(mean)
        self.whitening.copy_((values.clamp(min=0) + RIDGE).rsqrt()[:, None] * vectors.T)
        self.fitted.fill_(True)


class WhitenedConv2d(WhitenedLinear):
    """A convolution, ``padding`` half a kernel, whose kernel sees whitened patches.

    Beyond the image's edge there is zero, mid-grey, as in any convolution here.

    :param in_channels: of the image
    :param out_channels: of the output
    :param kernel_size: side of the kernel, odd
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels * kernel_size**2, out_channels)
        self.kernel = (in_channels, kernel_size, kernel_size)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        self._fit_once(x)
        weight, bias = self._folded()
        kernel = weight.unflatten(1, self.kernel).contiguous(memory_format=th.channels_last)
        return F.conv2d(x, kernel, bias, padding=self.kernel[-1] // 2)

    @th.no_grad()
    def fit(self, x: th.Tensor) -> None:
        """Take the statistics of the patches inside images (B, in_channels, H, W)."""
        super().fit(F.unfold(x.float().contiguous(), self.kernel[-1]).transpose(1, 2))
