"""Rows of MaskLAM's datasets on the Hugging Face Hub: parquet files with one row a frame.

Columns: ``observation`` (RGB image), ``mask`` and ``pred_mask`` (grey images, 0 or 255: the dataset's own and those of
a segmenter), ``action``, ``state``, ``reward``, ``terminated``, ``truncated``; the variant ``dmw`` has the clean frame
in ``observation`` and the distracted one in ``observation_distracted``, with ``pred_mask_distracted``.  Reward and ends
in a row are those of *arriving* at its frame, so an episode of T steps has T + 1 rows, the first with reward 0 and the
last with an action that means nothing.

The files are read by ``datasets.load_dataset("parquet", ...)`` too, which needs nothing but this module's pyarrow here.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklam_envs.data.formats.episodes import (
    Episode,
    brief,
    by_number,
    check_at_least_one,
    clipped,
    episode_of,
    numbers_of,
    pixel_meta,
    provenance,
    recorded_bounds,
    recorded_provenance,
    rgbm_of,
    warn_without_masks,
)
from masklam_envs.data.formats.images import decoded, png
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.mask_columns import MaskColumn
from masklam_envs.data.subsets import split_episodes, view_of_split
from masklam_envs.errors import unknown_name
from masklam_envs.optional import require
from masklam_envs.whole import whole_new

TEST = "test"
_ENDS = ("reward", "terminated", "truncated")
#: the columns of each variant in their order; those of predicted masks only where there are some
COLUMNS = {
    "dcs": ("observation", "mask", "pred_mask", "action", "state", *_ENDS),
    "dmw": (
        *("observation", "observation_distracted", "mask", "pred_mask", "pred_mask_distracted"),
        *("state", "action", *_ENDS),
    ),
}
VARIANTS = tuple(COLUMNS)
#: options of :func:`export` that are columns of masks
MASK_OPTIONS = ("pred_mask", "pred_mask_distracted")
CONVENTIONS = ("arrival", "departure")
ROWS_PER_FILE = 50_000
ROWS_AT_ONCE = 256
#: a column that tells episodes apart where ``terminated`` and ``truncated`` do not, as LeRobot calls it
NUMBER = "episode_index"
#: the end of a file's name that counts the files of one split: ``-00000-of-00002.parquet``, ``0001.parquet``
SHARD = re.compile(r"(-\d+-of)?[-_]?\d+\.parquet$")


@dataclasses.dataclass(frozen=True)
class _Part:
    """The episodes of one split as they are written.

    :param split: name of the split
    :param frames: what is seen
    :param episodes: numbers of its episodes
    """

    split: str
    frames: Frames | LazyFrames
    episodes: NDArray[np.int64]


def export(
    frames: Frames | LazyFrames,
    path: Path,
    *,
    variant: str = "dcs",
    split: str = "train",
    test: float = 0.0,
    seed: int = 0,
    pred_mask: MaskColumn | None = None,
    pred_mask_distracted: MaskColumn | None = None,
    rows_per_file: int = ROWS_PER_FILE,
) -> None:
    """Write ``data/<split>-00000-of-0000N.parquet`` into a new folder.

    :param frames: the dataset
    :param path: of the folder; it must not exist
    :param variant: ``"dcs"`` or ``"dmw"``; the latter needs physics to draw the clean frame from
    :param split: name of the split that is written
    :param test: share of the episodes that are written as split ``test`` instead; where frames are drawn, they are seen
        before the test backgrounds
    :param seed: of the choice of these
    :param pred_mask: a column of masks (``masklam segment``) of what ``observation`` shows, written beside the
        dataset's own masks under this name
    :param pred_mask_distracted: the same of ``observation_distracted``, in variant ``"dmw"``
    :param rows_per_file: a file ends with the episode in which it has so many
    :raises ValueError: for an unknown variant, a split that is no name, numbers out of range, pixels alone for
        ``dmw``, or masks of other frames
    """
    pa, parquet = require("pyarrow", "pyarrow", "hf"), require("pyarrow.parquet", "pyarrow", "hf")
    if variant not in VARIANTS:
        raise ValueError(unknown_name("variant", variant, VARIANTS))
    if variant == "dmw" and not isinstance(frames, LazyFrames):
        raise ValueError("variant 'dmw' has the clean frame too, which is drawn from physics: give LazyFrames")
    if not re.fullmatch(r"\w[\w.-]*", split):
        raise ValueError(f"split must be a name of letters, digits, '_', '.' and '-', got {split!r}")
    check_at_least_one("rows_per_file", rows_per_file)
    given = {"pred_mask": pred_mask, "pred_mask_distracted": pred_mask_distracted}
    columns = {name: column for name, column in given.items() if column is not None}
    _check_masks(frames, variant, columns, test)
    schema = _schema(pa, variant, columns, provenance(frames))
    with whole_new(path) as part:
        (part / "data").mkdir(parents=True)
        for one in _parts(frames, split, test, seed):
            files = _files(frames.trajectories.lengths[one.episodes] + 1, rows_per_file)
            numbers = iter(one.episodes.tolist())
            for index, count in enumerate(files):
                name = f"{one.split}-{index:05d}-of-{len(files):05d}.parquet"
                with parquet.ParquetWriter(part / "data" / name, schema) as writer:
                    for number in itertools.islice(numbers, count):
                        rows = _rows(one.frames, number, variant, columns)
                        writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _parts(frames: Frames | LazyFrames, split: str, test: float, seed: int) -> list[_Part]:
    """The splits that are written."""
    if not test:
        return [_Part(split, frames, np.arange(frames.trajectories.episodes))]
    if split == TEST:
        raise ValueError(f"split={TEST!r} and test={test} both name the test split: leave one of them out")
    parts = split_episodes(frames.trajectories, validation=0, test=test, seed=seed)
    unseen = frames
    if isinstance(frames, LazyFrames):
        view = view_of_split(frames.view, TEST)
        unseen = LazyFrames(frames.trajectories, view, block=frames.block, masks=frames.masks)
    return [_Part(split, frames, parts.train), _Part(TEST, unseen, parts.test)]


def _check_masks(frames: Frames | LazyFrames, variant: str, columns: dict[str, MaskColumn], test: float) -> None:
    """Complain of masks that are not of the frames they would stand beside."""
    if "pred_mask_distracted" in columns and variant != "dmw":
        raise ValueError("pred_mask_distracted is of variant 'dmw': use pred_mask, or variant='dmw'")
    for name, column in columns.items():
        if len(column.soft) != len(frames):
            raise ValueError(
                f"{name}: the masks {column.name!r} are of {len(column.soft)} frames, not of {len(frames)}"
            )
        if not isinstance(frames, LazyFrames):
            continue
        if test:
            raise ValueError(f"{name}: test={test} shows backgrounds that the masks {column.name!r} were not made of")
        clean = variant == "dmw" and name == "pred_mask"
        column.check_seen(frames.view.again(distractor="none", correlation=None) if clean else frames.view)


def read(
    path: Path,
    *,
    split: str | None = None,
    convention: str = "arrival",
    observation: str | None = None,
    mask: str = "mask",
    clip: bool = True,
) -> tuple[dict[str, Any], Iterator[Episode]]:
    """What the files say of themselves, and their episodes.

    :param path: a parquet file, or a folder with some
    :param split: take files whose name begins with it; None: all
    :param convention: whether reward and ends of a row are those of ``"arrival"`` at its frame or of ``"departure"``
    :param observation: column of the pixels; None: ``observation_distracted`` where there is one, else ``observation``
    :param mask: column of the masks, e.g. ``"pred_mask"``; where it is missing there are none
    :param clip: cut actions to their bounds: those that we wrote, else [-1, 1]
    :raises ValueError: naming file and row when a file is cut short, or a column missing or of another type
    """
    parquet = require("pyarrow.parquet", "pyarrow", "hf")
    if convention not in CONVENTIONS:
        raise ValueError(unknown_name("row convention", convention, CONVENTIONS))
    files = [path] if path.is_file() else sorted(path.rglob(f"{split or ''}*.parquet"), key=by_number)
    if not files:
        raise ValueError(f"{path} holds no parquet file{f' of split {split!r}' if split else ''}")
    schema = _opened(parquet, files[0]).schema_arrow
    distracted = "observation_distracted" if "observation_distracted" in schema.names else "observation"
    observation = observation or distracted
    masked = mask in schema.names
    if not masked:
        warn_without_masks(f"{files[0]} has no column {mask!r}")
    for file in files:
        names = _opened(parquet, file).schema_arrow.names
        _check_columns(file, names, [observation, "action"])
        _check_ends(file, names)
    inside = recorded_provenance((schema.metadata or {}).get(b"masklam"))
    width = len(_first_action(parquet, files[0]))
    low, high = recorded_bounds(inside, width) or ([-1.0] * width, [1.0] * width)
    meta = pixel_meta(
        "huggingface",
        path.name,
        masks="dataset" if masked else "none",
        low=low,
        high=high,
        actions_clipped=clip,
        columns=[observation, *([mask] if masked else [])],
        recorded=inside,
    )
    bounds = (low, high) if clip else None
    return meta, _episodes(parquet, files, observation, mask if masked else None, convention, bounds)


def _episodes(
    parquet: Any, files: list[Path], observation: str, mask: str | None, convention: str, bounds: Any
) -> Iterator[Episode]:
    numbers = itertools.count()
    for part in _splits(files):
        for rows in _runs(row for file in part for row in _rows_of(parquet, file, observation, mask, bounds)):
            if len(rows) > 1:
                yield _joined(rows, convention, next(numbers))


def _splits(files: list[Path]) -> list[list[Path]]:
    """Files that go on where the one before ends: no episode goes from one split into another."""
    return [list(part) for _, part in itertools.groupby(files, lambda file: (file.parent, SHARD.sub("", file.name)))]


def _runs(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows by episode; the last of a split may lack its end."""
    found: list[dict[str, Any]] = []
    for row in rows:
        if found and row["episode"] != found[-1]["episode"]:
            yield found
            found = []
        found.append(row)
        if row["end"]:
            yield found
            found = []
    yield found


