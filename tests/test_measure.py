"""The correlation that is set is the correlation that is measured."""

import functools

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import collect, make_masked, measure_correlation
from masklam_envs.correlation import correlation_of
from masklam_envs.measure import motion_of

RHOS = [0.0, 0.3, 0.6, 0.9, 1.0]
EPISODES = {"MaskHopper-v0": 450, "MaskCheetah-v0": 10}  # about 10,000 steps each
every_env = pytest.mark.parametrize("env_id", EPISODES)


@functools.cache
def recorded(env_id):
    return collect(env_id, EPISODES[env_id])


@every_env
@pytest.mark.parametrize("rho", RHOS)
def test_rollouts_of_the_reference_policy_show_the_set_correlation(env_id, rho):
    found = correlation_of(*motion_of(recorded(env_id), gym.make(env_id, correlation=rho)))
    assert found.multiple_correlation == pytest.approx(rho, abs=0.03)
    assert found.r2 == pytest.approx(rho**2, abs=0.05)


@pytest.mark.slow
@every_env
@pytest.mark.parametrize("rho", RHOS)
def test_measure_correlation_reads_the_knob_back(env_id, rho):
    found = measure_correlation(gym.make(env_id, correlation=rho))
    assert found.samples >= 20_000
    assert found.multiple_correlation == pytest.approx(rho, abs=0.03)


def test_measure_correlation_takes_an_id():
    assert measure_correlation("MaskHopper-v0", steps=1500).multiple_correlation == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("preset", ["none", "video"])
def test_what_knows_nothing_of_the_action_measures_zero(preset):
    env = gym.make("MaskHopper-v0", distractor=preset)
    assert measure_correlation(env, steps=1500).multiple_correlation == pytest.approx(0, abs=0.05)


def test_measuring_twice_gives_the_same():
    assert measure_correlation("MaskHopper-v0", steps=300) == measure_correlation("MaskHopper-v0", steps=300)


def test_another_seed_measures_other_rollouts():
    first, second = (measure_correlation("MaskHopper-v0", steps=300, seed=seed) for seed in (0, 1000))
    assert first != second


def test_a_policy_off_the_reference_is_measured_too():
    def lazy(state):
        return np.zeros(3, np.float32)

    found = measure_correlation("MaskHopper-v0", steps=300, policy=lazy)
    assert found.multiple_correlation == 0


def test_motion_has_one_row_a_transition():
    part = collect("MaskHopper-v0", 3, max_steps=5)
    motion, actions = motion_of(part, gym.make("MaskHopper-v0"))
    assert motion.shape == (len(part), 2)
    assert np.array_equal(actions, part.actions)


def test_another_environment_is_a_type_error():
    with pytest.raises(TypeError, match="needs an environment of masklam_envs"):
        measure_correlation(gym.make("CartPole-v1"))


def test_the_id_of_a_base_environment_is_measured_as_make_masked_makes_it():
    assert measure_correlation("Reacher-v5", steps=100) == measure_correlation(make_masked("Reacher-v5"), steps=100)
