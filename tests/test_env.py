"""The contracts of every registered environment: checkers, determinism, the distractor's independence, bad input."""

import copy
import functools
import itertools
import json
import pickle
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from masklam_envs.env import KEYS
from masklam_envs.masks import make_faults
from masklam_envs.tasks import TASKS
from tests.helpers import assert_same, random_actions, rollout

COMPOSED = ["video", {"name": "action", "lag": 3, "rank": 1}]
every_env = pytest.mark.parametrize("env_id", TASKS)


def make(env_id="MaskHopper-v0", **kwargs):
    return gym.make(env_id, **{"image_size": 36, **kwargs})


@functools.cache
def state_env():
    return make(observation="state")


def pixels(observations):
    return np.stack([observation["pixels"] for observation in observations])


# -------------------------------------------------------- every env; under every distractor, see test_every_env.py


@every_env
def test_physics_and_rewards_are_the_base_environment_s(env_id):
    observations, rewards = rollout(make(env_id, observation="state"), 5)
    base = gym.make(TASKS[env_id].base)
    states = [base.reset(seed=5)[0]]
    for action, reward in zip(random_actions(base, 4), rewards, strict=True):
        state, base_reward, *_ = base.step(action)
        states.append(state)
        assert reward == base_reward
    assert np.array_equal(states, [observation["state"] for observation in observations])


# ------------------------------------------------------------------------------------------------------- determinism


def test_different_seeds_differ_in_physics_and_background():
    (first, _), (second, _) = (rollout(make(observation=KEYS), seed) for seed in (0, 1))
    for key in ("pixels", "state"):
        assert not np.array_equal(first[0][key], second[0][key])


def test_resetting_with_the_seed_starts_the_same_episode_again():
    env = make(observation=KEYS)
    assert_same(rollout(env, 4)[0], rollout(env, 4)[0])


def test_later_resets_without_a_seed_go_on_deterministically():
    first, second = make(observation=KEYS), make(observation=KEYS)
    episodes = [rollout(env, seed)[0] for env in (first, second) for seed in (2, None, None)]
    for i in range(3):
        assert_same(episodes[i], episodes[i + 3])
    assert not np.array_equal(episodes[0][0]["pixels"], episodes[1][0]["pixels"])
    assert not np.array_equal(episodes[1][0]["pixels"], episodes[2][0]["pixels"])


def test_the_distractor_s_progress_does_not_depend_on_the_episodes_lengths():
    short, long = make(), make()
    rollout(short, 2, steps=1), rollout(long, 2, steps=9)
    assert short.reset()[1]["distractor_seed"] == long.reset()[1]["distractor_seed"]


def test_a_distractor_seed_fixes_the_background_alone():
    env = make(distractor="video", observation=("pixels", "state"))
    a, info = env.reset(seed=0, options={"distractor_seed": 11})
    b, _ = env.reset(seed=0, options={"distractor_seed": 12})
    c, _ = env.reset(seed=0, options={"distractor_seed": 11})
    assert info["distractor_seed"] == 11
    assert np.array_equal(a["pixels"], c["pixels"]) and not np.array_equal(a["pixels"], b["pixels"])
    assert np.array_equal(a["state"], b["state"])


@pytest.mark.parametrize("value", [-1, 1.7, "x", 2**63, 2**64, True, None])
def test_a_distractor_seed_out_of_range_is_refused_and_changes_nothing(value):
    env, other = make(), make()
    env.reset(seed=0), other.reset(seed=0)
    message = f"options['distractor_seed'] must be a whole number in [0, 2**63), got {value!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        env.reset(options={"distractor_seed": value})
    assert_same([env.reset()[0]], [other.reset()[0]])


@given(st.integers(0, 2**63 - 1))
def test_every_distractor_seed_in_range_is_taken(value):
    assert state_env().reset(options={"distractor_seed": value})[1]["distractor_seed"] == value
    assert state_env().reset(options={"distractor_seed": np.int64(value)})[1]["distractor_seed"] == value


