"""A method's arguments: what of them is configuration, that is recorded in agent files, and what help shows."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from masklam_envs.errors import unknown_name
from masklam_envs.plain import plain

#: constructor arguments that are not configuration: no agent file records them
NOT_CONFIGURATION = ("policy", "env", "dataset", "tensorboard_log", "verbose", "device", "_init_setup_model")
#: what an agent tells its policy, beside what is in its own configuration
OF_AGENTS = ("observation_space", "action_space", "image_size", "latent")
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
#: configuration of names and values, for which a constructor takes None as none
OPTIONAL_OPTIONS = ("bottleneck_options", "max_grad_norm", "schedules", "policy_kwargs")


def constructor_arguments(given: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """What a method's constructor hands to :class:`OfflineAlgorithm`, from all that it was given.

    :param given: ``locals()`` at the beginning of the constructor: its arguments by name
    :param changed: configuration that replaces arguments, or that no argument has
    """
    own = {name: given[name] for name in NOT_CONFIGURATION}
    left_out = ("self", "__class__", "_method", *NOT_CONFIGURATION)  # the second is there where ``super()`` is called
    config = {name: value for name, value in given.items() if name not in left_out} | changed
    for name in OPTIONAL_OPTIONS:
        if name in config:
            config[name] = _named(name, config[name])
    if config["seed"] is None:  # as in SB3: any; an agent file has to know which
        config["seed"] = int(np.random.SeedSequence().generate_state(1)[0])
    return own | {"config": {name: plain(value) for name, value in config.items()}}


def _named(option: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{option} must be a dictionary, {{name: value}}, or None, got {value!r}")
    return dict(value or {})


def check_names(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    """See that the names in an option of names and values are known.

    :raises ValueError: naming the first that is not
    """
    known = set(known)
    for name in sorted(set(given) - known):
        raise ValueError(unknown_name(f"name in {option}", name, known))


def whole_signature(cls: type) -> inspect.Signature:
    """Every argument of a class, also those that its constructor hands on to its bases as ``**kwargs``."""
    found: dict[str, inspect.Parameter] = {}
    for kind in cls.__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = list(inspect.signature(vars(kind)["__init__"]).parameters.values())[1:]
        for parameter in parameters:
            if not parameter.name.startswith("_") and parameter.kind not in VARIABLE:
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return inspect.Signature(sorted(found.values(), key=lambda parameter: parameter.kind))
