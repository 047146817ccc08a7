"""Episodes on disk, appended one after the other: a process that is killed loses at most the episode it was writing.

A dataset is a folder::

    manifest.json   format and version, where the data comes from (``meta``), and the fields: dtype, shape of a row
    <field>.bin     rows of a field, episode after episode, little-endian: mapped into memory, never read as a whole
    <field>.zz      rows of a field whose episodes are compressed one by one (zlib): decoded when the dataset is opened
    episodes.bin    one record an episode, written last: what has no record does not exist

A field has a row for every frame (an episode of T steps has T + 1) or for every step.  The record holds the episode's
length and seeds, the CRC-32 of its rows in every field, and the CRC-32 of itself.  Labels that are the actions take no
bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from masklam_envs.batch.threads import usable_cores

FORMAT = "masklam-trajectories"
FORMAT_VERSION = 2
MANIFEST, RECORDS = "manifest.json", "episodes.bin"
# Checksums of datasets below this size are compared whenever they are opened: about a twentieth of a second.
VERIFY_BELOW = 64 * 2**20
# Packed fields below this size are decoded by one thread.
THREADS_ABOVE = 2**20
#: a packed field whose rows equal those of another takes no bytes
SAME_AS = {"labels": "actions"}
_FRAME, _STEP = "frame", "step"


@dataclasses.dataclass(frozen=True)
class Field:
    """How one field is stored.

    :param dtype: NumPy's name of the little-endian type, e.g. ``"<f8"``
    :param per: ``"frame"`` or ``"step"``
    :param packed: compressed episode by episode
    :param shape: of a row
    """

    dtype: str
    per: str
    packed: bool = False
    shape: tuple[int, ...] = ()

    def rows(self, length: int) -> int:
        """Rows of an episode of ``length`` steps."""
        return length + (self.per == _FRAME)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row before compression."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


#: every field a dataset may have; the shape of a row is the dataset's own
FIELDS = {
    "qpos": Field("<f8", _FRAME),
    "qvel": Field("<f4", _FRAME),
    "actions": Field("<f4", _STEP, packed=True),
    "labels": Field("<f4", _STEP, packed=True),
    "rewards": Field("<f4", _STEP),
    "rgbm": Field("|u1", _FRAME),
    "mask": Field("|u1", _FRAME),
}
#: fields that most datasets have not; a column of masks (:mod:`masklam_envs.data.mask_columns`) has nothing else
_OPTIONAL = ("rgbm", "mask")


@dataclasses.dataclass(frozen=True)
class Stored:
    """An opened dataset.

    :param meta: where it comes from
    :param arrays: per field all its rows; large ones are mapped (copy on write: the files are never changed)
    :param records: one an episode, see :func:`record_type`
    """

    meta: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    records: NDArray[Any]


def record_type(fields: Mapping[str, Field]) -> np.dtype[Any]:
    """The NumPy type of an episode's record."""
    return np.dtype(
        [("length", "<i8"), ("reset_seed", "<i8"), ("distractor_seed", "<i8"), ("terminated", "<u4")]
        + [(f"crc_{name}", "<u4") for name in fields]
        + [(f"size_{name}", "<u8") for name, field in fields.items() if field.packed]
        + [("crc", "<u4")]
    )


# ------------------------------------------------------------------------------------------------------------- writing


