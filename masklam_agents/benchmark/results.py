"""What one run of the benchmark leaves behind: the format of ``result.json``.

The dataclasses here are the format; docs/benchmark.md describes it for people, and
:mod:`masklam_agents.benchmark.result_files` reads and writes it.  Unknown and missing keys, wrong types, numbers that
are not finite, and values that contradict each other are refused.

>>> normalizers = Normalizers(expert=110.0, random=10.0)
>>> metrics = Metrics.of([30.0, 50.0], normalizers)
>>> metrics.return_mean, round(metrics.normalized_return, 3)
(40.0, 0.3)
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic import ConfigDict, Field, JsonValue, TypeAdapter
from pydantic.dataclasses import dataclass

SCHEMA = 1
PACKAGES = ("masklam", "gymnasium", "mujoco", "numpy", "torch")

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
Name = Annotated[str, Field(pattern=r"^[\w.+\-/: ]{1,100}$")]
Line = Annotated[str, Field(max_length=2_000)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0)]


def _scalar(value: Any) -> Any:
    """Pass what a suite may vary; one message instead of one for each type of a union."""
    fine = value is None or isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= 200)
    if not (fine or (isinstance(value, float) and math.isfinite(value))):
        raise ValueError("must be a finite number, a text of at most 200 characters, true, false or null")
    return value


Scalar = Annotated[Any, pydantic.BeforeValidator(_scalar)]
NonNegative = Annotated[float, Field(ge=0)]
AtMostOne = Annotated[float, Field(le=1)]


@dataclass(frozen=True, config=_STRICT)
class Probe:
    """A linear probe from latents, with the fields of :class:`~masklam_agents.common.probe.ProbeResult`.

    :param nmse: mean squared error over the variance of the training targets, which held-out ones may not share
    :param r2: on held-out samples, averaged over dimensions: 0 is as good as their mean
    :param mse: mean squared error, in squared units of the target
    :param per_dimension: NMSE of each dimension
    :param ridge: penalty
    :param r2_per_dimension: R2 of each dimension
    :param train_nmse: NMSE on the training samples
    :param train_r2: R2 on the training samples
    """

    nmse: NonNegative
    r2: AtMostOne
    mse: NonNegative
    per_dimension: tuple[NonNegative, ...]
    ridge: NonNegative
    r2_per_dimension: tuple[AtMostOne, ...]
    train_nmse: NonNegative
    train_r2: AtMostOne

    def __post_init__(self) -> None:
        if len(self.per_dimension) != len(self.r2_per_dimension) or not self.per_dimension:
            raise ValueError("per_dimension and r2_per_dimension need one number each for every dimension")

    @classmethod
    def of(cls, probe: Any) -> Probe:
        """The same numbers as a ``ProbeResult``."""
        return cls(**{name: getattr(probe, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, config=_STRICT)
class Normalizers:
    """Returns that stand for 1 and 0, means over episodes of the same task without distractor.

    :param expert: of the expert that recorded the data
    :param random: of uniformly random actions
    """

    expert: float
    random: float

    def __post_init__(self) -> None:
        if not self.expert > self.random:
            raise ValueError(f"expert must be above random, got {self.expert} and {self.random}")

    def normalize(self, value: float) -> float:
        """0 for random actions, 1 for the expert."""
        return (value - self.random) / (self.expert - self.random)


@dataclass(frozen=True, config=_STRICT)
class Metrics:
    """What a run reached; None where it was not measured or has no meaning (a policy without latents has no probe).

    :param action: probe to the executed action, on held-out episodes under training backgrounds
    :param action_unseen: the same under held-out backgrounds
    :param distractor: probe to the distractor's motion; low is good
    :param effective_rank: directions that held-out latents use
    :param returns: undiscounted return of every evaluation episode, in the order of the evaluation's seeds
    :param return_mean: their mean
    :param normalized_return: (return - random) / (expert - random), see :class:`Normalizers`
    :param more: further numbers by name, e.g. ``mask_iou``
    """

    action: Probe | None
    action_unseen: Probe | None
    distractor: Probe | None
    effective_rank: NonNegative | None
    returns: tuple[float, ...]
    return_mean: float | None
    normalized_return: float | None
    more: dict[Name, float]

    def __post_init__(self) -> None:
        mean = math.fsum(self.returns) / len(self.returns) if self.returns else None
        if not _agree(self.return_mean, mean):
            raise ValueError(f"return_mean is {self.return_mean}, the mean of returns is {mean}")

    @classmethod
    def of(
        cls,
        returns: Sequence[float] = (),
        normalizers: Normalizers | None = None,
        *,
        action: Any = None,
        action_unseen: Any = None,
        distractor: Any = None,
        effective_rank: float | None = None,
        more: Mapping[str, float] | None = None,
    ) -> Metrics:
        """From what the parts of this package measure.

        :param returns: of every episode
        :param normalizers: None leaves ``normalized_return`` out
        :param action: a ``ProbeResult`` or None; likewise ``action_unseen`` and ``distractor``
        :param effective_rank: as of :func:`~masklam_agents.common.probe.effective_rank`
        :param more: numbers by name
        """
        returns = tuple(float(value) for value in returns)
        mean = math.fsum(returns) / len(returns) if returns else None
        probes = (action, action_unseen, distractor)
        first, second, third = (None if probe is None else Probe.of(probe) for probe in probes)
        normalized = None if mean is None or normalizers is None else normalizers.normalize(mean)
        return cls(first, second, third, effective_rank, returns, mean, normalized, dict(more or {}))


@dataclass(frozen=True, config=_STRICT)
class Tuning:
    """What was spent on choosing hyperparameters for this method, before this run.

    :param grid: values tried of each hyperparameter; empty: nothing was tuned
    :param trials: runs that were trained for the choice
    :param chosen_by: the measurement that decided, and on what data, in words
    """

    grid: dict[Name, tuple[Scalar, ...]]
    trials: Count
    chosen_by: Line


@dataclass(frozen=True, config=_STRICT)
class Training:
    """What a method had for learning: the report holds these equal between methods of one comparison.

    :param network: name of the family, e.g. ``"small"``
    :param parameters: trainable numbers of all stages together; None when the run failed before
    :param updates: gradient steps of each stage, by name (``pretrain``, ``clone``, ``decode``)
    :param samples: transitions drawn by each stage
    :param learning_rate: peak of each stage
    :param labels: transitions with true actions that it might see
    :param label_subset: digest of their indices, the same for every method; None when the run failed before
    :param dataset: digest of the recorded physics, the same for every method; None when the run failed before
    :param tuning: of the hyperparameters
    :param precision: of the networks' forward passes where training ended, which an agent's ``"auto"`` leaves to the
        machine; None when the run failed before, and in results of before it was recorded
    """

    network: Name
    parameters: Count | None
    updates: dict[Name, Count]
    samples: dict[Name, Count]
    learning_rate: dict[Name, Rate]
    labels: Count
    label_subset: Name | None
    dataset: Name | None
    tuning: Tuning
    precision: Literal["bf16", "fp32"] | None = None


@dataclass(frozen=True, config=_STRICT)
class Evaluation:
    """What it was measured on.

    :param seeds: reset seed of every evaluation episode; no training episode has one of them
    :param split: of the backgrounds, ``"test"`` for held-out ones
    :param transitions: how many the probe was fitted on, and scored on; None without a probe
    """

    seeds: tuple[Count, ...]
    split: Literal["train", "test"]
    transitions: tuple[Count, Count] | None


@dataclass(frozen=True, config=_STRICT)
class Machine:
    """Where it ran, without its name.

    :param cpu: the processor's model
    :param cores: that the run could use
    :param accelerator: the model, or None for the CPU
    """

    cpu: Line
    cores: Annotated[int, Field(ge=1)]
    accelerator: Line | None = None


@dataclass(frozen=True, config=_STRICT)
class Result:
    """One run: one method with one seed in one place of a suite.

    Runs that differ in ``method`` and ``seed`` alone are compared with each other.

    :param suite: its name
    :param suite_version: of the suite's definition; numbers of two versions are never put together
    :param method: its name
    :param task: environment id
    :param distractor: preset's name in the suite
    :param seed: of data, weights and batches
    :param variables: what the suite varies besides, by name: ``labels``, ``latent_dim``, ``correlation``,
        ``mask_source``, ``mask_fault``, ``arm``
    :param status: ``"ok"``, or ``"failed"`` with ``error``
    :param error: the traceback's text; empty when ok
    :param metrics: None when failed
    :param normalizers: None where the task has no expert
    :param training: what it learned from
    :param evaluation: what it was measured on
    :param config: everything that the run depends on, as plain JSON
    :param config_hash: :func:`hash_config` of it, which names the run's folder
    :param command: the shell command that repeats this run
    :param versions: of Python and at least the packages :data:`PACKAGES`
    :param commit: 40 hexadecimal digits, with ``-dirty`` after uncommitted changes, or ``unknown``
    :param machine: where
    :param wall_seconds: of all training behind it, whichever run did it, resumed parts added up, and of measuring;
        recorded physics and frames, which all runs share, are left out
    :param cpu_seconds: of all its processes
    :param schema: version of this format
    """

    suite: Name
    suite_version: Name
    method: Name
    task: Name
    distractor: Name
    seed: Count
    variables: dict[Name, Scalar]
    status: Literal["ok", "failed"]
    error: Annotated[str, Field(max_length=100_000)]
    metrics: Metrics | None
    normalizers: Normalizers | None
    training: Training
    evaluation: Evaluation
    config: dict[str, JsonValue]
    config_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    command: Line
    versions: dict[Name, Name]
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}(-dirty)?|unknown)$")]
    machine: Machine
    wall_seconds: Seconds
    cpu_seconds: Seconds
    schema: Literal[1] = 1

    def __post_init__(self) -> None:
        for problem in _contradictions(self):
            raise ValueError(problem)


def hash_config(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of a configuration, whatever the order of its keys.

    :param config: plain JSON
    :raises ValueError: for numbers that are not finite
    """
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_json(result: Result) -> dict[str, Any]:
    """As plain dictionaries, lists and numbers."""
    found: dict[str, Any] = ADAPTER.dump_python(result, mode="json")
    return found


