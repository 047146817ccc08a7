"""Rows of MaskLAM's datasets on the Hugging Face Hub: parquet files with one row a frame.

Columns: ``observation`` (RGB image), ``mask`` (grey image, 0 or 255), ``action``, ``state``, ``reward``,
``terminated``, ``truncated``; the variant ``dmw`` has the clean frame in ``observation`` and the distracted one in
``observation_distracted``.  Reward and ends in a row are those of *arriving* at its frame, so an episode of T steps has
T + 1 rows, the first with reward 0 and the last with an action that means nothing.

The files are read by ``datasets.load_dataset("parquet", ...)`` too, which needs nothing but this module's pyarrow here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from masklam_envs.data.formats.episodes import (
    Episode,
    episodes_of,
    pixel_meta,
    provenance,
    require,
    rgbm_of,
    warn_without_masks,
    whole,
)
from masklam_envs.data.formats.images import decoded, png
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.errors import unknown_name

VARIANTS = ("dcs", "dmw")
CONVENTIONS = ("arrival", "departure")
ROWS_PER_FILE = 50_000
ROWS_AT_ONCE = 256


def export(
    frames: Frames | LazyFrames,
    path: Path,
    *,
    variant: str = "dcs",
    split: str = "train",
    rows_per_file: int = ROWS_PER_FILE,
) -> None:
    """Write ``data/<split>-00000-of-0000N.parquet`` into a new folder.

    :param frames: the dataset
    :param path: of the folder; it must not exist
    :param variant: ``"dcs"`` or ``"dmw"``; the latter needs physics to draw the clean frame from
    :param split: ``"train"`` or ``"test"``
    :param rows_per_file: a file ends with the episode in which it has so many
    :raises ValueError: for an unknown variant, or pixels alone for ``dmw``
    """
    pa, parquet = require("pyarrow", "hf"), require("pyarrow.parquet", "hf")
    if variant not in VARIANTS:
        raise ValueError(unknown_name("variant", variant, VARIANTS))
    if variant == "dmw" and not isinstance(frames, LazyFrames):
        raise ValueError("variant 'dmw' has the clean frame too, which is drawn from physics: give LazyFrames")
    schema = _schema(pa, variant, provenance(frames))
    files = _files(frames.trajectories.lengths + 1, rows_per_file)
    with whole(path) as part:
        (part / "data").mkdir(parents=True)
        episodes, number = episodes_of(frames), 0
        for index, count in enumerate(files):
            name = f"{split}-{index:05d}-of-{len(files):05d}.parquet"
            with parquet.ParquetWriter(part / "data" / name, schema) as writer:
                for episode in (next(episodes) for _ in range(count)):
                    clean = _clean(frames, number) if variant == "dmw" else None
                    writer.write_table(pa.Table.from_pylist(_rows(episode, clean), schema=schema))
                    number += 1


def read(
    path: Path,
    *,
    split: str | None = None,
    convention: str = "arrival",
    observation: str | None = None,
    mask: str = "mask",
) -> tuple[dict[str, Any], Iterator[Episode]]:
    """What the files say of themselves, and their episodes.

    :param path: a parquet file, or a folder with some
    :param split: take files whose name begins with it; None: all
    :param convention: whether reward and ends of a row are those of ``"arrival"`` at its frame or of ``"departure"``
    :param observation: column of the pixels; None: ``observation_distracted`` where there is one, else ``observation``
    :param mask: column of the masks, e.g. ``"pred_mask"``; where it is missing there are none
    :raises ValueError: naming file and row when a file is cut short, or a column missing or of another type
    """
    parquet = require("pyarrow.parquet", "hf")
    if convention not in CONVENTIONS:
        raise ValueError(unknown_name("row convention", convention, CONVENTIONS))
    files = [path] if path.is_file() else sorted(path.rglob(f"{split or ''}*.parquet"))
    if not files:
        raise ValueError(f"{path} holds no parquet file{f' of split {split!r}' if split else ''}")
    schema = _opened(parquet, files[0]).schema_arrow
    distracted = "observation_distracted" if "observation_distracted" in schema.names else "observation"
    observation = observation or distracted
    masked = mask in schema.names
    if not masked:
        warn_without_masks(f"{files[0]} has no column {mask!r}")
    for file in files:
        _check_columns(file, _opened(parquet, file).schema_arrow.names, [observation, "action"])
    inside = json.loads((schema.metadata or {}).get(b"masklam", b"null"))
    width = len(_first_action(parquet, files[0]))
    meta = pixel_meta(
        "huggingface",
        path.name,
        masks="dataset" if masked else "none",
        low=[-1.0] * width,
        high=[1.0] * width,
        columns=[observation, *([mask] if masked else [])],
        recorded=inside,
    )
    return meta, _episodes(parquet, files, observation, mask if masked else None, convention)


def _episodes(
    parquet: Any, files: list[Path], observation: str, mask: str | None, convention: str
) -> Iterator[Episode]:
    rows: list[dict[str, Any]] = []
    count = 0
    for file in files:
        for row in _rows_of(parquet, file, observation, mask):
            rows.append(row)
            if row["end"]:
                if episode := _joined(rows, convention, count):
                    yield episode
                    count += 1
                rows = []
    if episode := _joined(rows, convention, count):  # the files end in the middle of an episode
        yield episode


def _rows_of(parquet: Any, file: Path, observation: str, mask: str | None) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        for batch in _opened(parquet, file).iter_batches(batch_size=ROWS_AT_ONCE):
            for row in batch.to_pylist():
                where = f"{file}, row {number}"
                yield {
                    "where": where,
                    "pixels": decoded(where, row[observation]),
                    "mask": None if mask is None else decoded(where, row[mask], grey=True),
                    "action": np.clip(np.asarray(row["action"], np.float32), -1, 1),
                    "state": np.asarray(row.get("state") or [], np.float32),
                    "reward": float(row.get("reward") or 0.0),
                    "terminated": bool(row.get("terminated")),
                    "end": bool(row.get("terminated")) or bool(row.get("truncated")),
                }
                number += 1
    except OSError as error:  # pyarrow's ArrowInvalid is a ValueError, its reading errors are OSErrors
        raise ValueError(f"{file} cannot be read after row {number} ({error}); download it again") from error


def _joined(rows: list[dict[str, Any]], convention: str, number: int) -> Episode | None:
    """Rows as an episode; None where there is no transition."""
    if len(rows) < 2:
        return None
    where = f"{rows[0]['where']} and the {len(rows) - 1} after it"
    pixels = _stacked(where, [row["pixels"] for row in rows])
    mask = None if rows[0]["mask"] is None else _stacked(where, [row["mask"] for row in rows])
    rewards = np.array([row["reward"] for row in rows], np.float32)
    return Episode(
        rgbm_of(where, pixels, mask),
        _stacked(where, [row["action"] for row in rows[:-1]]),
        rewards[1:] if convention == "arrival" else rewards[:-1],
        _stacked(where, [row["state"] for row in rows]),
        # Leaving the last frame ended the episode, but where that led is not in the rows.
        rows[-1]["terminated"] and convention == "arrival",
        number,
    )


def _stacked(where: str, arrays: list[Any]) -> Any:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"{where}: rows of one episode have shapes {sorted(shapes)}; they must be equal")
    return np.stack(arrays)


def _rows(episode: Episode, clean: Any) -> list[dict[str, Any]]:
    """The rows of an episode by the convention of arrival."""
    rows = []
    for t, frame in enumerate(episode.rgbm):
        last = t == len(episode)
        image = {"bytes": png(frame[..., :3]), "path": None}
        row = {
            "observation": image,
            "mask": {"bytes": png(frame[..., 3]), "path": None},
            "action": np.zeros_like(episode.actions[0]) if last else episode.actions[t],
            "state": episode.states[t],
            "reward": float(episode.rewards[t - 1]) if t else 0.0,
            "terminated": last and episode.terminated,
            "truncated": last and not episode.terminated,
        }
        if clean is not None:
            row |= {"observation": {"bytes": png(clean[t]), "path": None}, "observation_distracted": image}
        rows.append(row)
    return rows


def _clean(frames: Any, episode: int) -> list[Any]:
    recorded = frames.trajectories
    return [frames.view.clean(qpos) for qpos in recorded.qpos[slice(*recorded.first_frame[episode : episode + 2])]]


def _schema(pa: Any, variant: str, recorded: str) -> Any:
    """Columns, with what `datasets` wants to know of them."""
    image, numbers = pa.struct([("bytes", pa.binary()), ("path", pa.string())]), pa.list_(pa.float32())
    columns = {"observation": image, "mask": image, "action": numbers, "state": numbers, "reward": pa.float32()}
    if variant == "dmw":
        columns = {"observation": image, "observation_distracted": image, **columns}
    columns |= {"terminated": pa.bool_(), "truncated": pa.bool_()}
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
        raise ValueError(f"{file} is no whole parquet file ({error}); download it again") from error


def _check_columns(file: Path, there: list[str], needed: list[str]) -> None:
    missing = [name for name in needed if name not in there]
    if missing:
        raise ValueError(f"{file} has no column {missing}, only {sorted(there)}; name the columns to read")


def _first_action(parquet: Any, file: Path) -> list[float]:
    batch = next(_opened(parquet, file).iter_batches(batch_size=1, columns=["action"]), None)
    if batch is None or not len(batch):
        raise ValueError(f"{file} has no rows")
    action = batch.to_pylist()[0]["action"]
    if not isinstance(action, list):
        raise ValueError(f"{file}: the column 'action' must hold lists of numbers, got {type(action).__name__}")
    return action
