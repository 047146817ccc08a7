"""Files of results: written whole, read strictly, never executed.

A result is ``result.json`` in its run's folder; results that were put together are a list in one ``.json``, or lines of
a ``.jsonl``.  The format is :class:`~masklam_agents.benchmark.results.Result`; other versions of it are refused.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pydantic

from masklam_agents.benchmark.files import write_json
from masklam_agents.benchmark.results import ADAPTER, SCHEMA, Result, to_json

FILE = "result.json"
#: beside a result that no longer counts: it says why
OUTDATED = "outdated.txt"
LARGEST = 8_000_000  # bytes of one result; thousands of episodes' returns fit


class ResultError(ValueError):
    """A file holds no result, a damaged one, or one of another version."""


def write_result(folder: str | os.PathLike[str], result: Result) -> Path:
    """Write ``result.json`` into a run's folder, whole or not at all.

    :return: the file
    """
    path = Path(folder) / FILE
    write_json(path, to_json(result))
    return path


def read_result(path: str | os.PathLike[str]) -> Result:
    """Read one result.

    :param path: the file, or the run's folder
    :raises ResultError: naming the file, what is wrong with it, and the cure
    :raises FileNotFoundError: when there is none
    """
    file = Path(path)
    file = file / FILE if file.is_dir() else file
    return parse_result(_text(file), str(file))


class Found(NamedTuple):
    """A result and where it was.

    :param where: the file, and the line or item of it
    :param folder: of the run, which may hold pictures; None for results that were merged into one file
    """

    result: Result
    where: str
    folder: Path | None


def find_results(paths: Iterable[str | os.PathLike[str]]) -> list[Found]:
    """Read results from files and folders, in a fixed order.

    :param paths: ``.json`` (one result, or a list of them), ``.jsonl`` (one a line), or folders, which are searched for
        files named ``result.json``; those with an ``outdated.txt`` beside them are left out, with a warning
    :raises ResultError: for the first that is no result
    :raises FileNotFoundError: when a path does not exist or a folder holds no result
    """
    pieces = (piece for path in paths for piece in _pieces(Path(path)))
    return [Found(parse_result(text, where), where, folder) for text, where, folder in pieces]


def read_results(paths: Iterable[str | os.PathLike[str]]) -> list[Result]:
    """The results that :func:`find_results` finds."""
    return [found.result for found in find_results(paths)]


def parse_result(text: str, where: str) -> Result:
    """Read one result from JSON.

    :param where: what an error names, e.g. the file
    :raises ResultError: when it is none
    """
    document = _parse_json(text, where)
    if not isinstance(document, dict):
        raise ResultError(f"{where}: a result is one JSON object, this is a {type(document).__name__}")
    if type(document.get("schema")) is not int or document["schema"] != SCHEMA:
        raise ResultError(_foreign(document, where))
    try:
        return ADAPTER.validate_json(text)
    except pydantic.ValidationError as error:
        raise ResultError(_explained(error, where)) from None


def _pieces(path: Path) -> Iterator[tuple[str, str, Path | None]]:
    if path.is_dir():
        files = _current(path)
        if not files:
            raise FileNotFoundError(f"{path}: no {FILE} in this folder or below; `masklam benchmark` writes them")
        yield from ((_text(file), str(file), file.parent) for file in files)
    elif path.suffix == ".jsonl":
        lines = enumerate(_text(path, many=True).splitlines(), 1)
        yield from ((line, f"{path}, line {number}", None) for number, line in lines if line.strip())
    else:
        text = _text(path, many=True)
        document = _parse_json(text, str(path))
        if isinstance(document, list):
            items = enumerate(document, 1)
            yield from ((json.dumps(item), f"{path}, item {number}", None) for number, item in items)
        else:
            yield text, str(path), path.parent if path.name == FILE else None


def _current(folder: Path) -> list[Path]:
    """The results in a folder and below that still count."""
    files = sorted(folder.rglob(FILE))
    left_out = [file for file in files if file.parent != folder and (file.parent / OUTDATED).exists()]
    if left_out:
        warnings.warn(
            f"{folder}: {len(left_out)} outdated results are left out, such as that of {left_out[0].parent}, where "
            f"{OUTDATED} says why",
            stacklevel=2,
        )
    return [file for file in files if file not in left_out]


def _text(path: Path, many: bool = False) -> str:
    largest = LARGEST * (100 if many else 1)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; give result files, or folders that `masklam benchmark` wrote")
    if path.stat().st_size > largest:
        raise ResultError(
            f"{path}: {path.stat().st_size} bytes, a result has at most {largest}: this is something else"
        )
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ResultError(f"{path}: no text in UTF-8 ({error.reason}): this is no result") from error


def _parse_json(text: str, where: str) -> Any:
    def constant(name: str) -> Any:
        raise ResultError(f"{where}: {name} is no number in JSON; write null where nothing was measured")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ResultError(f"{where}: the key {key!r} stands twice in one object; remove one")
            found[key] = value
        return found

    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=unique)
    except ResultError:
        raise
    except ValueError as error:  # also for integers of thousands of digits
        raise ResultError(f"{where}: no JSON ({error}); was it cut off? Run that configuration again") from error
    except RecursionError:
        raise ResultError(f"{where}: nested too deeply for a result") from None


def _foreign(document: Mapping[str, Any], where: str) -> str:
    found = document.get("schema")
    if type(found) is int and found > SCHEMA:
        return f"{where}: made by a newer masklam (schema {found}, this one reads {SCHEMA}): update masklam"
    return f"{where}: schema is {found!r}, this masklam reads {SCHEMA}: run that configuration again with this version"


CURES = {
    "extra_forbidden": "no such key in this version; remove it",
    "unexpected_keyword_argument": "no such key in this version; remove it",
    "missing": "missing; add it, or run that configuration again with this version",
}


def _explained(error: pydantic.ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors(include_url=False)[:5]:
        place = ".".join(str(step) for step in problem["loc"]) or "the whole"
        cure = CURES.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        shown = "" if problem["type"] == "missing" or isinstance(problem["input"], dict) else _short(problem["input"])
        lines.append(f"{place}: {cure}{shown}")
    more = f" (and {error.error_count() - 5} more)" if error.error_count() > 5 else ""
    return f"{where}: " + "; ".join(lines) + more


def _short(value: Any) -> str:
    text = repr(value)
    return f" (got {text if len(text) < 80 else text[:77] + '...'})"
