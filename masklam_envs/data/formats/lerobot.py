"""LeRobotDataset v3.0, written and read without the ``lerobot`` package.

Pixels are MPEG-4 video (lossy, as LeRobot's are) or PNG; masks are always PNG, an ``image`` feature inside the parquet
file, because no mask survives a lossy video.  A row holds a frame and the action taken in it, so an episode of T steps
has T rows and its last frame is left out; an action-free episode keeps all its frames.

On disk::

    meta/info.json stats.json tasks.parquet episodes/chunk-000/file-000.parquet
    data/chunk-000/file-000.parquet
    videos/observation.images.pixels/chunk-000/file-000.mp4
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
    brief,
    check_at_least_one,
    check_fps,
    episodes_of,
    numbers_of,
    pixel_meta,
    provenance,
    recorded_bounds,
    rgbm_of,
    warn_without_masks,
)
from masklam_envs.data.formats.images import VideoReader, VideoWriter, decoded, png
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.errors import unknown_name
from masklam_envs.optional import require
from masklam_envs.whole import whole_new

PIXELS, MASK = "observation.images.pixels", "observation.images.mask"
STATE, ACTION, REWARD, DONE = "observation.state", "action", "next.reward", "next.done"
VERSION = "v3.0"
CODINGS = ("video", "image")
CHUNK = "chunk-000"
# Files of a chunk are named by what they hold; rows beyond this begin a new one.
ROWS_PER_FILE = 20_000


def export(
    frames: Frames | LazyFrames,
    path: Path,
    *,
    coding: str = "video",
    fps: float = 20.0,
    task: str | None = None,
    robot_type: str | None = None,
    rows_per_file: int = ROWS_PER_FILE,
) -> None:
    """Write a new folder.

    :param frames: the dataset
    :param path: of the folder; it must not exist
    :param coding: of the pixels: ``"video"`` or ``"image"`` (lossless)
    :param fps: frames a second
    :param task: what is done, in words; None: the task's id
    :param robot_type: None: the base environment's id
    :param rows_per_file: a file ends with the episode in which it has so many
    :raises ValueError: for an unknown coding, numbers out of range, or video of an odd size
    """
    if coding not in CODINGS:
        raise ValueError(unknown_name("coding of pixels", coding, CODINGS))
    check_fps(fps)
    check_at_least_one("rows_per_file", rows_per_file)
    if coding == "video" and frames.image_size % 2:
        raise ValueError(
            f"MPEG-4 has no frames of an odd size, and these have {frames.image_size} pixels: use coding='image' "
            "(-o coding=image), or draw them at another size"
        )
    meta = frames.trajectories.meta
    words = task or str(meta.get("task") or "unknown")
    with whole_new(path) as part:
        writer = _Writer(part, frames, coding, fps, words, rows_per_file)
        for episode in episodes_of(frames):
            writer.append(episode)
        writer.close(robot_type or str(meta.get("base") or "unknown"), provenance(frames))


class _Writer:
    """Rows, video and what is said of every episode."""

    def __init__(
        self, folder: Path, frames: Frames | LazyFrames, coding: str, fps: float, task: str, rows_per_file: int
    ) -> None:
        self.pa, self.parquet = require("pyarrow", "pyarrow", "hf"), require("pyarrow.parquet", "pyarrow", "hf")
        self.folder, self.coding, self.fps, self.task, self.rows_per_file = folder, coding, fps, task, rows_per_file
        recorded = frames.trajectories
        self.size, self.acts = frames.image_size, recorded.actions.shape[1]
        self.features = _features(self.size, self.acts, recorded.states(0).shape[1], coding, fps)
        self.schema = _schema(self.pa, self.features)
        self.episodes: list[dict[str, Any]] = []
        self.rows = self.file = self.rows_in_file = 0
        self._data: Any = None
        self._video: VideoWriter | None = None

    def append(self, episode: Episode) -> None:
        if self._data is None or self.rows_in_file >= self.rows_per_file:
            self._next_file()
        count = len(episode) if self.acts else len(episode) + 1
        columns = self._columns(episode, count)
        self._data.write_table(self.pa.Table.from_pydict(columns, schema=self.schema))
        if self._video is not None:
            self._video.write(episode.rgbm[:count, ..., :3])
        self.episodes.append(self._said_of(episode, columns, count))
        self.rows += count
        self.rows_in_file += count

    def close(self, robot_type: str, recorded: str) -> None:
        self._close_file()
        meta = self.folder / "meta"
        (meta / "episodes" / CHUNK).mkdir(parents=True)
        self.parquet.write_table(
            self.pa.Table.from_pylist(self.episodes), meta / "episodes" / CHUNK / "file-000.parquet"
        )
        self.parquet.write_table(_tasks(self.pa, self.task), meta / "tasks.parquet")
        (meta / "stats.json").write_text(json.dumps(_merged(self.episodes, self.features), indent=1))
        info = {
            "codebase_version": VERSION,
            "robot_type": robot_type,
            "total_episodes": len(self.episodes),
            "total_frames": self.rows,
            "total_tasks": 1,
            "chunks_size": 1000,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 500,
            "fps": self.fps,
            "splits": {"train": f"0:{len(self.episodes)}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
            "features": self.features,
            "masklam": json.loads(recorded),
        }
        (meta / "info.json").write_text(json.dumps(info, indent=1))

    def _next_file(self) -> None:
        self.file += self._data is not None
        self._close_file()
        self.rows_in_file = 0
        path = self.folder / "data" / CHUNK / f"file-{self.file:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._data = self.parquet.ParquetWriter(path, self.schema)
        if self.coding == "video":
            self._video = VideoWriter(_video_path(self.folder, self.file), self.size, self.fps)

    def _close_file(self) -> None:
        if self._data is not None:
            self._data.close()
        if self._video is not None:
            self._video.close()

    def _columns(self, episode: Episode, count: int) -> dict[str, Any]:
        number, numbers = len(self.episodes), np.arange(count)
        columns: dict[str, Any] = {
            MASK: [{"bytes": png(mask), "path": None} for mask in episode.rgbm[:count, ..., 3]],
            "timestamp": (numbers / self.fps).astype(np.float32),
            "frame_index": numbers,
            "episode_index": np.full(count, number),
            "index": self.rows + numbers,
            "task_index": np.zeros(count, np.int64),
        }
        if self.coding == "image":
            columns[PIXELS] = [{"bytes": png(frame), "path": None} for frame in episode.rgbm[:count, ..., :3]]
        if STATE in self.features:
            columns[STATE] = list(episode.states[:count])
        if self.acts:
            done = np.zeros(count, np.bool_)
            done[-1] = episode.terminated
            columns |= {ACTION: list(episode.actions), REWARD: episode.rewards, DONE: done}
        return columns

    def _said_of(self, episode: Episode, columns: dict[str, Any], count: int) -> dict[str, Any]:
        said: dict[str, Any] = {
            "episode_index": len(self.episodes),
            "tasks": [self.task],
            "length": count,
            "dataset_from_index": self.rows,
            "dataset_to_index": self.rows + count,
            "data/chunk_index": 0,
            "data/file_index": self.file,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        if self.coding == "video":
            said |= {
                f"videos/{PIXELS}/chunk_index": 0,
                f"videos/{PIXELS}/file_index": self.file,
                f"videos/{PIXELS}/from_timestamp": self.rows_in_file / self.fps,
                f"videos/{PIXELS}/to_timestamp": (self.rows_in_file + count) / self.fps,
            }
        images = {PIXELS: episode.rgbm[:count, ..., :3], MASK: episode.rgbm[:count, ..., 3:]}
        for name in self.features:
            values = images[name] / 255 if name in images else np.stack([np.atleast_1d(v) for v in columns[name]])
            said |= {f"stats/{name}/{key}": value for key, value in _statistics(values).items()}
        return said


def read(path: Path, *, pixels: str | None = None, mask: str = MASK) -> tuple[dict[str, Any], Iterator[Episode]]:
    """What a dataset says of itself, and its episodes.

    :param path: the folder that holds ``meta/info.json``
    :param pixels: feature of the pixels; None: the only video or image feature that is no mask
    :param mask: feature of the masks; where it is missing there are none
    :raises ValueError: naming file and feature when something is missing, cut short or of another version
    """
    parquet = require("pyarrow.parquet", "pyarrow", "hf")
    info = _info(path)
    features = info["features"]
    pixels = pixels or _only_pixels(path, features, mask)
    if pixels not in features:
        raise ValueError(f"{path} has no feature {pixels!r}; {sorted(features)} are there")
    if mask not in features:
        warn_without_masks(f"{path} has no feature {mask!r}")
    _check_features(path, info, pixels, mask)
    acts = int(np.prod(features[ACTION]["shape"])) if ACTION in features else 0
    bound = _bound(path, acts)
    low, high = recorded_bounds(info.get("masklam"), acts) or ([-bound] * acts, [bound] * acts)
    meta = pixel_meta(
        "lerobot",
        path.name,
        masks="dataset" if mask in features else "none",
        low=low,
        high=high,
        robot_type=info.get("robot_type"),
        fps=info["fps"],
        features=[pixels, *([mask] if mask in features else [])],
        recorded=info.get("masklam"),
    )
    return meta, _episodes(parquet, path, info, pixels, mask if mask in features else None)


def _episodes(parquet: Any, path: Path, info: dict[str, Any], pixels: str, mask: str | None) -> Iterator[Episode]:
    features, videos = info["features"], VideoReader()
    wanted = [name for name in (ACTION, REWARD, STATE, pixels, *([mask] if mask else [])) if name in features]
    columns = [name for name in wanted if features[name]["dtype"] != "video"]
    for episode in sorted(_said_of_all(parquet, path, info, pixels), key=lambda row: row["episode_index"]):
        number, count = episode["episode_index"], episode["length"]
        where = f"{path}, episode {number}"
        file = path / info["data_path"].format(
            chunk_index=episode["data/chunk_index"], file_index=episode["data/file_index"]
        )
        rows = _table(parquet, file, ["episode_index", *columns], [("episode_index", "=", number)])
        if len(rows) != count:
            raise ValueError(f"{where}: {file} holds {len(rows)} of its {count} rows; download it again")
        if count < 2:
            warnings.warn(f"{where}: its only row is left out, an episode has two or more", stacklevel=2)
            continue
        seen = _pixels(path, info, episode, rows, pixels, videos)
        masks = None if mask is None else np.stack([decoded(where, row[mask], grey=True) for row in rows])
        yield _joined(where, rgbm_of(where, seen, masks), rows, features, number)


def _said_of_all(parquet: Any, path: Path, info: dict[str, Any], pixels: str) -> list[dict[str, Any]]:
    """What is said of every episode."""
    needed = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    if info["features"][pixels]["dtype"] == "video":
        needed += [f"videos/{pixels}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
    folder = path / "meta" / "episodes"
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise ValueError(f"{folder} holds no parquet file, which say what the episodes are; download the dataset again")
    return [row for file in files for row in _table(parquet, file, needed)]


def _joined(
    where: str, rgbm: NDArray[np.uint8], rows: list[dict[str, Any]], features: dict[str, Any], number: int
) -> Episode:
    """An episode of the frames of two rows or more."""

    def column(name: str, rows: list[dict[str, Any]]) -> NDArray[np.float32]:
        width = int(np.prod(features[name]["shape"])) if name in features else 0
        if not width:
            return np.zeros((len(rows), 0), np.float32)
        return numbers_of(where, name, [np.ravel(row[name]) for row in rows], (len(rows), width))

    left = rows[:-1]
    rewards = column(REWARD, left)
    return Episode(
        rgbm,
        column(ACTION, left),
        rewards[:, 0] if rewards.size else np.zeros(len(left), np.float32),
        column(STATE, rows),
        False,  # the last row's action may have ended the episode, but where it led is not in the rows
        number,
    )


def _pixels(
    path: Path,
    info: dict[str, Any],
    episode: dict[str, Any],
    rows: list[dict[str, Any]],
    key: str,
    videos: VideoReader,
) -> Any:
    if info["features"][key]["dtype"] == "image":
        return np.stack([decoded(f"{path}, episode {episode['episode_index']}", row[key]) for row in rows])
    file = path / info["video_path"].format(
        video_key=key,
        chunk_index=episode[f"videos/{key}/chunk_index"],
        file_index=episode[f"videos/{key}/file_index"],
    )
    if not file.is_file():
        raise ValueError(f"{file} is missing; download the dataset again")
    first = round(episode[f"videos/{key}/from_timestamp"] * info["fps"])
    frames = videos.frames(file, first, len(rows))
    if len(frames) < len(rows):
        raise ValueError(
            f"{file} ends in episode {episode['episode_index']}: {len(frames)} of its {len(rows)} frames can be read; "
            "download it again"
        )
    return frames


def _features(size: int, acts: int, states: int, coding: str, fps: float) -> dict[str, Any]:
    names = ["height", "width", "channels"]
    video = {
        "video.height": size,
        "video.width": size,
        "video.codec": "mpeg4",
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }
    features: dict[str, Any] = {
        PIXELS: {"dtype": coding, "shape": [size, size, 3], "names": names}
        | ({"info": video} if coding == "video" else {}),
        MASK: {"dtype": "image", "shape": [size, size, 1], "names": names},
    }
    if states:
        features[STATE] = {"dtype": "float32", "shape": [states], "names": None}
    if acts:
        features |= {
            ACTION: {"dtype": "float32", "shape": [acts], "names": None},
            REWARD: {"dtype": "float32", "shape": [1], "names": None},
            DONE: {"dtype": "bool", "shape": [1], "names": None},
        }
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1], "names": None}
    return features


def _schema(pa: Any, features: dict[str, Any]) -> Any:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    types = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}
    fields: list[Any] = []
    said: dict[str, Any] = {}
    for name, feature in features.items():
        dtype, width = feature["dtype"], feature["shape"][0]
        if dtype == "video":
            continue
        value: Any = {"dtype": dtype, "_type": "Value"}
        if dtype == "image":
            fields.append((name, image))
            said[name] = {"_type": "Image"}
        elif name in (ACTION, STATE):
            fields.append((name, pa.list_(types[dtype], width)))
            said[name] = {"feature": value, "length": width, "_type": "List"}
        else:
            fields.append((name, types[dtype]))
            said[name] = value
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": said}})})


def _statistics(values: NDArray[Any]) -> dict[str, Any]:
    """LeRobot's statistics of (n, D) numbers, or of (n, H, W, C) images in [0, 1], per channel (C, 1, 1)."""
    axes = (0,) if values.ndim == 2 else (0, 1, 2)
    values = values.astype(np.float64)
    found = {key: getattr(values, key)(axis=axes) for key in ("min", "max", "mean", "std")}
    shape = (-1, 1, 1) if values.ndim == 4 else (-1,)
    return {key: value.reshape(shape).tolist() for key, value in found.items()} | {"count": [len(values)]}


