"""The OpenGL renderer: what it shares with the ray caster, meshes and textures, exact masks."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re

import gymnasium
import mujoco
import numpy as np
import pytest

import masklam_envs  # noqa: F401 - registers the environments
from masklam_envs.distractors import ActionReference
from masklam_envs.rendering import OpenGLRenderer, RaycastRenderer, gl
from masklam_envs.rendering.look import CLEAN, CameraChange, Ghost, LightChange, Look, Plate
from masklam_envs.rendering.rays import PixelRays
from masklam_envs.rendering.scene import can_be_cast
from masklam_envs.view import View, ViewConfig
from tests.rendering.scenes import robot, soft


@pytest.fixture(autouse=True)
def _opengl(needs_opengl: None) -> None:
    """All tests here draw."""


def load(name: str) -> mujoco.MjModel:
    mujoco.set_mju_user_warning(lambda message: None)  # "settotalmass is deprecated"
    return gymnasium.make(f"{name}-v5").unwrapped.model


def random_pose(model: mujoco.MjModel, seed: int = 1) -> np.ndarray:
    qpos = model.qpos0.copy()
    mujoco.mj_integratePos(model, qpos, np.random.default_rng(seed).normal(0, 0.2, model.nv), 1.0)
    return qpos


def noise(size: int = 64) -> Plate:
    return Plate(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))


LOOKS = {
    "clean": CLEAN,
    "plate": Look(plate=noise()),
    "ground": Look(plate=noise(), ground_alpha=0.5),
    "camera": Look(camera=CameraChange(0.3, 0.2, 0.2, 1.2)),
    "light": Look(light=LightChange((1.0, 0.5, 0.4), 1.0, 0.5)),
    "faint plate": Look(plate=dataclasses.replace(noise(), opacity=0.4), ground_alpha=0.5),
    "overlay": Look(overlays=(np.full((64, 64, 4), 130, np.uint8),)),
}


@pytest.mark.parametrize("name", ["HalfCheetah", "Ant", "Humanoid", "Pusher"])
def test_primitive_models_look_as_the_ray_caster_draws_them(name: str) -> None:
    """Round geoms are polyhedra here, edges are sampled, light is computed at corners: so much and no more differs."""
    model = load(name)
    cast, drawn, qpos = RaycastRenderer(model), OpenGLRenderer(model), random_pose(model)
    colours = np.random.default_rng(0).random((model.ngeom, 3))
    ghosts = {f"ghost {opacity}": Ghost(model.qpos0, 5, 3, 0.5, opacity) for opacity in (1.0, 0.3)}
    looks = {**LOOKS, "colours": Look(colours=colours)}
    looks |= {kind: Look(noise(), ghosts=(ghost,)) for kind, ghost in ghosts.items()}
    for kind, look in looks.items():
        (pixels, mask), (other_pixels, other_mask) = cast.draw(qpos, look), drawn.draw(qpos, look)
        assert (mask != other_mask).mean() < 0.01, kind
        assert np.abs(pixels.astype(int) - other_pixels).mean() < 6, kind
    layers, others = cast.inspect(qpos), drawn.inspect(qpos)
    same = layers.ids == others.ids
    assert same.mean() > 0.99
    near = same & (layers.depth < 10)
    errors = np.abs(others.depth[near] - layers.depth[near])
    assert np.median(errors) < 1e-3 and errors.max() < 0.1


AGENT = [1, 2]  # of the robot of meshes: body and arm; the ball and the table are not
POSES = (
    np.array([0.0, 0.0, 0.0, 0.5, -0.4, 0.3, 1, 0, 0, 0]),
    np.array([0.5, 0.7, -0.6, 0.3, -0.7, 0.3, 1, 0, 0.3, 0]),
)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return robot()


@pytest.fixture(scope="module")
def renderer(model: mujoco.MjModel) -> OpenGLRenderer:
    return OpenGLRenderer(model, agent_bodies=AGENT)


def traced_share(renderer: OpenGLRenderer, qpos: np.ndarray, samples: int) -> np.ndarray:
    """Share of each pixel's samples (H, W) whose ray meets a geom of the agent first, by ``mj_multiRay``."""
    ids = PixelRays(renderer, qpos, samples=samples).trace().ids
    agent = (ids >= 0) & np.isin(renderer.model.geom_bodyid[ids], AGENT)
    blocks = agent.reshape(renderer.image_size, samples, renderer.image_size, samples)
    return blocks.mean(axis=(1, 3))


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_the_mask_of_meshes_is_that_of_rays(model: mujoco.MjModel, samples: int) -> None:
    renderer = OpenGLRenderer(model, 48, agent_bodies=AGENT, samples=samples)
    for qpos in POSES:
        mask = renderer.draw(qpos)[1][..., 0] == 255
        share = traced_share(renderer, qpos, samples)
        assert mask.sum() > 50
        assert (mask != (share >= 0.5)).sum() <= 1  # a ray may pass between two triangles