def test_a_chosen_distractor_seed_leaves_the_next_episode_alone():
    first, second = make(), make()
    first.reset(seed=0)
    second.reset(seed=0, options={"distractor_seed": 11})
    assert_same([first.reset()[0]], [second.reset()[0]])


# ---------------------------------------------------------------------------------------------- what an observation is


@every_env
def test_clean_is_the_step_without_distractor(env_id):
    clean = rollout(make(env_id, observation=("pixels", "clean")), 0)[0]
    none = rollout(make(env_id, distractor="none"), 0)[0]
    assert np.array_equal(np.stack([observation["clean"] for observation in clean]), pixels(none))
    assert not np.array_equal(pixels(clean), pixels(none))


@pytest.mark.parametrize("keys", [k for n in range(1, 5) for k in itertools.combinations(KEYS, n)])
def test_observation_has_the_keys_that_were_asked_for(keys):
    env = make(observation=keys)
    observation, _ = env.reset(seed=0)
    assert set(observation) == set(env.observation_space) == set(keys)


def test_pixels_and_mask_are_the_default():
    observation, _ = gym.make("MaskCheetah-v0").reset(seed=0)
    assert {key: (value.dtype, value.shape) for key, value in observation.items()} == {
        "pixels": (np.uint8, (64, 64, 3)),
        "mask": (np.uint8, (64, 64, 1)),
    }


@pytest.mark.parametrize("size", [36, 84])
@every_env
def test_frames_have_the_size_that_was_asked_for(env_id, size):
    env = make(env_id, image_size=size, observation=("pixels", "mask", "clean"))
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert observation["pixels"].shape == (size, size, 3)
    assert observation["mask"].any()


@pytest.mark.parametrize("preset", ["none", "action", "video"])
def test_every_step_gives_fresh_arrays(preset):
    observations = rollout(make(distractor=preset, observation=KEYS), 0)[0]
    arrays = [array for observation in observations for array in observation.values()]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(arrays, 2))


@pytest.mark.parametrize("preset", ["none", "action", "video"])
def test_writing_into_an_observation_does_not_reach_the_next(preset):
    env = make(distractor=preset, observation=KEYS)
    want = rollout(env, 0)[0]
    observation, _ = env.reset(seed=0)
    for action, expected in zip(random_actions(env, 4), want[1:], strict=True):
        for array in observation.values():
            array[...] = 77
        observation, *_ = env.step(action)
        assert_same([observation], [expected])


def test_mask_faults_change_the_mask_alone():
    [dilation] = make_faults({"name": "dilation", "radius": 2})
    plain = rollout(make(observation=KEYS), 0)[0]
    faulty = rollout(make(observation=KEYS, mask_faults={"name": "dilation", "radius": 2}), 0)[0]
    assert_same([{**observation, "mask": dilation(observation["mask"])} for observation in plain], faulty)


def test_correlation_is_a_short_cut():
    short, preset, option = (
        rollout(make(**kwargs), 0)[0]
        for kwargs in (
            {"correlation": 0.3},
            {"distractor": "action-0.3"},
            {"distractor": {"name": "action", "correlation": 0.3}},
        )
    )
    assert_same(short, preset)
    assert_same(short, option)


def test_train_and_test_backgrounds_differ():
    train, test = (rollout(make(split=split), 0)[0] for split in ("train", "test"))
    assert not np.array_equal(train[0]["pixels"], test[0]["pixels"])


def test_a_list_composes():
    only = rollout(make(distractor="video"), 0)[0]
    both = rollout(make(distractor=COMPOSED), 0)[0]
    assert not np.array_equal(pixels(only), pixels(both))


def test_a_larger_zoom_shows_a_larger_agent():
    far, near = (make(zoom=zoom).reset(seed=0)[0]["mask"] for zoom in (1.0, 2.0))
    assert near.sum() > far.sum()


