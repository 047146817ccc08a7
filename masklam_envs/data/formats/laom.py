"""LAOM's HDF5 files (Nikulin et al., 2502.00379): one group a trajectory with ``obs``, ``states`` and ``actions``.

``obs[t]`` precedes ``actions[t]`` and there are as many of the one as of the other: a trajectory of T frames has T - 1
transitions with a known next frame, so the last action is left out when a file is read and the last frame when one is
written.  LAOM's loader takes the length of the first trajectory for all of them and reads nothing else; ``masks``,
``rewards`` and our record of where the data comes from stand beside what it reads.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.formats.episodes import (
    Episode,
    clipped,
    episode_of,
    pixel_meta,
    provenance,
    recorded_bounds,
    recorded_provenance,
    rgbm_of,
    warn_without_masks,
)
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.optional import require
from masklam_envs.whole import whole_new

# Attribute of a trajectory in a file of labels: its number in the file it was taken from.
ORIGINAL = "original_traj_idx"


def export(
    frames: Frames | LazyFrames,
    path: Path,
    *,
    length: int | None = None,
    labelled: int | None = None,
    seed: int = 0,
    domain_name: str | None = None,
    task_name: str | None = None,
    split: str = "train",
) -> None:
    """Write a file that LAOM's loader reads.

    :param frames: with actions
    :param path: of the file; it must not exist
    :param length: frames of every trajectory: longer ones are cut, shorter ones left out; None: they are equal already
    :param labelled: write a file of labels: so many trajectories alone (papers: 2 to 128), each with the attribute
        ``original_traj_idx``, its number in the dataset
    :param seed: of the choice of these; with one seed a smaller file is part of every larger one
    :param domain_name: root attribute of that name; None: the base environment's id
    :param task_name: the same; None: the task's id
    :param split: the same
    :raises ValueError: when lengths differ and ``length`` is not given, there are no actions, or fewer trajectories
        than are to be labelled
    """
    h5py = require("h5py", "h5py", "laom")
    recorded = frames.trajectories
    if not recorded.actions.shape[1]:
        raise ValueError("LAOM's layout needs actions, and this dataset has none")
    wanted = _common_length(recorded.lengths, length)
    kept = [e for e, steps in enumerate(recorded.lengths) if steps >= wanted]
    if len(kept) < recorded.episodes:
        warnings.warn(f"{recorded.episodes - len(kept)} episodes below {wanted} steps are left out", stacklevel=2)
    if labelled is not None:
        kept = _labelled(kept, labelled, seed)
    meta = recorded.meta
    with whole_new(path) as part, h5py.File(part, "w", track_order=True) as file:
        for number, e in enumerate(kept):
            group = file.create_group(str(number))
            _write_group(group, episode_of(frames, e), wanted)
            if labelled is not None:
                group.attrs[ORIGINAL] = e
        view = frames.view.config.to_json() if isinstance(frames, LazyFrames) else {}
        file.attrs.update(
            domain_name=domain_name or str(meta.get("base") or "unknown"),
            task_name=task_name or str(meta.get("task") or "unknown"),
            difficulty=json.dumps(view.get("distractor")),
            dynamic=True,
            img_hw=frames.image_size,
            split=split,
            dataset_return=float(np.mean([file[str(i)].attrs["traj_return"] for i in range(len(kept))])),
            masklam=provenance(frames),
        )


def read(path: Path, *, clip: bool = True) -> tuple[dict[str, Any], Iterator[Episode]]:
    """What a file says of itself, and its trajectories.

    :param clip: cut actions to their bounds: those that we wrote, else [-1, 1]; LAOM stores those of PPO experts uncut
    :raises ValueError: naming file, trajectory and dataset when the file is cut short or of another layout
    """
    h5py = require("h5py", "h5py", "laom")
    try:
        with h5py.File(path, "r") as file:
            groups = sorted(file, key=lambda name: (len(name), name))
            attrs = {name: _plain(value) for name, value in file.attrs.items() if name != "masklam"}
            inside = recorded_provenance(file.attrs.get("masklam"))
            shapes = [_checked_group(path, name, file[name]) for name in groups]
            original = [_plain(file[name].attrs[ORIGINAL]) for name in groups if ORIGINAL in file[name].attrs]
    except OSError as error:
        raise ValueError(f"{path} is no whole HDF5 file ({error}); copy or download it again") from error
    if not groups:
        raise ValueError(f"{path} holds no trajectory; LAOM's layout has a group for each")
    _warn_of_lengths(path, groups, [frames for frames, _, _ in shapes])
    width, masked = shapes[0][1], _masked(path, groups, [has_mask for *_, has_mask in shapes])
    bound = 1.0 if clip else _largest(h5py, path, groups)
    known = recorded_bounds(inside, width, 0.0 if clip else bound)
    low, high = known or ([-bound] * width, [bound] * width)
    meta = pixel_meta(
        "laom",
        path.name,
        masks="dataset" if masked else "none",
        low=low,
        high=high,
        attributes=attrs,
        recorded=inside,
        actions_clipped=clip,
        **({ORIGINAL: original} if original else {}),
    )
    bounds = (low, high) if clip else None
    return meta, _episodes(h5py, path, groups, masked, bounds)


def _episodes(h5py: Any, path: Path, groups: list[str], masked: bool, bounds: Any) -> Iterator[Episode]:
    with h5py.File(path, "r") as file:
        for number, name in enumerate(groups):
            group, where = file[name], f"{path}, trajectory {name}"
            try:
                rgbm = rgbm_of(where, group["obs"][:], group["masks"][:] if masked else None)
                actions = group["actions"][:].astype(np.float32)
                states = group["states"][:].astype(np.float32) if "states" in group else np.zeros((len(rgbm), 0))
                rewards = group["rewards"][:] if "rewards" in group else np.zeros(len(rgbm))
            except OSError as error:
                raise ValueError(f"{where} cannot be read ({error}); copy or download the file again") from error
            if len(rgbm) < 2:
                continue
            yield Episode(
                rgbm,
                (actions if bounds is None else clipped(actions, *bounds))[:-1],
                np.asarray(rewards, np.float32)[:-1],
                np.asarray(states, np.float32),
                False,  # what a terminated episode ended with is not in it: as many frames as actions
                int(group.attrs.get("reset_seed", number)),
            )


def _write_group(group: Any, episode: Episode, length: int) -> None:
    group["obs"] = episode.rgbm[:length, ..., :3]
    group["states"] = episode.states[:length]
    group["actions"] = episode.actions[:length]
    group["rewards"] = episode.rewards[:length]
    group["masks"] = episode.rgbm[:length, ..., 3]
    group.attrs.update(
        traj_return=float(episode.rewards[:length].sum(dtype=np.float64)),
        terminated=episode.terminated and length == len(episode),
        reset_seed=episode.seed,
    )


def _common_length(lengths: NDArray[np.int64], length: int | None) -> int:
    """Frames, and as many actions, that every trajectory gets."""
    if not len(lengths):
        raise ValueError("the dataset has no episodes")
    if length is None:
        if len(set(lengths.tolist())) != 1:
            raise ValueError(
                f"LAOM's loader needs trajectories of one length, these have {lengths.min()} to {lengths.max()} "
                "steps: give length=N (-o length=N) to cut them and leave shorter ones out"
            )
        length = int(lengths[0])
    if not 2 <= length <= lengths.max(initial=0):
        raise ValueError(f"length must be from 2 to the longest episode's {lengths.max(initial=0)} steps, got {length}")
    return length


def _warn_of_lengths(path: Path, groups: list[str], lengths: list[int]) -> None:
    """Warn of a file that LAOM's own loader would read wrongly."""
    other = next((number for number, frames in enumerate(lengths) if frames != lengths[0]), None)
    if other is not None:
        warnings.warn(
            f"{path}: trajectories have {min(lengths)} to {max(lengths)} frames ({groups[0]!r} has {lengths[0]}, "
            f"{groups[other]!r} {lengths[other]}). They are read as they are, but LAOM's own loader takes the first "
            "one's length for all: cut them for it (masklam convert -o length=N)",
            stacklevel=3,
        )