def test_ids_and_depths_are_those_of_rays(renderer: OpenGLRenderer) -> None:
    layers, traced = renderer.inspect(POSES[1]), PixelRays(renderer, POSES[1]).trace()
    assert set(np.unique(layers.ids)) == {-1, 0, 1, 2, 3, 4}
    assert (layers.ids != traced.ids).sum() <= 1  # a ray may pass between two triangles
    near = (layers.ids == traced.ids) & (traced.depth < 10)
    np.testing.assert_allclose(layers.depth[near], traced.depth[near], atol=1e-4)


def test_with_one_sample_the_mask_is_that_of_the_ids(model: mujoco.MjModel) -> None:
    sharp = OpenGLRenderer(model, 32, agent_bodies=AGENT, samples=1)
    for qpos in POSES:
        layers = sharp.inspect(qpos)
        agent = (layers.ids >= 0) & np.isin(model.geom_bodyid[layers.ids], AGENT)
        np.testing.assert_array_equal(layers.mask[..., 0] == 255, agent)


def test_frames_have_the_promised_form_and_are_fresh(renderer: OpenGLRenderer) -> None:
    plate = noise()
    before = plate.frame.copy()
    (pixels, mask), (others, _) = renderer.draw(POSES[0], Look(plate)), renderer.draw(POSES[0], Look(plate))
    assert pixels.shape == (64, 64, 3) and pixels.dtype == np.uint8
    assert mask.shape == (64, 64, 1) and mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
    assert not np.shares_memory(pixels, others) and not np.shares_memory(pixels, plate.frame)
    np.testing.assert_array_equal(plate.frame, before)