def test_an_offset_moves_the_agent_the_other_way():
    left, right = (make(camera_offset=(x, 0.0)).reset(seed=0)[0]["mask"] for x in (0.2, -0.2))
    assert np.argwhere(left)[:, 1].mean() < np.argwhere(right)[:, 1].mean()


@pytest.mark.parametrize("camera", ["track", 0, None])
def test_a_camera_is_a_name_an_index_or_the_default(camera):
    assert_same(rollout(make(camera=camera), 0)[0], rollout(make(), 0)[0])


def test_auto_is_the_ray_caster():
    assert_same(rollout(make(renderer="auto"), 0)[0], rollout(make(renderer="raycast"), 0)[0])


# --------------------------------------------------------------------------------------------------------- rendering


@every_env
def test_render_shows_the_last_step_s_pixels(env_id):
    env = make(env_id, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert np.array_equal(env.render(), observation["pixels"])
    observation, *_ = env.step(random_actions(env, 1)[0])
    assert np.array_equal(env.render(), observation["pixels"])


def test_render_shows_what_was_seen_whatever_is_done_to_the_observation():
    env = make(render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    seen = observation["pixels"].copy()
    observation["pixels"][:] = 0
    assert np.array_equal(env.render(), seen)


def test_render_works_without_pixels_in_the_observation():
    env = make(render_mode="rgb_array", observation="mask")
    env.reset(seed=0)
    assert env.render().shape == (36, 36, 3)


def test_render_without_a_mode_is_none():
    env = make()
    env.reset(seed=0)
    assert env.unwrapped.render() is None


def test_render_before_reset_says_so():
    with pytest.raises(RuntimeError, match="call reset"):
        make(render_mode="rgb_array").unwrapped.render()


# ----------------------------------------------------------------------------------------------------------- actions


@given(action=hnp.arrays(np.float32, 3, elements={"allow_nan": False, "allow_infinity": False}))
def test_any_finite_action_gives_a_finite_step(action):
    env = state_env()
    env.reset(seed=0)
    observation, reward, *_ = env.step(action)
    assert np.isfinite(observation["state"]).all() and np.isfinite(reward)


def test_actions_beyond_the_bounds_act_as_the_bounds():
    env = make(observation=KEYS)
    env.reset(seed=0)
    beyond = env.step(np.array([9, -9, 0.5], np.float32))[:2]
    env.reset(seed=0)
    bound = env.step(np.array([1, -1, 0.5], np.float32))[:2]
    assert_same([beyond[0]], [bound[0]])
    assert beyond[1] == bound[1]


def test_the_base_s_reward_is_of_the_action_as_it_was_cut():
    rewards = []
    for action in ([1, -1, 0.5], [9, -9, 0.5]):
        base = gym.make("Hopper-v5")
        base.reset(seed=0)
        rewards.append(base.step(np.array(action, np.float32))[1])
    env = make()
    env.reset(seed=0)
    assert env.step(np.array([9, -9, 0.5], np.float32))[1] == rewards[0] != rewards[1]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0, 0, np.nan], "action must be finite"),
        ([0, 0, np.inf], "action must be finite"),
        ([0, 0], r"action must have shape \(3,\), got \(2,\)"),
        ([[0, 0, 0]], r"action must have shape \(3,\), got \(1, 3\)"),
        (0.0, r"action must have shape \(3,\), got \(\)"),
    ],
)
def test_a_bad_action_is_refused(action, message):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)


def test_a_refused_action_does_not_move_the_episode():
    env = make()
    want = rollout(env, 0)[0]
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.full(3, np.nan, np.float32))
    assert_same([env.step(random_actions(env, 4)[0])[0]], [want[1]])


@pytest.mark.parametrize("unwrap", [False, True])
def test_a_step_before_the_first_reset_is_a_clear_error(unwrap):
    env = make()
    env = env.unwrapped if unwrap else env
    with pytest.raises(gym.error.ResetNeeded, match="reset"):
        env.step(np.zeros(3, np.float32))


