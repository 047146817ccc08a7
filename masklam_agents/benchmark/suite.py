"""Suites: what a benchmark compares, as a readable YAML file.

>>> suite = load_suite("quick")
>>> suite.tasks, suite.methods
(('MaskCheetah-v0',), ('lapo', 'masklam-fixed'))

The dataclasses here are the format.  Reading is strict: an unknown key or name is an error with the close match, a key
that stands twice is one too.
"""

from __future__ import annotations

import dataclasses
import json
import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import pydantic
import yaml
from pydantic import ConfigDict, Field, JsonValue, TypeAdapter
from pydantic.dataclasses import dataclass

from masklam_agents.benchmark.suite_checks import check_suite
from masklam_envs.errors import unknown_name

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
Name = Annotated[str, Field(pattern=r"^[\w.+\-/: ]{1,100}$")]
Positive = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Stage = Literal["segment", "pretrain", "clone", "decode"]
#: what a suite may vary, and where in a run's configuration each goes; docs/benchmark.md says what the values are
VARIABLES: dict[str, tuple[str, str]] = {
    "labels": ("training", "labels"),
    "latent_dim": ("training", "latent_dim"),
    "correlation": ("view", "correlation"),
    "mask_source": ("view", "mask_source"),
    "mask_fault": ("view", "mask_faults"),
    "unseen": ("evaluation", "distractor"),
}


class SuiteError(ValueError):
    """A suite file cannot be used."""


@dataclass(frozen=True, config=_STRICT)
class Data:
    """What is recorded for every task and seed, once for all methods.

    :param steps: training transitions: whole episodes until there are so many
    :param policy: that acts in the training episodes, see :func:`masklam_envs.collect`
    :param noise: as there
    :param held_out_steps: transitions that probes are scored on
    :param held_out_policy: that acts in the held-out episodes; under ``reference`` a correlation is what was set
    :param max_steps: cut every episode after so many steps
    """

    steps: Positive
    policy: str = "mixed"
    noise: float | None = None
    held_out_steps: Positive = 5_000
    held_out_policy: str = "reference"
    max_steps: Positive | None = None


@dataclass(frozen=True, config=_STRICT)
class Training:
    """What every method gets alike.

    :param samples: transitions drawn by each stage, for the methods that have it
    :param learning_rate: peak of each stage
    :param network: family of networks
    :param image_size: side of the frames, pixels
    :param batch_size: samples of an update
    :param labels: transitions with true actions
    :param latent_dim: size of latents
    :param options: further keyword arguments of the methods, each for those that take it
    """

    samples: dict[Stage, Positive]
    learning_rate: dict[Stage, Rate]
    network: str = "small"
    image_size: Positive = 64
    batch_size: Positive = 64
    labels: Positive = 4_096
    latent_dim: Positive = 128
    options: dict[str, JsonValue] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, config=_STRICT)
class Evaluation:
    """How every agent is measured.

    :param episodes: behind each return
    :param seed: of the first episode's reset; the others' follow
    :param split: backgrounds of these episodes: held-out ones, unless hyperparameters are being chosen
    :param max_steps: cut episodes after so many steps
    :param transitions: at most so many fit a probe, and at most so many score it
    :param distractor: of the measurements; None: that of training
    """

    episodes: Positive = 10
    seed: Seed = 1_000_000
    split: Literal["train", "test"] = "test"
    max_steps: Positive | None = None
    transitions: Annotated[int, Field(ge=20)] = 5_000
    distractor: JsonValue = None


@dataclass(frozen=True, config=_STRICT)
class Tuning:
    """How hyperparameters are chosen: the same grid for every method, on a seed that is in no result.

    :param grid: values of ``learning_rate`` (of a method's first stage) and ``latent_dim``
    :param tasks: that the choice is made on
    :param distractors: likewise
    :param seed: of data, weights and batches
    :param by: ``"nmse"`` of the probe under training backgrounds (return, where a method has no latent) or ``"return"``
    """

    grid: dict[Literal["learning_rate", "latent_dim"], tuple[Rate | Positive, ...]]
    tasks: tuple[str, ...]
    distractors: tuple[str, ...]
    seed: Seed = 1_000
    by: Literal["nmse", "return"] = "nmse"


