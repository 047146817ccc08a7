"""What every registered environment promises, under every preset of distractors."""

import functools
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from masklam_envs import collect, render_frames
from masklam_envs.distractors import PRESETS
from masklam_envs.env import KEYS
from masklam_envs.masks import make_mask_source, segment, target_bodies
from masklam_envs.masks.sources import hard
from masklam_envs.tasks import TASKS
from tests.helpers import assert_same, random_actions, rollout

SIZE, SEED, STEPS = 36, 7, 2
CHANGE_THE_MASK = {"camera", "occluders"}
every_env = pytest.mark.parametrize("env_id", TASKS)
every_preset = pytest.mark.parametrize("preset", PRESETS)


def make(env_id, preset="action-0.9", **kwargs):
    return gym.make(env_id, distractor=preset, **{"image_size": SIZE, "observation": KEYS, **kwargs})


@functools.cache
def quiet_rollout(env_id):
    return rollout(make(env_id, "none"), SEED, STEPS)


def physics(observations):
    return [{"state": observation["state"], "clean": observation["clean"]} for observation in observations]


@every_env
@every_preset
def test_seeds_spaces_specs_copies_and_replays(env_id, preset):
    env = make(env_id, preset)
    observations, rewards = rollout(env, SEED, STEPS)
    for observation in observations:
        assert observation in env.observation_space
        assert set(np.unique(observation["mask"])) <= {0, 255}

    # Its spec went through JSON and itself through pickle, and from one seed it is the same to the byte.
    again = pickle.loads(pickle.dumps(gym.make(EnvSpec.from_json(env.spec.to_json()))))
    assert again.spec.to_json() == env.spec.to_json()
    repeated, repeated_rewards = rollout(again, SEED, STEPS)
    assert_same(observations, repeated)

    quiet, quiet_rewards = quiet_rollout(env_id)
    assert_same(physics(observations), physics(quiet))
    assert rewards == repeated_rewards == quiet_rewards
    if not CHANGE_THE_MASK & {part["name"] for part in env.unwrapped.view.distractor.config}:
        assert_same([{"mask": seen["mask"]} for seen in observations], [{"mask": seen["mask"]} for seen in quiet])

    recorded = collect(env, 1, seed=SEED, max_steps=STEPS)
    live = [env.reset(seed=int(recorded.reset_seeds[0]))[0], *(env.step(action)[0] for action in recorded.actions)]
    for observation, rgbm in zip(live, render_frames(recorded, env).rgbm, strict=True):
        np.testing.assert_array_equal(np.concatenate([observation["pixels"], observation["mask"]], axis=2), rgbm)


@every_env
def test_a_mask_source_finds_the_masks_live(env_id):
    config = {"name": "motion", "method": "difference", "window": 2, "radius": 0}
    observations, _ = rollout(make(env_id, mask_source=config), SEED, STEPS)
    pixels = np.stack([observation["pixels"] for observation in observations])
    want = hard(segment(make_mask_source(config), pixels))[..., None]
    assert np.array_equal(np.stack([observation["mask"] for observation in observations]), want)
    assert want.any()


# Every environment under a preset that is drawn together and one that is not, one environment under every preset.
VECTORS = [(env_id, preset) for env_id in TASKS for preset in ("action-0.9", "everything")]
VECTORS += [("MaskCheetah-v0", preset) for preset in PRESETS if preset not in ("action-0.9", "everything")]


@pytest.mark.parametrize(("env_id", "preset"), VECTORS)
def test_a_vector_holds_the_single_environments(env_id, preset):
    envs = gym.make_vec(env_id, num_envs=2, distractor=preset, image_size=SIZE, observation=KEYS, threads=2)
    singles = [make(env_id, preset) for _ in range(2)]
    together, alone = envs.reset(seed=SEED)[0], [env.reset(seed=SEED + i)[0] for i, env in enumerate(singles)]
    for actions in random_actions(singles[0], 2 * STEPS).reshape(STEPS, 2, -1):
        assert_same(alone, [{key: values[i] for key, values in together.items()} for i in range(2)])
        together, rewards, *_ = envs.step(actions)
        steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        alone = [observation for observation, *_ in steps]
        assert rewards.tolist() == [reward for _, reward, *_ in steps]
    assert_same(alone, [{key: values[i] for key, values in together.items()} for i in range(2)])


@pytest.mark.parametrize("target", ["agent", "object", "foreground"])
@every_env
def test_the_mask_is_where_the_target_s_geoms_are_seen(env_id, target):
    if target == "object" and not TASKS[env_id].objects:
        with pytest.raises(ValueError, match=r"mask_target='object' shows nothing.* Its bodies: "):
            make(env_id, mask_target=target)
        return
    env = make(env_id, mask_target=target, image_size=64).unwrapped
    observation, _ = env.reset(seed=SEED)
    model, qpos = env.view.model, env.base.unwrapped.data.qpos
    ids = env.view.renderer.inspect(qpos).ids
    bodies = np.where(ids >= 0, model.geom_bodyid[ids], -1)
    named = {model.body(name).id for name in TASKS[env_id].objects}
    robot = set(range(1, model.nbody)) - named
    want = {"agent": robot, "object": named, "foreground": robot | named}[target]
    np.testing.assert_array_equal(observation["mask"][..., 0] == 255, np.isin(bodies, list(want)))
    assert observation["mask"].any()
    # The model alone tells the same, so make_masked(base) does too.
    assert set(target_bodies(model, target)) == want


@every_env
def test_the_agent_starts_inside_the_frame(env_id):
    env = make(env_id, image_size=64, observation="mask")
    for seed in range(5):
        mask = env.reset(seed=seed)[0]["mask"][..., 0]
        assert not (mask[[0, -1]].any() or mask[:, [0, -1]].any())
        assert mask.any()


def texts(seen, space):
    """What checkers warned of, without their advice on the range of actions, which are the base environment's."""
    advice = "" if np.abs(space.high).max() == 1 else "symmetric and normalized"
    found = [str(warning.message) for warning in seen]
    return [text for text in found if not advice or advice not in text]


@every_env
def test_gymnasium_s_checker_is_clean(env_id):
    env = make(env_id, observation=("pixels", "mask"), render_mode="rgb_array").unwrapped
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check_env(env)
    assert texts(seen, env.action_space) == []


@every_preset
def test_both_checkers_are_clean_under_every_preset(preset):
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    env = make("MaskCheetah-v0", preset, observation=("pixels", "mask"), render_mode="rgb_array").unwrapped
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check_env(env)
        sb3.check_env(env, warn=True)
    assert texts(seen, env.action_space) == []


@every_env
def test_gymnasium_s_checker_dislikes_only_the_base_s_unbounded_state(env_id):
    env = make(env_id).unwrapped
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    # The state is the base environment's own observation, whose Box is unbounded; Gymnasium warns of it there too.
    low, high = texts(seen, env.action_space)
    assert "A Box observation space minimum value is -infinity. This is probably too low." in low
    assert "A Box observation space maximum value is infinity. This is probably too high." in high


@every_env
@pytest.mark.parametrize("keys", [("pixels", "mask"), KEYS])
def test_sb3_s_checker_is_clean(env_id, keys):
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    env = make(env_id, observation=keys)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        checker.check_env(env, warn=True)
    assert texts(seen, env.action_space) == []