def _rows_of(parquet: Any, file: Path, observation: str, mask: str | None, bounds: Any) -> Iterator[dict[str, Any]]:
    number = 0
    for batch in _batches(parquet, file, ROWS_AT_ONCE):
        for row in batch:
            where = f"{file}, row {number}"
            action = numbers_of(where, "action", row["action"])
            yield {
                "where": where,
                "pixels": decoded(where, row[observation]),
                "mask": None if mask is None else decoded(where, row[mask], grey=True),
                "action": action if bounds is None else clipped(action, *bounds),
                "state": numbers_of(where, "state", row.get("state") or []),
                "reward": float(row.get("reward") or 0.0),
                "terminated": bool(row.get("terminated")),
                "end": bool(row.get("terminated")) or bool(row.get("truncated")),
                "episode": row.get(NUMBER),
            }
            number += 1


def _batches(parquet: Any, file: Path, size: int, columns: list[str] | None = None) -> Iterator[list[dict[str, Any]]]:
    """Rows of a file, so many at a time.

    :raises ValueError: naming the file when it is damaged in the middle
    """
    batches, read = _opened(parquet, file).iter_batches(batch_size=size, columns=columns), 0
    while True:
        try:
            batch = next(batches, None)
        except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise ValueError(f"{file} cannot be read after row {read} ({brief(error)}); download it again") from error
        if batch is None:
            return
        read += len(batch)
        yield batch.to_pylist()


