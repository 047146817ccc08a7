"""Video files, one clip each, with or without masks: what people bring along.

Beside ``clip.mp4`` may lie a folder ``clip/`` with one PNG a frame (grey, 255 = agent; frames in the order of names, of
which numbers go by their value: 2.png before 10.png), and ``clip.actions.npy`` (T, A) or (T - 1, A) float32.  Each clip
is cut to its central square; a long one is cut into episodes.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.formats.episodes import (
    Episode,
    by_number,
    central_square,
    check_fps,
    episodes_of,
    pixel_meta,
    provenance,
    recorded_bounds,
    recorded_provenance,
    resized,
    rgbm_of,
    warn_without_masks,
)
from masklam_envs.data.formats.images import VideoWriter, png, video_chunks
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.distractors.files import VIDEO_SUFFIXES
from masklam_envs.masks.sources import MaskSource, make_mask_source, segment, working_size
from masklam_envs.optional import opencv
from masklam_envs.whole import whole_new

LONGEST = 1_001  # an episode of 1,000 steps
PROVENANCE = "masklam.json"  # of a folder that was written here
WORKING_SIZE = 256  # side to which clips are read where masks are made elsewhere, at least twice the image's


def export(frames: Frames | LazyFrames, path: Path, *, fps: float = 20.0) -> None:
    """Write ``episode_00000.mp4``, its masks and its actions, and so on, into a new folder.

    The video is MPEG-4 and lossy; masks and actions are exact.

    :param frames: the dataset
    :param path: of the folder; it must not exist
    :param fps: frames a second
    :raises ValueError: when that is not above 0
    """
    check_fps(fps)
    with whole_new(path) as part:
        part.mkdir(parents=True)
        for number, episode in enumerate(episodes_of(frames)):
            name = f"episode_{number:05d}"
            video = VideoWriter(part / f"{name}.mp4", frames.image_size, fps)
            video.write(episode.rgbm[..., :3])
            video.close()
            (part / name).mkdir()
            for t, mask in enumerate(episode.rgbm[..., 3]):
                (part / name / f"{t:06d}.png").write_bytes(png(mask))
            if episode.actions.shape[1]:
                np.save(part / f"{name}.actions.npy", episode.actions, allow_pickle=False)
        (part / PROVENANCE).write_text(provenance(frames))


def read(
    path: Path | Iterable[Path],
    *,
    size: int = 64,
    mask_source: str | None = None,
    mask_options: dict[str, Any] | None = None,
    stride: int = 1,
    longest: int = LONGEST,
    skip_damaged: bool = False,
) -> tuple[dict[str, Any], Iterator[Episode]]:
    """Clips as episodes.

    :param path: a folder of video files, one file, or several
    :param size: side of the frames, pixels
    :param mask_source: a name of :mod:`masklam_envs.masks.sources`, or ``"none"``; None: the PNG beside the clips where
        there are any for all of them, else ``"none"``
    :param mask_options: of the source, see :mod:`masklam_envs.masks.sources`
    :param stride: take every so many-th frame
    :param longest: frames of an episode at most; a longer clip becomes several
    :param skip_damaged: leave a clip out that cannot be read, with a warning
    :raises ValueError: naming the clip when it cannot be read, or its masks or actions do not fit it
    """
    if size < 4 or stride < 1 or longest < 2:
        raise ValueError(f"size >= 4, stride >= 1 and longest >= 2 are needed, got {size}, {stride} and {longest}")
    clips = _clips(path)
    beside = [clip.with_suffix("").is_dir() for clip in clips]
    if mask_source is None:
        mask_source = "dataset" if all(beside) else "none"
        if any(beside) and not all(beside):
            without = clips[beside.index(False)]
            raise ValueError(
                f"{without} has no folder of masks {without.with_suffix('')}, other clips have; make them "
                "for all of them or name a mask source"
            )
        if mask_source == "none":
            warn_without_masks(f"no folder of PNG files lies beside {clips[0]} and no mask source is named")
    if mask_options and mask_source in ("dataset", "none"):
        raise ValueError(f"mask_options {mask_options} are of a mask source: name it (mask_source, --mask-source)")
    source = None if mask_source == "dataset" else make_mask_source(mask_source, **(mask_options or {}))
    widths = {_width(clip) for clip in clips}
    if len(widths) > 1:
        raise ValueError(f"clips have actions of {sorted(widths)} numbers; they must be equal (0: none are there)")
    width = widths.pop()
    largest = max(float(np.abs(np.load(_actions_file(clip))).max(initial=0)) if width else 0.0 for clip in clips)
    recorded, bound = _recorded(clips), max(1.0, largest)
    low, high = recorded_bounds(recorded, width, largest) or ([-bound] * width, [bound] * width)
    known = {"low": low, "high": high} if width else {}
    meta = pixel_meta(
        "folder",
        clips[0].parent.name,
        masks=mask_source,
        clips=[clip.name for clip in clips],
        mask_options=mask_options or {},
        stride=stride,
        recorded=recorded,
        **known,
    )

    def episodes() -> Iterator[Episode]:
        numbers = itertools.count()
        for clip in clips:
            try:
                yield from _clip_episodes(clip, source, mask_source == "dataset", size, width, stride, longest, numbers)
            except _UnreadableError as error:
                if not skip_damaged:
                    raise ValueError(f"{error}; or leave such clips out (skip_damaged=True, --skip-damaged)") from error
                warnings.warn(f"{error}; it is left out", stacklevel=2)

    return meta, episodes()


class _UnreadableError(ValueError):
    """No frame of a clip can be read."""


def _clip_episodes(
    clip: Path,
    source: MaskSource | None,
    beside: bool,
    size: int,
    width: int,
    stride: int,
    longest: int,
    numbers: Iterator[int],
) -> Iterator[Episode]:
    """A clip in episodes of at most ``longest`` frames."""
    largest = max(2 * size, working_size(source) if source is not None else WORKING_SIZE)
    chunks = video_chunks(clip, longest, fit=lambda frame: _square(frame, largest), stride=stride)
    files = sorted(clip.with_suffix("").glob("*.png"), key=by_number)[::stride] if beside else []
    actions = _actions(clip, width, stride)
    first = 0
    while True:
        try:
            frames = next(chunks, None)
        except ValueError as error:
            raise _UnreadableError(str(error)) from error
        if frames is None:
            break
        end = first + len(frames)
        mask: Any = None
        if source is not None:
            mask = segment(source, frames)
        elif beside and len(files) >= end:
            mask = np.stack([_read_mask(file, frames.shape[1]) for file in files[first:end]])
        if len(frames) < 2:
            warnings.warn(f"{clip}: its last frame is left out, an episode has two or more (longest)", stacklevel=2)
        elif mask is not None or not beside:
            acted = actions[first : end - 1] if width else np.zeros((len(frames) - 1, 0), np.float32)
            _check_actions(clip, acted, len(frames) - 1)
            yield _episode(clip, frames, mask, acted, size, next(numbers))
        first = end
    if beside and len(files) != first:
        raise ValueError(
            f"{clip.with_suffix('')} has {len(files)} masks for {first} frames of {clip.name} (stride {stride}); one "
            "PNG a frame is due"
        )
    if width and len(actions) not in (first, first - 1):
        raise ValueError(f"{_actions_file(clip)} has {len(actions)} actions for {first} frames; {first - 1} are due")


def _episode(clip: Path, frames: Any, mask: Any, actions: Any, size: int, number: int) -> Episode:
    """Frames and masks of the working size cut down to the image's."""
    seen = np.stack([resized(frame, size) for frame in frames])
    small = None if mask is None else np.stack([resized(np.asarray(each, np.float32), size) for each in mask])
    steps = len(seen) - 1
    return Episode(
        rgbm_of(str(clip), seen, small),
        actions,
        np.zeros(steps, np.float32),
        np.zeros((steps + 1, 0), np.float32),
        seed=number,
    )


