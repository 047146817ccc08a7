"""How good masks are, against masks that are trusted: the simulator's.

* :func:`measure` - the numbers; :class:`Measuring` - of episodes that come one after the other.
* :class:`Quality` - what they mean, and whether a source is of any use.
* :func:`contact_sheet` - a picture to look at.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.masks.threshold import is_agent
from masklam_envs.whole import whole_file

USELESS_IOU = 0.3
USELESS_EMPTY = 0.05
FULL = 0.95
WORST = 0.05
# DAVIS (Perazzi et al., CVPR 2016) allows boundaries to be off by 0.8 % of the diagonal, and so do we.
TOLERANCE = 0.008

Masks = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Quality:
    """Masks against those of the simulator; a pixel is agent from 128 on.

    Frames in which the agent is not seen have no intersection over union and count in ``false_alarms`` alone.

    :param frames: compared
    :param iou_mean: intersection over union, mean over frames, in [0, 1]
    :param iou_median: its median
    :param iou_worst: its mean over the worst 5 % of the frames (at least one)
    :param boundary_f: F-measure of the masks' boundaries with a tolerance of 0.8 % of the frame's diagonal, rounded up
        to whole pixels (DAVIS; Perazzi et al., CVPR 2016), mean over frames, in [0, 1]
    :param area_ratio: area of the mask / the agent's, mean over frames
    :param area_drift: by how much that ratio changes from the first to the last quarter of an episode, absolute, mean
        over episodes
    :param flicker: pixels that turn wrong or right again from one frame to the next / the agent's area, mean over
        frames; 0 for a mistake that stays
    :param empty: share of the frames with the agent whose mask is empty
    :param full: share of the frames whose mask covers more than 95 % of the picture
    :param false_alarms: share of the frames without the agent whose mask is not empty; 0 when there are none
    """

    frames: int
    iou_mean: float
    iou_median: float
    iou_worst: float
    boundary_f: float
    area_ratio: float
    area_drift: float
    flicker: float
    empty: float
    full: float
    false_alarms: float

    def __str__(self) -> str:
        """The numbers in two lines."""
        return (
            f"IoU {self.iou_mean:.3f} (median {self.iou_median:.3f}, worst 5 % {self.iou_worst:.3f}), "
            f"boundary F {self.boundary_f:.3f}\narea x{self.area_ratio:.2f}, drift {self.area_drift:.2f}, flicker "
            f"{self.flicker:.2f}, empty {self.empty:.1%}, full {self.full:.1%}, false alarms {self.false_alarms:.1%}"
        )

    @property
    def complaints(self) -> list[str]:
        """Why nothing should be trained on these masks; none where they are of use."""
        found = []
        if not self.iou_mean >= USELESS_IOU:
            found.append(f"their IoU with the simulator's is {self.iou_mean:.2f}, below {USELESS_IOU}")
        if self.empty > USELESS_EMPTY:
            found.append(f"{self.empty:.0%} of them are empty where the agent is seen, more than {USELESS_EMPTY:.0%}")
        return found


def measure(masks: Masks, truth: Masks, lengths: Sequence[int] | None = None) -> Quality:
    """Compare masks with trusted ones.

    :param masks: (F, H, W) or (F, H, W, 1) uint8
    :param truth: the same shape
    :param lengths: frames of each episode, F in all; None: one episode
    :raises ValueError: for other types, or shapes that do not fit

    >>> truth = np.zeros((4, 8, 8), np.uint8); truth[:, 2:6, 2:6] = 255
    >>> masks = truth.copy(); masks[:, 2:6, 2:4] = 0
    >>> found = measure(masks, truth)
    >>> found.iou_mean, found.area_ratio, found.flicker
    (0.5, 0.5, 0.0)
    """
    given, true = (_hard(which, name) for which, name in ((masks, "masks"), (truth, "truth")))
    if given.shape != true.shape or not len(true):
        raise ValueError(f"masks and truth must have one shape and at least one frame, got {given.shape}, {true.shape}")
    counts = [len(true)] if lengths is None else [int(n) for n in lengths]
    if sum(counts) != len(true) or min(counts, default=0) < 1:
        raise ValueError(f"lengths must add up to the {len(true)} frames, got {counts}")
    measuring = Measuring()
    for first, end in itertools.pairwise(np.cumsum([0, *counts])):
        measuring.add(masks[first:end], truth[first:end])
    return measuring.quality()


class Measuring:
    """Masks against trusted ones, episode by episode: a few numbers a frame are kept, however long a dataset is."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[NDArray[Any]]] = {}

    def add(self, masks: Masks, truth: Masks) -> None:
        """Compare an episode's masks.

        :param masks: (T, H, W) or (T, H, W, 1) uint8
        :param truth: the same shape
        :raises ValueError: for other types, or shapes that do not fit
        """
        given, true = (_hard(which, name) for which, name in ((masks, "masks"), (truth, "truth")))
        if given.shape != true.shape or not len(true):
            raise ValueError(f"masks and truth must have one shape and a frame, got {given.shape}, {true.shape}")
        area, size = true.sum(axis=(1, 2)), given.sum(axis=(1, 2))
        seen = area > 0
        ratio = np.where(seen, size / np.maximum(area, 1), np.nan)
        boundary = [_boundary_f(a, b) for a, b in zip(given[seen], true[seen], strict=True)]
        found = {
            "iou": (given & true).sum(axis=(1, 2))[seen] / (given | true).sum(axis=(1, 2))[seen],
            "boundary": np.array(boundary),
            "ratio": ratio[seen],
            "drift": np.array([_drift(ratio)]),
            "flicker": _flicker(given ^ true, area),
            "empty": size[seen] == 0,
            "full": size > FULL * given[0].size,
            "false_alarm": size[~seen] > 0,
        }
        for name, values in found.items():
            self._numbers.setdefault(name, []).append(values)

    def quality(self) -> Quality:
        """Over all episodes so far.

        :raises ValueError: when there is none
        """
        if not self._numbers:
            raise ValueError("there is no episode to measure")
        found = {name: np.concatenate(parts) for name, parts in self._numbers.items()}
        iou, drift = found["iou"], found["drift"]
        return Quality(
            frames=len(found["full"]),
            iou_mean=_mean(iou),
            iou_median=float(np.median(iou)) if len(iou) else float("nan"),
            iou_worst=_mean(np.sort(iou)[: max(1, round(WORST * len(iou)))]),
            boundary_f=_mean(found["boundary"]),
            area_ratio=_mean(found["ratio"]),
            area_drift=_mean(drift[np.isfinite(drift)], empty=0.0),
            flicker=_mean(found["flicker"], empty=0.0),
            empty=_mean(found["empty"]),
            full=_mean(found["full"]),
            false_alarms=_mean(found["false_alarm"], empty=0.0),
        )


