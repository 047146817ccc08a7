"""Recorded physics: states, actions, rewards and seeds, from which frames of any distractor are drawn again.

The fields of E episodes with F frames and N steps in all; an episode of T steps has T + 1 frames::

    qpos             (F, nq) float64   positions of every frame, to the last bit: frames are drawn from them
    qvel             (F, nv) float32   velocities, as distractors see them
    actions          (N, A)  float32   executed actions, within the action space's bounds
    labels           (N, A)  float32   the policy's actions before noise was added
    rewards          (N,)    float32
    lengths          (E,)    int64     steps of each episode
    terminated       (E,)    bool      ended by the task (else by the time limit)
    reset_seeds      (E,)    int64     seed of each episode's reset
    distractor_seeds (E,)    int64     seed of each episode's distractor

Data that came as pixels has nq = nv = 0, and A = 0 where nothing is known of actions.  How it lies on disk:
:mod:`masklam_envs.data.store`.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.store import EpisodeWriter, is_dataset, open_store, read_manifest
from masklam_envs.whole import whole_folder

_DTYPES: dict[str, type] = {
    "qpos": np.float64,
    "qvel": np.float32,
    "actions": np.float32,
    "labels": np.float32,
    "rewards": np.float32,
    "lengths": np.int64,
    "terminated": np.bool_,
    "reset_seeds": np.int64,
    "distractor_seeds": np.int64,
}
_PER_FRAME = ("qpos", "qvel")
_PER_STEP = ("actions", "labels", "rewards")
_PER_EPISODE = {"lengths": "length", "reset_seeds": "reset_seed", "distractor_seeds": "distractor_seed"}


@dataclasses.dataclass(frozen=True)
class Trajectories:
    """Episodes of one environment; see the module's text for the fields' shapes and dtypes.

    :param meta: JSON-able record of where they come from: ``base`` (Gymnasium id), ``base_kwargs``, ``policy``,
        ``noise``, ``seed``, ``versions``
    :raises ValueError: when the fields' lengths do not fit each other
    """

    meta: dict[str, Any]
    qpos: NDArray[np.float64]
    qvel: NDArray[np.float32]
    actions: NDArray[np.float32]
    labels: NDArray[np.float32]
    rewards: NDArray[np.float32]
    lengths: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    reset_seeds: NDArray[np.int64]
    distractor_seeds: NDArray[np.int64]

    def __post_init__(self) -> None:
        steps, episodes = int(self.lengths.sum()), len(self.lengths)
        for name in _DTYPES:
            want = steps + episodes if name in _PER_FRAME else steps if name in _PER_STEP else episodes
            if len(getattr(self, name)) != want:
                raise ValueError(
                    f"trajectories: {name} has {len(getattr(self, name))} rows, its {episodes} episodes of "
                    f"{steps} steps in all need {want}"
                )

    def __len__(self) -> int:
        """The number of transitions."""
        return len(self.actions)

    @property
    def episodes(self) -> int:
        """The number of episodes."""
        return len(self.lengths)

    @property
    def name(self) -> str:
        """What the episodes are of, for messages: the file or folder they were imported from, else the task."""
        source = self.meta.get("source") or {}
        found = source.get("name") or self.meta.get("task") or self.meta.get("base")
        return str(found or "the dataset")

    @property
    def first_step(self) -> NDArray[np.int64]:
        """(E + 1,) index of each episode's first transition; the last entry is their number."""
        return np.concatenate(([0], np.cumsum(self.lengths)))

    @property
    def first_frame(self) -> NDArray[np.int64]:
        """(E + 1,) index of each episode's first frame; the last entry is their number."""
        return np.concatenate(([0], np.cumsum(self.lengths + 1)))

    @property
    def returns(self) -> NDArray[np.float64]:
        """(E,) undiscounted return of each episode."""
        starts = self.first_step
        return np.array([self.rewards[a:b].sum(dtype=np.float64) for a, b in itertools.pairwise(starts)])

    def states(self, episode: int) -> NDArray[np.float32]:
        """(T + 1, nq + nv) float32 states of an episode, as distractors see them."""
        frames = slice(*self.first_frame[episode : episode + 2])
        return np.concatenate((self.qpos[frames], self.qvel[frames]), axis=1, dtype=np.float32)

    def episode_actions(self, episode: int) -> NDArray[np.float32]:
        """(T, A) executed actions of an episode."""
        return self.actions[slice(*self.first_step[episode : episode + 2])]

    def select(self, episodes: Iterable[int]) -> Trajectories:
        """The given episodes, in the given order.

        :raises IndexError: when there is no such episode
        """
        chosen = np.asarray(list(episodes), np.int64)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < self.episodes):
            raise IndexError(f"episodes must be in [0, {self.episodes}), got {chosen.tolist()}")
        frames = _rows(self.first_frame, chosen)
        steps = _rows(self.first_step, chosen)
        rows = {name: frames if name in _PER_FRAME else steps if name in _PER_STEP else chosen for name in _DTYPES}
        return dataclasses.replace(self, **{name: getattr(self, name)[index] for name, index in rows.items()})

    @classmethod
    def joined(cls, parts: Sequence[Trajectories]) -> Trajectories:
        """Trajectories of one environment after each other, with the first one's ``meta``."""
        return cls(parts[0].meta, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _DTYPES})

    # ------------------------------------------------------------------ files

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the dataset; an existing dataset of that name is replaced only when the new one is whole.

        :raises FileExistsError: when ``folder`` exists and is no dataset
        """
        replace_dataset(Path(folder), self._write)

    def _write(self, folder: Path) -> None:
        with EpisodeWriter(folder, self.meta) as writer:
            self.append_to(writer)
            if not self.episodes:
                writer.begin(**self._cut(slice(0, 0), slice(0, 0)))

    def append_to(self, writer: EpisodeWriter, rgbm: NDArray[np.uint8] | None = None) -> None:
        """Append every episode to a dataset.

        :param writer: of the dataset
        :param rgbm: (F, H, W, 4) uint8 frames that belong to it, or None
        :raises OSError: when the disk is full
        """
        frames, steps = self.first_frame, self.first_step
        for e in range(self.episodes):
            frame, step = slice(*frames[e : e + 2]), slice(*steps[e : e + 2])
            numbers = {one: int(getattr(self, all_)[e]) for all_, one in _PER_EPISODE.items()}
            writer.append(
                **numbers,
                terminated=bool(self.terminated[e]),
                **self._cut(frame, step),
                rgbm=None if rgbm is None else rgbm[frame],
            )

    def _cut(self, frame: slice, step: slice) -> dict[str, NDArray[Any]]:
        rows = {name: getattr(self, name)[frame] for name in _PER_FRAME}
        return rows | {name: getattr(self, name)[step] for name in _PER_STEP}

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, verify: bool | None = None) -> Self:
        """Open a dataset: states stay on disk until they are used.

        :param folder: written by :meth:`save` or by :func:`masklam_envs.collect`
        :param verify: compare every checksum; None: only where that takes no time, below 64 MiB
        :raises FileNotFoundError: when there is none
        :raises ValueError: when it is damaged or of a newer format; names the file and the episode
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest["format_version"] == 1:
            return cls(manifest["meta"], **_version_1(folder, manifest["fields"]))
        stored = open_store(folder, manifest, verify=verify, skip=("rgbm",))
        return cls(stored.meta, **physics_of(stored.arrays, stored.records))