def _merged(episodes: list[dict[str, Any]], features: dict[str, Any]) -> dict[str, Any]:
    """Statistics of the whole dataset from those of its episodes."""
    merged = {}
    for name in features:
        column = {key: np.array([e[f"stats/{name}/{key}"] for e in episodes]) for key in ("min", "max", "mean", "std")}
        count = np.array([e[f"stats/{name}/count"][0] for e in episodes], np.float64)
        share = (count / count.sum()).reshape(-1, *[1] * (column["mean"].ndim - 1))
        mean = (share * column["mean"]).sum(axis=0)
        variance = (share * (column["std"] ** 2 + column["mean"] ** 2)).sum(axis=0) - mean**2
        merged[name] = {
            "min": column["min"].min(axis=0).tolist(),
            "max": column["max"].max(axis=0).tolist(),
            "mean": mean.tolist(),
            "std": np.sqrt(np.maximum(variance, 0)).tolist(),
            "count": [int(count.sum())],
        }
    return merged


def _tasks(pa: Any, task: str) -> Any:
    """The table of tasks; LeRobot reads it as a pandas frame whose index are the tasks' words."""
    index = {"name": None, "field_name": "__index_level_0__", "pandas_type": "unicode", "numpy_type": "object"}
    column = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    pandas = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [],
        "columns": [{**column, "metadata": None}, {**index, "metadata": None}],
        "pandas_version": "2.2.0",
    }
    fields = [("task_index", pa.int64()), ("__index_level_0__", pa.string())]
    schema = pa.schema(fields, {"pandas": json.dumps(pandas)})
    return pa.Table.from_pydict({"task_index": [0], "__index_level_0__": [task]}, schema=schema)


