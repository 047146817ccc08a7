"""What can be told of a suite before anything runs: names that nobody has, values out of range, too few data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from masklam_agents.methods import get_method
from masklam_envs.errors import unknown_name

if TYPE_CHECKING:
    from masklam_agents.benchmark.suite import Suite

#: what may be missing where a name is unknown
PLUGIN = "if it is a plugin's, name that: --plugin MODULE"


def check_suite(suite: Suite) -> None:
    """See that every name of a suite is known and every value of what it varies is possible.

    :raises ValueError: naming what was given and what is allowed
    """
    _check_something(suite)
    for method in (*suite.methods, *suite.method_options):
        check_method(method)
    for task in suite.tasks:
        check_task(task)
    for config in suite.distractors.values():
        check_distractor(config)
    check_policy(suite.data.policy)
    check_policy(suite.data.held_out_policy)
    for variable, values in suite.vary.items():
        if variable not in VALUES:
            raise ValueError(unknown_name("variable of vary", variable, VALUES))
        if isinstance(values, list) and any(isinstance(value, dict | list) for value in values):
            raise ValueError(f"vary.{variable}: results need a name for each setting, so write `name: setting` pairs")
        for value in values.values() if isinstance(values, dict) else values:
            try:
                VALUES[variable](value)
            except ValueError as error:
                raise ValueError(f"vary.{variable}: {error}") from None
    _check_enough_labels(suite)
    _check_tuning(suite)


def _check_something(suite: Suite) -> None:
    """A list without anything in it would silently be no run at all."""
    lists: dict[str, Any] = {name: getattr(suite, name) for name in ("tasks", "distractors", "methods")}
    lists |= {f"vary.{variable}": values for variable, values in suite.vary.items()}
    if suite.tuning is not None:
        lists |= {f"tuning.{name}": getattr(suite.tuning, name) for name in ("tasks", "distractors", "grid")}
        lists |= {f"tuning.grid.{name}": values for name, values in suite.tuning.grid.items()}
    for name, values in lists.items():
        if not values:
            raise ValueError(f"{name} is empty: name at least one")


def _check_tuning(suite: Suite) -> None:
    tuning = suite.tuning
    if tuning is None:
        return
    if tuning.seed < suite.seeds:
        raise ValueError(
            f"tuning.seed {tuning.seed} is one of the results' seeds 0 .. {suite.seeds - 1}: choose a larger one"
        )
    for task in tuning.tasks:
        check_task(task)
    for distractor in tuning.distractors:
        if distractor not in suite.distractors:
            raise ValueError(unknown_name("name in tuning.distractors", distractor, suite.distractors))


def check_method(method: str) -> None:
    """See that a method is known."""
    try:
        get_method(method)
    except ValueError as error:
        raise ValueError(f"{error}; {PLUGIN}") from None


def check_task(task: str) -> None:
    """See that an environment id is registered."""
    import gymnasium as gym

    import masklam_envs  # noqa: F401 - registers the ids

    try:
        gym.spec(task)
    except gym.error.Error as error:
        raise ValueError(f"task {task!r}: {error}; {PLUGIN}") from None


def check_distractor(config: Any) -> None:
    """See that the parts of a distractor are known."""
    from masklam_envs.distractors.presets import distractor_names

    parts = config if isinstance(config, list) else [config]
    for part in parts:
        name = part.get("name") if isinstance(part, dict) else part
        if name not in distractor_names():
            raise ValueError(f"{unknown_name('distractor', name, distractor_names())}; {PLUGIN}")


def check_policy(name: str) -> None:
    """See that recordings can be made by a policy of that name."""
    from masklam_envs.data.collect import POLICIES

    if name not in POLICIES:
        raise ValueError(unknown_name("policy", name, POLICIES))


def _check_mask_source(config: Any) -> None:
    from masklam_envs.masks.sources import NONE, SIMULATOR, source_config, source_names

    name = config.get("name") if isinstance(config, dict) else config
    known = (*source_names(), SIMULATOR, NONE)
    if isinstance(name, str) and name not in known:
        raise ValueError(f"{unknown_name('mask source', name, known)}; {PLUGIN}")
    source_config(config)


def _check_mask_fault(config: Any) -> None:
    from masklam_envs.masks.faults import make_faults

    make_faults(config)


def _check_count(value: Any) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"must be a whole number from 1 on, got {value!r}")


def _check_correlation(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"correlation must be a number in [0, 1], got {value!r}")


#: what a suite may vary, and what a value of it must be
VALUES: dict[str, Callable[[Any], None]] = {
    "labels": _check_count,
    "latent_dim": _check_count,
    "correlation": _check_correlation,
    "mask_source": _check_mask_source,
    "mask_fault": _check_mask_fault,
    "unseen": check_distractor,
}


def _check_enough_labels(suite: Suite) -> None:
    """More labels than transitions would silently be fewer."""
    varied = suite.vary.get("labels", [])
    budgets: Iterable[Any] = varied.values() if isinstance(varied, dict) else varied
    most = max([suite.training.labels, *budgets])
    if most > suite.data.steps:
        raise ValueError(
            f"{most:,} labels of data.steps {suite.data.steps:,} transitions: give more steps or fewer labels"
        )
