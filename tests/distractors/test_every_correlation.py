"""In every task, under every registered distractor that takes one, the set correlation is the measured one."""

import functools

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import collect, measure_correlation
from masklam_envs.correlation import correlation_of
from masklam_envs.distractors import distractor_names
from masklam_envs.measure import motion_of
from masklam_envs.tasks import TASKS

STEPS = 20_000
TOLERANCE = 0.03  # what docs/distractors.md says of so many steps
OTHER = 0.6  # what is set where the name itself sets nothing


def parts(name):
    """The configuration that a name stands for."""
    return gym.make("MaskSwimmer-v0", distractor=name).unwrapped.view.distractor.config


CORRELATED = [name for name in distractor_names() if any("correlation" in part for part in parts(name))]


@functools.cache
def episodes(env_id, steps):
    """Whole episodes of the reference policy, as ``measure_correlation`` records them: whatever the distractor."""
    env, recorded, count = gym.make(env_id, distractor="none"), [], 0
    while count < steps:
        recorded.append(collect(env, 1, seed=len(recorded)))
        count += len(recorded[-1])
    return recorded


def measured(env_id, steps, **kwargs):
    env = gym.make(env_id, **kwargs)
    pairs = [motion_of(episode, env) for episode in episodes(env_id, steps)]
    return correlation_of(*(np.concatenate(column) for column in zip(*pairs, strict=True)))


def test_the_names_are_those_of_the_page():
    assert CORRELATED == ["action", "action-0.3", "action-0.6", "action-0.9", "action-1.0", "everything", "state"]


@pytest.mark.slow
@pytest.mark.parametrize("env_id", TASKS)
@pytest.mark.parametrize("name", CORRELATED)
def test_the_set_correlation_is_measured(env_id, name):
    preset = float(name.removeprefix("action-")) if name.startswith("action-") else None
    found = measured(env_id, STEPS, distractor=name, correlation=OTHER if preset is None else None)
    assert found.multiple_correlation == pytest.approx(preset or OTHER, abs=TOLERANCE)


@pytest.mark.parametrize("env_id", ["MaskSwimmer-v0", "MaskInvertedPendulum-v0"])  # one long episode, many short ones
def test_the_same_rollouts_are_measured_by_measure_correlation(env_id):
    env = gym.make(env_id, distractor="action-0.9")
    assert measure_correlation(env, steps=1_500) == measured(env_id, 1_500, distractor="action-0.9")