# ------------------------------------------------------------------------------------------------------------ copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_is_a_new_environment_with_the_same_episodes(copied):
    env = make(distractor=COMPOSED, observation=KEYS, mask_faults="erosion", split="test", render_mode="rgb_array")
    want = rollout(env, 3)[0]
    again = copied(env)
    with pytest.raises(gym.error.ResetNeeded):
        again.step(np.zeros(3, np.float32))
    assert again.spec == env.spec and again.render_mode == env.render_mode
    assert_same(rollout(again, 3)[0], want)


def test_a_copy_and_its_original_do_not_touch_each_other():
    env = make()
    want = rollout(env, 0)[0]
    observation, _ = env.reset(seed=0)
    rollout(copy.deepcopy(env), 1)
    assert_same([observation, *(env.step(action)[0] for action in random_actions(env, 4))], want)


def test_constructor_arguments_are_recorded():
    env = make(distractor="video", split="test", observation="mask", render_mode="rgb_array").unwrapped
    again = type(env)(**env._saved_kwargs)
    assert again.view.config == env.view.config
    assert (again.keys, again.render_mode) == (env.keys, env.render_mode)


# --------------------------------------------------------------------------------------------------- vectors of them


def vector_run(vector, steps=8):
    """Three-step episodes, so that autoresets are among the steps."""
    observations = [vector.reset(seed=[3, 4])[0]]
    for actions in random_actions(vector, steps):
        observation, rewards, *_ = vector.step(actions)
        observations.append({**observation, "rewards": rewards})
    vector.close()
    return copy.deepcopy(observations)


def short_episodes():
    return make(max_episode_steps=3)


def test_sync_and_async_vectors_agree():
    makers = [short_episodes, short_episodes]
    assert_same(vector_run(SyncVectorEnv(makers)), vector_run(AsyncVectorEnv(makers)))


def test_a_vector_holds_the_single_environments():
    observations = vector_run(SyncVectorEnv([short_episodes, short_episodes]))
    for i, seed in enumerate((3, 4)):
        first, _ = short_episodes().reset(seed=seed)
        assert np.array_equal(observations[0]["pixels"][i], first["pixels"])


def test_gymnasium_s_make_vec_works():
    vector = gym.make_vec("MaskHopper-v0", num_envs=2, image_size=36)
    observation, _ = vector.reset(seed=0)
    assert observation["mask"].shape == (2, 36, 36, 1)
    vector.close()


