"""From any layout to any other: what ``masklam convert`` and ``masklam import`` do."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from masklam_envs.data.formats.episodes import at_size, meta_as_seen, warn_of_labels, write_episodes
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.mask_columns import MaskColumn
from masklam_envs.data.recorded import make_recorded
from masklam_envs.data.store import EpisodeWriter, is_dataset, read_manifest
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.errors import unknown_name
from masklam_envs.whole import whole_new

#: our own layout; the others are modules of this package
OWN = "masklam"
FORMATS = (OWN, "folder", "huggingface", "laom", "lerobot", "minari")
#: how an error calls what an option may be
_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a dictionary",
    types.NoneType: "None",
}
_OF_PYTHON = {"True": "true", "False": "false", "None": "null"}


def import_dataset(source: Any, folder: str | os.PathLike[str], layout: str | None = None, **options: Any) -> Frames:
    """Read a dataset of another layout into one of ours, which is there when it is whole.

    :param source: file, folder, Minari's id, or several video files
    :param folder: of the new dataset
    :param layout: one of ``FORMATS``; None: found out from the source
    :param options: of the layout's ``read``; and ``size``, the side of the frames in pixels, for every layout
    :return: the dataset, its frames mapped from the disk
    :raises ValueError: naming file and episode of what is wrong
    :raises FileExistsError: when ``folder`` exists
    """
    layout = layout or detect_format(source)
    size = None if layout == "folder" else _size(options.pop("size", None))
    module = _module(layout, "read", options)
    where = source if layout == "minari" else _paths(source)
    meta, episodes = module.read(where, **options)
    if size is not None:
        episodes = (at_size(episode, size) for episode in episodes)
    with whole_new(Path(folder)) as part:
        _told(where, write_episodes, part, meta, episodes)
    return Frames.load(folder)


def convert_dataset(
    source: Any,
    target: str | os.PathLike[str],
    to: str,
    *,
    layout: str | None = None,
    view: dict[str, Any] | None = None,
    env: str | None = None,
    masks: str | None = None,
    **options: Any,
) -> None:
    """Write a dataset in another layout.

    :param source: of any layout
    :param target: file or folder, or Minari's id
    :param to: one of ``FORMATS``
    :param layout: of the source; None: found out
    :param view: keyword arguments of the environment through which recorded physics is seen, e.g.
        ``{"distractor": "video", "image_size": 64}``
    :param env: id of that environment; None: the one it was recorded in
    :param masks: name of a column of masks (``masklam segment``) to write instead of the dataset's own
    :param options: of the target's ``export``, or of the source's ``read`` where the target is our own; a column of
        masks is given by its name
    :raises ValueError: naming what is wrong
    :raises FileExistsError: when ``target`` exists
    """
    for name in (to, layout or to):
        if name not in FORMATS:
            raise ValueError(unknown_name("format", name, FORMATS))
    layout = layout or detect_format(source)
    if to == OWN and layout != OWN:
        if ignored := [name for name, value in (("view", view), ("env", env), ("masks", masks)) if value]:
            raise ValueError(f"{ignored[0]} is for datasets of ours; what is read from layout {layout!r} is as it is")
        import_dataset(source, target, layout, **options)
        return
    if layout != OWN:
        if is_dataset(Path(source)):
            raise ValueError(f"{source} is a dataset of ours, and not of layout {layout!r}: leave out --from")
        raise ValueError(f"{source} is of layout {layout!r}: import it first (masklam convert {source} DST --to {OWN})")
    frames = open_own(Path(source), view=view, env=env, masks=masks)
    if to == OWN:
        _own(frames, target, options)
        return
    module = _module(to, "export", options)
    for option in getattr(module, "MASK_OPTIONS", ()):
        if option in options:
            options[option] = MaskColumn.load(source, str(options[option]))
    warn_of_labels(frames, to)
    module.export(frames, target if to == "minari" else Path(target), **options)


def open_own(
    folder: Path, *, view: dict[str, Any] | None = None, env: str | None = None, masks: str | None = None
) -> Frames | LazyFrames:
    """A dataset of ours: its pixels, or its physics seen through an environment's view.

    :param view: keyword arguments of the environment, see :func:`convert_dataset`
    :param env: its id, of ours or of any MuJoCo environment; None: the one it was recorded in
    :param masks: name of a column of masks (``masklam segment``) to use instead
    :raises ValueError: when a view is given for a dataset of pixels, no environment is known, or no such masks are
    """
    if "rgbm" in read_manifest(folder)["fields"]:
        if view or env:
            raise ValueError(f"{folder} holds pixels, which cannot be seen otherwise: leave out env and view")
        return Frames.load(folder, masks=masks)
    recorded = Trajectories.load(folder)
    column = None if masks is None else MaskColumn.load(folder, masks)
    return LazyFrames(recorded, make_recorded(recorded.meta, view or {}, env), masks=column)


def detect_format(source: Any) -> str:
    """The layout of a dataset, from its files.

    :raises ValueError: when it cannot be told
    """
    paths = _paths(source)
    path = paths if isinstance(paths, Path) else None
    if path is None or path.suffix.lower() in _folder().VIDEO_SUFFIXES:
        return "folder"
    if path.suffix.lower() in (".h5", ".hdf5", ".hdf"):
        return "laom"
    if path.suffix.lower() == ".parquet":
        return "huggingface"
    if is_dataset(path):
        return OWN
    if (path / "meta" / "info.json").is_file():
        return "lerobot"
    if path.is_dir() and any(file.suffix.lower() in _folder().VIDEO_SUFFIXES for file in path.iterdir()):
        return "folder"
    if path.is_dir() and next(path.rglob("*.parquet"), None) is not None:
        return "huggingface"
    if not path.exists() and _is_minari(str(source)):
        return "minari"
    what = "does not exist" if not path.exists() else "is of no layout that is known"
    raise ValueError(f"{source} {what}; name its layout, one of {', '.join(FORMATS)} (--from)")


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """``name=value`` pairs of a command line; a value is JSON or Python's True, False and None, else text.

    :raises ValueError: for a pair without ``=``

    >>> parse_options(["length=100", "variant=dmw"])
    {'length': 100, 'variant': 'dmw'}
    >>> parse_options(["clip=False"])
    {'clip': False}
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"an option is name=value, got {pair!r}")
        try:
            options[name.replace("-", "_")] = json.loads(_OF_PYTHON.get(value, value))
        except json.JSONDecodeError:
            options[name.replace("-", "_")] = value
    return options


