"""Cameras described by angles: they see what MuJoCo's own free and tracking cameras see."""

import mujoco
import numpy as np
import pytest

from masklam_envs.rendering import RaycastRenderer
from masklam_envs.rendering.camera import find_camera

SCENE = """
<mujoco>
  <visual><global fovy="60"/></visual>
  <worldbody>
    <geom type="plane" size="5 5 1"/>
    <body name="walker" pos="0 0 1">
      <freejoint/><geom size="0.1"/>
      <body pos="0.5 0 0"><geom type="box" size="0.05 0.1 0.2"/></body>
    </body>
    <body pos="1 0 1"><geom size="0.1"/></body>
  </worldbody>
</mujoco>
"""
DESCRIPTION = {"lookat": [0.1, -0.2, 0.3], "distance": 2.5, "azimuth": 130, "elevation": -25}


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(SCENE)


def moved(x, y, z):
    return np.array([x, y, z, 1, 0, 0, 0], float)


@pytest.mark.parametrize("track", [None, "walker"])
@pytest.mark.parametrize("azimuth", [-40, 90, 130])
@pytest.mark.parametrize("elevation", [-90, -25, 60])
def test_it_stands_where_mujoco_s_camera_of_the_same_angles_stands(model, track, azimuth, elevation):
    description = {**DESCRIPTION, "azimuth": azimuth, "elevation": elevation, "track": track}
    qpos = moved(0.7, 0.3, 1.2)
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    free = mujoco.MjvCamera()
    free.type = mujoco.mjtCamera.mjCAMERA_FREE
    free.lookat[:] = description["lookat"]
    if track:
        free.lookat[:] += data.subtree_com[model.body(track).id]
    free.distance, free.azimuth, free.elevation = description["distance"], azimuth, elevation
    scene = mujoco.MjvScene(model, 10)
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, free, mujoco.mjtCatBit.mjCAT_ALL, scene)
    left, right = scene.camera
    position, matrix, half_height = RaycastRenderer(model, camera=description).camera_pose(qpos)
    np.testing.assert_allclose(position, (left.pos + right.pos) / 2, atol=1e-6)
    np.testing.assert_allclose(matrix[:, 1], left.up, atol=1e-6)
    np.testing.assert_allclose(-matrix[:, 2], left.forward, atol=1e-6)
    np.testing.assert_allclose(half_height, np.tan(np.deg2rad(30)))


def test_a_tracking_camera_keeps_the_body_in_place_and_another_does_not(model):
    tracking = RaycastRenderer(model, camera={**DESCRIPTION, "track": "walker"}, agent_bodies=[1, 2])
    fixed = RaycastRenderer(model, camera={**DESCRIPTION, "distance": 8}, agent_bodies=[1, 2])
    masks = [[renderer.draw(moved(x, 0, 1))[1] for x in (0, 1)] for renderer in (tracking, fixed)]
    assert masks[0][0].any() and np.array_equal(*masks[0])
    assert masks[1][0].any() and not np.array_equal(*masks[1])


def test_a_frame_does_not_depend_on_the_frame_before(model):
    used, fresh = (RaycastRenderer(model, camera={**DESCRIPTION, "track": "walker"}) for _ in range(2))
    used.draw(moved(3, 2, 1))
    assert np.array_equal(used.draw(moved(0, 0, 1))[0], fresh.draw(moved(0, 0, 1))[0])


def test_only_the_distance_is_needed(model):
    short = RaycastRenderer(model, camera={"distance": 3}).camera_pose(moved(0, 0, 1))
    long = {"lookat": (0, 0, 0), "distance": 3, "azimuth": 90, "elevation": -45, "track": None}
    for a, b in zip(short, RaycastRenderer(model, camera=long).camera_pose(moved(0, 0, 1)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(short[0], [0, -3 / np.sqrt(2), 3 / np.sqrt(2)])


def test_an_offset_moves_a_described_camera_too(model):
    camera = {**DESCRIPTION, "track": "walker"}
    plain, shifted = (RaycastRenderer(model, camera=camera, offset=offset) for offset in ((0, 0), (0.2, 0.1)))
    (a, axes, _), (b, *_) = (renderer.camera_pose(moved(1, 0, 1)) for renderer in (plain, shifted))
    np.testing.assert_allclose(b - a, axes @ [0.2, 0.1, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elevaton": 3}, r"unknown key of a camera 'elevaton'\. Did you mean 'elevation'"),
        ({"distance": None}, "needs a distance above 0, metres, got None"),
        ({"distance": -1}, "needs a distance above 0, metres, got -1"),
        ({"lookat": [0, 0]}, r"lookat must be 3 finite numbers, got \[0, 0\]"),
        ({"lookat": "origin"}, "lookat must be 3 finite numbers, got 'origin'"),
        ({"azimuth": float("nan")}, "azimuth and elevation must be 2 finite numbers"),
        ({"elevation": -91}, r"elevation must be in \[-90, 90\] degrees, got -91"),
        ({"track": "waker"}, r"unknown body to track 'waker'\. Did you mean 'walker'\?"),
    ],
)
def test_a_wrong_description_is_named(model, change, message):
    with pytest.raises(ValueError, match=message):
        find_camera(model, {**DESCRIPTION, **change})
