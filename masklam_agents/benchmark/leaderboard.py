"""One table of what many people measured.

Results are validated and never executed.  They are grouped by suite and version; within a group an entry is a method
of one sender, ranked over all the places that anybody measured: an entry that lacks some stands below, without a rank.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from masklam_agents.benchmark.conditions import conditions
from masklam_agents.benchmark.files import write_text
from masklam_agents.benchmark.measures import MEASURES, Measure, Place, collect, place_of, strata_of, without_repeats
from masklam_agents.benchmark.report.page import environment_of_pages
from masklam_agents.benchmark.result_files import Found, find_results
from masklam_agents.benchmark.results import Result, to_json
from masklam_agents.benchmark.statistics import Interval, aggregate
from masklam_envs.errors import unknown_name

COLUMNS = ("nmse", "nmse_unseen", "distractor_r2", "normalized_return")
SUFFIXES = (".html", ".md")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A method of one sender.

    :param rank: 1 is best; None where places are missing or the ranking measure is
    :param method: its name
    :param sender: name of the file or folder, or what was given as ``NAME=PATH``
    :param places: in which it has runs that did not fail
    :param seeds: fewest and most of a place
    :param failed: runs that failed
    :param scores: IQM of each measure over the entry's own places; None where nothing was measured
    :param unlike: conditions, such as data or updates, in which it differs from most entries in some place
    :param commits: of the code, short
    """

    rank: int | None
    method: str
    sender: str
    places: int
    seeds: tuple[int, int]
    failed: int
    scores: dict[str, Interval | None]
    unlike: tuple[str, ...]
    commits: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Board:
    """The entries of one version of a suite.

    :param suite: its name
    :param version: of the suite
    :param places: that anybody measured
    :param by: name of the measure that ranks
    :param entries: best first, then those without a rank
    """

    suite: str
    version: str
    places: int
    by: str
    entries: tuple[Entry, ...]


def write_leaderboard(
    files: Iterable[str | os.PathLike[str]], out: str | os.PathLike[str], *, by: str = "normalized_return"
) -> list[Board]:
    """Write the table.

    :param files: paths as of :func:`~masklam_agents.benchmark.result_files.find_results`, each alone or as
        ``NAME=PATH``; several paths with one given name are one sender's
    :param out: ``.html`` or ``.md`` file
    :param by: measure that ranks, one of :data:`~masklam_agents.benchmark.measures.MEASURES`
    :return: what was written, one a version of a suite
    :raises ResultError: for a file that is no result, or two results of one run from one sender
    :raises ValueError: for an unknown measure or ending, or two paths without names that end alike
    """
    path = Path(out)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: {unknown_name('kind of leaderboard', path.suffix, SUFFIXES)}")
    boards = make_boards(files, by=by)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _html(boards) if path.suffix == ".html" else _markdown(boards))
    return boards


def make_boards(files: Iterable[str | os.PathLike[str]], *, by: str = "normalized_return") -> list[Board]:
    """The entries of every version of every suite, in alphabetical order.

    :param files: as of :func:`write_leaderboard`
    :param by: likewise
    """
    if by not in MEASURES:
        raise ValueError(unknown_name("measure", by, MEASURES))
    senders: dict[str, list[Found]] = {}
    for name, path in _senders([os.fspath(file) for file in files]):
        senders.setdefault(name, []).extend(find_results([path]))
    groups: dict[tuple[str, str], dict[tuple[str, str], list[Result]]] = {}
    taken: set[str] = set()
    for sender, found in senders.items():
        for item in without_repeats(found):
            result, content = item.result, json.dumps(to_json(item.result), sort_keys=True)
            if content not in taken:  # what two people sent alike counts once, for the first
                taken.add(content)
                entries = groups.setdefault((result.suite, result.suite_version), {})
                entries.setdefault((result.method, sender), []).append(result)
    return [_board(suite, version, entries, by) for (suite, version), entries in sorted(groups.items())]


def _senders(arguments: Sequence[str]) -> list[tuple[str, Path]]:
    """Name and path of each; files that are called alike, as reports' are, need not be one sender's."""
    named: list[tuple[str, Path]] = []
    unnamed: dict[str, str] = {}
    for argument in dict.fromkeys(arguments):
        name, equals, rest = argument.partition("=")
        if equals and not Path(argument).exists():
            named.append((name.strip(), Path(rest)))
            continue
        path = Path(argument)
        name = (path.stem if path.suffix else path.name) or str(path)
        if name in unnamed:
            raise ValueError(
                f"{unnamed[name]} and {argument} would both be of {name!r}: say whose they are by NAME=PATH (one "
                "name for both if they are one sender's)"
            )
        unnamed[name] = argument
        named.append((name, path))
    return named


