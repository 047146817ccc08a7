"""What the renderer promises to its callers."""

from __future__ import annotations

import copy

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs.rendering import RaycastRenderer
from masklam_envs.rendering.look import Look, Plate

ARM = """
<mujoco>
  <asset>
    <texture name="grid" type="2d" builtin="checker" rgb1="0 0 0" rgb2="1 1 1" width="64" height="64"/>
    <texture type="skybox" builtin="gradient" rgb1="0.2 0.4 0.8" rgb2="0 0 0" width="32" height="192"/>
    <material name="grid" texture="grid" texrepeat="4 4" texuniform="true"/>
  </asset>
  <worldbody>
    <light directional="true" dir="0 0 -1"/>
    <camera name="side" pos="0 -3 1" xyaxes="1 0 0 0 0 1"/>
    <camera name="above" pos="0 0 4"/>
    <geom name="floor" type="plane" size="5 5 1" material="grid"/>
    <geom name="pillar" type="box" pos="1 1 0.5" size="0.2 0.2 0.5" rgba="0 0 1 1"/>
    <body name="upper" pos="0 0 1">
      <joint type="hinge" axis="0 1 0"/>
      <geom name="upper" type="capsule" fromto="0 0 0 0.5 0 0" size="0.1" rgba="1 0 0 1"/>
      <body name="lower" pos="0.5 0 0">
        <joint type="hinge" axis="0 1 0"/>
        <geom name="lower" type="capsule" fromto="0 0 0 0.5 0 0" size="0.08" rgba="0 1 0 1"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
ANGLES = st.floats(-3.2, 3.2)
LIGHT_TESTS = settings(max_examples=20, deadline=None)


def on(picture: np.ndarray, ground_alpha: float = 0.0) -> Look:
    return Look(Plate(picture), ground_alpha)


@pytest.fixture(scope="module")
def arm() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(ARM)


@pytest.fixture(scope="module")
def renderer(arm: mujoco.MjModel) -> RaycastRenderer:
    return RaycastRenderer(arm)


@pytest.fixture(scope="module")
def plate() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_frames_have_the_promised_form(renderer: RaycastRenderer) -> None:
    pixels, mask = renderer.draw(np.zeros(2))
    assert pixels.shape == (64, 64, 3) and pixels.dtype == np.uint8
    assert mask.shape == (64, 64, 1) and mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}


def test_frames_are_fresh_arrays(renderer: RaycastRenderer, plate: np.ndarray) -> None:
    first, second = renderer.draw(np.zeros(2)), renderer.draw(np.zeros(2))
    before = plate.copy()
    on_plate = renderer.draw(np.zeros(2), on(plate))
    assert not any(np.shares_memory(a, b) for a, b in zip(first, second, strict=True))
    assert not np.shares_memory(on_plate[0], plate)
    np.testing.assert_array_equal(plate, before)


@LIGHT_TESTS
@given(ANGLES, ANGLES, ANGLES)
def test_a_frame_depends_on_its_pose_alone(renderer: RaycastRenderer, a: float, b: float, c: float) -> None:
    first = renderer.draw(np.array([a, b]))
    renderer.draw(np.array([c, a]), on(np.zeros((64, 64, 3), np.uint8), 0.5))
    renderer.inspect(np.array([b, c]))
    again, fresh = renderer.draw(np.array([a, b])), RaycastRenderer(renderer.model).draw(np.array([a, b]))
    for one, two, three in zip(first, again, fresh, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


@LIGHT_TESTS
@given(ANGLES, ANGLES, st.floats(0, 1))
def test_the_mask_knows_nothing_of_the_background(renderer: RaycastRenderer, a: float, b: float, alpha: float) -> None:
    qpos, plate = np.array([a, b]), np.full((64, 64, 3), 77, np.uint8)
    layers = renderer.inspect(qpos)
    np.testing.assert_array_equal(layers.mask, renderer.draw(qpos)[1])
    np.testing.assert_array_equal(layers.mask, renderer.draw(qpos, on(plate))[1])
    np.testing.assert_array_equal(layers.mask, renderer.draw(qpos, on(plate, alpha))[1])
    robot = (layers.ids >= 0) & (renderer.model.geom_bodyid[layers.ids] > 0)
    np.testing.assert_array_equal(layers.mask[..., 0] == 255, robot)


def test_the_plate_shows_where_nothing_covers(renderer: RaycastRenderer, plate: np.ndarray) -> None:
    qpos = np.array([0.3, -0.5])
    pixels, _ = renderer.draw(qpos, on(plate))
    black, _ = renderer.draw(qpos, on(np.zeros_like(plate)))
    white, _ = renderer.draw(qpos, on(np.full_like(plate, 255)))
    see_through = (white.astype(int) - black).max(axis=2) == 255
    np.testing.assert_array_equal(pixels[see_through], plate[see_through])
    assert see_through.mean() > 0.7
    ids = renderer.inspect(qpos).ids
    inner = np.isin(ids, [1, 2, 3]) & (white == black).all(axis=2)
    assert not see_through[ids > 0].all() and inner.sum() > 100
    np.testing.assert_array_equal(pixels[inner], white[inner])


def test_ground_alpha_blends_the_ground_over_the_plate(renderer: RaycastRenderer, plate: np.ndarray) -> None:
    qpos = np.zeros(2)
    frames = [renderer.draw(qpos, on(plate, alpha))[0].astype(int) for alpha in (0.0, 0.5, 1.0)]
    ground = renderer.inspect(qpos).ids == 0
    np.testing.assert_array_equal(frames[2][ground], renderer.draw(qpos)[0][ground])
    np.testing.assert_allclose(frames[1], (frames[0] + frames[2]) / 2, atol=1)
    assert (frames[0] != frames[2])[ground].any()


def test_zoom_magnifies_about_the_centre(arm: mujoco.MjModel) -> None:
    wide, near = RaycastRenderer(arm, 128), RaycastRenderer(arm, 64, zoom=2.0)
    qpos = np.array([0.2, 0.4])
    np.testing.assert_array_equal(wide.inspect(qpos).ids[32:96, 32:96], near.inspect(qpos).ids)


def centroid(mask: np.ndarray) -> np.ndarray:
    return np.array([axis.mean() for axis in np.nonzero(mask[..., 0])])


@pytest.mark.parametrize("camera", ["side", "above", "followed", "com"])
def test_an_offset_moves_the_camera_and_so_the_agent_the_other_way(camera: str) -> None:
    followers = """<body name="upper" pos="0 0 1">
      <camera name="followed" mode="track" pos="0 -3 0" xyaxes="1 0 0 0 0 1"/>
      <camera name="com" mode="trackcom" pos="0 -3 0" xyaxes="1 0 0 0 0 1"/>"""
    arm = mujoco.MjModel.from_xml_string(ARM.replace('<body name="upper" pos="0 0 1">', followers))
    qpos = np.array([0.2, 0.4])
    distance = 3.0  # from every one of these cameras to the arm, in metres
    before = centroid(RaycastRenderer(arm, camera=camera).draw(qpos)[1])
    after = centroid(RaycastRenderer(arm, camera=camera, offset=(0.1, 0.2)).draw(qpos)[1])
    pixels = 64 / (2 * np.tan(np.deg2rad(22.5)) * distance)
    np.testing.assert_allclose(after - before, [0.2 * pixels, -0.1 * pixels], atol=0.6)


def test_a_camera_that_turns_to_its_target_cannot_be_moved() -> None:
    aimed = ARM.replace('name="above"', 'name="above" mode="targetbody" target="upper"')
    with pytest.raises(ValueError, match="'above' turns to a target"):
        RaycastRenderer(mujoco.MjModel.from_xml_string(aimed), camera="above", offset=(0.1, 0.0))


def test_agent_bodies_choose_what_the_mask_shows(arm: mujoco.MjModel) -> None:
    layers = RaycastRenderer(arm, agent_bodies=[2]).inspect(np.zeros(2))
    np.testing.assert_array_equal(layers.mask[..., 0] == 255, layers.ids == 3)
    world = RaycastRenderer(arm, agent_bodies=[0])
    layers = world.inspect(np.zeros(2))
    np.testing.assert_array_equal(layers.mask[..., 0] == 255, np.isin(layers.ids, [0, 1]))
    np.testing.assert_array_equal(layers.mask, world.draw(np.zeros(2), on(np.zeros((64, 64, 3), np.uint8)))[1])


def test_cameras_by_name_and_index(arm: mujoco.MjModel) -> None:
    by_name, by_index = RaycastRenderer(arm, camera="above"), RaycastRenderer(arm, camera=1)
    qpos = np.array([0.5, 0.5])
    np.testing.assert_array_equal(by_name.draw(qpos)[0], by_index.draw(qpos)[0])
    assert RaycastRenderer(arm).camera_index == 0


def test_copies_do_not_share_state(renderer: RaycastRenderer) -> None:
    twin = copy.deepcopy(renderer)
    expected = renderer.draw(np.array([1.0, 1.0]))[0]
    twin.draw(np.zeros(2))
    np.testing.assert_array_equal(twin.draw(np.array([1.0, 1.0]))[0], expected)


def test_mocap_bodies_move_and_return() -> None:
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><camera pos='0 0 3'/><body mocap='true'><geom size='0.2'/></body></worldbody></mujoco>"
    )
    renderer = RaycastRenderer(model)
    qpos = np.zeros(0)
    home = renderer.draw(qpos)[1]
    moved = renderer.draw(qpos, mocap_pos=np.array([[0.5, 0.0, 0.0]]))[1]
    assert home[:, :32].any() and moved.any() and not moved[:, :32].any()
    np.testing.assert_array_equal(renderer.draw(qpos)[1], home)


def test_wrong_arguments_are_named(arm: mujoco.MjModel, renderer: RaycastRenderer) -> None:
    with pytest.raises(ValueError, match=r"no camera 'sied'.*'side'.*\['side', 'above'\]"):
        RaycastRenderer(arm, camera="sied")
    with pytest.raises(ValueError, match="no camera 7"):
        RaycastRenderer(arm, camera=7)
    with pytest.raises(ValueError, match=r"agent_bodies \[9\].*0 to 2"):
        RaycastRenderer(arm, agent_bodies=[1, 9])
    with pytest.raises(ValueError, match="image_size and zoom"):
        RaycastRenderer(arm, zoom=0)
    with pytest.raises(ValueError, match=r"qpos must have shape \(2,\), got \(3,\)"):
        renderer.draw(np.zeros(3))
    with pytest.raises(ValueError, match=r"plate must be uint8 of at least \(64, 64, 3\), got \(32, 32, 3\)"):
        renderer.draw(np.zeros(2), on(np.zeros((32, 32, 3), np.uint8)))


def test_meshes_are_refused_by_name() -> None:
    xml = """<mujoco><asset><mesh name="m" vertex="0 0 0 1 0 0 0 1 0 0 0 1"/></asset>
    <worldbody><geom name="hull" type="mesh" mesh="m" group="{group}"/></worldbody></mujoco>"""
    with pytest.raises(
        ValueError, match=r"'hull' is of type mesh.*capsule, sphere, cylinder, box, ellipsoid and plane"
    ):
        RaycastRenderer(mujoco.MjModel.from_xml_string(xml.format(group=0)))
    RaycastRenderer(mujoco.MjModel.from_xml_string(xml.format(group=3)))  # not visible, so nothing to draw


@pytest.mark.skipif(not hasattr(mujoco, "mjtLightType"), reason="this MuJoCo knows no kinds of lamps")
def test_point_lamps_shine_as_in_mujoco_s_own_renderer_not_at_all() -> None:
    def lit(lamp: str) -> np.ndarray:
        model = mujoco.MjModel.from_xml_string(f"""
        <mujoco><visual><headlight active="0"/></visual><worldbody>
          <camera pos="0 0 4"/><light type="directional" dir="0 1 -1"/>{lamp}
          <geom type="box" size="1 1 0.1"/>
        </worldbody></mujoco>""")
        return RaycastRenderer(model, 32).draw(np.zeros(0), Look())[0]

    without, point, spot = lit(""), lit('<light type="point" pos="0 0 2"/>'), lit('<light type="spot" pos="0 0 2"/>')
    np.testing.assert_array_equal(point, without)
    assert spot.mean() > without.mean()
