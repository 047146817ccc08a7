"""Footage from video files and folders of images, read with OpenCV on first use.

A path is a video file, an image (a clip of one frame), a folder of images (one clip, frames in the order of their
names), a folder of video files and folders, or the root of DAVIS (https://davischallenge.org), which keeps its clips in
``JPEGImages/480p/<name>/``.  Decoded clips are kept on disk, see :mod:`masklam_envs.distractors.disk`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from masklam_envs.distractors.base import Image, part_of_training
from masklam_envs.distractors.cache import FRAMES
from masklam_envs.distractors.disk import cached_clip
from masklam_envs.optional import opencv

VIDEO_SUFFIXES = frozenset({".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
DAVIS_CLIPS = Path("JPEGImages/480p")

# The split of DAVIS 2017 that the Distracting Control Suite trains and tests on.
# fmt: off
DAVIS_TRAIN = frozenset((
    "bear", "bmx-bumps", "boat", "boxing-fisheye", "breakdance-flare", "bus", "car-turn", "cat-girl", "classic-car",
    "color-run", "crossing", "dance-jump", "dancing", "disc-jockey", "dog-agility", "dog-gooses", "dogs-scale",
    "drift-turn", "drone", "elephant", "flamingo", "hike", "hockey", "horsejump-low", "kid-football", "kite-walk",
    "koala", "lady-running", "lindy-hop", "longboard", "lucia", "mallard-fly", "mallard-water", "miami-surf",
    "motocross-bumps", "motorbike", "night-race", "paragliding", "planes-water", "rallye", "rhino", "rollerblade",
    "schoolgirls", "scooter-board", "scooter-gray", "sheep", "skate-park", "snowboard", "soccerball", "stroller",
    "stunt", "surf", "swing", "tennis", "tractor-sand", "train", "tuk-tuk", "upside-down", "varanus-cage", "walking",
))
DAVIS_TEST = frozenset((
    "bike-packing", "blackswan", "bmx-trees", "breakdance", "camel", "car-roundabout", "car-shadow", "cows",
    "dance-twirl", "dog", "dogs-jump", "drift-chicane", "drift-straight", "goat", "gold-fish", "horsejump-high",
    "india", "judo", "kite-surf", "lab-coat", "libby", "loading", "mbike-trick", "motocross-jump", "paragliding-launch",
    "parkour", "pigs", "scooter-black", "shooting", "soapbox",
))
# fmt: on


class FileFootage:
    """Clips read from files, each cut to its central square and resized to the image.

    Clips are numbered in the order of their names.  When every name is one of DAVIS and both of its splits occur, the
    split is DAVIS's own; otherwise the last quarter (rounded up) is the test split.  A single clip serves both, with a
    warning.

    :param paths: files and folders
    :param image_size: side of the image in pixels
    :raises ValueError: when a path does not exist or holds no clip
    """

    wraps = False

    def __init__(self, paths: list[str], image_size: int) -> None:
        self.size = image_size
        found = {clip for path in paths for clip in _clips_in(Path(path).expanduser())}
        self.paths = sorted(found, key=lambda path: (path.stem, str(path)))
        self._train, self._test = _split(self.paths)

    def clips(self, split: str) -> tuple[int, ...]:
        """The clip numbers of a split."""
        if split in ("fit", "validation") and len(self._train) == 1 < len(self.paths):
            warnings.warn(
                f"{self.paths[self._train[0]]} is the only training clip, so validation shows it too; give more files",
                stacklevel=2,
            )
        if len(self.paths) == 1:
            warnings.warn(
                f"{self.paths[0]} is the only clip, so the training and the test split both show it; give more files",
                stacklevel=2,
            )
        return self._test if split == "test" else part_of_training(self._train, split)

    def length(self, clip: int) -> int:
        """Number of frames; decodes the clip when it is not in the cache."""
        return len(self._decoded(clip))

    def frame(self, clip: int, index: int) -> Image:
        """Frame ``index`` of a clip: (image_size, image_size, 3) uint8 RGB, read-only."""
        return self._decoded(clip)[index]

    def _decoded(self, clip: int) -> Image:
        path = self.paths[clip]
        return FRAMES.get((path, self.size), lambda: cached_clip(path, self.size, lambda: decode_clip(path, self.size)))


def decode_clip(path: Path, size: int) -> Image:
    """All frames of a video file, an image or a folder of images: (n, size, size, 3) uint8 RGB.

    :raises ValueError: when it is empty, or nothing in it can be read
    :raises ImportError: when OpenCV cannot be imported
    """
    cv2 = opencv()
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path} is empty (0 bytes): copy or download it again, or leave it out of the footage")
    if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
        frames = _image_frames(cv2, sorted(_files(path, IMAGE_SUFFIXES)) if path.is_dir() else [path], size)
    else:
        frames = _video_frames(cv2, path, size)
    if not frames:
        raise ValueError(
            f"OpenCV reads no frame from {path}: it is empty, damaged or of an unknown codec; "
            f"convert it (ffmpeg -i {path.name} -c:v libx264 clip.mp4) or leave it out of the footage"
        )
    return np.stack(frames)


def _video_frames(cv2: Any, path: Path, size: int) -> list[Image]:
    capture = cv2.VideoCapture(str(path))
    frames: list[Image] = []
    try:
        while True:
            read, picture = capture.read()
            if not read:
                return frames
            frames.append(_fitted(cv2, picture, size))
    finally:
        capture.release()


def _image_frames(cv2: Any, files: list[Path], size: int) -> list[Image]:
    frames = []
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"OpenCV cannot read the image {file}; replace it or remove it from the footage")
        frames.append(_fitted(cv2, picture, size))
    return frames


def _fitted(cv2: Any, picture: Image, size: int) -> Image:
    """The central square of a BGR picture as RGB, averaged over areas down to ``size``."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    # Averaging over areas is for shrinking; on the way up it would repeat pixels.
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    resized: Image = cv2.cvtColor(cv2.resize(square, (size, size), interpolation=method), cv2.COLOR_BGR2RGB)
    return resized


def _clips_in(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ValueError(f"footage {str(path)!r} does not exist; give 'procedural', a video file or a folder")
    root = path / DAVIS_CLIPS if (path / DAVIS_CLIPS).is_dir() else path
    folders = [folder for folder in root.iterdir() if folder.is_dir() and _files(folder, IMAGE_SUFFIXES)]
    clips = folders + _files(root, VIDEO_SUFFIXES)
    if pictures := _files(root, IMAGE_SUFFIXES):
        if clips:
            raise ValueError(
                f"footage {str(path)!r} is one clip by its pictures ({pictures[0].name}) and several by its videos and "
                f"folders of pictures ({clips[0].name}): move one or the other elsewhere"
            )
        return [root]
    if not clips:
        raise ValueError(
            f"footage {str(path)!r} holds no video file ({' '.join(sorted(VIDEO_SUFFIXES))}) and no folder of images "
            f"({' '.join(sorted(IMAGE_SUFFIXES))}); give the folder that holds them"
        )
    return clips


def _files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    return [file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file()]


def _split(paths: list[Path]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Clip numbers of training and of testing."""
    everything = tuple(range(len(paths)))
    if len(paths) == 1:
        return everything, everything
    test = tuple(i for i in everything if paths[i].stem in DAVIS_TEST)
    train = tuple(i for i in everything if paths[i].stem in DAVIS_TRAIN)
    if train and test and len(train) + len(test) == len(paths):
        return train, test
    held_out = -(-len(paths) // 4)
    return everything[:-held_out], everything[-held_out:]
