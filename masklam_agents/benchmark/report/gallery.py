"""Pictures that runs left in their folders, as they go into the page."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from masklam_agents.benchmark.measures import Place, place_of
from masklam_agents.benchmark.result_files import Found

LARGEST = 20_000_000  # bytes of all pictures together
# What is looked for, and what it shows; a page shows them in this order.
PICTURES = {
    "frames.png": "frames",
    "masks.png": "masks",
    "predictions.png": "frames, masks and predicted next frames",
    "rollout.mp4": "rollout with the mask's outline",
    "rollout.webp": "rollout with the mask's outline",
    "rollout.gif": "rollout with the mask's outline",
}
_TYPES = {".png": "image/png", ".gif": "image/gif", ".webp": "image/webp", ".mp4": "video/mp4"}
_STARTS = {".png": b"\x89PNG\r\n\x1a\n", ".gif": b"GIF8", ".webp": b"RIFF"}
_PLAYABLE = (b"avc1", b"av01", b"vp09")  # browsers do not play OpenCV's MPEG-4


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture.

    :param alt: what it shows, of which run
    :param caption: what it shows
    :param uri: ``data:`` and all of it
    :param kind: ``"still"``, ``"moving"`` or ``"video"``
    """

    alt: str
    caption: str
    uri: str
    kind: str


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """The pictures of one run.

    :param method: its name
    :param place: label
    :param seed: of the run
    :param pictures: at least one
    """

    method: str
    place: str
    seed: int
    pictures: tuple[Picture, ...]


def gather(found: Iterable[Found], runs: int) -> tuple[list[Exhibit], list[str]]:
    """Choose runs that left pictures: the lowest seed, place by place, all methods of a place beside each other.

    :param runs: at most so many
    :return: them, and a line for every picture that is no such picture or did not fit
    """
    exhibits: list[Exhibit] = []
    notes: list[str] = []
    size = 0
    for item in _chosen(found):
        if len(exhibits) == runs:
            break
        pictures = []
        for path in _files(item):
            problem = _problem(path)
            if problem is None and size + path.stat().st_size > LARGEST:
                problem = f"left out: the page's pictures have {LARGEST / 1e6:.0f} MB at most"
            if problem is not None:
                notes.append(f"{path.name} of {_name(item)}: {problem}")
                continue
            size += path.stat().st_size
            pictures.append(_picture(path, item))
        if pictures:
            result = item.result
            exhibits.append(Exhibit(result.method, place_of(result).label, result.seed, tuple(pictures)))
    return exhibits, notes


def _chosen(found: Iterable[Found]) -> Iterator[Found]:
    """Tasks take turns, each from another of its places on, so that a short gallery shows several of both."""
    groups: dict[str, dict[Place, dict[str, Found]]] = {}
    for item in sorted(found, key=lambda item: item.result.seed):
        if any(_files(item)):
            result = item.result
            places = groups.setdefault(result.task, {})
            places.setdefault(place_of(result), {}).setdefault(result.method, item)
    queues = [[places[place] for place in sorted(places, key=Place.order)] for _, places in sorted(groups.items())]
    queues = [queue[at % len(queue) :] + queue[: at % len(queue)] for at, queue in enumerate(queues, 1)]
    for turn in range(max(map(len, queues), default=0)):
        for queue in queues:
            if turn < len(queue):
                yield from (queue[turn][method] for method in sorted(queue[turn]))


def _files(item: Found) -> Iterator[Path]:
    if item.folder is not None:
        yield from (item.folder / name for name in PICTURES if (item.folder / name).is_file())


def _problem(path: Path) -> str | None:
    head = path.read_bytes()
    if path.suffix == ".mp4":
        return None if any(code in head for code in _PLAYABLE) else "browsers do not play it; write rollout.webp"
    return None if head.startswith(_STARTS[path.suffix]) else f"damaged, this is no {path.suffix[1:].upper()}"


def _picture(path: Path, item: Found) -> Picture:
    kind = {".gif": "moving", ".webp": "moving", ".mp4": "video"}.get(path.suffix, "still")
    uri = f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
    caption = PICTURES[path.name]
    return Picture(f"{caption}, {_name(item)}", caption, uri, kind)


def _name(item: Found) -> str:
    return f"{item.result.method}, {place_of(item.result).label}, seed {item.result.seed}"
