"""Which runs need no plugin: those where every name is this package's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from masklam_agents.methods import OURS
from masklam_envs.distractors.presets import is_registered_by_others
from masklam_envs.masks.sources import is_source_of_others
from masklam_envs.suites.catalog import suite_ids
from masklam_envs.tasks import TASKS


def is_ours(method: str, task: str, distractor: Any, other_distractor: Any, mask_source: Any) -> bool:
    """Whether a run is the same with and without plugins.

    :param distractor: configuration of the run's
    :param other_distractor: of the one it is measured under; None: the same
    :param mask_source: its configuration
    """
    foreign = (
        *map(is_registered_by_others, [*_names(distractor), *_names(other_distractor)]),
        *map(is_source_of_others, _names(mask_source)),
    )
    ids = {*TASKS, *(each.id for each in suite_ids())}
    return method in OURS and task in ids and not any(foreign)


def _names(config: Any) -> Iterator[str]:
    """Names in the configuration of a distractor or a mask source."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict):
        yield from _names(config.get("name"))
    elif isinstance(config, list | tuple):
        for part in config:
            yield from _names(part)
