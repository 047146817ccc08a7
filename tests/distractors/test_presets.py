"""What distractors promise where they are used: in an environment."""

import functools

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import collect, make_masked, measure_correlation, render_frames
from masklam_envs.correlation import correlation_of
from masklam_envs.distractors import PRESETS, distractor_names
from masklam_envs.measure import motion_of

SIZE = 36
every_distractor = pytest.mark.parametrize("distractor", distractor_names())


@functools.cache
def make(env_id, preset, **kwargs):
    return gym.make(env_id, distractor=preset, image_size=SIZE, **kwargs)


@every_distractor
def test_frames_are_replayed_with_the_test_split_too(distractor):
    env = make("MaskSwimmer-v0", distractor, split="test")
    recorded = collect(env, 1, max_steps=6)
    live = [env.reset(seed=int(recorded.reset_seeds[0]))[0], *(env.step(action)[0] for action in recorded.actions)]
    shown = np.stack([np.concatenate([seen["pixels"], seen["mask"]], axis=-1) for seen in live])
    np.testing.assert_array_equal(shown, render_frames(recorded, env).rgbm)


def test_distractors_leave_states_and_rewards_alone_whatever_they_follow():
    composed = ["state", {"name": "ghost", "lag": 2}, "occluders", {"name": "action", "motion": "zoom"}]
    quiet = make("MaskSwimmer-v0", "none")
    moved = gym.make("MaskSwimmer-v0", distractor=composed, image_size=SIZE)
    first, second = (collect(env, 1, seed=4, max_steps=20) for env in (quiet, moved))
    np.testing.assert_array_equal(first.qpos, second.qpos)
    runs = []
    for env in (quiet, moved):
        env.reset(seed=9)
        runs.append([env.step(action)[1] for action in first.actions])
    assert runs[0] == runs[1]


def test_occluders_hide_the_agent_in_some_frames():
    env = gym.make("MaskHopper-v0", distractor={"name": "occluders", "count": 6, "size": 20}, image_size=SIZE)
    plain = gym.make("MaskHopper-v0", distractor="none", image_size=SIZE)
    recorded = collect(env, 3, max_steps=20)
    covered, whole = render_frames(recorded, env), render_frames(recorded, plain)
    assert (covered.mask <= whole.mask).all() and covered.mask.sum() < 0.95 * whole.mask.sum()


def test_a_ghost_is_seen_and_not_in_the_mask():
    recorded = collect("MaskHopper-v0", 1, max_steps=20)
    ghost, plain = (render_frames(recorded, make("MaskHopper-v0", preset)) for preset in ("ghost", "none"))
    np.testing.assert_array_equal(ghost.mask, plain.mask)
    changed = (ghost.pixels != plain.pixels).any(axis=-1)
    # It is about as large as the agent, of which it may hide behind some.
    assert 0.4 < changed.sum() / (plain.mask > 0).sum() < 1.6
    assert not changed[plain.mask[..., 0] > 0].mean() > 0.2  # the agent's edges alone


def test_the_ghost_of_a_lag_is_the_agent_of_then():
    # Without displacement and turn it fills the agent's own place, so an agent that stood still would hide it.
    env = gym.make("MaskReacher-v0", distractor={"name": "ghost", "lag": 3, "mirror": False, "x": 0, "y": 0})
    recorded = collect(env, 1, max_steps=8)
    frames, view = render_frames(recorded, env), env.unwrapped.view
    then = view.renderer.draw(recorded.qpos[5].astype(np.float32).astype(float))[1][..., 0] > 0
    now, clean = frames.mask[8, ..., 0] > 0, view.clean(recorded.qpos[8])
    changed = (frames.pixels[8] != clean).any(axis=-1)
    assert changed[then & ~now].mean() > 0.9 and changed[~then].sum() <= 0.6 * changed.sum()


# ------------------------------------------------------------------------------------------------------------ contents


def test_the_suite_s_presets_have_the_suite_s_numbers():
    def numbers(preset):
        parts = gym.make("MaskHumanoid-v0", distractor=preset).unwrapped.view.distractor.config
        return {part["name"]: (part.get("scale"), part.get("videos")) for part in parts}

    for preset, scale, videos in (
        ("dcs-easy", 0.1, 4), ("dcs-medium", 0.2, 8), ("dcs-hard", 0.3, 60), ("distractor-hard", 0.1, 60),
    ):  # fmt: skip
        assert numbers(preset) == {"video": (None, videos), "camera": (scale, None), "colour": (scale, None)}
    assert numbers("dcs-low") == numbers("distractor-low") == {"video": (None, 60)}


