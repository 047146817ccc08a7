"""Discrete bottlenecks of a latent action: vector quantisation with moving averages, and finite scalar quantisation."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch as th
from torch import nn
from torch.nn import functional as F

from masklam_agents.common.configuration import check_names
from masklam_agents.common.processes import processes
from masklam_envs.errors import unknown_name

# A code whose moving average falls below this share of an even use is dead.
DEAD = 0.03


@dataclasses.dataclass(frozen=True)
class CodebookHealth:
    """How a quantiser's codes are used, one number a codebook.

    :param usage: share of the codes that are used at all, in (0, 1]
    :param perplexity: exp of the entropy of the codes' frequencies: 1 is collapse, the number of codes an even use
    :param codes: codes of each codebook
    """

    usage: tuple[float, ...]
    perplexity: tuple[float, ...]
    codes: int


def codebook_health(counts: th.Tensor, dead: float = 0.0) -> CodebookHealth:
    """Usage and perplexity.

    :param counts: (C, K) how often each of K codes of C codebooks was used; need not be whole numbers
    :param dead: a code with at most this share of an even use counts as unused
    """
    share = counts.double() / counts.sum(dim=1, keepdim=True).clamp(min=1e-12)
    entropy = -(share * share.clamp(min=1e-300).log()).sum(dim=1)
    used = (share > dead / counts.shape[1]).double().mean(dim=1)
    return CodebookHealth(tuple(used.tolist()), tuple(entropy.exp().tolist()), counts.shape[1])


class VectorQuantizer(nn.Module):
    """VQ-VAE's codebooks, moved by exponential moving averages (van den Oord et al. 2017, appendix A.1).

    The latent is cut into chunks; neighbouring chunks share a codebook.  Gradients pass straight through.  Nothing here
    draws random numbers after the constructor, so an interrupted training goes on as it would have.

    :param latent_dim: size of the latent, a multiple of ``chunks``
    :param chunks: pieces of the latent that are coded each on its own (LAPO: 8 of 16 numbers)
    :param codebooks: a divisor of ``chunks`` (LAPO's configuration: 2)
    :param codes: of each codebook (LAPO: 64)
    :param decay: of the moving averages (LAPO: 0.999)
    :param beta: weight of the commitment loss, the mean squared distance of a latent from its code (LAPO: 0.05)
    :param restart: codes begin on the first batch, and those that die (in moving average below 3 % of an even use) move
        to the chunks of the batch that are farthest from their code; False: random codes that stay, as in LAPO, whose
        codebooks are known to collapse.  LAPO's counts begin at 0, which throws every unused code far away in the first
        update; these begin at 1
    """

    codebook: th.Tensor
    count: th.Tensor
    total: th.Tensor
    fitted: th.Tensor

    def __init__(
        self,
        latent_dim: int,
        *,
        chunks: int = 8,
        codebooks: int = 2,
        codes: int = 64,
        decay: float = 0.99,
        beta: float = 0.05,
        restart: bool = True,
    ) -> None:
        super().__init__()
        if chunks < 1 or codebooks < 1 or latent_dim % chunks or chunks % codebooks or codes < 2:
            raise ValueError(
                "VQ needs latent_dim a multiple of chunks, chunks a multiple of codebooks and at least 2 codes; "
                f"got latent_dim={latent_dim}, chunks={chunks}, codebooks={codebooks}, codes={codes}"
            )
        if not 0 < decay < 1 or not 0 <= beta < math.inf:
            raise ValueError(f"VQ needs a decay in (0, 1) and a finite beta >= 0, got {decay} and {beta}")
        self.decay, self.beta, self.restart = decay, beta, restart
        shape = (codebooks, codes, latent_dim // chunks)
        spread = 5 / codes  # LAPO's codes
        self.register_buffer("codebook", th.randn(shape) if restart else th.empty(shape).uniform_(-spread, spread))
        self.register_buffer("count", th.ones(codebooks, codes))
        self.register_buffer("total", self.codebook.clone())
        self.register_buffer("fitted", th.tensor(not restart))

    def forward(self, z: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """(B, latent_dim) -> the coded latents, and the commitment loss; codes move in training only."""
        with th.autocast(z.device.type, enabled=False):
            rows = self._rows(z.float())
            learning = self.training and th.is_grad_enabled()
            seen = self._rows(processes().whole(z.detach().float())) if learning else rows
            if learning and self.restart:
                self._begin(seen)
            index = self._nearest(rows.detach())
            coded = self._coded(rows, index)
            loss = self.beta * F.mse_loss(rows, coded)
            if learning:
                self._move(seen)
            coded = rows + (coded - rows).detach()
        return self._whole(coded, len(z)), loss

    def counts(self, z: th.Tensor) -> th.Tensor:
        """How often latents (B, latent_dim) use each code: (codebooks, codes)."""
        return _counted(self._nearest(self._rows(z.float())), self.codebook.shape[1])

    def health(self) -> CodebookHealth:
        """Use of the codes in recent training."""
        return codebook_health(self.count, DEAD)

    def _rows(self, z: th.Tensor) -> th.Tensor:
        """(B, latent_dim) -> (codebooks, B * chunks / codebooks, numbers of a chunk)."""
        books, _, size = self.codebook.shape
        return z.reshape(len(z), books, -1, size).transpose(0, 1).reshape(books, -1, size)

    def _whole(self, rows: th.Tensor, batch: int) -> th.Tensor:
        books, _, size = rows.shape
        return rows.view(books, batch, -1, size).transpose(0, 1).reshape(batch, -1)

    def _nearest(self, rows: th.Tensor) -> th.Tensor:
        return th.cdist(rows, self.codebook).argmin(dim=2)

    def _begin(self, rows: th.Tensor) -> None:
        """Put the codes on evenly spaced rows of the first batch."""
        codes, number = self.codebook.shape[1], rows.shape[1]
        place = th.arange(codes, device=rows.device) * number // codes
        first = ~self.fitted
        self.codebook.copy_(th.where(first, rows[:, place], self.codebook))
        self.count.copy_(th.where(first, number / codes, self.count))
        self.total.copy_(th.where(first, self.codebook * self.count[..., None], self.total))
        self.fitted.fill_(True)

    def _coded(self, rows: th.Tensor, index: th.Tensor) -> th.Tensor:
        return self.codebook.gather(1, index[..., None].expand(-1, -1, rows.shape[2]))

    def _move(self, rows: th.Tensor) -> None:
        """One step of the moving averages, then the dead codes move."""
        codes, index = self.codebook.shape[1], self._nearest(rows)
        coded = self._coded(rows, index)
        one_hot = F.one_hot(index, codes).to(rows.dtype)
        self.count.lerp_(one_hot.sum(dim=1), 1 - self.decay)
        self.total.lerp_(one_hot.transpose(1, 2) @ rows, 1 - self.decay)
        if self.restart:
            even = rows.shape[1] / codes
            farthest = ((rows - coded) ** 2).sum(dim=2).argsort(dim=1, descending=True, stable=True)
            dead = self.count < DEAD * even
            rank = (dead.cumsum(dim=1) - 1).clamp(min=0) % rows.shape[1]
            place = farthest.gather(1, rank)[..., None].expand(-1, -1, rows.shape[2])
            self.count.copy_(th.where(dead, even, self.count))
            self.total.copy_(th.where(dead[..., None], even * rows.gather(1, place), self.total))
        self.codebook.copy_(self.total / self.count.clamp(min=1e-5)[..., None])


class FiniteScalarQuantizer(nn.Module):
    """Every number of the latent is rounded to one of a few levels (Mentzer et al. 2023, arXiv 2309.15505).

    There is no codebook to collapse.  For the readout of use, as many neighbouring numbers as there are levels in
    ``levels`` make one code.

    :param latent_dim: size of the latent, a multiple of ``len(levels)``
    :param levels: of each number of a code, at least 2 each (the paper's for 1,000 codes: 8, 5, 5, 5)
    """

    radius: th.Tensor
    offset: th.Tensor
    shift: th.Tensor
    place: th.Tensor

    def __init__(self, latent_dim: int, *, levels: Sequence[int] = (8, 5, 5, 5)) -> None:
        super().__init__()
        if not levels or min(levels) < 2 or latent_dim % len(levels):
            raise ValueError(
                f"FSQ needs levels of at least 2 and latent_dim a multiple of their number, got {list(levels)} and "
                f"latent_dim={latent_dim}"
            )
        self.levels = list(levels)
        count = th.tensor(self.levels, dtype=th.float32)
        half = (count - 1) * (1 + 1e-3) / 2
        offset = th.where(count % 2 == 0, 0.5, 0.0)
        place = th.tensor([math.prod(self.levels[:i]) for i in range(len(self.levels))])
        constants = {"radius": half, "offset": offset, "shift": th.atanh(offset / half), "place": place}
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, z: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """(B, latent_dim) -> coded latents in [-1, 1], and a loss of 0."""
        with th.autocast(z.device.type, enabled=False):
            bounded = self._bounded(z.float())
            coded = bounded + (bounded.round() - bounded).detach()
            scale = th.tensor([count // 2 for count in self.levels], device=z.device)
        return (coded / scale).flatten(1), z.new_zeros(())

    def counts(self, z: th.Tensor) -> th.Tensor:
        """How often latents (B, latent_dim) use each code: (latent_dim / len(levels), product of levels)."""
        digit = self._bounded(z.float()).round().long() + th.tensor([n // 2 for n in self.levels], device=z.device)
        return _counted((digit * self.place).sum(dim=2).T, math.prod(self.levels))

    def _bounded(self, z: th.Tensor) -> th.Tensor:
        """(B, codes, numbers of a code), between the lowest and the highest level."""
        z = z.reshape(len(z), -1, len(self.levels))
        return th.tanh(z + self.shift) * self.radius - self.offset


def _counted(index: th.Tensor, codes: int) -> th.Tensor:
    """How often each code is in the rows of index (C, N): (C, codes)."""
    own = index + codes * th.arange(len(index), device=index.device)[:, None]
    return own.flatten().bincount(minlength=codes * len(index)).view(len(index), codes)


QUANTIZERS: dict[str, type[VectorQuantizer] | type[FiniteScalarQuantizer]] = {
    "vq": VectorQuantizer,
    "fsq": FiniteScalarQuantizer,
}
#: what a latent can go through before the FDM
BOTTLENECKS = ("none", *QUANTIZERS)


def make_quantizer(name: str, latent_dim: int, options: dict[str, Any]) -> nn.Module | None:
    """The bottleneck of that name; None for ``"none"``, a continuous latent.

    :raises ValueError: for an unknown name, options that it does not have, or options out of range
    """
    if name == "none":
        if options:
            raise ValueError(f"bottleneck 'none' has no options, got {options}")
        return None
    if name not in QUANTIZERS:
        raise ValueError(unknown_name("bottleneck", name, BOTTLENECKS))
    check_names("bottleneck_options", options, inspect.signature(QUANTIZERS[name]).parameters.keys() - {"latent_dim"})
    return QUANTIZERS[name](latent_dim, **options)
