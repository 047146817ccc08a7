"""Distractors by name: the registry of parts, the presets, and :func:`make_distractor`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from masklam_envs.distractors.base import SPLITS, Context, Part
from masklam_envs.distractors.compose import Distractor
from masklam_envs.distractors.facts import SceneFacts
from masklam_envs.distractors.options import checked_integer, checked_seed
from masklam_envs.distractors.reference import ActionReference
from masklam_envs.distractors.trial import try_out
from masklam_envs.entry_points import entry_point_for, load
from masklam_envs.errors import unknown_name
from masklam_envs.plain import plain

Config = str | Mapping[str, Any] | list[Any] | tuple[Any, ...] | None

_PARTS: dict[str, str] = {
    "action": "masklam_envs.distractors.action:ActionPan",
    "camera": "masklam_envs.distractors.camera:Camera",
    "colour": "masklam_envs.distractors.colour:Colour",
    "flat": "masklam_envs.distractors.still:Flat",
    "ghost": "masklam_envs.distractors.ghost:GhostRobot",
    "light": "masklam_envs.distractors.light:Light",
    "occluders": "masklam_envs.distractors.occluders:Occluders",
    "state": "masklam_envs.distractors.action:StatePan",
    "still": "masklam_envs.distractors.still:Still",
    "video": "masklam_envs.distractors.video:BouncingVideo",
}


#: options that every part takes beside its own: the seed of its random numbers in every episode, and which clips it
#: may show; None: the episode's seed, the environment's split
OF_EVERY_PART = ("seed", "split")


def _dcs(scale: float, videos: int) -> list[dict[str, Any]]:
    """The Distracting Control Suite, everything moving, at a scale and with so many of the split's videos."""
    background = {"name": "video", "videos": videos, "ground_alpha": "task"}
    if not scale:
        return [background]
    return [background, {"name": "camera", "scale": scale}, {"name": "colour", "scale": scale}]


#: a preset is a list of part configurations
PRESETS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "action-0.3": [{"name": "action", "correlation": 0.3}],
    "action-0.6": [{"name": "action", "correlation": 0.6}],
    "action-0.9": [{"name": "action", "correlation": 0.9}],
    "action-1.0": [{"name": "action", "correlation": 1.0}],
    # Stone et al. 2021, https://arxiv.org/abs/2101.02722, figure 2: scale and number of videos.
    "dcs-easy": _dcs(0.1, 4),
    "dcs-medium": _dcs(0.2, 8),
    "dcs-hard": _dcs(0.3, 60),
    # MaskLAM's two, https://arxiv.org/abs/2602.02259: background only, and the suite at 0.1 with all videos.
    "dcs-low": _dcs(0.0, 60),
    "distractor-low": _dcs(0.0, 60),
    "distractor-hard": _dcs(0.1, 60),
    "everything": [
        {"name": "video", "ground_alpha": 0.3},
        {"name": "action"},
        {"name": "state", "motion": "rotation", "gain": 0.5},
        {"name": "camera"},
        {"name": "colour"},
        {"name": "light"},
        {"name": "ghost", "lag": 4},
        {"name": "occluders"},
    ],
}


def distractor_names() -> list[str]:
    """All names that a configuration may use: parts and presets, sorted."""
    return sorted([*_PARTS, *PRESETS])


def is_registered_by_others(name: str) -> bool:
    """Whether a part of that name is not this package's."""
    return name in distractors_of_others()


def distractors_of_others() -> dict[str, str]:
    """Entry points by name of the parts that are not this package's."""
    return {name: text for name, text in _PARTS.items() if not text.startswith("masklam_envs.")}


def register_distractor(name: str, entry_point: str | type[Part]) -> None:
    """Make a :class:`~masklam_envs.distractors.base.Part` available by name.

    The same name with the same entry point once more changes nothing.

    :param name: what configurations call it
    :param entry_point: ``"module:Class"``, imported when the name is first used, or a class at the top of a module,
        which stands for that text
    :raises ValueError: when the name is taken or the entry point has another form
    """
    text = entry_point_for("distractor", name, entry_point)
    if name in PRESETS or _PARTS.get(name, text) != text:
        known = "a preset" if name in PRESETS else repr(_PARTS[name])
        raise ValueError(f"a distractor named {name!r} is registered already, as {known}; choose another name")
    _PARTS[name] = text