def _contradictions(result: Result) -> Iterator[str]:
    if (result.metrics is None) != (result.status == "failed"):
        yield "a run that is ok has metrics, a failed one has none (null)"
    if bool(result.error) != (result.status == "failed"):
        yield "a failed run says why in 'error', one that is ok has an empty one"
    if lacking := {"python", *PACKAGES} - set(result.versions):
        yield f"versions lacks {', '.join(sorted(lacking))}"
    if not _finite(result.config):
        yield "config holds a number that is not finite"
    elif result.config_hash != hash_config(result.config):
        computed = hash_config(result.config)
        yield f"config_hash is {result.config_hash}, the hash of config is {computed}: one was changed"
    if result.metrics is not None:
        yield from _contradictions_of_returns(result.metrics, result)


def _contradictions_of_returns(metrics: Metrics, result: Result) -> Iterator[str]:
    expected = None
    if metrics.return_mean is not None and result.normalizers is not None:
        expected = result.normalizers.normalize(metrics.return_mean)
    if not _agree(metrics.normalized_return, expected):
        yield f"normalized_return is {metrics.normalized_return}, from returns and normalizers it is {expected}"
    if len(metrics.returns) != len(result.evaluation.seeds):
        yield f"{len(metrics.returns)} returns of {len(result.evaluation.seeds)} evaluation seeds: one return a seed"


def _agree(given: float | None, computed: float | None) -> bool:
    if given is None or computed is None:
        return given is computed
    return math.isclose(given, computed, rel_tol=1e-6, abs_tol=1e-9)


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


#: checks and dumps results
ADAPTER: TypeAdapter[Result] = TypeAdapter(Result)