def _video_path(folder: Path, file: int) -> Path:
    return folder / "videos" / PIXELS / CHUNK / f"file-{file:03d}.mp4"


def _info(path: Path) -> dict[str, Any]:
    file = path / "meta" / "info.json"
    try:
        info = json.loads(file.read_text())
        version, needed = info["codebase_version"], (info["features"], info["fps"], info["data_path"])
    except FileNotFoundError as error:
        raise ValueError(f"{path} is no LeRobot dataset: {file} is missing") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error!r}); download it again") from error
    if not str(version).startswith("v3.") or not isinstance(needed[0], dict):
        raise ValueError(f"{file} is of version {version!r}; {VERSION} can be read (lerobot converts older ones)")
    return dict(info)


def _check_features(path: Path, info: dict[str, Any], pixels: str, mask: str) -> None:
    """See that the features that are read are of the types that are read, and what is needed beside them is there."""
    features, file = info["features"], path / "meta" / "info.json"
    for name, allowed in ((pixels, CODINGS), (mask, ("image",))):
        dtype = features[name].get("dtype") if name in features else allowed[0]
        if dtype not in allowed:
            raise ValueError(f"{path}: feature {name!r} is of type {dtype!r}, {' or '.join(allowed)} can be read here")
    if features[pixels]["dtype"] == "video" and not isinstance(info.get("video_path"), str):
        raise ValueError(f"{file} has videos and no 'video_path', which says where they are; download it again")
    for name in (ACTION, REWARD, STATE):
        if name in features and not isinstance(features[name].get("shape"), list):
            raise ValueError(f"{file}: feature {name!r} has no shape; download it again")


