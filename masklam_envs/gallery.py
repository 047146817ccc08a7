"""One picture of the suite: tasks down, distractors across, the mask outlined."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.collect import collect
from masklam_envs.data.frames import LazyFrames
from masklam_envs.pictures import outlined
from masklam_envs.tasks import TASKS
from masklam_envs.whole import whole_file

#: what can be told apart in a still picture: `action` at every correlation looks the same
DISTRACTORS = (
    *("none", "video", "action", "camera", "colour", "light", "occluders", "ghost"),
    *("dcs-medium", "everything"),
)
STEPS = 30  # into an episode of the reference policy, or as far as it goes
SCALE = 2  # pixels of the picture for one of a frame
GAP, LEFT, TOP = 3, 44, 24  # pixels between frames, for the tasks' names, for the distractors'
COLOURS = 256  # of the picture's palette
DPI = 100


def draw_gallery(
    path: str | os.PathLike[str],
    *,
    tasks: Sequence[str] = tuple(TASKS),
    distractors: Sequence[Any] = DISTRACTORS,
    seed: int = 0,
) -> None:
    """Write the picture; every row shows one moment of one recorded episode under every distractor.

    :param path: PNG file
    :param tasks: registered ids
    :param distractors: names or configurations
    :param seed: of the first row's episode; the next row has the next
    :raises ValueError: for an unknown distractor
    :raises OSError: when the file cannot be written
    """
    if not Path(path).parent.is_dir():  # said before the work, not after it
        raise FileNotFoundError(f"there is no folder {Path(path).parent} for the gallery {Path(path).name}")
    rows = [_row(task, distractors, seed + i) for i, task in enumerate(tasks)]
    side = rows[0][0].shape[0] + GAP
    sheet = np.full((side * len(tasks), side * len(distractors), 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            sheet[i * side : (i + 1) * side - GAP, j * side : (j + 1) * side - GAP] = picture
    _write(path, _labelled(sheet, side, [_name(task) for task in tasks], [str(each) for each in distractors]))


def _row(task: str, distractors: Sequence[Any], seed: int) -> list[NDArray[np.uint8]]:
    """One moment of a task under every distractor."""
    recorded = collect(task, 1, seed=seed, max_steps=STEPS)
    last = np.array([len(recorded)])
    pictures = []
    for distractor in distractors:
        rgbm, place = LazyFrames(recorded, gym.make(task, distractor=distractor)).rows(last)
        frame = rgbm[place[0]]
        pictures.append(outlined(frame[..., :3], frame[..., 3:], SCALE))
    return pictures


def _name(task: str) -> str:
    """A task's name without its affixes, a line a word."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", task.removeprefix("Mask").removesuffix("-v0"))


def _labelled(sheet: NDArray[np.uint8], side: int, rows: list[str], columns: list[str]) -> io.BytesIO:
    """The sheet, pixel for pixel, with names beside its rows and above its columns, as a PNG."""
    from matplotlib.figure import Figure

    height, width = sheet.shape[0] + TOP, sheet.shape[1] + LEFT
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(sheet, LEFT, 0)
    for i, name in enumerate(rows):
        y = 1 - (TOP + (i + 0.5) * side) / height
        figure.text(LEFT / 2 / width, y, name, rotation=90, ha="center", va="center", fontsize=8)
    for j, name in enumerate(columns):
        x = (LEFT + (j + 0.5) * side) / width
        figure.text(x, 1 - TOP / 2 / height, name, ha="center", va="center", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer


def _write(path: str | os.PathLike[str], picture: io.BytesIO) -> None:
    """Write a PNG with a palette, under its name only when it is whole."""
    from PIL import Image

    with whole_file(path) as part:
        image = Image.open(picture).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        image.save(part, format="PNG", optimize=True)
