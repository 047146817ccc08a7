"""Recorded physics: states, actions, rewards and seeds, from which frames of any distractor are drawn again.

On disk a dataset is a folder::

    manifest.json       format, environment, versions, policy, and per field: dtype, shape, CRC-32
    qpos.npy            (F, nq) float64   positions of every frame; an episode of T steps has T + 1 frames
    qvel.npy            (F, nv) float32   velocities
    actions.npy         (N, A)  float32   executed actions, within the action space's bounds
    labels.npy          (N, A)  float32   the policy's actions before noise was added
    rewards.npy         (N,)    float32
    lengths.npy         (E,)    int64     steps of each episode
    terminated.npy      (E,)    bool      ended by the task (else by the time limit)
    reset_seeds.npy     (E,)    int64     seed of each episode's reset
    distractor_seeds.npy (E,)   int64     seed of each episode's distractor

It is written under a temporary name and renamed when whole.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "masklam-trajectories"
FORMAT_VERSION = 1
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

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the dataset; an existing dataset of that name is replaced only when the new one is whole.

        :raises FileExistsError: when ``folder`` exists and is no dataset
        """
        folder = Path(folder)
        if folder.exists() and not (folder / "manifest.json").is_file():
            raise FileExistsError(f"{folder} exists and is no dataset; give another name or remove it")
        part, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
        shutil.rmtree(part, ignore_errors=True)
        try:
            self._write(part)
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.replace(folder, old)
            os.replace(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            if old.exists() and not folder.exists():
                os.replace(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        fields = {}
        for name, dtype in _DTYPES.items():
            array: NDArray[Any] = np.ascontiguousarray(getattr(self, name), dtype)
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
            fields[name] = _record(array)
        manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, "meta": self.meta, "fields": fields}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Trajectories:
        """Read a dataset written by :meth:`save`.

        :raises FileNotFoundError: when there is none
        :raises ValueError: when it is damaged or of a newer format
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        fields: dict[str, Any] = {}
        for name in _DTYPES:
            path = folder / f"{name}.npy"
            try:
                array = np.load(path, allow_pickle=False)
            except Exception as error:  # NumPy lets its header parser's errors through: TokenError, SyntaxError, ...
                raise ValueError(f"{path} is damaged or missing ({error}); collect the dataset again") from error
            if _record(array) != manifest["fields"].get(name):
                raise ValueError(f"{path} is not the array its manifest records; collect the dataset again")
            fields[name] = array
        return cls(manifest["meta"], **fields)


def _record(array: NDArray[Any]) -> dict[str, Any]:
    """What the manifest says of a field."""
    return {"dtype": array.dtype.str, "shape": list(array.shape), "crc32": zlib.crc32(array.tobytes())}


def _rows(starts: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    if not chosen.size:
        return np.zeros(0, np.int64)
    return np.concatenate([np.arange(starts[e], starts[e + 1]) for e in chosen])


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no dataset (no manifest.json); make one with masklam_envs.collect")
    try:
        manifest = json.loads(path.read_text())
        known = manifest["format"] == FORMAT and isinstance(manifest["meta"], dict)
        fields, version = manifest["fields"], manifest["format_version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); collect the dataset again") from error
    if not known or not isinstance(fields, dict):
        raise ValueError(f"{path} is no {FORMAT} manifest")
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {version}, this package reads {FORMAT_VERSION}; update masklam")
    return manifest
