"""Masks of a dataset beside it, several by name: what ``masklam segment`` writes.

A column is a folder ``masks/NAME`` in that of the dataset, written as a dataset is (:mod:`masklam_envs.data.store`):
episode after episode, so that an interrupted run goes on where it was and nothing half written counts::

    manifest.json   the source, the prompt and the view that the frames were seen through
    mask.bin        (F, H, W) uint8, 0 .. 255: how sure the source is
    episodes.bin    a record an episode, with the checksum of the dataset's own record
    quality.json    the masks against the simulator's, where there were any

Saving the dataset anew under its name drops its columns: they belong to the frames that were there.

* :func:`segment_dataset` - make one.
* :class:`MaskColumn` - one that is there; :func:`mask_columns` - the names of all.
* :func:`draw_sheet` - several to look at; :func:`comparable_columns` - those of the same frames.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.faulty import fault_seed, faulty_episode, known_faults
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.store import EpisodeWriter, open_store, read_fields, read_manifest, read_records
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.errors import unknown_name
from masklam_envs.masks.episode import MaskFault
from masklam_envs.masks.quality import USELESS_EMPTY, Measuring, Quality, contact_sheet
from masklam_envs.masks.sources import (
    NONE,
    SIMULATOR,
    MaskSource,
    make_mask_source,
    segment,
    source_config,
)
from masklam_envs.masks.threshold import HALF, hard
from masklam_envs.registered import Registered
from masklam_envs.whole import whole_file

FOLDER, QUALITY = "masks", "quality.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclasses.dataclass(frozen=True)
class MaskColumn:
    """Masks of every frame of a dataset.

    :param name: of the column
    :param meta: ``source`` and ``prompt``, and of physics the ``view`` that its frames were seen through, else None
    :param soft: (F, H, W) uint8, 0 .. 255: how sure the source is; mapped from the disk
    :param quality: against the simulator's masks, None where there were none
    :param episodes: (E, 2) length and reset seed of each episode
    """

    name: str
    meta: dict[str, Any]
    soft: NDArray[np.uint8]
    quality: Quality | None
    episodes: NDArray[np.int64]

    @classmethod
    def load(cls, folder: str | os.PathLike[str], name: str) -> Self:
        """Open a column.

        :param folder: of the dataset
        :param name: of the column
        :raises ValueError: when there is none of that name, when it is damaged, unfinished, or of other frames
        """
        folder = Path(folder)
        path = folder / FOLDER / name
        if name not in (known := mask_columns(folder)):
            command = f"masklam segment {folder} --mask-source SOURCE --name {name}"
            raise ValueError(f"{folder}: {unknown_name('mask column', name, known)}; make one with `{command}`")
        stored = open_store(path, read_manifest(path), verify=None)
        records = _records(folder)
        _check_same(folder, name, stored.records, records, whole=True)
        episodes = np.stack([records["length"], records["reset_seed"]], axis=1)
        return cls(name, stored.meta, stored.arrays["mask"], _read_quality(path), episodes)

    def is_of(self, trajectories: Trajectories) -> bool:
        """Whether these are the episodes whose masks it holds."""
        return np.array_equal(self.episodes, np.stack([trajectories.lengths, trajectories.reset_seeds], axis=1))

    def check_seen(self, view: Any) -> None:
        """Complain when the masks are of frames that were seen otherwise.

        :param view: a :class:`~masklam_envs.view.View`
        :raises ValueError: naming what differs
        """
        known, given = self.meta["view"] or {}, json.loads(json.dumps(view.config.to_json()))
        if differing := _differing(known, given):
            raise ValueError(
                f"the masks {self.name!r} were made of other frames: {', '.join(differing)} "
                f"{[known.get(key) for key in differing]} there, {[given.get(key) for key in differing]} here; make "
                "the environment as it was for `masklam segment`, or segment again under another name"
            )

    def rows(self, index: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Masks (N, H, W) uint8 of frames (N,), or of a slice: 255 where the source is at least half sure."""
        return hard(self.soft[index])

    def select(self, episodes: Sequence[int]) -> Self:
        """The masks of the given episodes, in the given order; those of neighbours stay on the disk."""
        chosen = list(episodes)
        starts = np.concatenate(([0], np.cumsum(self.episodes[:, 0] + 1)))
        if chosen == list(range(chosen[0], chosen[-1] + 1)):
            soft = self.soft[starts[chosen[0]] : starts[chosen[-1] + 1]]
        else:
            soft = np.concatenate([self.soft[starts[e] : starts[e + 1]] for e in chosen])
        return dataclasses.replace(self, soft=soft, episodes=self.episodes[chosen])

    def warn_if_useless(self) -> None:
        """Warn when nothing should be trained on these masks."""
        complaints = self.quality.complaints if self.quality is not None else _without_truth(self.soft)
        if complaints:
            warnings.warn(
                f"the masks {self.name!r} are of little use: {'; '.join(complaints)}; look at them (masklam segment "
                "--sheet FILE) before you train on them",
                stacklevel=3,
            )


