"""Which bodies a mask shows, by rule and by name."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from masklam_envs import make_masked
from masklam_envs.masks import target_bodies
from masklam_envs.masks.target import body_names

ROBOT_AND_THINGS = """
<mujoco>
  <worldbody>
    <body name="table"><geom name="table" type="box" size="0.5 0.5 0.1" pos="0 0 -0.2"/></body>
    <body name="arm">
      <joint name="shoulder" type="hinge"/><geom size="0.1"/><site name="elbow" pos="0.2 0 0"/>
      <body name="hand" pos="0.3 0 0"><joint name="wrist" type="hinge"/><geom size="0.05"/></body>
    </body>
    <body name="ball" pos="0 0.5 0">
      <freejoint/><geom size="0.1"/>
      <body name="handle" pos="0 0.1 0"><geom size="0.02"/></body>
    </body>
    <body name="goal" mocap="true" pos="0 -0.5 0"><geom size="0.1"/></body>
    <body><joint type="slide"/><geom size="0.03"/></body>
  </worldbody>
  <tendon><fixed name="cord"><joint joint="wrist" coef="1"/></fixed><spatial name="rope"><site site="elbow"/></spatial>
  </tendon>
  {actuator}
</mujoco>
"""
MOTOR = '<actuator><motor joint="wrist"/></actuator>'


def model(actuator=MOTOR):
    # A spatial tendon needs two sites.
    xml = ROBOT_AND_THINGS.replace('<site site="elbow"/>', '<site site="elbow"/><site site="root"/>')
    xml = xml.replace('<site name="elbow"', '<site name="root"/><site name="elbow"')
    return mujoco.MjModel.from_xml_string(xml.format(actuator=actuator))


def shown(*arguments, actuator=MOTOR):
    made = model(actuator)
    return [made.body(body).name for body in target_bodies(made, *arguments)]


def test_the_agent_is_what_actuators_drive_and_objects_are_other_things_that_can_move():
    assert shown("agent") == ["arm", "hand"]
    assert shown("object") == ["ball", "handle", "goal", ""]
    assert shown("foreground") == ["arm", "hand", "ball", "handle", "goal", ""]


@pytest.mark.parametrize(
    "actuator",
    [
        '<position joint="wrist"/>',
        '<motor jointinparent="wrist"/>',
        '<motor tendon="cord"/>',
        '<motor tendon="rope"/>',
        '<general site="elbow"/>',
        '<general slidersite="elbow" cranksite="root" cranklength="1"/>',
        '<adhesion body="hand" ctrlrange="0 1"/>',
    ],
)
def test_every_kind_of_actuator_tells_the_agent(actuator):
    assert shown(actuator=f"<actuator>{actuator}</actuator>") == ["arm", "hand"]


def test_without_actuators_every_body_is_the_agent():
    assert shown(actuator="") == ["table", "arm", "hand", "ball", "handle", "goal", ""]
    with pytest.raises(ValueError, match="mask_target='object' shows nothing"):
        target_bodies(model(""), "object")


def test_names_take_the_bodies_below_along():
    assert shown("agent", ["arm"]) == ["arm", "hand"]
    assert shown("agent", ["hand"]) == ["hand"]
    assert shown("object", ["hand"]) == ["ball", "handle", "goal", ""]  # the arm is no object
    assert shown("object", None, ["ball", "table"]) == ["table", "ball", "handle"]
    assert shown("foreground", ["hand"], ["goal"]) == ["hand", "goal"]
    assert shown("agent", ["world"]) == ["world"]


def test_a_part_of_the_agent_may_be_an_object():
    assert shown("agent", None, ["hand"]) == ["arm"]
    assert shown("agent", ["arm"], ["hand"]) == ["arm"]


@pytest.mark.parametrize("option", ["agent_bodies", "object_bodies"])
def test_an_unknown_body_lists_the_model_s_bodies(option):
    expected = r"unknown body 'hnad'\. Did you mean 'hand'\? Known: .*arm, ball, goal, hand, handle, table"
    with pytest.raises(ValueError, match=expected):
        target_bodies(model(), **{option: ["hnad"]})


def test_an_unknown_target_and_an_empty_mask_are_errors():
    with pytest.raises(ValueError, match=r"unknown mask target 'objct'\. Did you mean 'object'"):
        target_bodies(model(), "objct")
    with pytest.raises(ValueError, match=r"mask_target='agent' shows nothing.* name it in agent_bodies"):
        target_bodies(model(), "agent", ["hand"], ["hand"])
    with pytest.raises(ValueError, match=r"mask_target='object' shows nothing.* object_bodies\. Its bodies: torso"):
        make_masked("Hopper-v5", mask_target="object")


@pytest.mark.parametrize(
    ("base", "objects"), [("Pusher-v5", {"object", "goal"}), ("Reacher-v5", {"target"}), ("Ant-v5", set())]
)
def test_gymnasium_s_agents_and_objects(base, objects):
    physics = gym.make(base).unwrapped.model
    agent = target_bodies(physics)
    assert set(body_names(physics, agent)) == set(body_names(physics)) - objects
    assert len(agent) == physics.nbody - 1 - len(objects)
    if objects:
        assert set(body_names(physics, target_bodies(physics, "object"))) == objects


@pytest.mark.parametrize("target", ["agent", "object", "foreground"])
def test_an_environment_s_mask_shows_the_target_s_geoms(target):
    env = make_masked("Pusher-v5", mask_target=target, camera={"lookat": [0.3, -0.2, 0], "distance": 2.5})
    observation, _ = env.reset(seed=0)
    view = env.unwrapped.view
    layers = view.renderer.inspect(env.unwrapped.base.unwrapped.data.qpos)
    on_target = (layers.ids >= 0) & np.isin(view.model.geom_bodyid[layers.ids], view.mask_bodies)
    assert observation["mask"].any()
    np.testing.assert_array_equal(observation["mask"][..., 0] == 255, on_target)


def test_names_are_options_of_an_environment_and_survive_json():
    env = make_masked("Reacher-v5", agent_bodies="body1", object_bodies=["target"], mask_target="foreground")
    names = [env.unwrapped.view.model.body(body).name for body in env.unwrapped.view.mask_bodies]
    assert names == ["body1", "fingertip", "target"]
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.view.mask_bodies == env.unwrapped.view.mask_bodies


@pytest.mark.parametrize("names", [3, [1, 2], {"body1": 1}])
def test_names_are_strings(names):
    with pytest.raises(ValueError, match="agent_bodies must be names of bodies"):
        make_masked("Reacher-v5", agent_bodies=names)