def _joined(rows: list[dict[str, Any]], convention: str, number: int) -> Episode:
    """Two rows or more as an episode."""
    rewards = np.array([row["reward"] for row in rows], np.float32)
    return Episode(
        rgbm_of(
            rows[0]["where"], _stacked(rows, "pixels"), None if rows[0]["mask"] is None else _stacked(rows, "mask")
        ),
        _stacked(rows[:-1], "action"),
        rewards[1:] if convention == "arrival" else rewards[:-1],
        _stacked(rows, "state"),
        # Leaving the last frame ended the episode, but where that led is not in the rows.
        rows[-1]["terminated"] and convention == "arrival",
        number,
    )


def _stacked(rows: list[dict[str, Any]], name: str) -> Any:
    """A column of an episode's rows as one array."""
    first = rows[0]
    for row in rows:
        if row[name].shape != first[name].shape:
            raise ValueError(
                f"{row['where']}: {name} has shape {row[name].shape}, in the rows before it {first[name].shape}; the "
                "rows of an episode must be alike: download the file again, or leave the episode out"
            )
    return np.stack([row[name] for row in rows])


def _rows(
    frames: Frames | LazyFrames, number: int, variant: str, columns: dict[str, MaskColumn]
) -> list[dict[str, Any]]:
    """The rows of an episode by the convention of arrival."""
    episode, rows = episode_of(frames, number), []
    first = int(frames.trajectories.first_frame[number])
    predicted = {name: column.rows(first + np.arange(len(episode) + 1)) for name, column in columns.items()}
    clean = _clean(frames, number) if variant == "dmw" else None
    for t, frame in enumerate(episode.rgbm):
        last = t == len(episode)
        row = {
            "observation": _image(frame[..., :3] if clean is None else clean[t]),
            "observation_distracted": _image(frame[..., :3]),
            "mask": _image(frame[..., 3]),
            "action": np.zeros_like(episode.actions[0]) if last else episode.actions[t],
            "state": episode.states[t],
            "reward": float(episode.rewards[t - 1]) if t else 0.0,
            "terminated": last and episode.terminated,
            "truncated": last and not episode.terminated,
        }
        rows.append(row | {name: _image(masks[t]) for name, masks in predicted.items()})
    return rows