def _clips(path: Path | Iterable[Path]) -> list[Path]:
    given = [path] if isinstance(path, Path) else [Path(each) for each in path]
    found: list[Path] = []
    for each in given:
        if each.is_dir():
            found += sorted(file for file in each.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
        elif each.is_file():
            found.append(each)
        else:
            raise FileNotFoundError(f"there is no video {each}")
    if not found:
        raise ValueError(f"{[str(each) for each in given]} hold no video ({' '.join(sorted(VIDEO_SUFFIXES))})")
    return found


def _recorded(clips: list[Path]) -> Any:
    """What the folder of the clips says of where they come from, None where it says nothing."""
    file = clips[0].parent / PROVENANCE
    if not file.is_file() or len({clip.parent for clip in clips}) > 1:
        return None
    found = recorded_provenance(file.read_text(errors="replace"))
    if found is None:
        raise ValueError(f"{file} is damaged; copy it again, or remove it: it says where the clips come from")
    return found


def _square(frame: NDArray[np.uint8], largest: int) -> NDArray[np.uint8]:
    """The central square (S, S, ..) of a frame, S at most ``largest``."""
    [square] = central_square(frame[None])
    side = len(square)
    return square if side <= largest else resized(square, largest)


def _read_mask(file: Path, size: int) -> NDArray[np.float32]:
    """A mask (S, S) in [0, 1], cut to the central square as its frame is; of 0 and 1 alone, 1 is the agent."""
    mask = opencv().imread(str(file), 0)  # 0: grey
    if mask is None:
        raise ValueError(f"{file} cannot be read; make that mask again")
    return resized(_square(mask, max(mask.shape)).astype(np.float32) / (255 if mask.max() > 1 else 1), size)


def _actions_file(clip: Path) -> Path:
    return clip.with_suffix(".actions.npy")


def _width(clip: Path) -> int:
    """Action dimensions of a clip, 0 where none are known."""
    file = _actions_file(clip)
    if not file.is_file():
        return 0
    try:
        actions = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{file} is no array of numbers ({error})") from error
    if actions.ndim != 2 or actions.dtype.kind != "f":
        raise ValueError(f"{file} must hold floats (T, A), got {actions.dtype} {actions.shape}")
    return int(actions.shape[1])


def _actions(clip: Path, width: int, stride: int) -> NDArray[np.float32]:
    """All actions of a clip (n, A)."""
    if not width:
        return np.zeros((0, 0), np.float32)
    if stride != 1:
        raise ValueError(f"{clip} has actions, and stride {stride} would leave some out; use stride 1")
    return np.asarray(np.load(_actions_file(clip), allow_pickle=False), np.float32)


def _check_actions(clip: Path, actions: NDArray[np.float32], steps: int) -> None:
    if len(actions) < steps:
        raise ValueError(f"{_actions_file(clip)} ends early: a frame but the last has no action; one a step is due")