def _own(frames: Frames | LazyFrames, target: str | os.PathLike[str], options: dict[str, Any]) -> None:
    """Draw physics into a dataset of pixels."""
    if options:
        raise ValueError(unknown_name("option", next(iter(options)), ()))
    with whole_new(Path(target)) as part, EpisodeWriter(part, _drawn_meta(frames)) as writer:
        for e in range(frames.trajectories.episodes):
            drawn = frames.select([e])
            drawn.trajectories.append_to(writer, drawn.rgbm)


def _drawn_meta(frames: Frames | LazyFrames) -> dict[str, Any]:
    """Of drawn frames: what is recorded of their physics, how they were seen, and whose masks they have."""
    masks = frames.trajectories.meta.get("masks", "simulator")
    if isinstance(frames, LazyFrames) and frames.masks is None:
        masks = frames.view.masks_name
    return {**meta_as_seen(frames), "masks": masks}


def _size(size: Any) -> int | None:
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 4):
        return size
    raise ValueError(f"size must be a whole number of pixels from 4 on, got {size!r}")


def _module(layout: str, function: str, options: dict[str, Any]) -> Any:
    """The module of a layout, after its options' names and types were checked."""
    if layout not in FORMATS or layout == OWN:
        raise ValueError(unknown_name("format", layout, FORMATS[1:]))
    module = importlib.import_module(f"masklam_envs.data.formats.{layout}")
    known = list(inspect.signature(getattr(module, function)).parameters)[1 if function == "read" else 2 :]
    hints = typing.get_type_hints(getattr(module, function))
    columns = getattr(module, "MASK_OPTIONS", ())
    for option, value in options.items():
        if option not in known:
            raise ValueError(unknown_name(f"option of {layout!r}", option, known))
        if option not in columns:
            _check_type(f"option {option} of {layout!r}", value, hints[option])
    return module


def _check_type(what: str, value: Any, hint: Any) -> None:
    """See that an option is of a kind that its function takes."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = tuple(typing.get_origin(kind) or kind for kind in kinds)
    taken = (*kinds, int) if float in kinds else kinds  # a whole number will do
    if not isinstance(value, taken) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(_KINDS.get(kind, kind.__name__) for kind in kinds)
        raise ValueError(f"{what} must be {names}, got {value!r}")


def _told(where: Any, function: Any, *args: Any) -> None:
    """Name the source in an error that does not."""
    try:
        function(*args)
    except ValueError as error:
        if str(where) in str(error) or not isinstance(where, (str, Path)):
            raise
        raise ValueError(f"{where}: {error}") from error


def _paths(source: Any) -> Path | list[Path]:
    if isinstance(source, (str, os.PathLike)):
        return Path(source)
    paths = [Path(each) for each in source]
    return paths[0] if len(paths) == 1 else paths


def _folder() -> Any:
    return importlib.import_module("masklam_envs.data.formats.folder")


def _is_minari(name: str) -> bool:
    root = os.environ.get("MINARI_DATASETS_PATH")
    base = Path(root) if root else Path.home() / ".minari" / "datasets"
    return (base / name / "data" / "metadata.json").is_file()