def make_distractor(
    config: Config,
    *,
    split: str = "train",
    correlation: float | None = None,
    action_reference: ActionReference,
    image_size: int,
    scene: SceneFacts | None = None,
) -> Distractor:
    """Make a distractor of its JSON-able configuration.

    :param config: a name, ``{"name": ..., option: value}``, a list of these (composed in order), or None for ``none``;
        for the options see the classes of the parts; all of them take ``seed`` (whole number, None: the episode's) and
        ``split`` (None: ``split`` below) too
    :param split: "train", "test", or a part of "train", "fit" or "validation": which clips may be shown
    :param correlation: sets the option of that name, in [0, 1], of every part that takes it
    :param action_reference: statistics of the actions that correlations refer to
    :param image_size: side of the square image in pixels, at least 1
    :param scene: facts of the model, which ``camera``, ``colour``, ``ghost`` and ``state`` cannot do without
    :raises ValueError: for an unknown name or option, a number out of range, a ``correlation`` that no part takes or
        that contradicts the configuration; for a part of others that does not do in a trial what it has to, see
        :mod:`masklam_envs.distractors.trial`
    :raises TypeError: when a configuration is of another type

    >>> reference = ActionReference.uniform([-1, -1], [1, 1])
    >>> make_distractor({"name": "video", "speed": 0.5}, action_reference=reference, image_size=64).config
    [{'name': 'video', 'footage': 'procedural', 'speed': 0.5, 'videos': None, 'ground_alpha': None, 'opacity': 1.0}]
    """
    _check_split(split)
    size = checked_integer("distractor", "image_size", image_size, 1, 2**14)
    context = Context(split, action_reference, size, scene)
    expanded = _expanded(config)
    wanted = [(part, _part_class(part["name"])) for part, _ in expanded]
    if correlation is not None:
        _set_correlation(wanted, correlation)
    contexts = [dataclasses.replace(context, of_preset=of_preset) for _, of_preset in expanded]
    return Distractor([_made(part, cls, own) for (part, cls), own in zip(wanted, contexts, strict=True)], context)


def _expanded(config: Config) -> list[tuple[dict[str, Any], frozenset[str]]]:
    """The configuration as ``{"name": <a part>, option: value}``, each with those options that are a preset's."""
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
    if not isinstance(config["name"], str):
        raise ValueError(
            f"the name of a distractor is one text, got {config['name']!r}; a list composes several: ['video', 'ghost']"
        )
    name, options = config["name"], {key: plain(value) for key, value in config.items() if key != "name"}
    if name not in PRESETS:
        return [({"name": name, **options}, frozenset())]
    if options and not PRESETS[name]:
        raise ValueError(f"distractor {name!r} takes no option, got {sorted(options)}")
    return _with_options(name, options)


def _with_options(preset: str, options: dict[str, Any]) -> list[tuple[dict[str, Any], frozenset[str]]]:
    """A preset's parts, each with those of the options that it takes, and which of its own stay."""
    parts = PRESETS[preset]
    taken = [{*_options(_part_class(part["name"])), *OF_EVERY_PART} for part in parts]
    known = {option for options_of in taken for option in options_of}
    for option in options.keys() - known:
        raise ValueError(unknown_name(f"option of distractor {preset!r}", option, known))
    return [
        (
            {**part, **{option: value for option, value in options.items() if option in options_of}},
            frozenset(part.keys() - options.keys()),
        )
        for part, options_of in zip(parts, taken, strict=True)
    ]


def _part_class(name: Any) -> type[Part]:
    if not isinstance(name, str) or name not in _PARTS:
        raise ValueError(unknown_name("distractor", name, distractor_names()))
    found = load(f"distractor {name!r}", _PARTS[name])
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
    name, own = config["name"], _options(cls)
    known = {*own, *OF_EVERY_PART}
    for option in config.keys() - {"name"} - known:
        raise ValueError(unknown_name(f"option of distractor {name!r}", option, known))
    options = {option: config.get(option, default) for option, default in own.items()}
    common = {key: config[key] for key in OF_EVERY_PART if key not in own and config.get(key) is not None}
    if "split" in common:
        context = dataclasses.replace(context, split=_check_split(common["split"]))
    part = cls(context, **options)
    if is_registered_by_others(name):
        try_out(name, part, options, own)
    if "seed" in common:
        part.seed = checked_seed(name, common["seed"])
    return {"name": name, **options, **common}, part


def _check_split(split: Any) -> str:
    if split not in SPLITS:
        raise ValueError(unknown_name("split", split, SPLITS))
    return str(split)
