"""Goals that a task moves by writing into its model, or by a mocap body: drawn where they are, and recorded."""

import pickle

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium import spaces

from masklam_envs import PlacedEnv, collect, make_masked, render_frames

XML = """
<mujoco>
  <worldbody>
    <camera pos="0 0 1.6"/><light pos="0 0 3"/>
    <body name="arm">
      <joint name="j" axis="0 0 1" damping="1"/><geom type="capsule" fromto="0 0 0 .25 0 0" size=".03"/>
    </body>
    <body name="goal" {mocap} pos=".3 -.3 0"><geom size=".05" rgba="0 1 0 1" contype="0" conaffinity="0"/></body>
    <site name="mark" pos="-.4 -.4 0" size=".05" rgba="1 0 0 1"/>
  </worldbody>
  <actuator><motor joint="j" ctrlrange="-1 1" ctrllimited="true"/></actuator>
</mujoco>
"""
TAN = np.tan(np.radians(22.5)) * 1.6  # metres of half the picture
SOURCES = {"written": XML.format(mocap=""), "mocap": XML.format(mocap='mocap="true"'), "still": XML.format(mocap="")}


class Arm(gym.Env):
    """Reaches for a goal that each reset puts elsewhere; under ``mocap`` it also drifts."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def __init__(self, kind):
        self.kind, self.model = kind, mujoco.MjModel.from_xml_string(SOURCES[kind])
        self.data = mujoco.MjData(self.model)

    def __reduce__(self):
        return Arm, (self.kind,)

    def goal(self):
        return self.data.mocap_pos[0] if self.kind == "mocap" else self.model.body("goal").pos

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = self.np_random.uniform(-3, 3)
        if self.kind != "still":
            self.goal()[:2] = self.np_random.uniform(-0.5, 0.5, 2)
        return self.state(), {}

    def step(self, action):
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, 10)
        if self.kind == "mocap":
            self.goal()[0] -= 0.01
        return self.state(), 0.0, False, False, {}

    def state(self):
        return np.concatenate((self.data.qpos, self.data.qvel))


def placed(kind, **kwargs):
    return make_masked(PlacedEnv(Arm(kind), ["body:goal"], SOURCES[kind]), distractor="video", **kwargs)


def middle(mask):
    """Where the middle of a mask is, in the metres of the world."""
    half = len(mask) / 2
    return [
        (at.mean() + 0.5 - half) / half * TAN * sign for at, sign in zip(np.nonzero(mask)[1::-1], (1, -1), strict=True)
    ]


@pytest.mark.parametrize("kind", ["written", "mocap"])
def test_it_is_drawn_where_it_is(kind):
    env = placed(kind, mask_target="object", object_bodies=["goal"], image_size=128, agent_bodies=["arm"])
    for seed in range(3):
        env.reset(seed=seed)
        mask = env.step(env.action_space.low * 0)[0]["mask"][..., 0]
        np.testing.assert_allclose(middle(mask), env.base.env.goal()[:2], atol=0.01)


@pytest.mark.parametrize("kind", ["written", "mocap"])
def test_what_is_recorded_is_drawn_again_as_it_was(kind, tmp_path):
    env = placed(kind)
    recorded = collect(env, 2, policy="random", max_steps=5)
    drawn = render_frames(recorded, env)
    goals = []
    for episode, seed in enumerate(recorded.reset_seeds.tolist()):
        frames = [env.reset(seed=seed)[0], *(env.step(action)[0] for action in recorded.episode_actions(episode))]
        first, last = recorded.first_frame[episode : episode + 2]
        assert np.array_equal(drawn.pixels[first:last], [frame["pixels"] for frame in frames])
        goals.append(env.base.env.goal().copy())
    assert not np.allclose(*goals)


def test_a_copy_is_the_same_environment():
    env = placed("written")
    pixels = [each.reset(seed=3)[0]["pixels"] for each in (env, pickle.loads(pickle.dumps(env)))]
    assert np.array_equal(*pixels)


def test_sites_show():
    bases = Arm("still"), PlacedEnv(Arm("still"), (), SOURCES["still"])
    plain, marked = (make_masked(base, distractor="none") for base in bases)
    changed = (plain.reset(seed=0)[0]["pixels"] != marked.reset(seed=0)[0]["pixels"]).any(axis=-1)
    np.testing.assert_allclose(middle(changed), (-0.4, -0.4), atol=0.03)


@pytest.mark.filterwarnings("ignore:mocap bodies")
@pytest.mark.parametrize(("kind", "what"), [("written", r"body:goal \(body_pos\)"), ("mocap", "mocap body:goal")])
def test_without_it_nothing_is_recorded_that_cannot_be_drawn_again(kind, what):
    with pytest.raises(ValueError, match=rf"recorded positions do not tell \({what}\).*PlacedEnv"):
        collect(make_masked(Arm(kind)), 2, policy="random", max_steps=5)
    assert collect(make_masked(Arm("still")), 2, policy="random", max_steps=5).episodes == 2


def test_a_mocap_body_that_would_be_drawn_elsewhere_is_told(recwarn):
    make_masked(Arm("mocap"))
    assert [str(warning.message) for warning in recwarn if "goal; masklam_envs.PlacedEnv" in str(warning.message)]
    recwarn.clear()
    make_masked(Arm("written"))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("things", "source", "message"),
    [
        (["bdy:goal"], XML, "a kind of body, geom, site, light, got 'bdy:goal'"),
        (["body:gaol"], XML, "no body 'gaol' to place"),
        (["body:arm"], XML, "body 'arm' moves on joints, so its place is in qpos already"),
        (["body:goal"], None, "Arm does not say which file its model is of"),
        (["body:goal"], "<mujoco/>", "spec and physics are not of the same model"),
    ],
)
def test_mistakes_are_told(things, source, message):
    with pytest.raises(ValueError, match=message):
        PlacedEnv(Arm("still"), things, source.format(mocap="") if source else None)
    with pytest.raises(TypeError, match="CartPoleEnv is no MuJoCo environment"):
        PlacedEnv(gym.make("CartPole-v1"))
    with pytest.raises(TypeError, match="MaskReacher-v0 is masked already"):
        PlacedEnv(gym.make("MaskReacher-v0"))


def test_a_file_that_the_environment_names_is_taken():
    env = PlacedEnv(gym.make("Reacher-v5"))
    assert env.model.nq == env.env.unwrapped.model.nq == 4