def _board(suite: str, version: str, entries: dict[tuple[str, str], list[Result]], by: str) -> Board:
    measure = MEASURES[by]
    unlike = _unlike(entries)
    drafts = [_entry(key, results, unlike[key]) for key, results in sorted(entries.items())]
    every = set().union(*(_places(results) for results in entries.values()))
    whole = [draft for draft in drafts if draft.places == len(every) and draft.scores[by] is not None]
    whole.sort(key=lambda draft: _best_first(draft, measure))
    ranked = [dataclasses.replace(draft, rank=place) for place, draft in enumerate(whole, 1)]
    others = [draft for draft in drafts if draft not in whole]
    return Board(suite, version, len(every), by, (*ranked, *sorted(others, key=lambda draft: -draft.places)))


def _best_first(entry: Entry, measure: Measure) -> float:
    interval = entry.scores[measure.name]
    assert interval is not None
    return -interval.estimate if measure.higher else interval.estimate


def _entry(key: tuple[str, str], results: Sequence[Result], unlike: Iterable[str]) -> Entry:
    places = _places(results)
    return Entry(
        rank=None,
        method=key[0],
        sender=key[1],
        places=len(places),
        seeds=(min(map(len, places.values()), default=0), max(map(len, places.values()), default=0)),
        failed=sum(result.status == "failed" for result in results),
        scores={name: _score(results, measure) for name, measure in MEASURES.items()},
        unlike=tuple(unlike),
        commits=tuple(dict.fromkeys(result.commit[:9] for result in results)),
    )


def _unlike(entries: Mapping[tuple[str, str], Sequence[Result]]) -> dict[tuple[str, str], list[str]]:
    """Of each entry, what it had otherwise than most entries with a run of the same place and seed."""
    had: dict[Any, dict[tuple[str, str], str]] = {}
    for key, results in entries.items():
        for result in results:
            for name, value in conditions(result).items():
                if value is not None:
                    had.setdefault((name, place_of(result), result.seed), {})[key] = json.dumps(value)
    unlike: dict[tuple[str, str], dict[str, None]] = {key: {} for key in entries}
    for (name, _, _), values in had.items():
        (common, count), *others = Counter(values.values()).most_common()
        split = bool(others) and others[0][1] == count  # no value is the usual one
        for key, value in values.items():
            if split or value != common:
                unlike[key][name] = None
    return {key: list(names) for key, names in unlike.items()}


def _places(results: Iterable[Result]) -> dict[Place, set[int]]:
    """Seeds of the runs that did not fail, by place."""
    places: dict[Place, set[int]] = {}
    for result in results:
        if result.status == "ok":
            places.setdefault(place_of(result), set()).add(result.seed)
    return places


def _score(results: Sequence[Result], measure: Measure) -> Interval | None:
    scores = next(iter(collect(results, measure).values()), {})  # of the entry's one method
    strata, labels = strata_of(scores, scores)
    return aggregate(strata, same=labels) if strata else None


def _shown(board: Board) -> list[Measure]:
    return [MEASURES[name] for name in dict.fromkeys((board.by, *COLUMNS))]


def _html(boards: Sequence[Board]) -> str:
    tables = [(board, _shown(board)) for board in boards]
    return environment_of_pages().get_template("leaderboard.html.j2").render(tables=tables, measures=MEASURES)


def _markdown(boards: Sequence[Board]) -> str:
    parts = ["# Leaderboard", "Interquartile means with 95 % bootstrap intervals over runs within each place."]
    for board in boards:
        measures = _shown(board)
        heads = [
            "rank",
            "method",
            "from",
            "places",
            "seeds",
            "failed",
            *(m.label for m in measures),
            "unlike most in",
            "commit",
        ]
        parts.append(f"## {board.suite}, version {board.version}")
        parts.append(f"Ranked by {MEASURES[board.by].label} over {board.places} places.")
        rows = [heads, ["---"] * len(heads), *(_cells(entry, board, measures) for entry in board.entries)]
        parts.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return "\n\n".join(parts) + "\n"


def _cells(entry: Entry, board: Board, measures: Sequence[Measure]) -> list[str]:
    low, high = entry.seeds
    return [
        "-" if entry.rank is None else str(entry.rank),
        *(entry.method, _plain(entry.sender), f"{entry.places} of {board.places}"),
        *(str(low) if low == high else f"{low} to {high}", str(entry.failed)),
        *(_written(entry.scores[measure.name]) for measure in measures),
        ", ".join(entry.unlike) or "-",
        ", ".join(entry.commits),
    ]


def _written(found: Interval | None) -> str:
    return "-" if found is None else f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _plain(text: str) -> str:
    """Text that does not break a table or become markup."""
    return "".join(char if char.isalnum() or char in " .-+" else "\\" + char for char in " ".join(text.split()))
