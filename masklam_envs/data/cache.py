"""Frames that are drawn once, kept in a file and mapped into memory: several processes share one copy.

The bytes are those of :func:`~masklam_envs.data.frames.render_frames`.  A file is named by everything that they depend
on (physics, model, view, footage, versions, OpenGL's driver), so a changed option draws anew and an old file is never
mistaken for it.  It is written under another name and renamed when whole; of several processes that want it one draws,
the others wait.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

import masklam_envs
from masklam_envs.cache_folder import cache_folder
from masklam_envs.data.frames import Frames, LazyFrames, draw_episode, episode_track, view_for
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.view import DRAWING_VERSION, View

# Above this frames are drawn on the fly: 500,000 frames of 64 x 64.  What does not fit the page cache is no faster.
CACHE_LIMIT = 8 * 2**30
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_DRAWN_FROM = ("qpos", "qvel", "actions", "lengths", "distractor_seeds")


def open_frames(
    trajectories: Trajectories,
    env: Any,
    *,
    cache: bool | None = None,
    folder: str | os.PathLike[str] | None = None,
    block: int = 25,
    progress_bar: bool = False,
) -> Frames | LazyFrames:
    """The frames of recorded physics: from a file that is drawn once, or drawn on the fly; the bytes are the same.

    :param trajectories: the physics
    :param env: an environment of this package (only its view is used), or a :class:`~masklam_envs.view.View`
    :param cache: True: the file, False: on the fly, None: the file up to 8 GiB where there is a folder that can be
        written and its disk has twice the room
    :param folder: of the files; None: ``$MASKLAM_CACHE``, else ``masklam`` in the user's cache folder; there is none
        where the variable is set and empty
    :param block: episodes drawn at a time on the fly, see :class:`~masklam_envs.data.frames.LazyFrames`
    :param progress_bar: show one while the file is drawn
    :raises OSError: when the disk is full, or the file is asked for and its folder cannot be written
    :raises ValueError: when the file is asked for and there is no folder
    """
    view = view_for(env, trajectories)
    target = Path(folder) if folder is not None else cache_folder()
    if cache and target is None:
        raise ValueError("MASKLAM_CACHE is empty, so nothing is cached: set it to a folder, or give folder=")
    if target is not None and (cache or (cache is None and _fits(trajectories, view, target))):
        try:
            return cached_frames(trajectories, view, target, progress_bar=progress_bar)
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise
            told = f"{target}, where frames are kept, cannot be written ({error.strerror})"
            if cache:
                raise OSError(
                    error.errno, f"{told}: give another folder (or MASKLAM_CACHE), or cache=False to draw on the fly"
                ) from error
            warnings.warn(f"{told}: they are drawn on the fly; MASKLAM_CACHE names another folder", stacklevel=2)
    return LazyFrames(trajectories, view, block=block)


def cached_frames(trajectories: Trajectories, env: Any, folder: Path, *, progress_bar: bool = False) -> Frames:
    """Frames mapped from a file in ``folder``, which is drawn if it is not there or not whole."""
    view = view_for(env, trajectories)
    shape = _shape(trajectories, view)
    path = folder / f"{frames_key(trajectories, view)}.rgbm"
    if not _is_whole(path, shape):
        folder.mkdir(parents=True, exist_ok=True)
        with _one_process(path.with_suffix(".lock")):
            if not _is_whole(path, shape):
                _draw_to(path, trajectories, view, progress_bar)
    rgbm: NDArray[np.uint8] = np.zeros(shape, np.uint8)
    if rgbm.size:
        # Copy on write: whoever changes the array changes the memory alone.
        rgbm = np.memmap(path, np.uint8, "c", shape=shape).view(np.ndarray)
    return Frames(trajectories, rgbm, [episode_track(view, trajectories, e) for e in range(trajectories.episodes)])


def frames_key(trajectories: Trajectories, view: View) -> str:
    """A name for the frames of these trajectories in this view: 32 hexadecimal digits."""
    model = np.empty(mujoco.mj_sizeModel(view.model), np.uint8)
    mujoco.mj_saveModel(view.model, None, model)
    parts = {
        "physics": [zlib.crc32(np.ascontiguousarray(getattr(trajectories, name)).data) for name in _DRAWN_FROM],
        "model": zlib.crc32(model.data),
        "view": dataclasses.asdict(view.config),
        "distractor": view.distractor.config,
        "footage": _footage(view.distractor.config),
        "weights": _footage(str(getattr(view.mask_source, "path", None) or "")) if view.mask_source else [],
        "reference": view.reference.to_json(),
        "versions": [masklam_envs.__version__, DRAWING_VERSION, mujoco.__version__],
        "renderer": view.renderer.name,  # OpenGL's bytes are those of one driver
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _draw_to(path: Path, trajectories: Trajectories, view: View, progress_bar: bool) -> None:
    from tqdm.auto import trange

    part, starts, size = path.with_suffix(".part"), trajectories.first_frame, view.config.image_size
    try:
        # Not into a mapped file: a full disk would end the process instead of raising an error.
        with open(part, "wb") as file:
            for e in trange(trajectories.episodes, disable=not progress_bar, desc="render", unit="episode"):
                episode = np.empty((starts[e + 1] - starts[e], size, size, 4), np.uint8)
                draw_episode(view, trajectories, e, episode)
                file.write(episode.data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{int(np.prod(_shape(trajectories, view))) / 2**30:.2f} GiB of frames could not be kept "
            f"({error.strerror}); make room, give another folder (or MASKLAM_CACHE), or cache=False to draw on the fly",
            os.fspath(path.parent),
        ) from error


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    return path.is_file() and path.stat().st_size == int(np.prod(shape))


def _shape(trajectories: Trajectories, view: View) -> tuple[int, ...]:
    size = view.config.image_size
    return int(trajectories.first_frame[-1]), size, size, 4


def _fits(trajectories: Trajectories, view: View, folder: Path) -> bool:
    needed = int(np.prod(_shape(trajectories, view)))
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return needed <= CACHE_LIMIT and 2 * needed <= shutil.disk_usage(there).free


def _footage(config: Any) -> list[tuple[str, int, int]]:
    """Name, size and time of every file that a distractor's configuration names."""
    if isinstance(config, dict):
        config = list(config.values())
    if isinstance(config, list):
        return [found for part in config for found in _footage(part)]
    path = Path(config).expanduser() if isinstance(config, str) else None
    if path is None or not path.exists():
        return []
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return [(os.fspath(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


@contextlib.contextmanager
def _one_process(path: Path) -> Iterator[None]:
    """One process at a time; the others wait. A process that is killed lets go."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: each process draws, the last one's file stays
        yield
        return
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
