"""Frames drawn again from recorded physics are the frames that the live environment showed, byte for byte."""

import dataclasses
import functools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformAction
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs import LazyFrames, Trajectories, collect, make_masked, render_frames
from masklam_envs.data.replay import check_replay
from masklam_envs.distractors import PRESETS
from masklam_envs.tasks import TASKS

COMPOSED = ["video", {"name": "action", "lag": 3, "rank": 1, "correlation": 0.5}]
DISTRACTORS = [*PRESETS, "action", "video", COMPOSED]
seeds = st.integers(0, 2**32 - 1)


@functools.cache
def make(env_id, distractor, **kwargs):
    return gym.make(env_id, distractor=DISTRACTORS[distractor], image_size=36, **kwargs)


def live_frames(env, trajectories):
    """(F, H, W, 4): what the environment shows when driven with the stored reset seeds and actions."""
    shown = []
    for e in range(trajectories.episodes):
        observation, info = env.reset(seed=int(trajectories.reset_seeds[e]))
        assert info["distractor_seed"] == trajectories.distractor_seeds[e]
        shown.append(observation)
        for action in trajectories.episode_actions(e):
            shown.append(env.step(action)[0])
    return np.stack([np.concatenate([seen["pixels"], seen["mask"]], axis=-1) for seen in shown])


def assert_replayed(env, trajectories):
    assert np.array_equal(live_frames(env, trajectories), render_frames(trajectories, env).rgbm)


@pytest.mark.parametrize("distractor", range(len(DISTRACTORS)), ids=str)
@pytest.mark.parametrize("env_id", ["MaskCheetah-v0", "MaskHopper-v0", "MaskPusher-v0"])
@settings(max_examples=4)
@given(seed=seeds, steps=st.integers(1, 8), noise=st.sampled_from([None, 0.0, 0.7]))
def test_live_and_replayed_frames_are_equal(env_id, distractor, seed, steps, noise):
    env = make(env_id, distractor)
    assert_replayed(env, collect(env, 2, seed=seed, max_steps=steps, noise=noise))


@pytest.mark.parametrize("env_id", TASKS)
def test_a_dataset_that_was_saved_and_loaded_replays_too(env_id, tmp_path):
    recorded = collect(env_id, 3, max_steps=8)
    recorded.save(tmp_path / "data")
    loaded = Trajectories.load(tmp_path / "data")
    env = make(env_id, len(DISTRACTORS) - 1)
    assert np.array_equal(render_frames(recorded, env).rgbm, render_frames(loaded, env).rgbm)
    assert_replayed(env, loaded)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"mask_faults": ["dilation", {"name": "erosion", "radius": 2}]},
        {"split": "test"},
        {"image_size": 84},
        {"zoom": 0.7, "camera": 0, "camera_offset": [0.1, 0.2]},
        {"distractor": {"name": "action", "ground_alpha": 0.5, "correlation": 1.0}},
        {"distractor": "none", "observation": ("pixels", "mask", "clean", "state")},
    ],
)
def test_other_views_replay_too(kwargs):
    env = gym.make("MaskWalker-v0", **{"distractor": "video", **kwargs})
    assert_replayed(env, collect(env, 2, max_steps=6))


@pytest.mark.parametrize("env_id", ["Ant-v5", "InvertedPendulum-v5", "Pusher-v5"])
def test_any_mujoco_environment_replays(env_id):
    env = make_masked(env_id)
    assert_replayed(env, collect(env, 2, max_steps=6))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_wrapped_base_replays_from_disk(dtype, tmp_path):
    space = gym.spaces.Box(-0.1, 0.7, (3,), dtype)
    env = make_masked(TransformAction(gym.make("Hopper-v5"), lambda action: action / 2, space))
    collect(env, 2, max_steps=6).save(tmp_path / "data")
    assert_replayed(env, Trajectories.load(tmp_path / "data"))


def test_whole_episodes_replay():
    env = make("MaskHopper-v0", 0)
    recorded = collect(env, 6, seed=5)
    assert recorded.terminated.any()
    assert_replayed(env, recorded)