def test_sb3_s_vector_shows_the_terminal_frame():
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env", reason="stable-baselines3 is not installed")
    vector = vec_env.DummyVecEnv([short_episodes, short_episodes])
    vector.seed(3)
    assert vector.reset()["pixels"].shape == (2, 36, 36, 3)
    for _ in range(3):
        observation, _, done, infos = vector.step(np.zeros((2, 3), np.float32))
    assert done.all()
    assert not np.array_equal(infos[0]["terminal_observation"]["pixels"], observation["pixels"][0])


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"distractor": "vidoe"}, "unknown distractor 'vidoe'. Did you mean 'video'\\? Known: action"),
        ({"distractor": ["video", "actoin"]}, "unknown distractor 'actoin'. Did you mean 'action'"),
        ({"distractor": {"gain": 2}}, "has no 'name'"),
        ({"distractor": {"name": "action", "gian": 2}}, "unknown option of distractor 'action' 'gian'.*'gain'"),
        ({"distractor": {"name": "action", "gain": -2}}, "gain is -2; give a number from 0 to 32"),
        ({"distractor": "none", "correlation": 0.5}, "no part of .* takes it"),
        ({"correlation": 1.5}, "correlation is 1.5; give a number from 0 to 1"),
        ({"correlation": -0.1}, "correlation is -0.1"),
        ({"observation": ("pixel", "mask")}, "unknown observation key 'pixel'. Did you mean 'pixels'"),
        ({"observation": ("mask", "mask")}, "each of its keys once"),
        ({"observation": ()}, "at least one"),
        ({"renderer": "opengll"}, "unknown renderer 'opengll'. .*Known: auto"),
        ({"mask_source": "simulater"}, "unknown mask source 'simulater'. Did you mean 'simulator'"),
        ({"mask_faults": "erosoin"}, "unknown mask fault 'erosoin'. Did you mean 'erosion'"),
        ({"mask_faults": {"name": "erosion", "radius": 99}}, r"integer in \[0, 16\] pixels, got 99"),
        ({"split": "val"}, "unknown split 'val'. Known: fit, test, train, validation"),
        ({"image_size": 3}, r"image_size must be an integer in \[16, 1024\] pixels, got 3"),
        ({"image_size": 64.0}, "image_size must be an integer"),
        ({"image_size": True}, "image_size must be an integer"),
        ({"zoom": 0}, r"zoom must be a number in \[0.1, 20\]"),
        ({"zoom": float("nan")}, "zoom must be a number"),
        ({"camera": "trak"}, "no camera 'trak'"),
        ({"camera": {"distanse": 3}}, "unknown key of a camera 'distanse'. Did you mean 'distance'"),
        ({"camera": 9}, "no camera 9"),
        ({"camera_offset": (0.1,)}, "camera_offset must be two finite numbers"),
        ({"camera_offset": (0.0, float("nan"))}, "camera_offset must be two finite numbers"),
    ],
)
@every_env
def test_bad_arguments_say_what_is_wrong(env_id, kwargs, message):
    # An unknown camera is found at the first reset, when the renderer is made.
    with pytest.raises(ValueError, match=message):
        make(env_id, **kwargs).reset(seed=0)


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match=r"unknown render_mode 'ansi'. Known: rgb_array"):
        gym.make("MaskHopper-v0").unwrapped.__class__("Hopper-v5", render_mode="ansi")


@pytest.mark.parametrize("kwargs", [{"distractor": 3}, {"image_sise": 64}, {"base_kwargs": {"no_such_option": 1}}])
def test_arguments_of_another_type_or_name_are_type_errors(kwargs):
    with pytest.raises(TypeError):
        make(**kwargs)


@pytest.mark.parametrize(
    ("option", "drawn", "typed"),
    [
        ("image_size", np.int64(32), 32),
        ("correlation", np.float32(0.5), 0.5),
        ("distractor", {"name": "action", "correlation": np.float64(0.5), "lag": np.int64(2)}, None),
        (
            "mask_faults",
            [{"name": "erosion", "radius": np.int64(2)}, {"name": "dropout", "rate": np.float32(0.5)}],
            None,
        ),
        ("mask_source", {"name": "motion", "method": "difference", "smoothing": np.int64(2)}, None),
        ("camera", {"distance": np.float32(3), "lookat": np.zeros(3)}, {"distance": 3.0, "lookat": [0.0, 0.0, 0.0]}),
        ("camera_offset", np.array([0.5, 0.0]), (0.5, 0.0)),
    ],
)
def test_options_may_be_numbers_of_numpy_and_are_recorded_as_plain_ones(option, drawn, typed):
    """Sweeps draw their numbers with NumPy; datasets, hashes and processes that are spawned need JSON."""
    plain = json.loads(json.dumps(drawn, default=lambda number: number.item())) if typed is None else typed
    with (
        gym.make("MaskCheetah-v0", **{"image_size": 32, option: drawn}) as one,
        gym.make("MaskCheetah-v0", **{"image_size": 32, option: plain}) as other,
    ):
        views = [env.unwrapped.view for env in (one, other)]
        assert views[0].config == views[1].config
        assert json.dumps(views[0].config.to_json()) == json.dumps(views[1].config.to_json())
        assert json.dumps(views[0].distractor.config) == json.dumps(views[1].distractor.config)
        assert_same(*([env.reset(seed=1)[0]] for env in (one, other)))