@pytest.mark.parametrize(
    ("base", "alpha"),
    [("HalfCheetah-v5", 1.0), ("Walker2d-v5", 1.0), ("Hopper-v5", 1.0), ("Humanoid-v5", 0.3), ("Reacher-v5", 0.0)],
)
def test_the_ground_s_opacity_is_the_suite_s(base, alpha):
    assert make_masked(base, distractor="dcs-low").unwrapped.view.distractor.ground_alpha == alpha


def test_everything_has_one_of_each_kind():
    parts = {part["name"] for part in PRESETS["everything"]}
    assert parts == set(distractor_names()) - set(PRESETS) - {"flat", "still"}


def test_an_object_is_no_part_of_the_ghost():
    env = gym.make("MaskPusher-v0", distractor={"name": "ghost", "x": 0, "y": 0, "mirror": False}, mask_target="object")
    pixels = env.reset(seed=0)[0]["pixels"]
    view, qpos = env.unwrapped.view, env.unwrapped.base.unwrapped.data.qpos
    # The ghost is exactly behind the arm, so at most smooth edges differ.
    assert (pixels != view.clean(qpos)).any(axis=-1).mean() < 0.1
    agent = gym.make("MaskPusher-v0", observation="mask").reset(seed=0)[0]["mask"]
    moved = gym.make("MaskPusher-v0", distractor={"name": "ghost", "y": -20, "x": 0}, mask_target="object")
    changed = (moved.reset(seed=0)[0]["pixels"] != view.clean(qpos)).any(axis=-1)
    assert changed.sum() > 0.3 * (agent > 0).sum()


# --------------------------------------------------------------------------------------------------------- correlation


@functools.cache
def recorded_swimmer(policy="reference"):
    return collect("MaskSwimmer-v0", 20, max_steps=1000, policy=policy)


@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(
    "options",
    [
        {"name": "action", "motion": "pan", "rank": 1},
        {"name": "action", "motion": "rotation", "gain": 0.5},
        {"name": "action", "motion": "zoom"},
        {"name": "action", "motion": "speed"},
        {"name": "action", "motion": ["pan", "zoom"], "lag": 5},
        {"name": "state"},
        {"name": "state", "motion": ["zoom", "rotation", "pan"], "lag": 3},
    ],
    ids=str,
)
def test_the_set_correlation_is_measured_for_every_motion(options, rho):
    env = gym.make("MaskSwimmer-v0", distractor={**options, "correlation": rho})
    motion, drivers = motion_of(recorded_swimmer(), env)
    assert len(motion) == 20_000 - 20 * options.get("lag", 0)
    found = correlation_of(motion, drivers)
    assert found.multiple_correlation == pytest.approx(rho, abs=0.03)
    gain = options.get("gain", 2.0)
    # The velocities' statistics are those of other, slowly changing, episodes.
    np.testing.assert_allclose(motion.std(axis=0), gain, rtol=0.06 if options["name"] == "action" else 0.12)


def test_everything_measures_the_correlation_that_is_set():
    env = gym.make("MaskSwimmer-v0", distractor="everything", correlation=0.6)
    found = correlation_of(*motion_of(recorded_swimmer(), env))
    assert found.multiple_correlation == pytest.approx(0.6, abs=0.03)


def test_a_late_motion_knows_nothing_of_the_action_of_its_step():
    env = gym.make("MaskSwimmer-v0", distractor={"name": "action", "lag": 5, "correlation": 1.0})
    # Random actions, which say nothing of those that follow; an expert's do.
    recorded = recorded_swimmer("random")
    motion, drivers = motion_of(recorded, env)
    actions = recorded.actions.reshape(20, 1000, -1)[:, 5:].reshape(len(motion), -1)
    assert correlation_of(motion, actions).multiple_correlation < 0.03
    assert correlation_of(motion, drivers).multiple_correlation > 0.99


@pytest.mark.parametrize("name", ["action", "state"])
def test_short_episodes_measure_a_late_motion_too(name):
    # Episodes of about 20 steps: the first five, which hear nothing yet, would halve what is measured.
    env = gym.make("MaskHopper-v0", distractor={"name": name, "lag": 5, "correlation": 0.6})
    assert measure_correlation(env, steps=12_000).multiple_correlation == pytest.approx(0.6, abs=0.03)


def test_a_lag_longer_than_every_episode_cannot_be_measured():
    for lag in (50, 60):
        env = gym.make("MaskReacher-v0", distractor={"name": "action", "lag": lag})
        message = f"is {lag} steps late and the longest episode has 50: nothing drives it; give it a lag below 50"
        with pytest.raises(ValueError, match=message):
            measure_correlation(env)
    env = gym.make("MaskInvertedPendulum-v0", distractor={"name": "state", "lag": 900})
    with pytest.raises(ValueError, match="is 900 steps late and the longest episode has "):
        measure_correlation(env, steps=50, policy="random")