def test_selected_episodes_replay_in_any_order():
    env = make("MaskHopper-v0", DISTRACTORS.index("video"))
    recorded = collect(env, 4, max_steps=5)
    assert_replayed(env, recorded.select([3, 0, 3]))


def test_one_dataset_shows_any_distractor_on_the_same_robot():
    recorded = collect("MaskHopper-v0", 2, max_steps=5)
    none, video = (render_frames(recorded, make("MaskHopper-v0", DISTRACTORS.index(d))) for d in ("none", "video"))
    assert np.array_equal(none.mask, video.mask)
    assert not np.array_equal(none.pixels, video.pixels)


def test_a_view_alone_is_enough_to_draw():
    recorded, env = collect("MaskHopper-v0", 2, max_steps=5), make("MaskHopper-v0", 1)
    assert np.array_equal(render_frames(recorded, env.unwrapped.view).rgbm, render_frames(recorded, env).rgbm)


def test_frames_carry_their_tracks():
    env = make("MaskHopper-v0", len(DISTRACTORS) - 1)
    frames = render_frames(collect(env, 2, max_steps=5), env)
    assert [len(track) for track in frames.tracks] == (frames.trajectories.lengths + 1).tolist()
    assert {track.shape[1] for track in frames.tracks} == {env.unwrapped.view.distractor.width}


# ---------------------------------------------------------------------------------------------- another MuJoCo version


def of_version(recorded, version, **changes):
    meta = {**recorded.meta, "versions": {**recorded.meta["versions"], "mujoco": version}, **changes}
    return dataclasses.replace(recorded, meta=meta)


@pytest.mark.parametrize("env_id", TASKS)
def test_recorded_actions_played_again_give_the_recorded_positions(env_id):
    replay = check_replay(collect(env_id, 2, max_steps=20), episodes=2)
    assert (replay.differs_at, replay.largest) == (None, 0.0)
    assert replay.steps > 5


def test_the_replay_check_names_where_positions_differ():
    recorded = collect("MaskCheetah-v0", 2, max_steps=20)
    qpos = recorded.qpos.copy()
    qpos[21 + 7, 2] += 1e-9
    replay = check_replay(dataclasses.replace(recorded, qpos=qpos), episodes=2)
    assert replay.differs_at == (1, 7)
    assert replay.largest == pytest.approx(1e-9)


def test_a_dataset_of_another_mujoco_that_moves_alike_says_so():
    recorded, env = of_version(collect("MaskHopper-v0", 1, max_steps=5), "3.10.0"), gym.make("MaskHopper-v0")
    told = r"^MaskHopper-v0 was recorded with MuJoCo 3.10.0, here is .*: 5 steps played again give its positions to"
    with pytest.warns(UserWarning, match=told):
        render_frames(recorded, env)


def test_a_dataset_of_another_mujoco_that_moves_otherwise_says_what_to_do():
    recorded = of_version(collect("MaskHopper-v0", 1, max_steps=5), "3.10.0")
    changed = dataclasses.replace(recorded, qpos=recorded.qpos + 1e-3)
    with pytest.warns(UserWarning, match=r"episode 0 leaves its .* frame 0 .*install mujoco==3.10.0, or collect again"):
        LazyFrames(changed, gym.make("MaskHopper-v0"))


def test_what_cannot_be_played_again_is_said():
    recorded = of_version(collect("MaskHopper-v0", 1, max_steps=5), "3.10.0", base_wrappers=["TransformAction"])
    with pytest.warns(UserWarning, match=r"cannot be checked \(the environment was wrapped by \['TransformAction'\]\)"):
        render_frames(recorded, gym.make("MaskHopper-v0"))


def test_the_same_mujoco_is_no_warning(recwarn):
    render_frames(collect("MaskHopper-v0", 1, max_steps=5), gym.make("MaskHopper-v0"))
    assert not [warning for warning in recwarn if "MuJoCo" in str(warning.message)]
