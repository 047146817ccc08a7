"""What a source that can be told shall look for: a box, points, or words.

A prompt is JSON-able, in pixels of the frames (x to the right, y downwards), and one of

* ``{"box": [x0, y0, x1, y1]}``;
* ``{"points": [[x, y], ...], "labels": [1, 0, ...]}``: 1 agent, 0 not; without labels all are agent;
* ``{"text": "a puck. a red block."}``: short noun phrases with full stops.  ``"region": [x0, y0, x1, y1]`` keeps what
  has its centre in it, ``"max_area"`` what has a box of at most so many pixels;
* ``{"paper": "push"}``: the box that the authors of MaskLAM drew for a task of Meta-World's, see :data:`PAPER_BOXES`.

* :func:`check_prompt` - complain about another form.
* :func:`paper_box` - a task's box in frames of a size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name

PROMPTS = ("box", "points", "text", "paper")
# Keys that only make sense beside another one.
BESIDE = {"labels": "points", "region": "text", "max_area": "text"}

# Boxes around the robot's arm on the first frame of the authors' Meta-World episodes, in frames of 128 x 128.
PAPER_SIDE = 128
PAPER_BOXES: dict[str, tuple[int, int, int, int]] = {
    "dial-turn": (48, 3, 127, 127),
    "door-open": (30, 3, 127, 127),
    "handle-pull": (37, 3, 127, 127),
    "peg-insert-side": (24, 3, 127, 127),
    "pick-place": (59, 3, 127, 127),
    "push": (55, 3, 127, 127),
    "sweep-into": (55, 3, 127, 127),
}


def check_prompt(prompt: Any, size: tuple[int, ...] | None = None, kinds: tuple[str, ...] = PROMPTS) -> None:
    """Complain about a prompt of another form.

    :param prompt: see above
    :param size: (H, W) of the frames, which it must lie in; None: not known yet
    :param kinds: of prompts that are taken
    :raises ValueError: naming what is wrong and what is allowed
    """
    if not isinstance(prompt, dict) or sum(key in prompt for key in PROMPTS) != 1:
        raise ValueError(
            'a prompt is one of {"box": [x0, y0, x1, y1]}, {"points": [[x, y], ...], "labels": [1, ...]}, '
            f'{{"text": "a robot."}} and {{"paper": "push"}}, got {prompt!r}'
        )
    kind = next(key for key in PROMPTS if key in prompt)
    if kind not in kinds:
        raise ValueError(f"a prompt with {kind!r} is not for this source, it takes {', '.join(kinds)}")
    known = (kind, *(key for key, needed in BESIDE.items() if needed == kind))
    for key in prompt:
        if key not in known:
            raise ValueError(unknown_name(f"key of a prompt with {kind!r}", key, known))
    {"box": _check_box, "points": _check_points, "text": _check_text, "paper": _check_paper}[kind](prompt, size)


def paper_box(task: str, size: tuple[int, ...]) -> list[float]:
    """The authors' box for a task, in frames of a size (H, W).

    >>> paper_box("push", (64, 64))
    [27.5, 1.5, 63.5, 63.5]
    """
    scale = np.tile([size[1], size[0]], 2) / PAPER_SIDE
    return [float(x) for x in np.array(PAPER_BOXES[task]) * scale]


def _check_box(prompt: dict[str, Any], size: tuple[int, ...] | None) -> None:
    _check_corners(prompt["box"], "a box")
    _check_inside(_numbers(prompt["box"], (4,)).reshape(2, 2), prompt, size)


def _check_points(prompt: dict[str, Any], size: tuple[int, ...] | None) -> None:
    points = _numbers(prompt["points"], (None, 2))
    labels = prompt.get("labels", [1] * len(points))
    if len(labels) != len(points) or not set(labels) <= {0, 1} or 1 not in labels:
        raise ValueError(f"points need a label each, 1 (agent, at least one) or 0, got {labels}")
    _check_inside(points, prompt, size)


def _check_text(prompt: dict[str, Any], size: tuple[int, ...] | None) -> None:
    if not isinstance(prompt["text"], str) or not prompt["text"].strip(" ."):
        raise ValueError(f"the text of a prompt must be words, got {prompt['text']!r}")
    if "region" in prompt:
        _check_corners(prompt["region"], "a region")
        _check_inside(_numbers(prompt["region"], (4,)).reshape(2, 2), prompt, size)
    area = prompt.get("max_area", 1)
    if isinstance(area, bool) or not isinstance(area, (int, float)) or not area > 0:
        raise ValueError(f"max_area must be a number of pixels above 0, got {area!r}")


def _check_paper(prompt: dict[str, Any], size: tuple[int, ...] | None) -> None:
    if prompt["paper"] not in PAPER_BOXES:
        raise ValueError(unknown_name("task with a box of the paper's", prompt["paper"], tuple(PAPER_BOXES)))


def _check_corners(given: Any, what: str) -> None:
    corners = _numbers(given, (4,)).reshape(2, 2)
    if not (corners[1] > corners[0]).all():
        raise ValueError(f"{what} is [x0, y0, x1, y1] with x0 < x1 and y0 < y1, got {given}")


def _check_inside(points: NDArray[np.float64], prompt: Any, size: tuple[int, ...] | None) -> None:
    if size is not None and not ((points >= 0) & (points <= np.array(size[::-1]))).all():
        raise ValueError(f"the prompt {prompt} lies outside the frames of {size[1]} x {size[0]} pixels")


def _numbers(given: Any, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    fits = array.ndim == len(shape) and all(n in (None, side) for n, side in zip(shape, array.shape, strict=True))
    if not fits or not array.size or not np.isfinite(array).all():
        what = "four numbers [x0, y0, x1, y1]" if shape == (4,) else "points [[x, y], ...]"
        raise ValueError(f"a prompt needs {what}, got {given!r}")
    return array