class EpisodeWriter:
    """Appends episodes to a dataset, a new one or one that was made with the same ``meta``.

    Episodes that an earlier process left half written or that are damaged are cut off first, with all that follow them.

    :param folder: of the dataset; made when the first episode comes
    :param meta: JSON-able record of where the episodes come from
    :raises FileExistsError: when ``folder`` exists and is no dataset
    :raises ValueError: when it is a dataset that was made otherwise
    :raises BlockingIOError: when another process is appending to it
    """

    def __init__(self, folder: str | os.PathLike[str], meta: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.meta = json.loads(json.dumps(meta))
        #: episodes on disk
        self.episodes = 0
        self._files: dict[str, FileIO] = {}
        self._fields: dict[str, Field] = {}
        if is_dataset(self.folder):
            self._resume()
        elif self.folder.exists() and not _holds_nothing_else(self.folder):
            raise FileExistsError(f"{self.folder} exists and is no dataset; give another name or remove it")

    def append(self, **episode: Any) -> None:
        """Write one episode.

        :param episode: ``length``, ``reset_seed``, ``distractor_seed``, ``terminated`` and the rows of every field
        :raises OSError: when the disk is full; what was written before stays whole
        :raises ValueError: when a field's rows are not the dataset's
        """
        self.begin(**episode)
        sizes = {name: os.fstat(file.fileno()).st_size for name, file in self._files.items()}
        try:
            self._write(episode)
        except BaseException as error:
            for name, size in sizes.items():
                with contextlib.suppress(OSError):  # the next writer cuts it off
                    self._files[name].truncate(size)
            if isinstance(error, OSError):
                raise self._not_written(error) from error
            raise
        self.episodes += 1

    def _write(self, episode: dict[str, Any]) -> None:
        """The rows of every field, then the record by which they exist."""
        record = np.zeros((), record_type(self._fields))
        for name in ("length", "reset_seed", "distractor_seed", "terminated"):
            record[name] = episode[name]
        for name, field in self._fields.items():
            data = self._encoded(name, field, episode)
            if field.packed:
                record[f"size_{name}"] = len(data)
            record[f"crc_{name}"] = zlib.crc32(data)
            _write_all(self._files[name], data)
        record["crc"] = _own_crc(record)
        _write_all(self._files[RECORDS], record.tobytes())

    def _not_written(self, error: OSError) -> OSError:
        return OSError(
            error.errno,
            f"episode {self.episodes} could not be written ({error.strerror}); the {self.episodes} before it are "
            "whole: make room and give the same command again to go on",
            os.fspath(self.folder),
        )

    def close(self) -> None:
        """Let the disk have everything."""
        for file in self._files.values():
            os.fsync(file.fileno())
            file.close()
        self._files = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _encoded(self, name: str, field: Field, episode: dict[str, Any]) -> Any:
        """The bytes of an episode's rows of a field."""
        rows = np.ascontiguousarray(episode[name], field.dtype)
        want = (field.rows(int(episode["length"])), *field.shape)
        if rows.shape != want:
            raise ValueError(f"episode {self.episodes}: {name} has shape {rows.shape}, this dataset needs {want}")
        twin = SAME_AS.get(name)
        if twin is not None and np.array_equal(rows, np.asarray(episode[twin], field.dtype)):
            return b""
        data = rows.reshape(-1).view(np.uint8).data
        return zlib.compress(data) if field.packed else data

    def begin(self, **rows: Any) -> None:
        """Make the dataset, if that is not done: its rows have the shapes of these."""
        if self._files:
            return
        self._fields = {
            name: dataclasses.replace(field, shape=np.shape(rows[name])[1:])
            for name, field in FIELDS.items()
            if rows.get(name) is not None
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self._open()
        if is_dataset(self.folder):  # nobody had begun when this writer was made, and now it alone may write
            self.close()
            raise FileExistsError(
                f"{self.folder}: another process has made this dataset meanwhile; give the same command again to go "
                "on with it, or another name"
            )
        for file in self._files.values():  # of a process that was killed in this function
            file.truncate(0)
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "meta": self.meta,
            "fields": {name: dataclasses.asdict(field) for name, field in self._fields.items()},
        }
        part = self.folder / f".{MANIFEST}.part"
        part.write_text(json.dumps(manifest, indent=1))
        os.replace(part, self.folder / MANIFEST)

    def _resume(self) -> None:
        """Go on behind the last whole episode."""
        manifest = read_manifest(self.folder)
        if manifest["format_version"] != FORMAT_VERSION:
            raise ValueError(f"{self.folder} is of an older format: load it and save it under another name to append")
        if manifest["meta"] != self.meta:
            old, new = manifest["meta"], self.meta
            differing = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
            raise ValueError(
                f"{self.folder} was made otherwise ({', '.join(differing)} differ: {[old.get(k) for k in differing]} "
                f"there, {[new.get(k) for k in differing]} now); give another name or remove it"
            )
        self._fields = read_fields(manifest, self.folder)
        self._open()
        records = whole_episodes(self.folder, self._fields)
        self.episodes = len(records)
        whole = {name: int(_ends(records, name, field)[-1]) for name, field in self._fields.items()}
        for name, size in {**whole, RECORDS: records.nbytes}.items():
            if os.fstat(self._files[name].fileno()).st_size != size:
                self._files[name].truncate(size)

    def _open(self) -> None:
        try:
            # FileIO has no buffer: what could not be written does not come later.
            self._files = {RECORDS: FileIO(self.folder / RECORDS, "ab")}
            _lock(self._files[RECORDS], self.folder)
            for name, field in self._fields.items():
                self._files[name] = FileIO(field_path(self.folder, name, field), "ab")
        except BaseException:
            self.close()
            raise


def _holds_nothing_else(folder: Path) -> bool:
    """Whether a folder has nothing but what a writer leaves that is killed before it wrote the manifest."""
    own = {RECORDS, f".{MANIFEST}.part", *(field_path(folder, name, field).name for name, field in FIELDS.items())}
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= own


def _write_all(file: FileIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _lock(file: FileIO, folder: Path) -> None:
    """Keep other writers out until the file is closed, however this process ends."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            error.errno, f"{folder}: another process is writing this dataset; wait for it or give another name"
        ) from error


# ------------------------------------------------------------------------------------------------------------- reading


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds a dataset of this package."""
    return (folder / MANIFEST).is_file()


def open_store(folder: Path, manifest: dict[str, Any], *, verify: bool | None, skip: tuple[str, ...] = ()) -> Stored:
    """Map a dataset.

    :param manifest: as :func:`read_manifest` returned it
    :param verify: compare every checksum; None: only when the dataset is small
    :param skip: fields that are not needed
    :raises ValueError: naming the file and the episode that is damaged or cut short
    """
    every = read_fields(manifest, folder)
    records = read_records(folder, every)
    fields = {name: field for name, field in every.items() if name not in skip}
    for name, field in fields.items():
        _check_size(field_path(folder, name, field), _ends(records, name, field))
    size = sum(int(_ends(records, name, field)[-1]) for name, field in fields.items())
    if size < VERIFY_BELOW if verify is None else verify:
        for damage in damaged_episodes(folder, fields, records):
            raise ValueError(damage)
    arrays: dict[str, NDArray[Any]] = {}
    for name, field in fields.items():
        arrays[name] = _read_field(folder, name, field, records, arrays)
    return Stored(manifest["meta"], arrays, records)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a dataset of any version.

    :raises FileNotFoundError: when there is none
    :raises ValueError: when it is damaged or of a newer format
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no dataset (no {MANIFEST}); make one with `masklam collect`")
    try:
        manifest = json.loads(path.read_text())
        known = manifest["format"] == FORMAT and isinstance(manifest["meta"], dict)
        fields, version = manifest["fields"], manifest["format_version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); collect the dataset again") from error
    if not known or not isinstance(fields, dict):
        raise ValueError(f"{path} is no {FORMAT} manifest")
    if version not in range(1, FORMAT_VERSION + 1):
        raise ValueError(
            f"{path} has format version {version}, this package reads 1 to {FORMAT_VERSION}; update masklam"
        )
    return dict(manifest)


def read_fields(manifest: dict[str, Any], folder: Path) -> dict[str, Field]:
    """The fields that a manifest names, in the order in which they are written."""
    found = {}
    for name, known in FIELDS.items():
        entry = manifest["fields"].get(name)
        if entry is None and (name in _OPTIONAL or "mask" in manifest["fields"]):
            continue
        try:
            field = Field(**{**entry, "shape": tuple(int(n) for n in entry["shape"])})
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"{folder / MANIFEST} says nothing sensible of {name}; collect the dataset again"
            ) from error
        if dataclasses.replace(field, shape=()) != known or min(field.shape, default=0) < 0:
            raise ValueError(f"{folder / MANIFEST} says of {name} {entry}, which this package does not write")
        found[name] = field
    return found


def read_records(folder: Path, fields: Mapping[str, Field]) -> NDArray[Any]:
    """The records of all episodes; a last one that is cut short was never finished and does not count.

    :raises ValueError: naming the first episode whose record is damaged
    """
    records = _records(folder, fields)
    for episode, record in enumerate(records):
        if not _sound(record):
            raise ValueError(
                f"{folder / RECORDS}: the record of episode {episode} is damaged; the command that made the dataset "
                "keeps the episodes before it and makes the others again"
            )
    return records


def whole_episodes(folder: Path, fields: Mapping[str, Field]) -> NDArray[Any]:
    """The records of the first episodes, up to the first one that is damaged or not all there."""
    records = _records(folder, fields)
    good = next((i for i, record in enumerate(records) if not _sound(record)), len(records))
    for name, field in fields.items():
        size = os.path.getsize(field_path(folder, name, field))
        good = min(good, int(np.searchsorted(_ends(records[:good], name, field)[1:], size, side="right")))
    for name, field in fields.items():
        for episode, _ in _damage(folder, name, field, records[:good]):
            good = min(good, episode)
    return records[:good]


def damaged_episodes(folder: Path, fields: Mapping[str, Field], records: NDArray[Any]) -> Iterator[str]:
    """What is damaged, a sentence an episode and field: every byte is read and compared with its checksum."""
    for name, field in fields.items():
        if not (path := field_path(folder, name, field)).is_file():
            yield f"{path} is missing; collect the dataset again"
            continue
        for episode, path in _damage(folder, name, field, records):
            yield (
                f"{path}: episode {episode} is damaged (its checksum differs); the command that made the dataset keeps "
                "the episodes before it and makes the others again"
            )


def field_path(folder: Path, name: str, field: Field) -> Path:
    """The file of a field."""
    return folder / f"{name}.{'zz' if field.packed else 'bin'}"


def _records(folder: Path, fields: Mapping[str, Field]) -> NDArray[Any]:
    path, type_ = folder / RECORDS, record_type(fields)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; collect the dataset again") from error
    return np.frombuffer(data, type_, count=len(data) // type_.itemsize)


def _own_crc(record: NDArray[Any]) -> int:
    """The checksum of a record without its own."""
    return zlib.crc32(record.tobytes()[:-4])


def _sound(record: Any) -> bool:
    return bool(_own_crc(record) == record["crc"] and record["length"] >= 0)


def _ends(records: NDArray[Any], name: str, field: Field) -> NDArray[np.int64]:
    """(E + 1,) byte offset of each episode in a field's file, and the end."""
    if field.packed:
        sizes = records[f"size_{name}"].astype(np.int64)
    else:
        sizes = (records["length"] + (field.per == _FRAME)) * field.row_bytes
    return np.concatenate(([0], np.cumsum(sizes)))


def _check_size(path: Path, ends: NDArray[np.int64]) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        raise ValueError(f"{path} is missing; collect the dataset again")
    if size < ends[-1]:
        cut = int(np.searchsorted(ends[1:], size, side="right"))
        raise ValueError(
            f"{path} is cut short in episode {cut} of {len(ends) - 1} ({size} of {ends[-1]} bytes); the command that "
            "made the dataset keeps the episodes before it and makes the others again"
        )


def _damage(folder: Path, name: str, field: Field, records: NDArray[Any]) -> Iterator[tuple[int, Path]]:
    """Episodes of a field whose bytes are not those that were written."""
    path = field_path(folder, name, field)
    with open(path, "rb") as file:
        for episode, size in enumerate(np.diff(_ends(records, name, field))):
            if zlib.crc32(file.read(int(size))) != records[f"crc_{name}"][episode]:
                yield episode, path


def _read_field(
    folder: Path, name: str, field: Field, records: NDArray[Any], arrays: Mapping[str, NDArray[Any]]
) -> NDArray[Any]:
    path, ends = field_path(folder, name, field), _ends(records, name, field)
    rows = int(records["length"].sum()) + (len(records) if field.per == _FRAME else 0)
    shape = (rows, *field.shape)
    if field.packed:
        return _unpacked(path, field, ends, records, arrays.get(SAME_AS.get(name, ""))).reshape(shape)
    if not ends[-1]:
        return np.zeros(shape, field.dtype)
    # Copy on write: whoever changes the array changes the memory alone. The view is a plain array, faster to index.
    return np.memmap(path, field.dtype, "c", shape=shape).view(np.ndarray)


def _unpacked(
    path: Path, field: Field, ends: NDArray[np.int64], records: NDArray[Any], twin: NDArray[Any] | None
) -> NDArray[Any]:
    """All rows of a packed field, flat; each core decodes some of the episodes."""
    counts = (records["length"] + (field.per == _FRAME)) * int(np.prod(field.shape, dtype=np.int64))
    starts = np.concatenate(([0], np.cumsum(counts)))
    out, data = np.empty(int(starts[-1]), field.dtype), path.read_bytes()

    def decode(episodes: NDArray[np.int64]) -> None:
        for episode in episodes:
            rows, piece = slice(*starts[episode : episode + 2]), data[slice(*ends[episode : episode + 2])]
            if twin is not None and not piece:
                out[rows] = twin.reshape(-1)[rows]
                continue
            try:
                # A byte more than is due tells of too many, and no more than that is made of a few.
                due = int(counts[episode]) * np.dtype(field.dtype).itemsize
                out[rows] = np.frombuffer(zlib.decompressobj().decompress(piece, due + 1), field.dtype)
            except (zlib.error, ValueError) as error:
                raise ValueError(
                    f"{path}: episode {episode} is damaged ({error}); collect the dataset again"
                ) from error

    cores = usable_cores() if len(data) > THREADS_ABOVE else 1
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(decode, np.array_split(np.arange(len(records)), cores)))
    return out