@pytest.mark.parametrize("camera", ["front", {"distance": 3.0, "track": "robot", "elevation": -20.0}])
def test_a_frame_depends_on_its_pose_and_look_alone(camera: object) -> None:
    """Nothing of the frames before is left: kept ground and sky, colours, lamps, the endless floor's place."""
    model = robot(floor="0 0 1")
    looks = [*LOOKS.values(), Look(colours=np.full((model.ngeom, 3), 0.5)), Look(ghosts=(Ghost(POSES[1]),))]
    renderer = OpenGLRenderer(model, camera=camera)
    first = [renderer.draw(qpos, look) for look in looks for qpos in POSES]
    order = np.random.default_rng(0).permutation(len(first)).tolist()
    again = {i: renderer.draw(POSES[i % 2], looks[i // 2]) for i in order}
    fresh = [OpenGLRenderer(model, camera=camera).draw(qpos, look) for look in looks for qpos in POSES]
    for i, frame in enumerate(first):
        for one, two, three in zip(frame, again[i], fresh[i], strict=True):
            np.testing.assert_array_equal(one, two)
            np.testing.assert_array_equal(one, three)


def test_the_mask_knows_nothing_of_the_background(renderer: OpenGLRenderer) -> None:
    for qpos in (*POSES, np.array([0.3, 0.2, 1.5, 0.5, -0.4, 0.02, 1, 0, 0, 0])):  # the arm is in the floor
        masks = [renderer.draw(qpos, LOOKS[kind])[1] for kind in ("clean", "plate", "ground", "light")]
        masks.append(renderer.draw(qpos, Look(noise(), ghosts=(Ghost(POSES[0], x=3.0),)))[1])
        for mask in masks[1:]:
            np.testing.assert_array_equal(mask, masks[0])


def test_the_plate_shows_where_nothing_covers(renderer: OpenGLRenderer) -> None:
    plate = noise()
    black, white = (np.full((64, 64, 3), value, np.uint8) for value in (0, 255))
    frames = [renderer.draw(POSES[0], Look(Plate(frame)))[0].astype(int) for frame in (black, white)]
    free = (frames[1] - frames[0]).min(axis=2) == 255
    solid = (frames[1] == frames[0]).all(axis=2)
    pixels = renderer.draw(POSES[0], Look(plate))[0]
    assert free.mean() > 0.7 and solid.mean() > 0.05 and not (free | solid).all()  # the rest are blended edges
    np.testing.assert_array_equal(pixels[free], plate.frame[free])
    np.testing.assert_array_equal(pixels[solid], frames[0][solid])


def test_textures_of_meshes_show(renderer: OpenGLRenderer) -> None:
    layers = renderer.inspect(POSES[0])
    rows, columns = np.nonzero(layers.ids == 2)
    middle = (columns.min() + columns.max()) / 2
    for side, strong, weak in ((columns < middle - 1, 0, 2), (columns > middle + 1, 2, 0)):
        colours = layers.pixels[rows[side], columns[side]].astype(int)
        assert (colours[:, strong] > colours[:, weak] + 30).mean() > 0.7  # red on the left, blue on the right


def test_translucent_solids_blend_with_what_is_behind_them() -> None:
    model = mujoco.MjModel.from_xml_string("""
    <mujoco><visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual><worldbody>
      <camera pos="0 0 4"/>
      <geom type="box" size="0.3 0.3 0.1" pos="-0.5 0 0" rgba="0 1 0 1"/>
      <body pos="0 0 0.5"><geom type="box" size="1 0.5 0.1" rgba="1 0 0 0.25"/></body>
    </worldbody></mujoco>""")
    pixels, mask = OpenGLRenderer(model, 64).draw(np.zeros(0), Look(Plate(np.full((64, 64, 3), 200, np.uint8))))
    np.testing.assert_allclose(pixels[32, 42], [0.25 * 255 + 0.75 * 200, 0.75 * 200, 0.75 * 200], atol=1)
    np.testing.assert_allclose(pixels[32, 22], [0.25 * 255, 0.75 * 255, 0], atol=1)
    np.testing.assert_array_equal(pixels[2, 2], 200)
    assert mask[32, 42] == mask[32, 22] == 255 and mask[2, 2] == 0


def test_agent_bodies_choose_what_the_mask_shows(model: mujoco.MjModel) -> None:
    arm = OpenGLRenderer(model, agent_bodies=[2], samples=1).inspect(POSES[0])
    np.testing.assert_array_equal(arm.mask[..., 0] == 255, arm.ids == 3)
    world = OpenGLRenderer(model, agent_bodies=[0], samples=1).inspect(POSES[0])
    np.testing.assert_array_equal(world.mask[..., 0] == 255, np.isin(world.ids, [0, 1]))


def test_hills_skins_and_flexes_are_drawn() -> None:
    model = soft()
    assert not can_be_cast(model)
    torso = OpenGLRenderer(model, agent_bodies=[1], samples=1)
    qpos = model.qpos0.copy()
    layers, everything = torso.inspect(qpos), OpenGLRenderer(model, samples=1).inspect(qpos)
    assert set(np.unique(layers.ids)) == {-1, 0, 1}
    skin = (layers.mask[..., 0] == 255) & (layers.ids == -1)
    cloth = (everything.mask[..., 0] == 255) & (layers.mask[..., 0] == 0)
    assert skin.sum() > 20 and np.isfinite(layers.depth[skin]).all()
    if mujoco.__version__ != "3.3.0":  # which draws no such cloth in any view of its own either
        assert cloth.sum() > 5 and np.isfinite(layers.depth[cloth]).all()
        assert (np.argwhere(skin).mean(axis=0) - np.argwhere(cloth).mean(axis=0))[1] < -10  # left of the cloth
    qpos[:3] += [0.5, 0.0, 0.0]
    moved = torso.inspect(qpos)
    assert np.argwhere(moved.mask[..., 0]).mean(axis=0)[1] > np.argwhere(layers.mask[..., 0]).mean(axis=0)[1] + 5


def test_places_that_a_task_writes_into_the_model_are_seen(model: mujoco.MjModel) -> None:
    model = copy.copy(model)
    renderer = OpenGLRenderer(model, agent_bodies=AGENT)
    before = renderer.draw(POSES[0])[1]
    model.body_pos[1, 0] += 0.3
    after = renderer.draw(POSES[0])[1]
    assert np.argwhere(after)[:, 1].mean() > np.argwhere(before)[:, 1].mean() + 3


def test_zoom_and_offset_are_those_of_the_ray_caster() -> None:
    model = load("HalfCheetah")
    qpos, settings = random_pose(model), {"zoom": 1.3, "offset": (0.2, -0.3)}
    cast, drawn = RaycastRenderer(model, **settings).inspect(qpos), OpenGLRenderer(model, **settings).inspect(qpos)
    assert (cast.ids == drawn.ids).mean() > 0.995


def test_samples_blend_edges(model: mujoco.MjModel) -> None:
    """A frame of more samples is nearer to one of very many."""
    best = OpenGLRenderer(model, samples=8).draw(POSES[1])[0].astype(int)
    errors = [np.abs(OpenGLRenderer(model, samples=n).draw(POSES[1])[0] - best).mean() for n in (1, 2, 4)]
    assert errors[0] > 1.5 * errors[1] > 1.5 * errors[2]


def test_copies_draw_the_same(renderer: OpenGLRenderer) -> None:
    expected = renderer.draw(POSES[1], LOOKS["ground"])
    for twin in (copy.deepcopy(renderer), pickle.loads(pickle.dumps(renderer))):
        for one, two in zip(twin.draw(POSES[1], LOOKS["ground"]), expected, strict=True):
            np.testing.assert_array_equal(one, two)


def test_wrong_arguments_are_named(model: mujoco.MjModel, renderer: OpenGLRenderer) -> None:
    with pytest.raises(ValueError, match=r"no camera 'frnt'.*Did you mean 'front'"):
        OpenGLRenderer(model, camera="frnt")
    with pytest.raises(ValueError, match=r"agent_bodies \[9\].*0 to 3"):
        OpenGLRenderer(model, agent_bodies=[1, 9])
    with pytest.raises(ValueError, match="samples and zoom must be positive, got 64, 0 and 1"):
        OpenGLRenderer(model, samples=0)
    with pytest.raises(ValueError, match=r"qpos must have shape \(10,\), got \(3,\)"):
        renderer.draw(np.zeros(3))
    with pytest.raises(ValueError, match=r"plate must be uint8 of at least \(64, 64, 3\), got \(32, 32, 3\)"):
        renderer.draw(POSES[0], Look(noise(32)))
    with pytest.raises(ValueError, match=r"colours must be \(5, 3\), got \(2, 3\)"):
        renderer.draw(POSES[0], Look(colours=np.zeros((2, 3))))
    with pytest.raises(ValueError, match=r"ghost's qpos must have shape \(10,\), got \(2,\)"):
        renderer.draw(POSES[0], Look(ghosts=(Ghost(np.zeros(2)),)))


def test_auto_takes_opengl_where_the_ray_caster_cannot_draw(model: mujoco.MjModel) -> None:
    reference = ActionReference(np.zeros(2), np.eye(2))
    for config, kind in (
        (ViewConfig(), OpenGLRenderer),
        (ViewConfig(renderer="opengl"), OpenGLRenderer),
        (ViewConfig(renderer="raycast"), RaycastRenderer),
    ):
        view = View(model, config, reference)
        if kind is RaycastRenderer:
            with pytest.raises(ValueError, match="'table' is of type mesh.*renderer='opengl' draws all"):
                _ = view.renderer
        else:
            assert isinstance(view.renderer, kind)
    cheetah = load("HalfCheetah")
    assert isinstance(View(cheetah, ViewConfig(), reference).renderer, RaycastRenderer)


@pytest.mark.parametrize("distractor", ["none", "action"])
def test_an_environment_drawn_by_opengl_is_replayed_byte_for_byte(distractor: str) -> None:
    env = gymnasium.make("MaskCheetah-v0", renderer="opengl", distractor=distractor)
    frames = [env.reset(seed=0)[0]]
    env.action_space.seed(0)
    frames += [env.step(env.action_space.sample())[0] for _ in range(3)]
    again = gymnasium.make("MaskCheetah-v0", renderer="opengl", distractor=distractor)
    frames_again = [again.reset(seed=0)[0]]
    again.action_space.seed(0)
    frames_again += [again.step(again.action_space.sample())[0] for _ in range(3)]
    for one, two in zip(frames, frames_again, strict=True):
        for key in ("pixels", "mask"):
            np.testing.assert_array_equal(one[key], two[key])
    assert frames[-1]["mask"].any()


def test_the_name_tells_library_device_and_version(renderer: OpenGLRenderer) -> None:
    assert renderer.name == f"opengl, {gl.description()}"
    assert re.fullmatch(r"(egl|osmesa): .+, \d\.\d.*", gl.description())
    assert RaycastRenderer(load("Hopper")).name == "raycast"
