"""Training the student: a few minutes on two cores."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from torch.nn import functional as F

from masklam_agents.common.precision import autocast
from masklam_agents.segmenter.export import export_for_rembg, export_onnx
from masklam_agents.segmenter.network import SegmenterNet
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.masks.quality import Quality, measure
from masklam_envs.masks.threshold import is_agent

LOG_EVERY = 20
GAIN, OFFSET = 0.2, 25.0  # of the colours that training varies: shares, and grey levels
TEST_FRAMES = 1_000


def train_segmenter(
    datasets: Sequence[Frames | LazyFrames],
    out: str | os.PathLike[str],
    *,
    updates: int = 600,
    batch_size: int = 64,
    base: int = 16,
    learning_rate: float = 3e-3,
    held_out: float = 0.1,
    pool: int = 20_000,
    seed: int = 0,
    precision: str = "auto",
    notes: Mapping[str, Any] | None = None,
    rembg_out: str | os.PathLike[str] | None = None,
    progress_bar: bool = False,
) -> Quality:
    """Train a network on whatever masks some datasets have, and write it for the mask source ``"student"``.

    The loss is binary cross-entropy plus the soft Dice loss (Milletari et al., 2016), each weighted 1; AdamW, cosine
    schedule.  Colours are varied (gain, offset) so that unseen light does no harm.

    :param datasets: of frames of one size, the labels in their fourth channel: the same physics under several
        distractors, for example
    :param out: the .onnx file
    :param updates: of the optimiser
    :param batch_size: frames of an update
    :param base: channels of the network at half resolution
    :param learning_rate: at the start
    :param held_out: share of each dataset's episodes, the last ones, that are scored and not trained on
    :param pool: frames in memory that are trained on, drawn evenly from all datasets
    :param seed: of weights and samples
    :param precision: ``"auto"``, ``"bf16"`` or ``"fp32"``, see :func:`~masklam_agents.common.precision.autocast`
    :param notes: JSON-able record that the file keeps
    :param rembg_out: another .onnx file, of the same network as rembg's session ``"u2net_custom"`` takes it
    :param progress_bar: show one
    :return: masks of held-out episodes against their labels
    :raises ValueError: for frames of several sizes, a side that is no multiple of 8, labels that are all empty, or
        numbers out of range
    """
    size = _checked(datasets, updates, batch_size, base, held_out, pool)
    rng = np.random.default_rng(seed)
    train, test = _frames(datasets, held_out, pool, rng)
    if not is_agent(train[..., 3]).any():
        raise ValueError("no frame has an agent in its mask: there is nothing to learn; name other masks (--masks)")
    th.manual_seed(seed)
    net = SegmenterNet(base)
    net.to(memory_format=th.channels_last)  # type: ignore[call-overload]  # torch's own hint leaves it out
    _fit(net, train, rng, updates, batch_size, learning_rate, precision, progress_bar)
    net.eval()
    with th.no_grad():
        found = np.concatenate(
            [
                (net(th.from_numpy(part[..., :3].copy())) > 0).numpy()
                for part in np.array_split(test, -(-len(test) // 64))
            ]
        )
    quality = measure(np.where(found, np.uint8(255), np.uint8(0)), test[..., 3])
    record = {"updates": updates, "seed": seed, "held_out_iou": round(quality.iou_mean, 4), **(notes or {})}
    export_onnx(net, out, size, record)
    if rembg_out is not None:
        export_for_rembg(net, rembg_out, size, record)
    return quality


def _checked(
    datasets: Sequence[Frames | LazyFrames], updates: int, batch_size: int, base: int, held_out: float, pool: int
) -> int:
    """The frames' side."""
    if not datasets:
        raise ValueError("at least one dataset is needed")
    sizes = sorted({data.image_size for data in datasets})
    if len(sizes) > 1 or sizes[0] % 8:
        raise ValueError(
            f"frames must have one size, a multiple of 8 pixels, got {sizes}; draw them at another image_size"
        )
    if updates < 1 or batch_size < 2 or base < 1 or pool < 2:
        raise ValueError(
            f"updates and base must be at least 1, batch_size and pool at least 2, got {updates}, {base}, {batch_size} "
            f"and {pool}"
        )
    if not 0 < held_out < 1 or min(data.trajectories.episodes for data in datasets) < 2:
        raise ValueError(
            f"held_out must be in (0, 1) and each dataset needs 2 episodes, got {held_out} and "
            f"{[data.trajectories.episodes for data in datasets]}"
        )
    return sizes[0]


def _frames(
    datasets: Sequence[Frames | LazyFrames], held_out: float, pool: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Frames (N, H, W, 4) to train on and others to score, of different episodes."""
    train: list[NDArray[np.uint8]] = []
    test: list[NDArray[np.uint8]] = []
    for data in datasets:
        starts = data.trajectories.first_frame
        kept = max(1, round(held_out * data.trajectories.episodes))
        border, end = int(starts[-1 - kept]), int(starts[-1])
        for out, first, last, count in ((train, 0, border, pool), (test, border, end, TEST_FRAMES)):
            share = min(max(count // len(datasets), 1), last - first)
            rgbm, place = data.rows(np.sort(first + rng.permutation(last - first)[:share]))
            out.append(rgbm[place])
    return np.concatenate(train), np.concatenate(test)


def _fit(
    net: SegmenterNet,
    frames: NDArray[np.uint8],
    rng: np.random.Generator,
    updates: int,
    batch_size: int,
    learning_rate: float,
    precision: str,
    progress_bar: bool,
) -> None:
    from tqdm.auto import trange

    optimizer = th.optim.AdamW(net.parameters(), learning_rate, weight_decay=1e-4)
    bar = trange(updates, disable=not progress_bar, desc="train", unit="update")
    for update in bar:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * update / updates))
        batch = frames[rng.integers(len(frames), size=batch_size)]
        pixels, labels = varied(batch[..., :3], rng), th.from_numpy(is_agent(batch[..., 3]).astype(np.float32))
        with autocast(precision, th.device("cpu")):
            logits = net(th.from_numpy(pixels))
        loss = segmentation_loss(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if update % LOG_EVERY == 0:
            value = float(loss.detach())
            if not math.isfinite(value):
                raise FloatingPointError(f"the loss is {value} at update {update}; lower the learning rate")
            bar.set_postfix(loss=f"{value:.3f}")


def varied(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Frames with other colours: a gain and an offset for each frame and channel."""
    shape = (len(pixels), 1, 1, 3)
    gain = rng.uniform(1 - GAIN, 1 + GAIN, shape).astype(np.float32)
    offset = rng.uniform(-OFFSET, OFFSET, shape).astype(np.float32)
    return np.clip(pixels * gain + offset, 0, 255).astype(np.uint8)


def segmentation_loss(logits: th.Tensor, labels: th.Tensor) -> th.Tensor:
    """Binary cross-entropy plus the soft Dice loss of logits (B, H, W) on labels of 0 and 1."""
    share = logits.sigmoid()
    overlap = (share * labels).sum(dim=(1, 2))
    dice = 1 - (2 * overlap + 1) / (share.sum(dim=(1, 2)) + labels.sum(dim=(1, 2)) + 1)
    return F.binary_cross_entropy_with_logits(logits, labels) + dice.mean()
