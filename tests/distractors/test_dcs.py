"""``camera`` and ``colour`` against the Distracting Control Suite's own formulas, as the suite writes them.

The suite: Stone et al. 2021, https://arxiv.org/abs/2101.02722; ``camera.py``, ``color.py`` and ``suite_utils.py``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from masklam_envs.distractors import ActionReference, make_distractor
from masklam_envs.distractors.facts import SceneFacts
from masklam_envs.rendering.look import CameraChange
from masklam_envs.rendering.orbit import carried

STEPS = 400
COLOURS = np.array([[0.0, 0.5, 1.0], [0.05, 0.97, 0.4]])
REFERENCE = ActionReference.uniform([-1.0], [1.0])
# Polar angle and azimuth of a camera: level, half from above, straight down.
CAMERAS = [(math.pi / 2, -math.pi / 2), (1.1, -2.0), (0.0, 0.0)]


def rows_of(name, polar, azimuth, seed, **options):
    scene = SceneFacts(3, 3, COLOURS, np.array([0, 1]), polar=polar, azimuth=azimuth)
    config = {"name": name, **options}
    distractor = make_distractor(config, action_reference=REFERENCE, image_size=64, scene=scene)
    return distractor, distractor.track(seed, np.zeros((STEPS, 1)), np.zeros((STEPS + 1, 6), np.float32))


def draws_of(distractor, seed, width):
    """What the part drew for its steps, after what it drew for its start."""
    rng = distractor.live(seed).streams[0]
    return rng.standard_normal((STEPS, width))


def to_sphere(point):
    """The suite's ``cart2sphere``: radius, h_angle, v_angle."""
    x, y, z = point
    return math.sqrt(x * x + y * y + z * z), math.atan2(y, x), math.atan2(math.hypot(x, y), z)


def to_point(radius, h_angle, v_angle):
    """The suite's ``sphere2cart``."""
    sine = math.sin(v_angle)
    return np.array([radius * sine * math.cos(h_angle), radius * sine * math.sin(h_angle), radius * math.cos(v_angle)])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [0.1, 0.2, 0.3])
@pytest.mark.parametrize(("polar", "azimuth"), CAMERAS)
def test_the_camera_walks_as_the_suite_s(polar, azimuth, scale, seed):
    start_r = 2.5
    distractor, rows = rows_of("camera", polar, azimuth, seed, scale=scale)
    drawn = draws_of(distractor, seed, 4)
    vel_scaling = start_r / 4
    vel_std, max_vel = 0.1 * scale, 0.4 * scale
    roll_std, max_roll_vel = math.pi / 300 * scale, math.pi / 50 * scale
    delta = math.pi / 2 * scale
    h_bounds = max(azimuth - delta, -math.pi), min(azimuth + delta, 0.0)
    v_bounds = max(polar - delta, 0.0), min(polar + delta, math.pi / 2)
    r_bounds = start_r - start_r * 0.5 * scale, start_r + start_r * 1.5 * scale

    first = rows[0]
    radius, h_angle, v_angle, roll = first[0] * start_r, azimuth + first[1], first[2], first[3]
    vel, roll_vel = first[4:7] * start_r, first[7]
    for t in range(STEPS):
        vel = vel + drawn[t, :3] * vel_std * vel_scaling
        roll_vel = roll_vel + drawn[t, 3] * roll_std
        norm = np.sqrt(np.sum(vel**2))
        if norm > max_vel * vel_scaling:
            vel = vel * (max_vel * vel_scaling) / norm
        roll_vel = np.clip(roll_vel, -max_roll_vel, max_roll_vel)
        before = to_point(radius, h_angle, v_angle)
        moved_r, moved_h, moved_v = to_sphere(before + vel)
        moved_h -= 2 * math.pi * round((moved_h - azimuth) / (2 * math.pi))  # the suite leaps where the angle wraps
        radius, h_angle, v_angle = np.clip(moved_r, *r_bounds), np.clip(moved_h, *h_bounds), np.clip(moved_v, *v_bounds)
        vel = to_point(radius, h_angle, v_angle) - before
        rolled = np.clip(roll + roll_vel, -delta, delta)
        roll, roll_vel = rolled, rolled - roll
        np.testing.assert_allclose(rows[t + 1, :4], [radius / start_r, h_angle - azimuth, v_angle, roll], atol=1e-9)
        np.testing.assert_allclose(rows[t + 1, 4:], [*(vel / start_r), roll_vel], atol=1e-9)


@pytest.mark.parametrize("scale", [0.1, 0.2, 0.3])
def test_colours_walk_as_the_suite_s(scale):
    distractor, rows = rows_of("colour", 1.0, 0.0, 5, scale=scale)
    drawn = draws_of(distractor, 5, 6)
    low, high = np.clip(COLOURS - scale, 0, 1).ravel(), np.clip(COLOURS + scale, 0, 1).ravel()
    assert (rows[0] >= low).all() and (rows[0] <= high).all()
    rgb = rows[0]
    for t in range(STEPS):
        rgb = np.clip(rgb + drawn[t] * 0.03 * scale, low, high)
        np.testing.assert_allclose(rows[t + 1], rgb, atol=1e-12)


def test_starts_are_uniform_between_the_bounds():
    starts = np.array([rows_of("camera", 1.2, -1.5, seed, scale=0.3)[1][0, :4] for seed in range(300)])
    low = np.array([1 - 0.15, -0.15 * math.pi, 1.2 - 0.15 * math.pi, -0.15 * math.pi])
    high = np.array([1 + 0.45, 0.15 * math.pi, math.pi / 2, 0.15 * math.pi])
    assert (starts >= low).all() and (starts <= high).all()
    np.testing.assert_allclose(starts.mean(axis=0), (low + high) / 2, atol=3 * (high - low).max() / math.sqrt(12 * 300))
    np.testing.assert_allclose(starts.std(axis=0), (high - low) / math.sqrt(12), rtol=0.12)


def test_a_camera_that_looks_down_does_not_turn_the_picture_on_its_way_round_the_vertical():
    distractor, rows = rows_of("camera", 0.0, 0.0, 0, scale=0.3)
    position, matrix = np.array([0.0, 0.0, 4.0]), np.eye(3).ravel()
    for row in rows[::20]:
        change = distractor.look(row, np.zeros(3)).camera
        still = CameraChange(change.yaw, change.pitch, change.roll - row[3], change.distance)
        _, seen = carried(position, matrix, 4.0, still)
        # The smallest turn that takes the axis of the camera where it is: its trace says how far it goes.
        assert np.trace(seen.reshape(3, 3)) == pytest.approx(1 + 2 * math.cos(row[2]), abs=1e-9)
