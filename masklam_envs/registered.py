"""What names of others mean, for a process that has not imported what registers them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from masklam_envs.distractors.presets import distractors_of_others, register_distractor
from masklam_envs.masks.sources import register_mask_source, sources_of_others


class Registered(NamedTuple):
    """Registrations that go to another process by pickle: a spawned one knows this package's and Gymnasium's alone."""

    specs: tuple[EnvSpec, ...]
    distractors: dict[str, str]
    mask_sources: dict[str, str]

    @classmethod
    def here(cls, ids: Iterable[str | None]) -> Registered:
        """All distractors and mask sources of others that this process knows, and what these ids stand for.

        :param ids: of environments; None, ``"module:Id"`` and unknown ones are left out
        """
        specs = [gym.registry[name] for name in dict.fromkeys(ids) if name in gym.registry]
        return cls(tuple(specs), distractors_of_others(), sources_of_others())

    def register(self) -> None:
        """Register here what is not yet."""
        for spec in self.specs:
            _register(spec)
        for name, entry_point in self.distractors.items():
            register_distractor(name, entry_point)
        for name, entry_point in self.mask_sources.items():
            register_mask_source(name, entry_point)


def _register(spec: EnvSpec) -> None:
    if spec.id not in gym.registry and isinstance(spec.entry_point, str):
        importlib.import_module(spec.entry_point.partition(":")[0])  # which often registers it itself
    gym.registry.setdefault(spec.id, spec)
