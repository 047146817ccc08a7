"""Each part by itself: bounds, steps, late poses, motions, and what is refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs.distractors import PRESETS, ActionReference, make_distractor
from masklam_envs.distractors.base import Backdrop
from masklam_envs.distractors.facts import SceneFacts
from masklam_envs.distractors.occluders import COLUMNS, _folded
from masklam_envs.distractors.reference import Whitening
from masklam_envs.distractors.shapes import paint_shapes
from masklam_envs.distractors.video import warn_once

NQ, NV, ACTIONS, STEPS = 4, 3, 5, 40
REFERENCE = ActionReference.uniform(-np.ones(ACTIONS), np.ones(ACTIONS))
FACTS = SceneFacts(
    NQ, NV,
    colours=np.array([[0.0, 0.5, 1.0], [0.2, 0.2, 0.2], [0.0, 0.5, 1.0]]),
    paints=np.array([0, 1, 0]),
    travel=(0,),
    polar=1.4,
    azimuth=-1.5,
    ground_alpha=0.7,
    velocities=lambda lag: Whitening(np.zeros(NV), np.eye(NV)),
)  # fmt: skip
MOVING = [
    {"name": "action", "motion": ["pan", "rotation", "zoom", "speed"]},
    {"name": "state", "motion": "rotation", "lag": 2},
    {"name": "state", "lag": 0},
    {"name": "camera", "scale": 0.3},
    {"name": "camera", "scale": 1.0, "upper": False},
    {"name": "colour", "scale": 0.5},
    {"name": "light", "scale": 0.5},
    {"name": "occluders", "count": 2},
    {"name": "ghost", "lag": 3},
    {"name": "ghost", "lag": 1},
]
STILL = [
    {"name": "still"},
    {"name": "flat"},
    {"name": "ghost"},
    {"name": "camera", "dynamic": False},
    {"name": "colour", "dynamic": False},
]
ALL = MOVING + STILL
QPOS = np.arange(NQ, dtype=float)


def made(config, **options):
    return make_distractor(config, **{"action_reference": REFERENCE, "image_size": 32, "scene": FACTS, **options})


def episode(steps=STEPS, seed=0):
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (steps, ACTIONS)).astype(np.float32)
    return actions, rng.normal(size=(steps + 1, NQ + NV)).astype(np.float32)


def live_rows(distractor, seed, actions, states):
    track = distractor.live(seed)
    return np.array([track.row] + [track.step(a, s) for a, s in zip(actions, states[:-1], strict=True)])


@pytest.mark.parametrize("config", ALL, ids=str)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**63 - 1), steps=st.integers(0, 50))
def test_bulk_and_live_rows_are_equal_to_the_bit(config, seed, steps):
    distractor, (actions, states) = made(config), episode(steps, seed % 1000)
    rows = distractor.track(seed, actions, states)
    assert rows.shape == (steps + 1, distractor.width) and np.isfinite(rows).all()
    assert np.array_equal(rows, live_rows(distractor, seed, actions, states))


@pytest.mark.parametrize("config", ALL, ids=str)
def test_configs_round_trip_through_json(config):
    distractor, data = made(config), episode()
    again = made(json.loads(json.dumps(distractor.config)))
    assert again.config == distractor.config
    assert np.array_equal(again.track(1, *data), distractor.track(1, *data))


@pytest.mark.parametrize("config", MOVING, ids=str)
def test_what_moves_moves_and_its_motion_is_that_of_its_rows(config):
    distractor, data = made(config), episode()
    rows = distractor.track(0, *data)
    assert (np.diff(rows, axis=0) != 0).any(axis=1)[5:].all()
    motion = distractor.motion(rows)
    assert motion is None or motion.shape[0] == STEPS


@pytest.mark.parametrize("config", STILL, ids=str)
def test_what_stands_still_has_one_row_an_episode_and_another_each_seed(config):
    distractor, data = made(config), episode()
    rows = distractor.track(0, *data)
    assert (rows == rows[0]).all()
    assert distractor.width == 0 or not np.array_equal(rows[0], distractor.track(1, *data)[0])


# ------------------------------------------------------------------------------------------------------------- motions


def test_each_motion_changes_its_own_part_of_the_backdrop():
    row = np.array([3.0, 10.0, 1.5, -2.0, 16.0, 32.0, 4.7])
    distractor = made({"name": "action", "motion": ["pan", "rotation", "zoom", "speed"]})
    backdrop = Backdrop(QPOS)
    distractor.parts[0].paint(row, backdrop)
    assert (backdrop.x, backdrop.y, backdrop.turn, backdrop.index) == (1.5, -2.0, 0.5, 14)
    assert backdrop.zoom == pytest.approx(1 / math.log(2))  # 32 pixels at the edge: e times as large
    plate = distractor.look(row, QPOS).plate
    assert (plate.x, plate.turn, plate.zoom) == (1.5, 0.5, backdrop.zoom)


def test_speed_plays_the_footage_of_an_earlier_part_back_and_forth():
    both = made(["video", {"name": "action", "motion": "speed"}])
    backdrop = Backdrop(QPOS)
    both.parts[0].paint(np.array([2.0, 125.0]), backdrop)
    both.parts[1].paint(np.array([9.0, 0.0, 6.5]), backdrop)
    assert (backdrop.clip, backdrop.index) == (2, 123)


def test_rank_drives_the_first_components_and_the_others_stand_still():
    distractor, data = made({"name": "action", "motion": ["rotation", "pan"], "rank": 2}), episode()
    rows = distractor.track(0, *data)
    assert (rows[:, 4] == 0).all() and (np.diff(rows[:, 2:4], axis=0) != 0).all()
    assert distractor.motion(rows).shape == (STEPS, 2)


@pytest.mark.parametrize("name", ["action", "state"])
def test_lag_is_how_late_the_driver_is_heard(name):
    options = {"name": name, "correlation": 1.0, "motion": "zoom"}
    (now, late), (actions, states) = (made({**options, "lag": lag}) for lag in (0, 4)), episode()
    motion, delayed = (d.motion(d.track(0, actions, states)) for d in (now, late))
    np.testing.assert_allclose(delayed[4:], motion[:-4], atol=1e-12)
    early = np.zeros((4, 1)) if name == "action" else np.repeat(motion[:1], 4, axis=0)
    np.testing.assert_allclose(delayed[:4], early, atol=1e-12)
    drivers = late.drivers(actions, states[:-1])
    source = actions if name == "action" else states[:-1, NQ:]
    np.testing.assert_array_equal(drivers[4:], source[:-4])


def test_drivers_of_several_parts_stand_side_by_side_without_repeats():
    distractor, (actions, states) = made(["action", {"name": "action", "motion": "zoom"}, "state"]), episode()
    expected = np.concatenate([actions, states[:-1, NQ:]], axis=1)
    np.testing.assert_array_equal(distractor.drivers(actions, states[:-1]), expected)


# ------------------------------------------------------------------------------------------------------ bounded walks


@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0])
def test_the_camera_stays_within_the_suite_s_bounds(scale):
    distractor, data = made({"name": "camera", "scale": scale}), episode(800)
    rows = np.concatenate([distractor.track(seed, *data) for seed in range(8)])
    distance, azimuth, polar, roll = rows[:, :4].T
    speeds = np.sqrt((rows[:, 4:7] ** 2).sum(axis=1))
    assert distance.min() >= 1 - 0.5 * scale and distance.max() <= 1 + 1.5 * scale
    assert np.abs(roll).max() <= np.pi / 2 * scale
    assert speeds.max() <= 0.1 * scale + 1e-12 and np.abs(rows[:, 7]).max() <= np.pi / 50 * scale + 1e-12
    # The upper quadrant: above the point it looks at, on the side where y is negative.
    assert polar.max() <= np.pi / 2 and polar.min() >= max(1.4 - np.pi / 2 * scale, 0)
    assert azimuth.min() >= max(-np.pi / 2 * scale, 1.5 - np.pi) and azimuth.max() <= min(np.pi / 2 * scale, 1.5)
    # And it uses the room: some episode gets near each bound.
    assert distance.max() > 1 + 1.2 * scale and np.abs(roll).max() > 1.2 * scale


def test_velocities_of_the_camera_walk_by_the_suite_s_steps():
    distractor = made({"name": "camera", "scale": 0.1, "upper": False})
    distractor.parts[0].low, distractor.parts[0].high = [0.5, -9, 0.2, -9], [2.0, 9, 2.9, 9]
    actions, states = episode(3000)
    rows = distractor.track(0, actions, states)
    low, high = np.array(distractor.parts[0].low), np.array(distractor.parts[0].high)
    inside = ((rows[1:, :4] > low) & (rows[1:, :4] < high)).all(axis=1) & (np.abs(rows[1:, 7]) < 0.9 * np.pi / 500)
    free = inside & (np.sqrt((rows[1:, 4:7] ** 2).sum(axis=1)) < 0.0099)
    steps = np.diff(rows[:, 4:], axis=0)[free]
    np.testing.assert_allclose(steps[:, 3].std(), np.pi / 3000, rtol=0.1)
    assert (steps[:, :3].std(axis=0) > 0.5 * 0.0025).all()
    assert (steps[:, :3].std(axis=0) < 1.1 * 0.0025).all()  # pushes beyond the fastest are cut


def test_a_camera_that_starts_below_or_behind_is_not_bound_to_the_quadrant():
    low = SceneFacts(NQ, NV, FACTS.colours, FACTS.paints, polar=2.0, azimuth=1.0)
    distractor, data = made({"name": "camera", "scale": 0.1}, scene=low), episode()
    rows = distractor.track(0, *data)
    assert np.abs(rows[:, 2] - 2.0).max() <= np.pi / 20 and np.abs(rows[:, 1]).max() <= np.pi / 20


def test_a_look_carries_the_camera_by_the_row_and_adds_up():
    row = np.array([1.2, 0.1, 1.3, -0.05, 0, 0, 0, 0])
    change = made("camera").look(row, QPOS).camera
    assert (change.yaw, change.roll, change.distance) == (0.1, -0.05, 1.2)
    assert change.pitch == pytest.approx(0.1)  # a smaller angle from the vertical is higher
    twice = made(["camera", "camera"]).look(np.concatenate([row, row]), QPOS).camera
    assert (twice.yaw, twice.distance) == (0.2, pytest.approx(1.44))


@pytest.mark.parametrize("scale", [0.1, 0.6])
def test_colours_stay_within_their_bounds_and_walk_by_their_steps(scale):
    distractor, data = made({"name": "colour", "scale": scale}), episode(600)
    rows = distractor.track(0, *data)
    original = FACTS.colours[:2].ravel()
    low, high = np.clip(original - scale, 0, 1), np.clip(original + scale, 0, 1)
    assert (rows >= low).all() and (rows <= high).all()
    inside = ((rows[1:] > low) & (rows[1:] < high)).all(axis=1)
    np.testing.assert_allclose(np.diff(rows, axis=0)[inside].std(), 0.03 * scale, rtol=0.1)
    colours = distractor.look(rows[5], QPOS).colours
    np.testing.assert_array_equal(colours, rows[5].reshape(2, 3)[[0, 1, 0]])  # one paint, one colour


def test_light_stays_within_its_bounds():
    distractor, data = made({"name": "light", "scale": 0.5}), episode(600)
    rows = distractor.track(0, *data)
    reach = 0.5 * np.array([1, 1, 1, np.pi, np.pi / 2])
    assert (np.abs(rows - [1, 1, 1, 0, 0]) <= reach + 1e-12).all()
    light = distractor.look(rows[9], QPOS).light
    assert (*light.gain, light.yaw, light.pitch) == tuple(rows[9])


# ------------------------------------------------------------------------------------------------ ghost and occluders


@pytest.mark.parametrize("lag", [0, 1, 2, 7])
def test_a_ghost_shows_the_pose_of_lag_frames_ago_where_the_agent_is(lag):
    distractor, (actions, states) = made({"name": "ghost", "lag": lag, "mirror": False, "x": 3, "y": -4}), episode()
    rows = distractor.track(0, actions, states)
    for t in range(STEPS + 1):
        qpos = states[t, :NQ].astype(float)
        (ghost,) = distractor.look(rows[t], qpos).ghosts
        old = states[max(t - lag, 0), :NQ]
        np.testing.assert_array_equal(ghost.qpos[1:], old[1:])
        assert ghost.qpos[0] == qpos[0]  # it travels with the agent
        assert (ghost.x, ghost.y, ghost.turn) == (3, -4, 0)
        assert ghost.qpos is not qpos and np.array_equal(qpos, states[t, :NQ])
    assert made("ghost").look(np.zeros(0), QPOS).ghosts[0].turn == math.pi


def test_two_ghosts_are_two():
    looks = made(["ghost", {"name": "ghost", "x": -12}]).look(np.zeros(0), QPOS)
    assert [ghost.x for ghost in looks.ghosts] == [12, -12]


def test_a_plate_alone_has_no_pose_for_a_ghost():
    with pytest.raises(ValueError, match="needs the agent's pose"):
        made("ghost").plate(np.zeros(0))


def test_occluders_fly_straight_and_come_back():
    distractor, data = made({"name": "occluders", "count": 4, "speed": 5}), episode(400)
    tables = distractor.track(0, *data).reshape(-1, 4, COLUMNS)
    steps = np.diff(tables, axis=0)
    np.testing.assert_allclose(steps[..., :2], np.broadcast_to(tables[0, :, 2:4], steps[..., :2].shape), atol=1e-9)
    assert (steps[..., 2:] == 0).all()
    half = tables[0, :, 4]
    x = np.array([_folded(table[:, 0], -half, 64 + half) for table in tables])
    assert (x >= -half).all() and (x <= 64 + half).all()
    np.testing.assert_allclose(np.abs(np.diff(x, axis=0)).max(axis=0), np.abs(tables[0, :, 2]), atol=1e-9)
    overlays = distractor.look(tables[7].ravel(), QPOS).overlays
    assert len(overlays) == 1 and overlays[0].shape == (32, 32, 4)


def test_faint_occluders_leave_the_mask():
    faint = made({"name": "occluders", "opacity": 0.4, "count": 8}).look(
        made({"name": "occluders", "count": 8}).track(0, *episode(0))[0], QPOS
    )
    assert faint.overlays[0][..., 3].max() > 0
    single = made({"name": "occluders", "opacity": 0.4, "count": 1})
    assert single.look(single.track(0, *episode(0))[0], QPOS).overlays[0][..., 3].max() == 102
    none = made({"name": "occluders", "count": 0})
    assert none.look(np.zeros(0), QPOS).overlays == () and none.motion(np.zeros((3, 0))) is None


@settings(max_examples=30)
@given(x=st.floats(-5, 25), y=st.floats(-5, 25), half_x=st.floats(1, 12), half_y=st.floats(1, 12), disc=st.booleans())
def test_shapes_cover_what_they_should(x, y, half_x, half_y, disc):
    if disc:
        half_y = half_x
    out = paint_shapes(np.array([[x, y, 0, 0, half_x, half_y, float(disc), 10, 20, 30]]), 20, 1.0)
    at = (np.arange(20 * 16) + 0.5) / 16
    dx, dy = np.abs(at[None, :] - x), np.abs(at[:, None] - y)
    inside = (dx**2 + dy**2 < half_x**2) if disc else (dx < half_x) & (dy < half_y)
    cover = inside.reshape(20, 16, 20, 16).mean((1, 3))
    assert np.abs(out[..., 3] / 255 - cover).max() < 0.2
    assert np.abs(out[..., 3] / 255 - cover).mean() < 0.01
    assert (out[out[..., 3] > 0][:, :3] == (10, 20, 30)).all()


def test_a_shape_hides_the_ones_before_it():
    table = np.array([[8, 8, 0, 0, 20, 20, 0, 200, 0, 0], [8, 8, 0, 0, 4, 4, 0, 0, 0, 100]], float)
    out = paint_shapes(table, 16, 1.0)
    assert out[8, 8].tolist() == [0, 0, 100, 255] and out[0, 0].tolist() == [200, 0, 0, 255]


# ------------------------------------------------------------------------------------------------------ still and flat


def test_still_shows_one_frame_and_action_may_move_it():
    distractor, data = made(["still", "action"]), episode()
    rows = distractor.track(0, *data)
    assert not np.array_equal(distractor.plate(rows[0]), distractor.plate(rows[9]))
    alone = made("still")
    rows = alone.track(0, *data)
    assert np.array_equal(alone.plate(rows[0]), alone.plate(rows[9]))


def test_flat_is_one_colour_given_or_drawn():
    plate = made({"name": "flat", "colour": [1, 2, 3]}).plate(np.array([1.0, 2, 3]))
    assert (plate == (1, 2, 3)).all() and plate.shape == (32, 32, 3)
    colours = {tuple(made("flat").live(seed).row) for seed in range(5)}
    assert len(colours) == 5


def test_videos_limits_the_clips_to_the_first():
    for name in ("video", "still"):
        seen = {int(made({"name": name, "videos": 4}).live(seed).row[0]) for seed in range(60)}
        assert seen == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("config", "split", "message"),
    [
        ({"name": "video", "videos": 500}, "train", "video: videos is 500, but the split 'train' .* has 24 clips"),
        ({"name": "still", "videos": 13}, "test", "still: videos is 13, but the split 'test' .* has 12 clips"),
        ({"name": "dcs-hard", "videos": 25}, "train", "videos is 25, .*'procedural' has 24 clips.*footage of your own"),
    ],
)
def test_more_clips_than_there_are_is_a_warning_with_both_counts(config, split, message):
    warn_once.cache_clear()
    with pytest.warns(UserWarning, match=message) as told:
        for _ in range(3):
            made(config, split=split)
    assert len(told) == 1


@pytest.mark.parametrize("config", [*PRESETS, {"name": "dcs-hard", "scale": 0.2}, {"name": "video", "videos": 24}])
def test_a_preset_s_number_of_clips_and_one_that_there_is_are_no_warning(config, recwarn):
    warn_once.cache_clear()
    distractor = made(config)
    assert not recwarn.list
    assert config != "dcs-hard" or (distractor.config[0]["videos"], len(distractor.parts[0].clips)) == (60, 24)


def test_the_ground_is_as_the_task_says():
    assert made({"name": "video", "ground_alpha": "task"}).ground_alpha == 0.7
    assert made({"name": "flat", "ground_alpha": "task"}, scene=None).ground_alpha == 0.3


# ------------------------------------------------------------------------------- seed, split and opacity of every part


@pytest.mark.parametrize("config", ALL, ids=str)
def test_a_seed_of_its_own_takes_the_episode_s_place_for_that_part_alone(config):
    (seeded, plain), data = (made([{**config, **own}, "light"]) for own in ({"seed": 7}, {})), episode()
    first, second = (seeded.track(seed, *data) for seed in (1, 2))
    part, light = seeded.columns
    assert np.array_equal(first[:, part], second[:, part])
    assert np.array_equal(first[:, part], plain.track(7, *data)[:, part])
    assert not np.array_equal(first[:, light], second[:, light])
    assert np.array_equal(first[:, light], plain.track(1, *data)[:, light])
    assert np.array_equal(first, live_rows(seeded, 1, *data))


def test_a_seed_of_a_preset_is_that_of_all_its_parts():
    (seeded, plain), data = (made(config) for config in ({"name": "dcs-hard", "seed": 3}, "dcs-hard")), episode()
    assert np.array_equal(seeded.track(8, *data), plain.track(3, *data))


@pytest.mark.parametrize("name", ["video", "still", "action", "state"])
def test_a_part_s_split_says_which_clips_it_shows(name):
    clips = {split: set(made(name, split=split).parts[0].clips) for split in ("train", "test")}
    part = made({"name": name, "split": "test"}).parts[0]
    assert set(part.clips) == clips["test"] and not clips["test"] & clips["train"]


@pytest.mark.parametrize("config", ALL, ids=str)
def test_every_part_takes_seed_and_split_and_keeps_them_in_its_configuration(config):
    distractor = made({**config, "seed": 2**60, "split": "test"})
    assert distractor.config[0].items() >= {"seed": 2**60, "split": "test"}.items()
    assert made(json.loads(json.dumps(distractor.config))).config == distractor.config
    unset = made({**config, "seed": None, "split": None}).config[0]
    assert "seed" not in unset and "split" not in unset


@pytest.mark.parametrize("name", ["video", "still", "flat"])
def test_opacity_goes_with_the_footage(name):
    distractor, data = made([{"name": name, "opacity": 0.25}, "action"]), episode(4)
    rows = distractor.track(0, *data)
    assert distractor.look(rows[0], QPOS).plate.opacity == distractor.backdrops(rows).opacity == 0.25
    own = made([{"name": name, "opacity": 0.25}, {"name": "action", "footage": "procedural"}])
    rows = own.track(0, *data)
    assert own.look(rows[0], QPOS).plate.opacity == own.backdrops(rows).opacity == 1.0


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", ["camera", "colour", "ghost", "state"])
def test_parts_that_need_a_model_say_so(name):
    with pytest.raises(ValueError, match=rf"{name}' has to know the model.*gym.make"):
        made(name, scene=None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "action", "motion": "pann"}, "unknown motion of distractor 'action' 'pann'. Did you mean 'pan'"),
        ({"name": "action", "motion": []}, r"motion is \[\]; give one of pan, rotation, zoom, speed"),
        ({"name": "action", "motion": ["pan", "pan"]}, "motion is"),
        ({"name": "action", "motion": "zoom", "rank": 2}, "rank is 2; give a number from 1 to 1"),
        ({"name": "state", "lag": -1}, "lag is -1"),
        ({"name": "camera", "scale": 2}, "scale is 2; give a number from 0 to 1"),
        ({"name": "camera", "upper": 1}, "upper is 1; give true or false"),
        ({"name": "colour", "dynamic": "no"}, "dynamic is 'no'"),
        ({"name": "light", "scale": -1}, "scale is -1"),
        ({"name": "occluders", "count": 1.5}, "whole number"),
        ({"name": "occluders", "size": 0}, "size is 0; give a number from 1 to 64"),
        ({"name": "ghost", "x": 100}, "x is 100"),
        ({"name": "flat", "colour": [1, 2]}, "three whole numbers"),
        ({"name": "flat", "colour": [1, 2, 300]}, "colour is 300"),
        ({"name": "video", "videos": 0}, "videos is 0"),
        ({"name": "video", "ground_alpha": "some"}, "ground_alpha is 'some'"),
        ({"name": "video", "opacity": 1.5}, "opacity is 1.5; give a number from 0 to 1"),
        ({"name": "still", "opacity": -1}, "opacity is -1"),
        ({"name": "flat", "opacity": "all"}, "opacity is 'all'"),
        ({"name": "ghost", "opacity": 2}, "opacity is 2"),
        ({"name": "video", "seed": -1}, "video: seed is -1; give a whole number from 0"),
        ({"name": "ghost", "seed": 0.5}, "ghost: seed is 0.5"),
        ({"name": "light", "seed": True}, "light: seed is True"),
        ({"name": "video", "seed": 2**63}, "seed is 9223372036854775808"),
        ({"name": "video", "split": "tset"}, "unknown split 'tset'. Did you mean 'test'"),
        ({"name": "none", "seed": 1}, "takes no option"),
        ({"name": "dcs-easy", "scal": 0.2}, "option of distractor 'dcs-easy' 'scal'. Did you mean 'scale'"),
    ],
)
def test_wrong_options_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        made(config)


def test_velocities_need_a_base_that_can_be_made_again():
    facts = SceneFacts(NQ, NV, FACTS.colours, FACTS.paints)
    with pytest.raises(ValueError, match="can be made again by its spec"):
        made("state", scene=facts)


def test_options_of_a_preset_go_to_the_parts_that_take_them():
    config = made({"name": "dcs-easy", "scale": 0.25, "videos": 2}).config
    assert [part.get("scale") for part in config] == [None, 0.25, 0.25]
    assert config[0]["videos"] == 2


def test_whitening_leaves_out_what_never_changes():
    rng = np.random.default_rng(0)
    samples = np.hstack([rng.normal(size=(500, 2)) @ [[1, 2], [0, 0.1]], np.ones((500, 1))])
    white = Whitening.from_samples(samples)
    assert white.matrix.shape == (2, 3) and (white.matrix[:, 2] == 0).all()
    np.testing.assert_allclose(np.cov((samples - white.mean) @ white.matrix.T, rowvar=False), np.eye(2), atol=0.01)
    with pytest.raises(ValueError, match="N > S"):
        Whitening.from_samples(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="ever changes"):
        Whitening.from_samples(np.zeros((30, 3)))
