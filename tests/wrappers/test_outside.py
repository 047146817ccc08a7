"""Wrappers outside an environment are not silently left out of what is recorded or drawn from inside."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import ClipAction, RescaleAction, TimeLimit, TransformObservation, TransformReward
from stable_baselines3.common.monitor import Monitor

from masklam_envs import LazyFrames, collect, make_masked, measure_correlation, open_frames, render_frames, wrappers
from masklam_envs.data import split_frames
from masklam_envs.wrappers.outside import changes_of
from tests.wrappers.test_conventions import ARGUMENTS

NOTHING = frozenset()
DIFFERENCE = {"name": "motion", "method": "difference"}


class Odd(gym.Wrapper):
    def step(self, action):
        return self.env.step(-action)


class Idle(gym.Wrapper):
    """Of somebody else, and nothing is changed."""


class SkippingMonitor(Monitor):
    def step(self, action):
        return self.env.step(action)


def reacher(**kwargs):
    return gym.make("MaskReacher-v0", image_size=32, **kwargs)


def split(recorded, env):
    return split_frames(recorded, env, validation=0, test=0.5)


@pytest.fixture(scope="module")
def recorded():
    return collect("MaskReacher-v0", 2, max_steps=4)


@pytest.mark.parametrize(
    ("wrap", "name", "what"),
    [
        (lambda env: wrappers.ActionRepeat(env, 5), "ActionRepeat", "actions"),
        (lambda env: RescaleAction(env, -2, 2), "RescaleAction", "actions"),
        (lambda env: Monitor(TransformReward(env, lambda reward: -reward)), "TransformReward", "rewards"),
    ],
)
@pytest.mark.parametrize("record", [collect, lambda env, count: measure_correlation(env, steps=count)])
def test_a_recording_refuses_wrappers_outside_that_it_would_leave_out(wrap, name, what, record):
    cure = rf"inside {name}, which changes the {what}: put it round .* make_masked\({name}\(gym.make\('Reacher-v5'\)"
    with pytest.raises(ValueError, match=cure):
        record(wrap(reacher()), 1)


def test_the_cure_of_that_error_records_what_was_asked_for():
    env = make_masked(wrappers.ActionRepeat(gym.make("Reacher-v5"), 5), image_size=32)
    assert collect(env, 1).lengths.tolist() == [10]


@pytest.mark.parametrize(
    ("wrap", "cure"),
    [
        (lambda env: wrappers.MaskFaults(env, "erosion"), "MaskFaults, .* give the environment mask_faults= instead"),
        (lambda env: wrappers.SegmentedMask(env, DIFFERENCE), "SegmentedMask, .* give the environment mask_source="),
        (lambda env: wrappers.Resize(env, 20), "Resize, .* give the environment image_size= instead"),
        (wrappers.MaskedPixels, "MaskedPixels, which changes the frames: leave it out here"),
        (lambda env: wrappers.FrameStack(wrappers.Grayscale(env)), "Grayscale, which changes the frames"),
    ],
)
@pytest.mark.parametrize("draw", [render_frames, LazyFrames, open_frames, split])
def test_drawing_refuses_wrappers_outside_that_it_would_leave_out(recorded, wrap, cure, draw):
    env = wrap(reacher(distractor="none"))
    with pytest.raises(ValueError, match=f"frames are drawn by the environment inside {cure}"):
        draw(recorded, env)


def test_what_changes_nothing_of_it_is_no_matter(recorded):
    env = Idle(Monitor(gym.wrappers.RecordEpisodeStatistics(ClipAction(reacher()))))
    shown = wrappers.FrameStack(wrappers.CleanPair(TimeLimit(reacher(), 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (env, shown, wrappers.MaskedPixels(reacher())):
            again = collect(each, 2, max_steps=4)
            assert again.qpos.tobytes() == recorded.qpos.tobytes() and again.meta == recorded.meta
        for each in (env, shown, wrappers.ActionRepeat(reacher(), 2)):
            assert np.array_equal(render_frames(recorded, each).rgbm, render_frames(recorded, reacher()).rgbm)


def test_a_time_limit_outside_is_heeded_also_where_there_is_no_id():
    unnamed = make_masked(gym.make("Reacher-v5"))
    assert collect(TimeLimit(unnamed, 3), 1).lengths.tolist() == [3]
    assert collect(TimeLimit(TimeLimit(unnamed, 3), 7), 1).lengths.tolist() == [3]


def test_of_a_wrapper_that_nobody_knows_there_is_a_warning(recorded):
    with pytest.warns(UserWarning, match="inside Odd, which is not known here; if it changes the actions or rewards"):
        collect(Odd(reacher()), 1, max_steps=2)
    for env in (Odd(reacher()), TransformObservation(reacher(), lambda seen: seen, reacher().observation_space)):
        with pytest.warns(UserWarning, match="which is not known here; if it changes the frames: leave it out"):
            render_frames(recorded, env)


def test_drawing_needs_an_environment_of_ours(recorded):
    with pytest.raises(TypeError, match=r"by an environment of masklam_envs, got .*ReacherEnv.*; see make_masked"):
        render_frames(recorded, gym.make("Reacher-v5"))


def test_it_is_known_what_each_of_our_wrappers_changes():
    changing = {name: sorted(changes_of(getattr(wrappers, name))[0]) for name in ARGUMENTS}
    assert not any(changes_of(getattr(wrappers, name))[1] for name in ARGUMENTS)
    assert {name for name, what in changing.items() if not what} == {"CleanPair", "FrameStack", "RecordMaskVideo"}
    assert changing["ActionRepeat"] == ["actions"] and changing["MaskChannel"] == ["colours"]


def test_a_class_goes_by_its_nearest_base_unless_it_steps_otherwise():
    assert changes_of(Monitor) == (NOTHING, NOTHING) == changes_of(Idle)
    assert changes_of(SkippingMonitor)[1] == changes_of(Odd)[1] == {"actions", "rewards", "frames"}
    assert changes_of(type("Mine", (wrappers.ActionRepeat,), {})) == ({"actions"}, NOTHING)
