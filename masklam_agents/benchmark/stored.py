"""Results that a folder holds already, held against the suite and the plugins as they are now.

Every result is planned again from its place.  What comes out as it was counts on; a result of code that was edited is
outdated; one of another definition of the suite is an error, since no report could put it beside new ones.
"""

from __future__ import annotations

import collections
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from masklam_agents.benchmark.files import read_json, write_text
from masklam_agents.benchmark.plan import Run, make_run, settings_of
from masklam_agents.benchmark.result_files import FILE, OUTDATED
from masklam_agents.benchmark.runner import FolderError
from masklam_agents.benchmark.suite import Suite
from masklam_agents.benchmark.tuned import Tuned
from masklam_agents.methods import METHODS

#: of a configuration, what is said of plugins
PLUGINS = ("plugins", "plugins_for", "plugin_code")
PLACE = ("method", "task", "distractor", "seed", "variables")


def check_stored(
    suite: Suite, runs: Iterable[Run], out: Path, tuned: Tuned | None = None, plugins: Sequence[str] = ()
) -> list[str]:
    """Mark results of code that was edited, so that reports leave them out, and take the mark off where it was undone.

    :param suite: as it is now; so are ``tuned`` and ``plugins``
    :param runs: that are wanted: another result in the place of one of them is replaced by it
    :param out: folder of the benchmark
    :return: what is outdated, in words
    :raises FolderError: when there are results of another definition of the suite
    """
    wanted = {_place(run.config) for run in runs}
    unlike, marks = [], {}
    for folder, config, failed in _results(out):
        now = _planned_again(config, suite, tuned, plugins)
        if now is None:
            continue
        if now == config:
            (folder / OUTDATED).unlink(missing_ok=True)
        elif _without_plugins(now) == _without_plugins(config):
            if (told := _edited(config, now)) or _place(config) in wanted:
                marks[folder] = told or "made with other plugins"
        elif failed:
            marks[folder] = "failed under another definition of the suite"
        elif not (folder / OUTDATED).exists():
            unlike.append((folder, config, _difference(config, now)))
    if unlike:
        raise FolderError(_told(suite, out, unlike))
    for folder, why in marks.items():
        write_text(folder / OUTDATED, f"{why}\n")
    return _outdated(out)


def _results(out: Path) -> Iterator[tuple[Path, dict[str, Any], bool]]:
    """Folders of results, their configurations, and whether they failed; damaged ones are told when they are wanted."""
    for path in sorted((out / "runs").glob(f"*/{FILE}")):
        try:
            stored = read_json(path)
            yield path.parent, stored["config"], stored["status"] == "failed"
        except (KeyError, TypeError, ValueError):
            continue


def _planned_again(
    config: Mapping[str, Any], suite: Suite, tuned: Tuned | None, plugins: Sequence[str]
) -> dict[str, Any] | None:
    """The configuration that the suite has now in the place of a stored one; None where it has no such place.

    That is also where a method needs a plugin that is not named this time.
    """
    named = [({variable: name for variable, (name, _) in each.items()}, each) for each in settings_of(suite)]
    settings = [each for names, each in named if names == config["variables"]]
    method, task, distractor = (config[name] for name in ("method", "task", "distractor"))
    if not settings or method not in METHODS or task not in suite.tasks or distractor not in suite.distractors:
        return None
    try:
        run = make_run(suite, method, task, distractor, config["seed"], settings[0], tuned, plugins)
    except ValueError:  # e.g. of a method that the suite has no stage for any more
        return None
    plain: dict[str, Any] = json.loads(json.dumps(run.config))  # tuples are lists, as in the stored one
    return plain


def _place(config: Mapping[str, Any]) -> str:
    return json.dumps([config[name] for name in PLACE], sort_keys=True)


def _without_plugins(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in PLUGINS}


def _edited(config: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which code is not what it was, in words; empty where all that both know is the same."""
    then, code = config.get("plugin_code", {}), now.get("plugin_code", {})
    if code and "plugin_code" not in config:
        return "made before the code of plugins was recorded"
    both = sorted(code.keys() & then.keys())
    edited = [f"{name} ({then[name]}, now {code[name]})" for name in both if then[name] != code[name]]
    return f"made with other code of {', '.join(edited)}" if edited else ""


def _difference(then: Any, now: Any, path: str = "") -> str:
    """The first value in which two configurations differ."""
    if isinstance(then, dict) and isinstance(now, dict):
        name = next(name for name in sorted({*then, *now}) if then.get(name) != now.get(name))
        return _difference(then.get(name), now.get(name), f"{path}.{name}" if path else name)
    return f"{path} was {json.dumps(then)} and is {json.dumps(now)}"


def _told(suite: Suite, out: Path, unlike: list[tuple[Path, dict[str, Any], str]]) -> str:
    folder, config, difference = unlike[0]
    runs = " ".join(shlex.quote(str(path)) for path, *_ in unlike[:5])
    remove = f"remove them (rm -r {runs})" if len(unlike) <= 5 else f"remove {out}"
    return (
        f"{out} holds {len(unlike)} results of another definition of {suite.name} {suite.version}, such as "
        f"{folder.name}, {Run(config).label}: {difference}. Give another --out (and a suite that you changed a new "
        f"version), or {remove}"
    )


def _outdated(out: Path) -> list[str]:
    """Outdated results, by reason."""
    marks = sorted((out / "runs").glob(f"*/{OUTDATED}"))
    reasons = collections.Counter(path.read_text("utf-8").strip() for path in marks)
    lines = [f"outdated: {count} results {why}" for why, count in reasons.items()]
    remove = f"rm -r $(dirname {shlex.quote(str(out / 'runs'))}/*/{OUTDATED})"
    return [*lines, f"they stay beside the new ones and reports leave them out; {remove} removes them"] if lines else []