@dataclass(frozen=True, config=_STRICT)
class Suite:
    """A comparison: every method on every task, distractor, setting and seed.

    :param name: of the suite
    :param version: of this definition; numbers of two versions are never put together
    :param summary: one sentence
    :param tasks: environment ids
    :param distractors: names, or a name and what it stands for
    :param methods: names of :data:`masklam_agents.methods.METHODS`
    :param seeds: how many, from 0
    :param data: see :class:`Data`
    :param training: see :class:`Training`
    :param evaluation: see :class:`Evaluation`
    :param vary: :data:`VARIABLES` by their values: a list, or a name and a setting each
    :param method_options: keyword arguments of single methods
    :param may_differ: options that methods may have unlike each other, and why
    :param tuning: how hyperparameters are chosen
    :param tuned: YAML file beside this one that holds what was chosen
    """

    name: Name
    version: Name
    summary: str
    tasks: tuple[str, ...]
    distractors: dict[Name, JsonValue]
    methods: tuple[str, ...]
    data: Data
    training: Training
    evaluation: Evaluation = dataclasses.field(default_factory=Evaluation)
    seeds: Positive = 5
    vary: dict[str, list[JsonValue] | dict[Name, JsonValue]] = dataclasses.field(default_factory=dict)
    method_options: dict[str, dict[str, JsonValue]] = dataclasses.field(default_factory=dict)
    may_differ: dict[str, str] = dataclasses.field(default_factory=dict)
    tuning: Tuning | None = None
    tuned: str | None = None

    def __post_init__(self) -> None:
        check_suite(self)

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries, lists and numbers."""
        found: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return found


def suite_names() -> list[str]:
    """The names of the suites in the package."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


def load_suite(name: str | os.PathLike[str]) -> Suite:
    """Read a suite.

    :param name: of a suite in the package, or a ``.yaml`` file
    :raises SuiteError: naming the file, what is wrong and the close match
    """
    given = os.fspath(name)
    if not given.endswith((".yaml", ".yml")):
        if given not in suite_names():
            raise SuiteError(f"{unknown_name('suite', given, suite_names())}; or give a .yaml file")
        return parse_suite((_folder() / f"{given}.yaml").read_text("utf-8"), f"suite {given}")
    try:
        return parse_suite(Path(given).read_text("utf-8"), given)
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise SuiteError(
            f"{given}: cannot be read as text ({error}); suites here: {', '.join(suite_names())}"
        ) from error


def parse_suite(text: str, where: str) -> Suite:
    """Read a suite from YAML.

    :param where: what an error names
    :raises SuiteError: when it is none
    """
    document = read_yaml(text, where)
    if isinstance(document, dict) and isinstance(document.get("distractors"), list):
        document["distractors"] = {str(each): each for each in document["distractors"]}
    return validated(document, Suite, _ADAPTER, where)


def validated(document: Any, cls: Any, adapter: TypeAdapter[Any], where: str) -> Any:
    """A document as a dataclass, read strictly.

    :raises SuiteError: naming the place, what was given and what is allowed
    """
    if not isinstance(document, dict):
        raise SuiteError(f"{where}: must be keys and values, got {type(document).__name__}")
    _check_keys(document, cls, where, "")
    try:
        return adapter.validate_json(json.dumps(document))
    except TypeError as error:  # a date, a set: YAML knows more than JSON
        raise SuiteError(f"{where}: holds what is no text, number, list or table ({error})") from error
    except pydantic.ValidationError as error:
        told = [_told(problem) for problem in error.errors(include_url=False)[:5]]
        raise SuiteError(f"{where}: {'; '.join(told)}") from None


def read_yaml(text: str, where: str) -> Any:
    """Plain values of a YAML text; nothing of it is run, and a key may stand once.

    :raises SuiteError: when it is no YAML
    """
    try:
        return yaml.load(text, _OnceLoader)  # a safe loader
    except yaml.YAMLError as error:
        raise SuiteError(f"{where}: no YAML ({' '.join(str(error).split())})") from error


class _OnceLoader(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _check_keys(document: dict[Any, Any], cls: Any, where: str, path: str) -> None:
    known = get_type_hints(cls)
    for key, value in document.items():
        if key not in known:
            section = f"key of {path}" if path else "key"
            raise SuiteError(f"{where}: {unknown_name(section, key, known)}")
        inner = next((kind for kind in _SECTIONS if kind in (known[key], *getattr(known[key], "__args__", ()))), None)
        if inner is not None and isinstance(value, dict):
            _check_keys(value, inner, where, key)


def _told(problem: Any) -> str:
    place = ".".join(str(step) for step in problem["loc"]) or "the whole"
    if problem["type"] == "missing":
        return f"{place} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
    hint = "; YAML reads 1e-3 as text, write 0.001" if problem["type"] == "float_type" else ""
    return f"{place}: {message}{given}{hint}" if place != "the whole" else message


def _folder() -> Any:
    return resources.files(__package__) / "suites"


_SECTIONS = (Data, Training, Evaluation, Tuning)
_ADAPTER: TypeAdapter[Suite] = TypeAdapter(Suite)
