"""PNG and video, by OpenCV: lossless where masks are concerned."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.optional import opencv


def png(image: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) RGB or (H, W) grey as PNG."""
    cv2 = opencv()
    done, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    if not done:
        raise ValueError(f"OpenCV cannot write an image of shape {image.shape} as PNG")
    return bytes(data)


def decoded(where: str, data: Any, *, grey: bool = False) -> NDArray[np.uint8]:
    """The image (H, W, 3) RGB, or (H, W) grey, of a PNG or JPEG, or of nested lists of numbers.

    :raises ValueError: naming ``where`` when it cannot be read
    """
    if isinstance(data, dict):
        data = data.get("bytes")
    if not isinstance(data, bytes):
        array = np.asarray(data)
        if array.dtype.kind not in "uib" or array.ndim not in (2, 3):
            raise ValueError(f"{where}: no image but {type(data).__name__}; name another column")
        return array.astype(np.uint8)
    cv2 = opencv()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{where}: the image is damaged ({len(data)} bytes); copy or download the file again")
    return np.asarray(image if grey else image[..., ::-1], np.uint8)


class VideoWriter:
    """An MPEG-4 file of square frames; lossy, so never for masks.

    :param path: ends in ``.mp4``
    :param size: side of the frames
    :param fps: frames a second
    """

    def __init__(self, path: Path, size: int, fps: float) -> None:
        cv2 = opencv()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.frames = path, 0
        self._file = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (size, size))
        if not self._file.isOpened():
            raise OSError(0, f"OpenCV cannot write {path}: is its folder writable, and does its build have MPEG-4?")

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Append frames (T, H, W, 3) RGB."""
        for frame in frames:
            self._file.write(np.ascontiguousarray(frame[..., ::-1]))
        self.frames += len(frames)

    def close(self) -> None:
        """Finish the file.

        :raises OSError: when it does not hold every frame: OpenCV does not tell of a full disk
        """
        cv2 = opencv()
        self._file.release()
        capture = cv2.VideoCapture(str(self.path))
        there = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if there != self.frames:
            raise OSError(errno.ENOSPC, f"{there} of the {self.frames} frames of {self.path.name} are on the disk")


def video_chunks(
    path: Path, longest: int, *, fit: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None, stride: int = 1
) -> Iterator[NDArray[np.uint8]]:
    """All frames of a video, at most ``longest`` at a time: (T, H, W, 3) RGB.

    :param fit: what is done to each frame as soon as it is decoded, so that no large ones are kept
    :param stride: take every so many-th frame
    :raises ValueError: when nothing can be read; where the file ends early there is a warning
    """
    cv2 = opencv()
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path} is empty (0 bytes): copy or download it again")
    capture = cv2.VideoCapture(str(path.absolute()))  # 12:30.mp4 alone would be a protocol
    promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    frames: list[NDArray[np.uint8]] = []
    number = 0
    try:
        while capture.grab():
            if number % stride == 0:
                read, frame = capture.retrieve()
                if not read:
                    break
                rgb = np.ascontiguousarray(frame[..., ::-1])
                frames.append(rgb if fit is None else fit(rgb))
            number += 1
            if len(frames) == longest:
                yield np.stack(frames)
                frames = []
    finally:
        capture.release()
    if not number:
        raise ValueError(
            f"OpenCV reads no frame of {path}: it is empty, cut short or of an unknown codec; copy it again or convert "
            f"it (ffmpeg -i {path.name} -c:v libx264 clip.mp4)"
        )
    if number < promised:
        warnings.warn(
            f"{path} promises {promised} frames and {number} can be read: it is cut short; copy it again, or go on "
            "with what is there",
            stacklevel=2,
        )
    if frames:
        yield np.stack(frames)


class VideoReader:
    """Frames of videos that are asked for one run after another: a file is decoded once where they come in order."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._capture: Any = None
        self._next = 0

    def frames(self, path: Path, first: int, count: int) -> NDArray[np.uint8]:
        """Frames ``first`` up to ``first + count`` of a video, or fewer where it ends: (T, H, W, 3) RGB."""
        if path != self._path or first < self._next:
            self.close()
            self._path, self._capture, self._next = path, opencv().VideoCapture(str(path.absolute())), 0
        # Not by seeking: with most codecs that lands on a key frame nearby.
        while self._next < first and self._capture.grab():
            self._next += 1
        frames: list[NDArray[np.uint8]] = []
        while self._next == first + len(frames) and len(frames) < count:
            read, frame = self._capture.read()
            if not read:
                break
            frames.append(np.ascontiguousarray(frame[..., ::-1]))
            self._next += 1
        return np.stack(frames) if frames else np.zeros((0, 1, 1, 3), np.uint8)

    def close(self) -> None:
        """Let go of the file that is open, if one is."""
        if self._capture is not None:
            self._capture.release()
        self._path, self._capture, self._next = None, None, 0
