"""What of a run needs plugins: where every name is this package's, nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from masklam_agents.methods import OURS
from masklam_envs.distractors.presets import is_registered_by_others
from masklam_envs.masks.sources import is_source_of_others
from masklam_envs.suites.catalog import suite_ids
from masklam_envs.tasks import TASKS


def of_others(method: str, task: str, distractor: Any, other_distractor: Any, mask_source: Any) -> list[str]:
    """Which of ``"method"``, ``"task"`` and ``"view"`` is others'; without any a run is the same without plugins.

    :param distractor: configuration of the run's
    :param other_distractor: of the one it is measured under; None: the same
    :param mask_source: its configuration
    """
    foreign = (
        *map(is_registered_by_others, [*_names(distractor), *_names(other_distractor)]),
        *map(is_source_of_others, _names(mask_source)),
    )
    ids = {*TASKS, *(each.id for each in suite_ids())}
    found = {"method": method not in OURS, "task": task not in ids, "view": any(foreign)}
    return [part for part, others in found.items() if others]


def _names(config: Any) -> Iterator[str]:
    """Names in the configuration of a distractor or a mask source."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict):
        yield from _names(config.get("name"))
    elif isinstance(config, list | tuple):
        for part in config:
            yield from _names(part)