def contact_sheet(
    path: str | os.PathLike[str],
    frames: NDArray[np.uint8],
    masks: dict[str, Masks],
    *,
    columns: int = 8,
    scale: int = 2,
) -> None:
    """A PNG with frames side by side and, row by row, the outlines of several masks of each.

    The file has a temporary name until it is whole.

    :param path: of the picture; its folder is made if missing
    :param frames: (F, H, W, 3) uint8; ``columns`` of them are shown, evenly spaced
    :param masks: per name (F, H, W) or (F, H, W, 1) uint8: a row each, named on its left
    :param columns: pictures of a row
    :param scale: enlargement
    :raises OSError: when the file cannot be written
    """
    from PIL import Image, ImageDraw

    from masklam_envs.pictures import outlined

    if not masks:
        raise ValueError("a contact sheet needs masks of at least one name")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    chosen = np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int)
    rows = []
    for name, each in masks.items():
        flat = each.reshape(*each.shape[:3])
        shown = np.concatenate([outlined(frames[i], flat[i, ..., None], scale) for i in chosen], axis=1)
        margin = Image.new("RGB", (96, shown.shape[0]), "white")
        ImageDraw.Draw(margin).text((4, shown.shape[0] // 2 - 5), name, fill="black")
        rows.append(np.concatenate([np.asarray(margin), shown], axis=1))
    with whole_file(path) as part:
        Image.fromarray(np.concatenate(rows)).save(part, format="PNG")


def _hard(masks: Masks, name: str) -> NDArray[np.bool_]:
    if not isinstance(masks, np.ndarray) or masks.dtype != np.uint8 or masks.ndim not in (3, 4):
        raise ValueError(
            f"{name} must be uint8 of shape (F, H, W), got {getattr(masks, 'dtype', type(masks).__name__)}"
        )
    if masks.ndim == 4 and masks.shape[3] != 1:
        raise ValueError(f"{name} must have one channel, got shape {masks.shape}")
    return is_agent(masks.reshape(masks.shape[:3]))


def _mean(values: Sequence[float] | NDArray[np.float64], empty: float = float("nan")) -> float:
    return float(np.mean(values)) if len(values) else empty


def _drift(ratio: NDArray[np.float64]) -> float:
    """Change of the area's ratio from the first to the last quarter of an episode; NaN where the agent is not seen."""
    quarter = max(len(ratio) // 4, 1)
    ends = [part[np.isfinite(part)] for part in (ratio[:quarter], ratio[-quarter:])]
    return abs(float(ends[1].mean() - ends[0].mean())) if min(map(len, ends)) else float("nan")


def _flicker(wrong: NDArray[np.bool_], area: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pixels whose being wrong changes, relative to the agent, of all frames but an episode's first."""
    changed = (wrong[1:] ^ wrong[:-1]).sum(axis=(1, 2))
    return np.asarray(changed[area[1:] > 0] / area[1:][area[1:] > 0], np.float64)


def _boundary_f(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """F-measure of the boundary pixels of a mask that lie near those of another, and the other way round."""
    reach = int(np.ceil(TOLERANCE * np.hypot(*mask.shape)))
    own, other = _boundary(mask), _boundary(truth)
    if not own.any() or not other.any():
        return float(own.any() == other.any())
    precision = float((own & _grown(other, reach)).sum() / own.sum())
    recall = float((other & _grown(own, reach)).sum() / other.sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask with a neighbour outside it; what the frame cuts off is no boundary."""
    around = np.pad(mask, 1, mode="edge")
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~inside


def _grown(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Pixels at most ``reach`` from a mask, by Euclidean distance."""
    out = np.zeros_like(mask)
    height, width = mask.shape
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx <= reach * reach:
                a, b = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
                c, d = slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0))
                out[a, b] |= mask[c, d]
    return out