def _only_pixels(path: Path, features: dict[str, Any], mask: str) -> str:
    found = [name for name, feature in features.items() if feature["dtype"] in CODINGS and name != mask]
    if len(found) != 1:
        raise ValueError(f"{path} has the cameras {sorted(found)}: name the one to read as pixels")
    return found[0]


def _bound(path: Path, acts: int) -> float:
    """How large actions get, at least 1: LeRobot says nothing of their bounds."""
    file = path / "meta" / "stats.json"
    try:
        stats = json.loads(file.read_text()) if file.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}); download it again, or remove it") from error
    ends = [*stats.get(ACTION, {}).get("min", []), *stats.get(ACTION, {}).get("max", [])] if acts else []
    return float(max([1.0, *np.abs(np.asarray(ends, np.float64)).ravel()]))


def _table(parquet: Any, file: Path, columns: list[str], filters: Any = None) -> list[dict[str, Any]]:
    """Rows of a file.

    :raises ValueError: naming the file when it is missing, damaged or lacks a column
    """
    if not file.is_file():
        raise ValueError(f"{file} is missing; download the dataset again")
    try:
        missing = sorted(set(columns) - set(parquet.read_schema(file).names))
        if not missing:
            return list(parquet.read_table(file, columns=columns, filters=filters).to_pylist())
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise ValueError(f"{file} is no whole parquet file ({brief(error)}); download it again") from error
    raise ValueError(f"{file} has no column {missing}, which meta/ says is there; download it again")
