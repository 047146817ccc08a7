"""Frames as people look at them: enlarged, the mask as an outline.

* :func:`outlined` - one frame.
* :func:`write_png` - one, as a file.
* :func:`write_video` - many, as a file.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masklam_envs.errors import unknown_name
from masklam_envs.masks.threshold import is_agent
from masklam_envs.optional import opencv
from masklam_envs.whole import whole_file

OUTLINE = np.array([255, 230, 0], np.uint8)
VIDEO_SUFFIXES = (".gif", ".mp4", ".webp")
# Of animated WebP: a sixth of a GIF's bytes under footage, whose noise a GIF keeps.
WEBP_QUALITY = 75

Image = NDArray[np.uint8]


def outlined(pixels: Image, mask: Image, scale: int = 4) -> Image:
    """A frame enlarged, with the mask's outline one screen pixel wide.

    :param pixels: (H, W, 3) uint8
    :param mask: (H, W, 1) uint8
    :return: (scale * H, scale * W, 3) uint8
    """
    large = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    inside = np.pad(is_agent(mask[..., 0].repeat(scale, axis=0).repeat(scale, axis=1)), 1)
    core = inside[1:-1, 1:-1]
    all_in = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    large[core & ~all_in] = OUTLINE
    return large


def write_png(path: str | os.PathLike[str], image: Image) -> None:
    """Write one picture, whole or not at all.

    :param path: PNG file
    :param image: (H, W, 3) uint8 RGB
    :raises OSError: when the file cannot be written
    """
    from PIL import Image as Pillow

    with whole_file(path) as part:
        Pillow.fromarray(image).save(part, format="PNG")


def write_video(path: str | os.PathLike[str], frames: Iterable[Image], fps: float) -> None:
    """Write frames as an MP4 (OpenCV, MPEG-4), a GIF or an animated WebP (Pillow; lossy, a sixth of a GIF's size).

    The file has a temporary name until it is whole.

    :param path: ends with ``.mp4``, ``.gif`` or ``.webp``
    :param frames: (H, W, 3) uint8 RGB, at least one, all of one size; an odd side of an MP4 gets a pixel more
    :param fps: frames a second, above 0
    :raises ValueError: for another ending, or when there is no frame
    :raises OSError: when the file cannot be written
    """
    path = Path(path)
    if path.suffix not in VIDEO_SUFFIXES:
        raise ValueError(f"{path}: {unknown_name('video format', path.suffix, VIDEO_SUFFIXES)}")
    write = {".mp4": _write_mp4, ".gif": _write_gif, ".webp": _write_webp}[path.suffix]
    with whole_file(path, path.suffix) as part:
        pictures = iter(frames)
        first = next(pictures, None)
        if first is None:
            raise ValueError(f"{path}: a video needs at least one frame")
        write(part, first, pictures, fps)


def _write_mp4(path: Path, first: Image, others: Iterator[Image], fps: float) -> None:
    cv2 = opencv()
    size = _even(first).shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    try:
        if not writer.isOpened():
            raise OSError(f"OpenCV cannot write {path}: is there such a folder? A .gif needs no OpenCV")
        for frame in itertools.chain([first], others):
            writer.write(np.ascontiguousarray(_even(frame)[..., ::-1]))
    finally:
        writer.release()


def _even(frame: Image) -> Image:
    """MPEG-4 codes blocks of two pixels: an odd side's last row or column is repeated."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _write_gif(path: Path, first: Image, others: Iterator[Image], fps: float) -> None:
    from PIL import Image as Pillow

    more = (Pillow.fromarray(frame) for frame in others)
    # A GIF counts time in hundredths of a second.
    duration = max(round(100 / fps), 1) * 10
    Pillow.fromarray(first).save(path, save_all=True, append_images=more, duration=duration, loop=0)


def _write_webp(path: Path, first: Image, others: Iterator[Image], fps: float) -> None:
    from PIL import Image as Pillow

    more = [Pillow.fromarray(frame) for frame in others]
    options = {"duration": max(round(1000 / fps), 1), "loop": 0, "quality": WEBP_QUALITY}  # milliseconds
    Pillow.fromarray(first).save(path, format="WEBP", save_all=True, append_images=more, **options)