def physics_of(arrays: dict[str, NDArray[Any]], records: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The fields of :class:`Trajectories` in an opened dataset."""
    found = {name: arrays[name] for name in (*_PER_FRAME, *_PER_STEP)}
    found |= {name: np.array(records[one], np.int64) for name, one in _PER_EPISODE.items()}
    return found | {"terminated": np.array(records["terminated"], np.bool_)}


def replace_dataset(folder: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a new folder and give it the name ``folder`` when it is whole.

    :raises FileExistsError: when ``folder`` exists and is no dataset
    """
    if folder.exists() and not is_dataset(folder):
        raise FileExistsError(f"{folder} exists and is no dataset; give another name or remove it")
    with whole_folder(folder) as part:
        write(part)


def _version_1(folder: Path, fields: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of format version 1: one .npy file a field."""
    arrays = {}
    for name in _DTYPES:
        path = folder / f"{name}.npy"
        try:
            array = np.load(path, allow_pickle=False)
        except Exception as error:  # NumPy lets its header parser's errors through: TokenError, SyntaxError, ...
            raise ValueError(f"{path} is damaged or missing ({error}); collect the dataset again") from error
        found = {"dtype": array.dtype.str, "shape": list(array.shape), "crc32": zlib.crc32(array.tobytes())}
        if found != fields.get(name):
            raise ValueError(f"{path} is not the array its manifest records; collect the dataset again")
        arrays[name] = array
    return arrays


def _rows(starts: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    if not chosen.size:
        return np.zeros(0, np.int64)
    return np.concatenate([np.arange(starts[e], starts[e + 1]) for e in chosen])
