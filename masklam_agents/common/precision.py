"""Mixed precision where it pays."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch as th

from masklam_envs.errors import unknown_name

PRECISIONS = ("auto", "bf16", "fp32")


def autocast(precision: str, device: th.device) -> AbstractContextManager[object]:
    """Autocast of the forward pass.

    ``"auto"`` is bf16 on CUDA devices that have it and on CPUs with bf16 instructions (AMX or AVX512-BF16), fp32
    elsewhere: without such instructions bf16 is emulated.

    :raises ValueError: for an unknown name
    """
    if precision not in PRECISIONS:
        raise ValueError(unknown_name("precision", precision, PRECISIONS))
    if not trains_in_bf16(precision, device):
        return contextlib.nullcontext()
    return th.autocast(device.type, dtype=th.bfloat16)


def trains_in_bf16(precision: str, device: th.device) -> bool:
    """Whether :func:`autocast` computes in bf16."""
    return precision == "bf16" or (precision == "auto" and _has_bf16(device))


def _has_bf16(device: th.device) -> bool:
    if device.type == "cuda":
        with th.cuda.device(device):
            return th.cuda.is_bf16_supported(including_emulation=False)
    capabilities = th.backends.cpu.get_cpu_capability()
    return device.type == "cpu" and capabilities.startswith("AVX512") and th.cpu._is_avx512_bf16_supported()
