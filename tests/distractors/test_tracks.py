"""Tracks: bulk and live agree to the bit, depend on the seed alone, and compose."""

import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import masklam_envs
from masklam_envs.distractors import ActionReference, Backdrop, Part, make_distractor, presets, register_distractor
from masklam_envs.distractors.action import projection
from masklam_envs.distractors.video import bounced, turned

PROJECTION_2_3 = [
    [0.3110933145774265, 0.6664603026399986, -0.6775334786047341],
    [-0.511922149624261, -0.4831363275794013, -0.7102921945911873],
]
CONFIGS = ["none", "video", "action", "action-0.3", ["video", "action"], {"name": "action", "lag": 3, "rank": 1}]


def made(config, actions=6, **options):
    reference = ActionReference.uniform(-np.ones(actions), np.ones(actions))
    return make_distractor(config, action_reference=reference, image_size=64, **options)


def episode(steps, actions=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (steps, actions)).astype(np.float32), rng.normal(size=(steps + 1, 9)).astype(np.float32)


def live_rows(distractor, seed, actions, states):
    track = distractor.live(seed)
    return np.array([track.row] + [track.step(a, s) for a, s in zip(actions, states[:-1], strict=True)])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    steps=st.integers(0, 60),
    size=st.integers(1, 24),
    parts=st.lists(st.sampled_from(["video", "action"]), max_size=3),
    lag=st.integers(0, 7),
    correlation=st.floats(0, 1),
)
def test_bulk_and_live_rows_are_equal_to_the_bit(seed, steps, size, parts, lag, correlation):
    action = {"name": "action", "lag": lag, "correlation": correlation}
    distractor = made([action if part == "action" else {"name": "video", "speed": 0.7} for part in parts], size)
    actions, states = episode(steps, size, seed % 1000)
    rows = distractor.track(seed, actions, states)
    assert rows.dtype == np.float64 and rows.shape == (steps + 1, distractor.width)
    assert np.array_equal(rows, live_rows(distractor, seed, actions, states))


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 16, 17, 24])
def test_long_tracks_of_any_action_size_are_equal_to_the_bit(size):
    matrix = np.random.default_rng(size).normal(size=(2000, size)) @ np.random.default_rng(1).normal(size=(size, size))
    distractor = make_distractor("action", action_reference=ActionReference.from_samples(matrix), image_size=64)
    actions, states = episode(500, size)
    rows = distractor.track(3, actions, states)
    assert np.array_equal(rows, live_rows(distractor, 3, actions, states))


@pytest.mark.parametrize("config", CONFIGS[1:], ids=str)
def test_equal_seeds_are_equal_and_different_seeds_differ(config):
    distractor, (actions, states) = made(config), episode(20)
    first, again, other = (distractor.track(seed, actions, states) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_earlier_row_does_not_depend_on_later_actions():
    distractor, (actions, states) = made("action"), episode(20)
    rows = distractor.track(0, actions, states)
    actions[12:] = 0
    assert np.array_equal(rows[:13], distractor.track(0, actions, states)[:13])


def test_lag_moves_the_action_part_only():
    size, steps = 3, 40
    now = made({"name": "action", "correlation": 1.0}, size)
    late = made({"name": "action", "correlation": 1.0, "lag": 4}, size)
    actions, states = episode(steps, size)
    motion, delayed = now.motion(now.track(0, actions, states)), late.motion(late.track(0, actions, states))
    assert np.all(delayed[:4] == 0)
    np.testing.assert_allclose(delayed[4:], motion[:-4], atol=1e-12)


def test_pan_is_the_documented_sum():
    distractor, (actions, states) = made({"name": "action", "correlation": 1.0, "gain": 1.5}), episode(30)
    reference = distractor.context.action_reference
    expected = 1.5 * (actions - reference.mean) @ reference.whitening.T @ projection(2, 6).T
    np.testing.assert_allclose(distractor.motion(distractor.track(0, actions, states)), expected, atol=1e-9)


@pytest.mark.parametrize(("rank", "size"), [(1, 1), (1, 5), (2, 2), (2, 24)])
def test_projection_has_orthonormal_rows(rank, size):
    matrix = projection(rank, size)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(rank), atol=1e-12)
    assert np.array_equal(matrix, projection(rank, size))


def test_projection_is_the_same_on_every_machine():
    assert projection(2, 3).tolist() == PROJECTION_2_3


@given(length=st.integers(1, 40), place=st.integers(-200, 200))
def test_bouncing_stays_inside_and_goes_one_frame_at_a_time(length, place):
    here, there = bounced(place, length), bounced(place + 1, length)
    assert 0 <= here < length
    assert abs(here - there) == (1 if length > 1 else 0)


@given(length=st.integers(2, 40), data=st.data())
def test_a_frame_on_the_way_back_is_followed_by_the_one_before_it(length, data):
    frame = data.draw(st.integers(1, length - 1))
    place = turned(frame, length)
    assert (bounced(place, length), bounced(place + 1, length)) == (frame, frame - 1)


def test_a_round_trip_visits_every_frame_and_no_end_twice():
    shown = [bounced(place, 5) for place in range(9)]
    assert shown == [0, 1, 2, 3, 4, 3, 2, 1, 0]


