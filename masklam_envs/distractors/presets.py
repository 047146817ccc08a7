"""Distractors by name: the registry of parts, the presets, and :func:`make_distractor`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from masklam_envs.distractors.base import SPLITS, Context, Part
from masklam_envs.distractors.compose import Distractor
from masklam_envs.distractors.options import checked_integer
from masklam_envs.distractors.reference import ActionReference
from masklam_envs.errors import unknown_name

Config = str | Mapping[str, Any] | list[Any] | tuple[Any, ...] | None

_PARTS: dict[str, str] = {
    "action": "masklam_envs.distractors.action:ActionPan",
    "video": "masklam_envs.distractors.video:BouncingVideo",
}

#: a preset is a list of part configurations
PRESETS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "action-0.3": [{"name": "action", "correlation": 0.3}],
    "action-0.6": [{"name": "action", "correlation": 0.6}],
    "action-0.9": [{"name": "action", "correlation": 0.9}],
    "action-1.0": [{"name": "action", "correlation": 1.0}],
}


def distractor_names() -> list[str]:
    """All names that a configuration may use: parts and presets, sorted."""
    return sorted([*_PARTS, *PRESETS])


def register_distractor(name: str, entry_point: str) -> None:
    """Make a :class:`~masklam_envs.distractors.base.Part` available by name.

    :param name: what configurations call it
    :param entry_point: ``"module:Class"``, imported when the name is first used
    :raises ValueError: when the name is taken or the entry point has another form
    """
    if name in _PARTS or name in PRESETS:
        raise ValueError(f"a distractor named {name!r} is registered already; choose another name")
    module, _, attribute = entry_point.partition(":")
    if not (name and module and attribute):
        raise ValueError(f"entry point {entry_point!r} of distractor {name!r} must be 'module:Class'")
    _PARTS[name] = entry_point


def make_distractor(
    config: Config,
    *,
    split: str = "train",
    correlation: float | None = None,
    action_reference: ActionReference,
    image_size: int,
) -> Distractor:
    """Make a distractor of its JSON-able configuration.

    :param config: a name, ``{"name": ..., option: value}``, a list of these (composed in order), or None for ``none``;
        for the options see the classes of the parts
    :param split: "train" or "test": which clips may be shown
    :param correlation: sets the option of that name, in [0, 1], of every part that takes it
    :param action_reference: statistics of the actions that correlations refer to
    :param image_size: side of the square image in pixels, at least 1
    :raises ValueError: for an unknown name or option, a number out of range, a ``correlation`` that no part takes or
        that contradicts the configuration
    :raises TypeError: when a configuration is of another type

    >>> reference = ActionReference.uniform([-1, -1], [1, 1])
    >>> make_distractor("action", correlation=0.5, action_reference=reference, image_size=64).config
    [{'name': 'action', 'correlation': 0.5, 'rank': None, 'gain': 2.0, 'lag': 0, 'footage': None, 'ground_alpha': None}]
    """
    if split not in SPLITS:
        raise ValueError(unknown_name("split", split, SPLITS))
    context = Context(split, action_reference, checked_integer("distractor", "image_size", image_size, 1, 2**14))
    wanted = [(part, _part_class(part["name"])) for part in _expanded(config)]
    if correlation is not None:
        _set_correlation(wanted, correlation)
    return Distractor([_made(part, cls, context) for part, cls in wanted], context)


def _expanded(config: Config) -> list[dict[str, Any]]:
    """The configuration as a list of ``{"name": <a part>, option: value}``."""
    if config is None:
        return []
    if isinstance(config, (list, tuple)):
        return [part for entry in config for part in _expanded(entry)]
    if isinstance(config, str):
        config = {"name": config}
    if not isinstance(config, Mapping):
        raise TypeError(f"a distractor is a name, a dict with a 'name', or a list of these, got {config!r}")
    if "name" not in config:
        raise ValueError(f"the distractor {dict(config)!r} has no 'name'; known: {', '.join(distractor_names())}")
    name, options = config["name"], {key: value for key, value in config.items() if key != "name"}
    if name not in PRESETS:
        return [{"name": name, **options}]
    if options and not PRESETS[name]:
        raise ValueError(f"distractor {name!r} takes no option, got {sorted(options)}")
    return [{**part, **options} for part in PRESETS[name]]


def _part_class(name: Any) -> type[Part]:
    if not isinstance(name, str) or name not in _PARTS:
        raise ValueError(unknown_name("distractor", name, distractor_names()))
    module, _, attribute = _PARTS[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if not (isinstance(found, type) and issubclass(found, Part)):
        raise TypeError(f"distractor {name!r} ({_PARTS[name]}) must be a subclass of masklam_envs.distractors.Part")
    return found


def _options(cls: type[Part]) -> dict[str, Any]:
    """The options of a part with their defaults: the keyword-only parameters of its constructor."""
    parameters = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _set_correlation(wanted: list[tuple[dict[str, Any], type[Part]]], correlation: float) -> None:
    takers = [part for part, cls in wanted if "correlation" in _options(cls)]
    if not takers:
        names = [part["name"] for part, _ in wanted] or ["none"]
        raise ValueError(
            f"correlation={correlation!r} is given, but no part of {names} takes it; use distractor='action' or leave "
            "correlation out"
        )
    for part in takers:
        if "correlation" in part and part["correlation"] != correlation:
            raise ValueError(f"correlation={correlation!r} contradicts the configuration {part!r}; give one of the two")
        part["correlation"] = correlation


def _made(config: dict[str, Any], cls: type[Part], context: Context) -> tuple[dict[str, Any], Part]:
    known = _options(cls)
    for option in config.keys() - {"name"} - known.keys():
        raise ValueError(unknown_name(f"option of distractor {config['name']!r}", option, known))
    options = {option: config.get(option, default) for option, default in known.items()}
    return {"name": config["name"], **options}, cls(context, **options)