def _differing(known: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """The fields of views by which their pixels may differ; what they make of masks does not matter."""
    differing = sorted(key for key in known.keys() | given.keys() if known.get(key) != given.get(key))
    return [key for key in differing if key not in ("mask_source", "mask_faults")]


def mask_columns(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of a dataset's columns, sorted."""
    return tuple(sorted(path.parent.name for path in (Path(folder) / FOLDER).glob("*/manifest.json")))


def comparable_columns(folder: str | os.PathLike[str], column: MaskColumn) -> list[str]:
    """The names of the whole columns that were made of the same frames as one, that one last."""
    found = []
    for name in mask_columns(folder):
        with contextlib.suppress(ValueError):  # unfinished, or of other frames
            other = MaskColumn.load(folder, name)
            if name != column.name and not _differing(other.meta["view"] or {}, column.meta["view"] or {}):
                found.append(name)
    return [*found, column.name]


def segment_dataset(
    folder: str | os.PathLike[str],
    mask_source: Any,
    *,
    name: str | None = None,
    prompt: Any = None,
    env: str | None = None,
    view: dict[str, Any] | None = None,
    mask_faults: Any = None,
    workers: int = 1,
    progress_bar: bool = False,
) -> MaskColumn:
    """Add masks of every frame to a dataset, or go on with a run that was interrupted.

    :param folder: of the dataset, physics or pixels
    :param mask_source: a name or ``{"name": ..., option: value}``; ``"simulator"`` for the masks it was drawn with
    :param name: of the column; None: the source's
    :param prompt: what a source that can be told shall look for, the same in every episode
    :param env: id of the environment through which physics is seen; None: the one it was recorded in
    :param view: its keyword arguments
    :param mask_faults: what is wrong with the source's masks, as in :func:`~masklam_envs.masks.faults.make_faults`;
        they are 0 or 255 then
    :param workers: processes, each with a source of its own; 1: this one
    :param progress_bar: show one
    :return: the column
    :raises ValueError: when there is a column of that name that was made otherwise, or the source fails
    :raises OSError: when the disk is full; the episodes before stay
    """
    from masklam_envs.data.formats.convert import open_own

    folder, config = Path(folder), source_config(mask_source)
    faults = _column_faults(mask_faults)
    name = name or config["name"]
    if config["name"] == NONE or workers < 1:
        raise ValueError(f"a mask source and at least one worker are needed, got {config['name']!r} and {workers}")
    if not _NAME.fullmatch(name) or name == NONE:
        raise ValueError(f"a mask column is named by letters, digits and _.-, and not 'none', got {name!r}")
    frames = open_own(folder, view=view, env=env)
    _check_simulated(folder, frames, config)
    records = _records(folder)
    seen = frames.view.config.to_json() if isinstance(frames, LazyFrames) else None
    path = folder / FOLDER / name
    meta = {"source": config, "prompt": prompt, "view": seen, "weights": _weights(config)}
    meta |= {"mask_faults": mask_faults} if faults else {}
    with EpisodeWriter(path, meta) as writer:
        if writer.episodes:
            _check_same(folder, name, read_records(path, read_fields(read_manifest(path), path)), records)
        _append(writer, frames, config, prompt, faults, records, workers, progress_bar)
    quality = _against_simulator(frames, path)
    if quality is not None:
        _write_quality(path, quality)
    column = MaskColumn.load(folder, name)
    column.warn_if_useless()
    return column


def _check_simulated(folder: Path, frames: Frames | LazyFrames, config: dict[str, Any]) -> None:
    """The simulator's masks are drawn from physics, or in the file of pixels that were drawn from it."""
    has = frames.trajectories.meta.get("masks", SIMULATOR)
    if config["name"] == SIMULATOR and isinstance(frames, Frames) and has != SIMULATOR:
        holds = "no masks" if has == NONE else f"those of {has!r}"
        raise ValueError(
            f"the simulator's masks of {folder} are not known, it came as pixels with {holds}: name a mask source"
        )


def draw_sheet(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    names: Sequence[str],
    *,
    env: str | None = None,
    view: dict[str, Any] | None = None,
) -> None:
    """A PNG with some frames of a dataset and the outlines of several columns' masks, after those of its own.

    :param path: of the picture
    :param folder: of the dataset
    :param names: of columns
    :param env: as in :func:`segment_dataset`
    :param view: likewise
    """
    from masklam_envs.data.formats.convert import open_own

    frames = open_own(Path(folder), view=view, env=env)
    chosen = np.unique(np.linspace(0, len(frames) - 1, 8).astype(np.int64))
    rgbm, place = frames.rows(chosen)
    shown = rgbm[place]
    masks = {"own": shown[..., 3]} | {name: MaskColumn.load(folder, name).rows(chosen) for name in names}
    contact_sheet(path, shown[..., :3], masks)


def _append(
    writer: EpisodeWriter,
    frames: Frames | LazyFrames,
    config: dict[str, Any],
    prompt: Any,
    faults: Sequence[MaskFault],
    records: NDArray[Any],
    workers: int,
    progress_bar: bool,
) -> None:
    """Segment the episodes that the column lacks."""
    from tqdm.auto import tqdm

    todo = range(writer.episodes, len(records))
    bar = tqdm(total=len(records), initial=todo.start, disable=not progress_bar, desc="segment", unit="episode")
    found = _segmented(frames, config, prompt, todo, workers)
    with bar:
        for episode in todo:
            with _episode_named(episode):
                soft = next(found)
            if faults:
                soft = _faulty(faults, frames, episode, soft)
            writer.append(
                length=len(soft) - 1,
                reset_seed=int(records["reset_seed"][episode]),
                distractor_seed=int(records["crc"][episode]),
                terminated=bool(records["terminated"][episode]),
                mask=soft,
            )
            bar.update()


@contextlib.contextmanager
def _episode_named(episode: int) -> Iterator[None]:
    """What is wrong with an episode says with which; those before it stay."""
    try:
        yield
    except concurrent.futures.process.BrokenProcessPool as error:
        raise MemoryError(
            f"episode {episode}: a worker ended at once, most likely because memory was short; the episodes before it "
            "are kept: give the same command again with fewer workers"
        ) from error
    except (LookupError, MemoryError, ValueError) as error:
        kind = next(kind for kind in (LookupError, MemoryError, ValueError) if isinstance(error, kind))
        raise kind(f"episode {episode}: {error}") from error


def _column_faults(mask_faults: Any) -> list[MaskFault]:
    faults = known_faults(mask_faults)
    if any(fault.paints for fault in faults):
        raise ValueError("a column holds masks alone and cannot occlude pixels: give 'occlusion' pixels=False")
    return faults


def _faulty(
    faults: Sequence[MaskFault], frames: Frames | LazyFrames, episode: int, soft: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Soft masks (T, H, W) of an episode as hard ones with faults."""
    masks = hard(soft)[..., None]
    pixels = np.broadcast_to(np.uint8(0), (*soft.shape, 3))  # no fault looks at them
    return faulty_episode(faults, fault_seed(frames.trajectories, episode), pixels, masks)[1][..., 0]


def _weights(config: dict[str, Any]) -> int | None:
    """The checksum of a source's weights: with others a column is not gone on with."""
    if config["name"] == SIMULATOR:
        return None
    path = getattr(make_mask_source(config), "path", None)
    if path is None or not Path(path).is_file():
        return None
    found = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 22):
            found = zlib.crc32(piece, found)
    return found


def _segmented(
    frames: Frames | LazyFrames, config: dict[str, Any], prompt: Any, todo: range, workers: int
) -> Iterator[NDArray[np.uint8]]:
    """Soft masks (T, H, W) uint8 of some episodes, in order."""
    if config["name"] == SIMULATOR:
        yield from (_episode(frames, e)[..., 3] for e in todo)
        return
    if workers == 1:
        source = make_mask_source(config)
        assert source is not None
        yield from (_soft(source, _episode(frames, e)[..., :3], prompt) for e in todo)
        return
    # Spawned: a forked process would inherit the threads of ONNX Runtime, torch and OpenGL without what they hold.
    context = multiprocessing.get_context("spawn")
    known = (config, Registered.here(()))
    with concurrent.futures.ProcessPoolExecutor(workers, context, _begin_worker, known) as pool:
        jobs = (pool.submit(_work, np.ascontiguousarray(_episode(frames, e)[..., :3]), prompt) for e in todo)
        # A few episodes ahead, so that workers never wait and memory does not grow with the dataset.
        ahead = list(itertools.islice(jobs, 2 * workers))
        while ahead:
            yield ahead.pop(0).result()
            ahead.extend(itertools.islice(jobs, 1))


_SOURCE: list[MaskSource] = []  # of a worker process


def _begin_worker(config: dict[str, Any], known: Registered) -> None:
    known.register()
    source = make_mask_source(config)
    assert source is not None
    _SOURCE.append(source)


def _work(frames: NDArray[np.uint8], prompt: Any) -> NDArray[np.uint8]:
    return _soft(_SOURCE[0], frames, prompt)


def _soft(source: MaskSource, frames: NDArray[np.uint8], prompt: Any) -> NDArray[np.uint8]:
    return (segment(source, np.ascontiguousarray(frames), prompt) * 255 + 0.5).astype(np.uint8)


def _episode(frames: Frames | LazyFrames, episode: int) -> NDArray[np.uint8]:
    """Frames (T + 1, H, W, 4) of an episode."""
    starts = frames.trajectories.first_frame
    if isinstance(frames, Frames):
        return frames.rgbm[starts[episode] : starts[episode + 1]]
    return frames.select([episode]).rgbm


def _records(folder: Path) -> NDArray[Any]:
    """The records of a dataset's episodes."""
    manifest = read_manifest(folder)
    if manifest["format_version"] == 1:
        raise ValueError(f"{folder} is of an older format: load it and save it under another name to give it masks")
    return read_records(folder, read_fields(manifest, folder))


def _check_same(folder: Path, name: str, own: NDArray[Any], dataset: NDArray[Any], *, whole: bool = False) -> None:
    """Complain when a column's episodes are not the dataset's."""
    count = min(len(own), len(dataset))
    same = (own["distractor_seed"][:count] == dataset["crc"][:count]) & (
        own["length"][:count] == dataset["length"][:count]
    )
    if not same.all() or len(own) > len(dataset):
        raise ValueError(
            f"the masks {name!r} in {folder / FOLDER} are of other episodes than the dataset's (from episode "
            f"{int(same.argmin()) if not same.all() else count} on): remove that folder and segment again"
        )
    if whole and len(own) < len(dataset):
        raise ValueError(
            f"the masks {name!r} in {folder / FOLDER} are of {len(own)} of {len(dataset)} episodes: give the same "
            "`masklam segment` command again to go on"
        )


def _against_simulator(frames: Frames | LazyFrames, path: Path) -> Quality | None:
    """How good a column is, where the dataset has the simulator's masks."""
    soft = open_store(path, read_manifest(path), verify=False).arrays["mask"]
    if not len(soft):
        return None
    trajectories, true = frames.trajectories, frames
    if isinstance(frames, LazyFrames):
        true = LazyFrames(trajectories, frames.view.again(mask_source=SIMULATOR, mask_faults=None))
    elif trajectories.meta.get("masks") not in (None, SIMULATOR):
        return None
    measuring = Measuring()
    for episode, (first, end) in enumerate(itertools.pairwise(trajectories.first_frame)):
        measuring.add(np.asarray(soft[first:end]), _episode(true, episode)[..., 3])
    return measuring.quality()


def _without_truth(soft: NDArray[np.uint8]) -> list[str]:
    """What can be said against masks that nothing can be compared with."""
    chosen = np.linspace(0, len(soft) - 1, min(len(soft), 1000)).astype(int)
    empty = float((soft[chosen].max(axis=(1, 2)) < HALF).mean())
    return [f"{empty:.0%} of them are empty, more than {USELESS_EMPTY:.0%}"] if empty > USELESS_EMPTY else []


def _write_quality(path: Path, quality: Quality) -> None:
    with whole_file(path / QUALITY) as part:
        part.write_text(json.dumps(dataclasses.asdict(quality), indent=1))


def _read_quality(path: Path) -> Quality | None:
    try:
        return Quality(**json.loads((path / QUALITY).read_text()))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{path / QUALITY} is damaged ({error}); remove it and segment again") from error
