"""What a look does to a frame: camera, colours, light, ghosts, overlays and the plate's place."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs.distractors.plate import pan, warp
from masklam_envs.exact import arctan2, exp, sincos
from masklam_envs.rendering import RaycastRenderer
from masklam_envs.rendering.look import CLEAN, CameraChange, Ghost, LightChange, Look, Plate, mixed
from tests.rendering.test_renderer import ARM

QPOS = np.array([0.3, -0.5])
GREY = Plate(np.full((64, 64, 3), 90, np.uint8))


@pytest.fixture(scope="module")
def renderer() -> RaycastRenderer:
    return RaycastRenderer(mujoco.MjModel.from_xml_string(ARM))


def centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask[..., 0] > 0).mean(axis=0)


@given(st.floats(-1000, 1000), st.floats(-50, 50))
def test_sine_cosine_and_exponential(angle: float, power: float) -> None:
    np.testing.assert_allclose(sincos(angle), (np.sin(angle), np.cos(angle)), atol=1e-15)
    np.testing.assert_allclose(exp(power), np.exp(power), rtol=1e-14)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_the_angle_of_a_point(y: float, x: float) -> None:
    np.testing.assert_allclose(arctan2(y, x), np.arctan2(y + 0.0, x + 0.0), rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("plate", [None, GREY])
def test_a_change_of_nothing_changes_nothing(renderer: RaycastRenderer, plate: Plate | None) -> None:
    expected = renderer.draw(QPOS, Look(plate, 0.4))
    model = renderer.model
    unset = (model.geom_rgba == (0.5, 0.5, 0.5, 1)).all(axis=1) & (model.geom_matid >= 0)
    colours = np.where(unset[:, None], model.mat_rgba[model.geom_matid], model.geom_rgba)[:, :3].astype(float)
    nothing = Look(plate, 0.4, CameraChange(), colours, LightChange(), (), (np.zeros((64, 64, 4), np.uint8),))
    for given_, same in zip(renderer.draw(QPOS, nothing), expected, strict=True):
        np.testing.assert_array_equal(given_, same)


def test_a_changed_look_leaves_no_trace(renderer: RaycastRenderer) -> None:
    before = renderer.draw(QPOS)
    look = Look(
        None, 0.0, CameraChange(0.3, 0.2, 0.1, 1.2), np.zeros((4, 3)), LightChange((0.5, 1, 1), 1.0),
        (Ghost(QPOS[::-1]),), (np.full((64, 64, 4), 255, np.uint8),),
    )  # fmt: skip
    assert not np.array_equal(renderer.draw(QPOS, look)[0], before[0])
    for first, again in zip(before, renderer.draw(QPOS, CLEAN), strict=True):
        np.testing.assert_array_equal(first, again)


@settings(max_examples=20)
@given(yaw=st.floats(-3, 3), pitch=st.floats(-1, 1), roll=st.floats(-3, 3), distance=st.floats(0.5, 2))
def test_the_camera_keeps_its_point_in_the_middle(yaw: float, pitch: float, roll: float, distance: float) -> None:
    xml = """<mujoco><worldbody><camera pos="0 -3 1" xyaxes="1 0 0 0 0 1"/>
    <body pos="0 0 1"><joint type="hinge"/><geom size="0.3"/></body></worldbody></mujoco>"""
    renderer = RaycastRenderer(mujoco.MjModel.from_xml_string(xml))
    assert renderer.focus == pytest.approx(3.0)
    _, mask = renderer.draw(np.zeros(1), Look(camera=CameraChange(yaw, pitch, roll, distance)))
    np.testing.assert_allclose(centre(mask), [31.5, 31.5], atol=0.5)
    still = (renderer.draw(np.zeros(1))[1] > 0).sum()
    assert (mask > 0).sum() == pytest.approx(still / distance**2, rel=0.25)


def test_the_camera_moves_as_documented(renderer: RaycastRenderer) -> None:
    def seen(**change: float) -> np.ndarray:
        return centre(renderer.draw(np.zeros(2), Look(camera=CameraChange(**change)))[1])

    row, column = seen()
    assert seen(roll=0.2)[0] > row + 1  # a camera that turns to the left sees the right side sink
    np.testing.assert_allclose(seen(yaw=np.pi), [row, 63 - column], atol=0.5)  # from the other side
    higher = renderer.draw(np.zeros(2), Look(camera=CameraChange(pitch=0.5)))[0]
    assert (higher != renderer.draw(np.zeros(2))[0]).any()


def test_pitch_lifts_the_camera_and_yaw_carries_it_round(renderer: RaycastRenderer) -> None:
    from masklam_envs.rendering.orbit import carried

    position, matrix, _ = renderer.camera_pose(np.zeros(2))
    lifted, axes = carried(position, matrix.ravel(), renderer.focus, CameraChange(pitch=0.3))
    assert lifted[2] > position[2] + 0.5
    focus = position - renderer.focus * matrix[:, 2]
    np.testing.assert_allclose(lifted - renderer.focus * axes.reshape(3, 3)[:, 2] * -1, focus + 2 * (lifted - focus))
    np.testing.assert_allclose(axes.reshape(3, 3).T @ axes.reshape(3, 3), np.eye(3), atol=1e-14)
    carried_round, _ = carried(position, matrix.ravel(), renderer.focus, CameraChange(yaw=np.pi / 2))
    np.testing.assert_allclose(carried_round - focus, [renderer.focus, 0, 0], atol=1e-12)


def test_colours_are_those_of_the_geoms(renderer: RaycastRenderer) -> None:
    ids = renderer.inspect(QPOS).ids
    colours = np.zeros((4, 3))
    colours[3] = (0, 0, 1)
    pixels, mask = renderer.draw(QPOS, Look(GREY, colours=colours))
    blue = (pixels[..., 2] > 60) & (pixels[..., 0] < 60)
    assert blue[ids == 3].mean() > 0.5
    np.testing.assert_array_equal(mask, renderer.draw(QPOS)[1])


def test_light_gains_colour_and_turns(renderer: RaycastRenderer) -> None:
    def lit(**change: object) -> np.ndarray:
        return renderer.draw(QPOS, Look(GREY, light=LightChange(**change)))[0].astype(int)  # type: ignore[arg-type]

    plain, robot = lit(), renderer.draw(QPOS)[1][..., 0] > 0
    assert lit(gain=(0.5, 0.5, 0.5))[robot].mean() < 0.8 * plain[robot].mean()
    np.testing.assert_array_equal(lit(gain=(0, 0, 0))[~renderer_touches(renderer)], 90)
    assert not np.array_equal(lit(yaw=1.0), plain) and not np.array_equal(lit(pitch=0.5), plain)
    dark = lit(yaw=np.pi)  # the headlight shines from behind the robot
    assert dark[robot].mean() < plain[robot].mean()


def renderer_touches(renderer: RaycastRenderer) -> np.ndarray:
    black, white = (renderer.draw(QPOS, Look(Plate(np.full((64, 64, 3), c, np.uint8))))[0] for c in (0, 255))
    return ~((black == 0) & (white == 255)).all(axis=-1)


@settings(max_examples=15)
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(-20, 20), st.floats(-20, 20), st.floats(-3, 3))
def test_a_ghost_is_behind_the_agent_and_not_in_the_mask(
    renderer: RaycastRenderer, a: float, b: float, x: float, y: float, turn: float
) -> None:
    plain, mask = renderer.draw(QPOS, Look(GREY))
    pixels, with_ghost = renderer.draw(QPOS, Look(GREY, ghosts=(Ghost(np.array([a, b]), x, y, turn),)))
    np.testing.assert_array_equal(mask, with_ghost)
    solid = (renderer.draw(QPOS, Look(Plate(np.zeros((64, 64, 3), np.uint8))))[0] == plain).all(axis=-1)
    np.testing.assert_array_equal(pixels[solid], plain[solid])


def test_a_ghost_shows_its_pose_where_it_is_placed(renderer: RaycastRenderer) -> None:
    # The same pose, 20 pixels further up: the difference is the robot's own picture, displaced.
    plain, mask = renderer.draw(QPOS, Look(GREY))
    shown = (renderer.draw(QPOS, Look(GREY, ghosts=(Ghost(QPOS, 5, -20),)))[0] != plain).any(axis=-1)
    alone = np.zeros((64, 64), bool)
    alone[:-20, 5:] = (mask[20:, :-5, 0]) > 0
    assert (shown & alone).sum() > 0.9 * alone.sum() > 0
    with pytest.raises(ValueError, match=r"ghost's qpos must have shape \(2,\), got \(3,\)"):
        renderer.draw(QPOS, Look(ghosts=(Ghost(np.zeros(3)),)))


def blend(below: np.ndarray, above: np.ndarray, opacity: float) -> np.ndarray:
    return below + opacity * (above.astype(float) - below)


@given(below=st.integers(0, 255), above=st.integers(0, 255), opacity=st.floats(0, 1))
def test_mixed_is_a_rounded_blend(below: int, above: int, opacity: float) -> None:
    one, other = np.full((1, 1, 3), below, np.uint8), np.full((1, 1, 3), above, np.uint8)
    found = mixed(one, other, opacity)
    assert found.dtype == np.uint8
    assert np.abs(found - blend(one, other, opacity)).max() <= 1.0
    assert (mixed(one, other, 0.0) == below).all() and (mixed(one, other, 1.0) == above).all()


@pytest.mark.parametrize("ground_alpha", [0.0, 0.5])
def test_a_faint_plate_lies_over_the_sky_and_under_the_ground(renderer: RaycastRenderer, ground_alpha: float) -> None:
    plate = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    sky = renderer._own_sky(renderer.camera_pose(QPOS)[1].ravel()).copy()
    for opacity in (0.0, 0.25, 1.0):
        faint = renderer.draw(QPOS, Look(Plate(plate, opacity=opacity), ground_alpha))
        same = renderer.draw(QPOS, Look(Plate(mixed(sky, plate, opacity)), ground_alpha))
        for found, expected in zip(faint, same, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_faint_ghost_is_a_blend_of_the_picture_with_and_without_it(renderer: RaycastRenderer) -> None:
    def drawn(*opacities: float) -> np.ndarray:
        ghosts = tuple(Ghost(QPOS, 5 + 3 * i, -20, 0.0, opacity) for i, opacity in enumerate(opacities))
        return renderer.draw(QPOS, Look(GREY, ghosts=ghosts))[0]

    plain, whole, half = drawn(), drawn(1.0), drawn(0.5)
    assert np.abs(half - blend(plain, whole, 0.5)).max() <= 1.5
    np.testing.assert_array_equal(drawn(0.0), plain)
    np.testing.assert_array_equal(drawn(1.0, 0.0), whole)
    assert (drawn(1.0, 0.5) != whole).any() and (drawn(1.0, 0.5) != drawn(1.0, 1.0)).any()


def test_overlays_hide_pixels_and_mask(renderer: RaycastRenderer) -> None:
    overlay = np.zeros((64, 64, 4), np.uint8)
    overlay[:, :32] = (10, 20, 30, 255)
    overlay[:, 32:] = (255, 255, 255, 51)  # a fifth
    plain, mask = renderer.draw(QPOS, Look(GREY))
    pixels, hidden = renderer.draw(QPOS, Look(GREY, overlays=(overlay,)))
    assert mask[:, :36].any() and not hidden[:, :32].any()
    np.testing.assert_array_equal(hidden[:, 32:], mask[:, 32:])
    assert (pixels[:, :32] == (10, 20, 30)).all()
    np.testing.assert_allclose(pixels[:, 32:], 0.8 * plain[:, 32:] + 51, atol=0.51)
    with pytest.raises(ValueError, match=r"overlay must be \(64, 64, 4\) uint8"):
        renderer.draw(QPOS, Look(overlays=(overlay[:32],)))
    with pytest.raises(ValueError, match=r"colours must be \(4, 3\)"):
        renderer.draw(QPOS, Look(colours=np.zeros((2, 3))))


# ------------------------------------------------------------------------------------------------------------ the plate


def noise(size: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)


@settings(max_examples=30)
@given(st.floats(-200, 200), st.floats(-200, 200), st.booleans())
def test_a_warp_without_turn_and_zoom_is_a_pan(x: float, y: float, wraps: bool) -> None:
    frame = noise()
    warped, panned = warp(frame, x, y, 0.0, 0.0, 64, wraps), pan(frame, x, y, 64, wraps)
    # Places are rounded to 1/256 pixel in one and kept to 1/65536 in the other.
    assert np.abs(warped.astype(int) - panned).max() <= 3


def test_a_quarter_turn_is_clockwise_and_exact() -> None:
    frame = noise(64)
    np.testing.assert_array_equal(warp(frame, 0, 0, np.pi / 2, 0, 64, False), np.rot90(frame, -1))
    np.testing.assert_array_equal(warp(frame, 0, 0, -np.pi / 2, 0, 64, False), np.rot90(frame, 1))


def test_zoom_enlarges_about_the_centre_and_never_ends() -> None:
    coarse = np.kron(noise(8), np.ones((8, 8, 1), np.uint8))
    near = warp(coarse, 0, 0, 0, 0.999, 64, False).astype(int)
    np.testing.assert_allclose(near, coarse, atol=6)  # an octave later it is itself again
    np.testing.assert_array_equal(warp(coarse, 0, 0, 0, 5.0, 64, False), coarse)
    np.testing.assert_array_equal(warp(coarse, 3, 0, 0.2, -1.75, 64, True), warp(coarse, 3, 0, 0.2, 0.25, 64, True))
    dot = np.zeros((64, 64, 3), np.uint8)
    dot[31:33, 40:42] = 255
    columns = warp(dot, 0, 0, 0, 0.3, 64, False)[32, :, 0]
    # 9 pixels right of the centre go to 9 * 2^0.3, and the half-sized picture's to half that.
    assert columns[31 + round(9 * 2**0.3)] > 100 > columns[31 + round(9 * 2**-0.7)] > 20


def test_a_plate_scales_with_the_image() -> None:
    small, large = noise(64), np.kron(noise(64), np.ones((2, 2, 1), np.uint8))
    one = Plate(small, 5, -3, 0.0, 0.0, True).painted(64)
    two = Plate(large, 5, -3, 0.0, 0.0, True).painted(128)
    np.testing.assert_array_equal(one, two[::2, ::2])
    with pytest.raises(ValueError, match="plate must be uint8 of at least"):
        Plate(small.astype(float)).painted(64)  # type: ignore[arg-type]
