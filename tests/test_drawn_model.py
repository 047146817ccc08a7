"""The model for drawing: what a task moves about is a part of its positions, and sites show."""

import mujoco
import numpy as np
import pytest

from masklam_envs.drawn_model import DrawnModel
from masklam_envs.rendering import RaycastRenderer

XML = """
<mujoco>
  <worldbody>
    <camera pos="0 0 4"/>
    <light name="sun" pos="0 0 3"/>
    <geom name="target" type="ellipsoid" size="0.1 0.2 0.1" pos="0.5 0 0" euler="0 0 30" rgba="1 0 0 1"/>
    <site name="goal" size="0.1" pos="-0.5 0 0" rgba="0 1 0 1"/>
    <site name="secret" size="0.1" pos="-0.5 0.5 0" group="3"/>
    <body name="door" pos="0 0.5 0">
      <geom type="box" size="0.1 0.1 0.1" rgba="0 0 1 1"/>
      <body name="leaf" pos="0.2 0 0">
        <joint name="hinge" axis="0 0 1"/>
        <geom type="box" size="0.1 0.02 0.1"/>
        <site name="knob" size="0.03" pos="0.1 0 0.1" rgba="1 1 0 1"/>
      </body>
    </body>
    <body name="ball" pos="0 -0.5 0"><freejoint/><geom size="0.1"/></body>
  </worldbody>
  <keyframe><key qpos="0.3 0 0 0 1 0 0 0"/></keyframe>
</mujoco>
"""
PLACED = ("body:door", "geom:target", "site:goal", "light:sun")


@pytest.fixture
def physics():
    return mujoco.MjModel.from_xml_string(XML)


@pytest.fixture
def drawn(physics):
    return DrawnModel(mujoco.MjSpec.from_string(XML), physics, PLACED)


def moved(physics):
    """Put every placed thing elsewhere; returns data of the moved physics, with other positions and velocities too."""
    physics.body("door").pos, physics.body("door").quat = [0.1, 0.6, 0], [np.cos(0.2), 0, 0, np.sin(0.2)]
    physics.geom("target").pos = [0.4, 0.1, 0]
    physics.site("goal").pos = [-0.4, -0.1, 0.05]
    physics.light("sun").pos = [1, 1, 2]
    data = mujoco.MjData(physics)
    data.qpos[:] = [0.7, 0.1, -0.6, 0, 0, 1, 0, 0]
    data.qvel[:] = np.arange(physics.nv)
    mujoco.mj_forward(physics, data)
    return data


def test_everything_is_where_the_task_put_it(physics, drawn):
    data = moved(physics)
    drawn.place(), drawn.follow(data)
    model, seen = drawn.model, drawn.data
    mujoco.mj_forward(model, seen)
    for name in ("door", "leaf", "ball"):
        np.testing.assert_allclose(seen.body(name).xpos, data.body(name).xpos, atol=1e-12)
        np.testing.assert_allclose(seen.body(name).xmat, data.body(name).xmat, atol=1e-12)
    for kind, name in (("geom", "target"), ("site", "goal")):
        thing, body = getattr(data, kind)(name), seen.body(f"placed {kind} {name}")
        np.testing.assert_allclose(body.xpos, thing.xpos, atol=1e-12)
        np.testing.assert_allclose(body.xmat, thing.xmat, atol=1e-12)
    light = mujoco.mj_name2id(physics, mujoco.mjtObj.mjOBJ_LIGHT, "sun")
    shining = np.flatnonzero(model.light_active)
    np.testing.assert_allclose(seen.light_xpos[shining], data.light_xpos[[light]], atol=1e-12)


def test_positions_and_velocities_are_the_physics_and_the_places(physics, drawn):
    data = moved(physics)
    drawn.place(), drawn.follow(data)
    assert drawn.model.nq == physics.nq + 7 * len(PLACED) and drawn.model.nv == physics.nv + 6 * len(PLACED)
    assert drawn.data.joint("hinge").qpos == 0.7 and drawn.data.joint("hinge").qvel == 0
    ball = int(drawn.model.jnt_qposadr[drawn.model.body("ball").jntadr[0]])
    assert drawn.data.qpos[ball : ball + 7].tolist() == data.qpos[1:].tolist()
    assert sorted(drawn.data.qvel[drawn.data.qvel > 0]) == [1, 2, 3, 4, 5, 6]


def test_a_frame_is_a_function_of_the_positions(physics, drawn):
    drawn.place(), drawn.follow(mujoco.MjData(physics))
    first, start = RaycastRenderer(drawn.model), drawn.data.qpos.copy()
    data = moved(physics)
    drawn.place(), drawn.follow(data)
    frames = [first.draw(qpos)[0] for qpos in (start, drawn.data.qpos, start)]
    assert not np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])
    np.testing.assert_allclose(drawn.model.qpos0, start, atol=1e-12)  # as the source has it


def test_visible_sites_are_drawn_and_hidden_ones_are_not(physics, drawn):
    model = drawn.model
    colours = [tuple(rgba) for rgba in model.geom_rgba[model.geom_group < 3] if rgba[3] > 0]
    assert colours.count((0, 1, 0, 1)) == colours.count((1, 1, 0, 1)) == colours.count((1, 0, 0, 1)) == 1
    [knob] = np.flatnonzero((model.geom_rgba == [1, 1, 0, 1]).all(axis=1))
    assert model.geom_bodyid[knob] == model.body("leaf").id
    assert (model.site_group >= 3).all()
    assert model.ngeom == physics.ngeom + 3  # the goal, the knob and the target's copy


@pytest.mark.parametrize(
    ("placed", "message"),
    [("site:gaol", "no site 'gaol'"), ("body:leaf", "body 'leaf' is on a body"), ("site:knob", "only what is fixed")],
)
def test_what_cannot_be_placed_is_an_error(physics, placed, message):
    with pytest.raises(ValueError, match=message):
        DrawnModel(mujoco.MjSpec.from_string(XML), physics, [placed])


def test_a_spec_of_another_model_is_an_error(physics):
    other = "<mujoco><worldbody><body name='door'><geom size='0.1'/></body></worldbody></mujoco>"
    with pytest.raises(ValueError, match="not of the same model"):
        DrawnModel(mujoco.MjSpec.from_string(other), physics, ["body:door"])