def _image(pixels: Any) -> dict[str, Any]:
    return {"bytes": png(pixels), "path": None}


def _clean(frames: Any, episode: int) -> list[Any]:
    recorded = frames.trajectories
    return [frames.view.clean(qpos) for qpos in recorded.qpos[slice(*recorded.first_frame[episode : episode + 2])]]


def _schema(pa: Any, variant: str, masks: Iterable[str], recorded: str) -> Any:
    """Columns, with what `datasets` wants to know of them."""
    image, numbers = pa.struct([("bytes", pa.binary()), ("path", pa.string())]), pa.list_(pa.float32())
    types = dict.fromkeys(("observation", "observation_distracted", "mask", "pred_mask", "pred_mask_distracted"), image)
    types |= {"action": numbers, "state": numbers, "reward": pa.float32(), "terminated": pa.bool_()}
    types |= {"truncated": pa.bool_()}
    columns = {name: types[name] for name in COLUMNS[variant] if not name.startswith("pred_") or name in masks}
    features = {
        name: {"_type": "Image"}
        if type_ is image
        else {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"}
        if type_ is numbers
        else {"dtype": "bool" if pa.types.is_boolean(type_) else "float32", "_type": "Value"}
        for name, type_ in columns.items()
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}}), "masklam": recorded}
    return pa.schema(list(columns.items()), metadata)


def _files(rows: Any, rows_per_file: int) -> list[int]:
    """How many episodes each file gets."""
    total = int(rows.sum())
    wanted = max(1, math.ceil(total / rows_per_file))
    place = np.minimum((np.cumsum(rows) - 1) * wanted // max(total, 1), wanted - 1)
    return [int(count) for count in np.bincount(place, minlength=1) if count]


def _opened(parquet: Any, file: Path) -> Any:
    try:
        return parquet.ParquetFile(file)
    except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise ValueError(f"{file} is no whole parquet file ({brief(error)}); download it again") from error


def _check_columns(file: Path, there: list[str], needed: list[str]) -> None:
    missing = [name for name in needed if name not in there]
    if missing:
        raise ValueError(f"{file} has no column {missing}, only {sorted(there)}; name the columns to read")


def _check_ends(file: Path, there: list[str]) -> None:
    """See that episodes can be told apart."""
    missing = [name for name in ("terminated", "truncated") if name not in there]
    if missing and NUMBER not in there:
        raise ValueError(
            f"{file} has no column {missing}, so that its episodes cannot be told apart: add it, or {NUMBER!r}, the "
            "number of each row's episode"
        )


def _first_action(parquet: Any, file: Path) -> NDArray[np.float32]:
    first = next(_batches(parquet, file, 1, ["action"]), None)
    if not first:
        raise ValueError(f"{file} has no rows")
    return numbers_of(f"{file}, row 0", "action", first[0]["action"])
