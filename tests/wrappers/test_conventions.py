"""Every wrapper keeps Gymnasium's conventions, on our environments and on anybody's."""

import inspect
import itertools
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from masklam_envs import wrappers
from tests.helpers import assert_same, random_actions
from tests.wrappers import foreign

FAULTS = ["erosion", {"name": "latency", "frames": 2}, {"name": "dropout", "rate": 0.3}]
ARGUMENTS = {
    "ActionRepeat": {"repeat": 2},
    "CleanPair": {},
    "FrameStack": {"frame_stack": 3},
    "Grayscale": {},
    "MaskChannel": {},
    "MaskFaults": {"faults": FAULTS},
    "MaskOnly": {},
    "MaskedPixels": {"colour": (10, 20, 30)},
    "RecordMaskVideo": {"folder": "videos", "episode_trigger": 2, "suffix": ".gif", "scale": 1},
    "Resize": {"size": (48, 40), "soft_mask": True},
    "SegmentedMask": {"source": {"name": "motion", "method": "difference", "smoothing": 2}},
}
NAMES = sorted(ARGUMENTS)


def hopper(**kwargs):
    return gym.make("MaskHopper-v0", distractor="video", **kwargs)


def wrap(name, env):
    twin = {"twin": {"noise": False}} if name == "CleanPair" and env.spec.id == foreign.ID else {}
    return getattr(wrappers, name)(env, **ARGUMENTS[name], **twin)


def rollout(env, seed=3, steps=5):
    """Observations as dicts, rewards."""
    shown, rewards = [env.reset(seed=seed)[0]], []
    for action in random_actions(env, steps):
        observation, reward, terminated, truncated, _ = env.step(action)
        shown.append(observation)
        rewards.append(reward)
        if terminated or truncated:
            break
    env.close()
    return [seen if isinstance(seen, dict) else {"": seen} for seen in shown], rewards


def test_the_table_names_every_wrapper():
    assert sorted(wrappers.__all__) == NAMES
    assert {getattr(wrappers, name).__name__ for name in NAMES} == set(NAMES)
    assert set(NAMES) <= set(dir(wrappers))
    with pytest.raises(AttributeError, match="has no attribute 'FrameStak'"):
        _ = wrappers.FrameStak


@pytest.mark.parametrize("name", NAMES)
def test_every_constructor_argument_is_recorded(name):
    env = wrap(name, hopper())
    parameters = set(inspect.signature(type(env).__init__).parameters) - {"self", "env"}
    assert set(env._saved_kwargs) == parameters
    for argument, value in ARGUMENTS[name].items():
        recorded = env._saved_kwargs[argument]
        assert recorded == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize("make", [hopper, foreign.make], ids=["ours", "foreign"])
@pytest.mark.parametrize("name", NAMES)
def test_the_spec_survives_json(name, make):
    env = wrap(name, make())
    spec = EnvSpec.from_json(env.spec.to_json())
    again = gym.make(spec)
    assert again.spec == env.spec
    assert again.observation_space == env.observation_space
    (shown, rewards), (shown_again, rewards_again) = rollout(env), rollout(again)
    assert_same(shown, shown_again)
    assert rewards == rewards_again


@pytest.mark.parametrize("name", NAMES)
def test_a_pickled_environment_goes_on_as_a_new_one(name):
    env = wrap(name, hopper())
    env.reset(seed=0)
    copied = pickle.loads(pickle.dumps(env))
    (shown, rewards), (shown_again, rewards_again) = rollout(env), rollout(copied)
    assert_same(shown, shown_again)
    assert rewards == rewards_again


@pytest.mark.parametrize("name", NAMES)
def test_both_checkers_find_nothing(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Gymnasium would rather check environments without wrappers.
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        check_env(wrap(name, hopper()), skip_render_check=True)
        check_env_sb3(wrap(name, hopper()), skip_render_check=True)


@pytest.mark.parametrize("make", [hopper, foreign.make], ids=["ours", "foreign"])
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"ActionRepeat"}))
def test_physics_and_generator_do_not_notice(name, make):
    bare, wrapped = make(), wrap(name, make())
    assert rollout(bare)[1] == rollout(wrapped)[1]
    assert bare.unwrapped.np_random.bit_generator.state == wrapped.unwrapped.np_random.bit_generator.state


@pytest.mark.parametrize("make", [hopper, foreign.make], ids=["ours", "foreign"])
@pytest.mark.parametrize("name", NAMES)
def test_observations_are_in_the_space_and_each_is_fresh(name, make):
    env = wrap(name, make())
    for seed in (0, 1):
        shown, _ = rollout(env, seed, steps=4)
        for seen, later in itertools.pairwise(shown):
            whole = seen if isinstance(env.observation_space, gym.spaces.Dict) else seen[""]
            assert whole in env.observation_space
            assert not any(np.shares_memory(seen[key], later[key]) for key in seen)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_done_to_an_observation_does_not_come_back(name):
    expected, _ = rollout(wrap(name, hopper()))
    env = wrap(name, hopper())
    seen, shown = env.reset(seed=3)[0], []
    for action in [*random_actions(env, 5), None]:
        parts = seen if isinstance(seen, dict) else {"": seen}
        shown.append({key: part.copy() for key, part in parts.items()})
        for part in parts.values():
            part[:] = 1
        if action is not None:
            seen = env.step(action)[0]
    assert_same(shown, expected)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"CleanPair", "SegmentedMask"}))
def test_masks_of_a_source_go_through_every_wrapper(name):
    """Those of the environment itself, and those of the wrapper that looks at its pixels."""
    source = {"name": "motion", "method": "difference", "radius": 0}
    inside = rollout(wrap(name, hopper(mask_source=source)))
    assert_same(inside[0], rollout(wrap(name, wrappers.SegmentedMask(hopper(observation="pixels"), source)))[0])
    true = rollout(wrap(name, hopper()))[0]
    assert any(not np.array_equal(a[key], b[key]) for a, b in zip(inside[0], true, strict=True) for key in a)


def test_pairs_have_the_masks_of_a_source():
    env = wrap("CleanPair", hopper(mask_source={"name": "motion", "method": "difference"}))
    plain = hopper(mask_source={"name": "motion", "method": "difference"})
    assert_same(
        [{"mask": seen["mask"]} for seen in rollout(env)[0]], [{"mask": seen["mask"]} for seen in rollout(plain)[0]]
    )


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"ActionRepeat", "FrameStack", "SegmentedMask"}))
def test_another_observation_is_refused_with_the_cure(name):
    with pytest.raises(TypeError, match=f"{name} needs a Dict observation .* before wrappers that make one image"):
        wrap(name, wrappers.MaskOnly(hopper()))
    with pytest.raises(ValueError, match=rf"{name} needs the observation key 'mask', got \['pixels'\]"):
        wrap(name, hopper(observation="pixels"))
    with pytest.raises(ValueError, match=f"{name}: 'mask' must be images"):
        space = gym.spaces.Dict(
            {"pixels": hopper().observation_space["pixels"], "mask": gym.spaces.Box(0, 1, (64, 64))}
        )
        wrap(name, gym.wrappers.TransformObservation(hopper(), lambda seen: seen, space))