def test_video_motion_is_the_playback_speed_and_none_has_no_motion():
    actions, states = episode(5)
    video, none, both = made({"name": "video", "speed": 2}), made(None), made(["video", "action"])
    assert video.motion(video.track(0, actions, states)).tolist() == [[2.0]] * 5
    assert none.motion(none.track(0, actions, states)) is None
    assert none.track(0, actions, states).shape == (6, 0)
    assert both.motion(both.track(0, actions, states)).shape == (5, 2)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_config_round_trips_through_json(config):
    distractor, (actions, states) = made(config), episode(10)
    again = made(json.loads(json.dumps(distractor.config)))
    assert again.config == distractor.config
    assert again.ground_alpha == distractor.ground_alpha
    assert np.array_equal(again.track(0, actions, states), distractor.track(0, actions, states))


def test_correlation_is_a_short_cut_for_the_parts_that_take_it():
    assert made(["video", "action"], correlation=0.25).config[1]["correlation"] == 0.25
    assert made("action-0.3", correlation=0.3).config == made("action-0.3").config
    with pytest.raises(ValueError, match=r"no part of .*'video'.* takes it"):
        made("video", correlation=0.5)
    with pytest.raises(ValueError, match=r"no part of .*'none'"):
        made(None, correlation=0.5)
    with pytest.raises(ValueError, match="contradicts"):
        made("action-0.3", correlation=0.9)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("vidoe", "Did you mean 'video'.*Known: action"),
        ({"name": "action", "corelation": 0.3}, "option of distractor 'action'.*Did you mean 'correlation'"),
        ({"footage": "procedural"}, "no 'name'"),
        ({"name": "none", "gain": 1}, "takes no option"),
        ({"name": "action", "correlation": 1.5}, "correlation is 1.5; give a number from 0 to 1"),
        ({"name": "action", "correlation": float("nan")}, "correlation is nan"),
        ({"name": "action", "correlation": True}, "correlation is True"),
        ({"name": "action", "rank": 3}, "rank is 3; give a number from 1 to 2"),
        ({"name": "action", "rank": 1.5}, "whole number"),
        ({"name": "action", "gain": -1}, "gain is -1"),
        ({"name": "action", "lag": -1}, "lag is -1"),
        ({"name": "action", "ground_alpha": 2}, "ground_alpha is 2"),
        ({"name": "video", "speed": "fast"}, "speed is 'fast'"),
        ({"name": "video", "footage": 3}, "footage is 3"),
        ({"name": "video", "footage": []}, "footage is"),
        ({"name": "video", "footage": "/nowhere/at/all"}, "does not exist"),
    ],
)
def test_bad_configurations_say_what_is_wrong(config, message):
    with pytest.raises(ValueError, match=message):
        made(config)


def test_other_bad_arguments():
    with pytest.raises(TypeError, match="a distractor is a name"):
        made(3)
    with pytest.raises(ValueError, match=r"unknown split 'tset'\. Did you mean 'test'"):
        made("video", split="tset")
    with pytest.raises(ValueError, match="rank is 2"):
        made({"name": "action", "rank": 2}, actions=1)
    with pytest.raises(ValueError, match="one state more"):
        made("action").track(0, np.zeros((3, 6)), np.zeros((3, 9)))
    with pytest.raises(ValueError, match=r"actions must be \(T, 6\)"):
        made("action").track(0, np.zeros((3, 5)), np.zeros((4, 9)))


def test_the_last_part_with_an_opinion_decides_the_ground():
    assert made("video").ground_alpha == 0
    assert made([{"name": "video", "ground_alpha": 0.3}, "action"]).ground_alpha == 0.3
    assert made([{"name": "video", "ground_alpha": 0.3}, {"name": "action", "ground_alpha": 0.0}]).ground_alpha == 0


class FollowState(Part):
    """A third party's part: the picture's x is the first state number, bounded by its own recurrence."""

    width = 1

    def start(self, rng):
        return np.zeros(1)

    def advance(self, rng, row, actions, states):
        rows = np.empty((len(states), 1))
        for t, state in enumerate(states):
            row = np.clip(row + state[0] + rng.standard_normal(), -2, 2)
            rows[t] = row
        return rows

    def paint(self, row, backdrop: Backdrop):
        backdrop.x += row[0]


def test_a_third_party_registers_a_part_by_name(monkeypatch):
    monkeypatch.setattr(presets, "_PARTS", dict(presets._PARTS))
    monkeypatch.setitem(sys.modules, "third_party", types.SimpleNamespace(FollowState=FollowState))
    register_distractor("follow", "third_party:FollowState")
    distractor, (actions, states) = made(["video", "follow"]), episode(30)
    rows = distractor.track(0, actions, states)
    assert np.abs(rows[:, 2]).max() <= 2
    assert np.array_equal(rows, live_rows(distractor, 0, actions, states))
    with pytest.raises(ValueError, match="registered already"):
        register_distractor("follow", "a:B")
    with pytest.raises(ValueError, match="registered already"):
        register_distractor("none", "a:B")
    with pytest.raises(ValueError, match="module:Class"):
        register_distractor("other", "a.B")
    register_distractor("wrong", "json:dumps")
    with pytest.raises(TypeError, match="subclass"):
        made("wrong")


def test_importing_and_tracking_load_neither_numba_nor_opencv():
    code = (
        "import sys, numpy as np\n"
        "from masklam_envs.distractors import ActionReference, make_distractor\n"
        "reference = ActionReference.uniform([-1, -1], [1, 1])\n"
        "distractor = make_distractor(['video', 'action'], action_reference=reference, image_size=64)\n"
        "distractor.track(0, np.zeros((5, 2)), np.zeros((6, 3)))\n"
        "sys.exit(any(name in sys.modules for name in ('numba', 'cv2', 'torch')))\n"
    )
    root = Path(masklam_envs.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0