def _masked(path: Path, groups: list[str], has_mask: list[bool]) -> bool:
    """Whether the trajectories have masks; some alone are as good as none."""
    if all(has_mask):
        return True
    without = groups[has_mask.index(False)]
    warn_without_masks(f"{path}, trajectory {without}" + (", which other trajectories have" if any(has_mask) else ""))
    return False


def _labelled(episodes: list[int], count: int, seed: int) -> list[int]:
    """So many of these episodes, in order."""
    if not 1 <= count <= len(episodes):
        raise ValueError(
            f"labelled={count} trajectories were asked for and {len(episodes)} are long enough; ask for 1 to "
            f"{len(episodes)}, or collect more"
        )
    return sorted(np.random.default_rng(seed).permutation(episodes)[:count].tolist())


def _checked_group(path: Path, name: str, group: Any) -> tuple[int, int, bool]:
    """Frames and action dimensions of a trajectory, and whether it has masks."""
    where = f"{path}, trajectory {name}"
    missing = [key for key in ("obs", "actions") if not hasattr(group, "keys") or key not in group]
    if missing:
        raise ValueError(f"{where}: {missing} missing; LAOM's layout has obs, states and actions in every group")
    obs, actions = group["obs"], group["actions"]
    if obs.dtype != np.uint8 or obs.ndim != 4 or obs.shape[3] != 3:
        raise ValueError(f"{where}: obs must be uint8 (T, H, W, 3), got {obs.dtype} {obs.shape}")
    if actions.ndim != 2 or actions.dtype.kind != "f":
        raise ValueError(f"{where}: actions must be floats (T, A), got {actions.dtype} {actions.shape}")
    for key in ("actions", "states", "masks", "rewards"):
        if key in group and len(group[key]) != len(obs):
            raise ValueError(f"{where}: {len(group[key])} {key} do not fit {len(obs)} frames; the file is not LAOM's")
    return len(obs), actions.shape[1], "masks" in group


def _largest(h5py: Any, path: Path, groups: list[str]) -> float:
    with h5py.File(path, "r") as file:
        return float(max(np.abs(file[name]["actions"][:]).max(initial=0) for name in groups))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value.tolist() if isinstance(value, np.ndarray) else value
