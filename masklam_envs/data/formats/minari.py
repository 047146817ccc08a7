"""Datasets of Minari: whole episodes with T + 1 observations, written without its lossy JPEG coding.

Minari codes image boxes as JPEG unless told otherwise, which damages masks; its own reader undoes nothing of that.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from masklam_envs.data.formats.episodes import (
    Episode,
    episodes_of,
    pixel_meta,
    provenance,
    recorded_provenance,
    rgbm_of,
    warn_without_masks,
)
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.recorded import recorded_in
from masklam_envs.optional import require
from masklam_envs.variables import environment

EPISODES_AT_ONCE = 8
NAMESPACE = "namespace_metadata.json"  # what Minari writes of a namespace


def export(
    frames: Frames | LazyFrames,
    path: str | Path,
    *,
    author: str = "unknown",
    author_email: str = "unknown",
    code_permalink: str = "unknown",
) -> None:
    """Write a dataset into Minari's storage (``$MINARI_DATASETS_PATH``, else ``~/.minari/datasets``).

    :param frames: with actions
    :param path: Minari's dataset id, e.g. ``"masklam/cheetah-expert-v0"``
    :param author: for Minari's metadata
    :param author_email: the same
    :param code_permalink: the same
    :raises ValueError: when the id is not Minari's, exists, or there are no actions
    """
    minari = require("minari", "minari", "minari")
    buffer_type = require("minari.data_collector", "minari", "minari").EpisodeBuffer
    dataset_id = os.fspath(path)
    recorded = frames.trajectories
    if not recorded.actions.shape[1]:
        raise ValueError("Minari's layout needs actions, and this dataset has none")
    env = _environment(frames)
    size, width = frames.image_size, recorded.states(0).shape[1]
    low, high = (np.asarray(recorded.meta[name], np.float32) for name in ("action_low", "action_high"))
    observation_space = spaces.Dict(
        {
            "pixels": spaces.Box(0, 255, (size, size, 3), np.uint8),
            "mask": spaces.Box(0, 255, (size, size, 1), np.uint8),
            "state": spaces.Box(-np.inf, np.inf, (width,), np.float32),
        }
    )
    written: Any = None
    with _whole(dataset_id):
        for buffers in _batched(_buffers(buffer_type, frames)):
            if written is not None:
                written.update_dataset_from_buffer(buffers)
                continue
            written = minari.create_dataset_from_buffers(
                dataset_id,
                buffers,
                env=env,
                observation_space=observation_space,
                action_space=spaces.Box(low, high),
                algorithm_name=str(recorded.meta.get("policy", "unknown")),
                author=author,
                author_email=author_email,
                code_permalink=code_permalink,
                description=provenance(frames),
                requirements=[f"masklam=={version}" for version in _versions(recorded.meta)],
                data_format="hdf5",
                jpeg_encoding=False,
            )


def read(
    path: str | Path, *, pixels: str = "pixels", mask: str = "mask", state: str = "state"
) -> tuple[dict[str, Any], Iterator[Episode]]:
    """What a dataset says of itself, and its episodes.

    :param path: Minari's dataset id
    :param pixels: key of the pixels where observations are dictionaries
    :param mask: key of the masks; where it is missing there are none
    :param state: key of the states; where it is missing there are none
    :raises ValueError: naming dataset and episode when there are no pixels, or of another type
    """
    minari = require("minari", "minari", "minari")
    dataset_id = os.fspath(path)
    try:
        dataset = minari.load_dataset(dataset_id)
    except (FileNotFoundError, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"Minari cannot open {dataset_id!r} ({error}); `minari list local` shows what is there"
        ) from error
    space = dataset.observation_space
    keys = set(space.spaces) if isinstance(space, spaces.Dict) else {pixels}
    if pixels not in keys:
        raise ValueError(f"Minari dataset {dataset_id!r} has observations {sorted(keys)} and no {pixels!r}")
    if mask not in keys:
        warn_without_masks(f"Minari dataset {dataset_id!r} has observations {sorted(keys)} and no {mask!r}")
    acts = dataset.action_space
    if not isinstance(acts, spaces.Box) or len(acts.shape) != 1:
        raise ValueError(f"Minari dataset {dataset_id!r} has actions {acts}; only vectors of numbers can be read")
    metadata = dataset.storage.metadata
    meta = pixel_meta(
        "minari",
        dataset_id,
        masks="dataset" if mask in keys else "none",
        low=acts.low,
        high=acts.high,
        algorithm=metadata.get("algorithm_name"),
        author=str(metadata.get("author")),
        description=str(metadata.get("description")),
        recorded=recorded_provenance(metadata.get("description")),
        jpeg=bool(metadata.get("jpeg_encoding", True)),
    )

    return meta, _episodes(dataset, dataset_id, pixels, mask, state)


def _episodes(dataset: Any, dataset_id: str, pixels: str, mask: str, state: str) -> Iterator[Episode]:
    read = 0
    try:
        for episode in dataset.iterate_episodes():
            seen = episode.observations if isinstance(episode.observations, dict) else {pixels: episode.observations}
            where = f"Minari dataset {dataset_id!r}, episode {episode.id}"
            rgbm = rgbm_of(where, seen[pixels], seen.get(mask))
            if len(rgbm) != len(episode.rewards) + 1:
                raise ValueError(
                    f"{where} has {len(rgbm)} observations for {len(episode.rewards)} steps, one more is due"
                )
            yield Episode(
                rgbm,
                np.asarray(episode.actions, np.float32),
                np.asarray(episode.rewards, np.float32),
                np.asarray(seen[state], np.float32) if state in seen else np.zeros((len(rgbm), 0), np.float32),
                bool(episode.terminations[-1]),
                int(episode.id),
            )
            read += 1
    except (OSError, KeyError) as error:  # h5py's of a name that is not there is a KeyError
        raise ValueError(
            f"Minari dataset {dataset_id!r} cannot be read at episode {read} ({error}); download or make it again"
        ) from error


def _buffers(buffer_type: Any, frames: Frames | LazyFrames) -> Iterator[Any]:
    return (_buffer(buffer_type, number, episode) for number, episode in enumerate(episodes_of(frames)))


def _batched(buffers: Iterator[Any]) -> Iterator[list[Any]]:
    """A few episodes at a time: they are in memory until they are written."""
    while batch := list(itertools.islice(buffers, EPISODES_AT_ONCE)):
        yield batch


@contextlib.contextmanager
def _whole(dataset_id: str) -> Iterator[None]:
    """Let Minari write into a storage of its own; the dataset is moved to the real one when the block ends well.

    Minari writes under the final name, episode after episode: what an interruption leaves would look whole.
    """
    path_of = require("minari.storage.datasets_root_dir", "minari", "minari").get_dataset_path
    name, _, version = dataset_id.rpartition("-v")
    if not name or not version.isdigit():
        raise ValueError(f"a Minari dataset is named like masklam/cheetah-v0, with a version; got {dataset_id!r}")
    root, target = Path(path_of("")), Path(path_of(dataset_id))
    if target.exists():
        raise FileExistsError(f"Minari dataset {dataset_id!r} exists ({target}); give another name or version")
    part = root / f".masklam.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        with environment(MINARI_DATASETS_PATH=os.fspath(part)):
            yield
        _move(part, root, dataset_id)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(
            error.errno, f"Minari dataset {dataset_id!r} could not be written ({why}); make room and try again"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _move(part: Path, root: Path, dataset_id: str) -> None:
    """Move a dataset from one storage to another, with what the first says of its namespaces."""
    for file in part.rglob(NAMESPACE):
        there = root / file.relative_to(part)
        there.parent.mkdir(parents=True, exist_ok=True)
        if not there.exists():
            os.replace(file, there)
    (root / dataset_id).parent.mkdir(parents=True, exist_ok=True)
    os.replace(part / dataset_id, root / dataset_id)


def _buffer(buffer_type: Any, number: int, episode: Episode) -> Any:
    ends = np.zeros(len(episode), np.bool_)
    last = ends.copy()
    last[-1:] = True
    return buffer_type(
        id=number,
        seed=episode.seed,
        observations={
            "pixels": episode.rgbm[..., :3],
            "mask": episode.rgbm[..., 3:],
            "state": episode.states,
        },
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=last if episode.terminated else ends,
        truncations=ends if episode.terminated else last,
    )


def _environment(frames: Frames | LazyFrames) -> Any:
    """The environment that Minari is to make again, or None where only pixels are known."""
    meta = frames.trajectories.meta
    known = recorded_in(meta) if isinstance(frames, LazyFrames) else None
    if known is None or meta.get("base_wrappers") or not isinstance(frames, LazyFrames):
        return None
    config = {name: value for name, value in frames.view.config.to_json().items() if value is not None}
    return gym.make(known[0], **{**gym.spec(known[0]).kwargs, **known[1], **config}).spec


def _versions(meta: dict[str, Any]) -> list[str]:
    version = meta.get("versions", {}).get("masklam")
    return [version] if version else []
