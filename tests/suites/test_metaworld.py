"""Meta-World's tasks: its own physics to the bit, and everything that MaskEnv promises.

Frames need OpenGL; what needs none comes first.
"""

import pickle

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from masklam_envs import collect, render_frames
from masklam_envs.documentation.states import state_numbers
from masklam_envs.env import KEYS
from masklam_envs.masks import target_bodies
from masklam_envs.rendering import gl
from masklam_envs.suites.catalog import METAWORLD_ROBOT, METAWORLD_STEPS, METAWORLD_TASKS
from masklam_envs.suites.metaworld import ScriptedExpert
from tests.helpers import assert_same, check_reference, random_actions, rollout

env_dict = pytest.importorskip(
    "metaworld.env_dict", reason="metaworld is not installed: pip install 'masklam[metaworld]'"
)

TASKS = tuple(METAWORLD_TASKS)
every_task = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="module")
def opengl():
    try:
        gl.description()
    except gl.OpenGLUnavailableError as error:
        pytest.skip(str(error))


def make(task, **kwargs):
    return gym.make(f"MaskMetaWorld/{task}", **{"image_size": 48, **kwargs})


def base_of(task, **kwargs):
    return gym.make(f"MetaWorld/{task}", **kwargs)


def own_env(task, seed):
    """Meta-World's environment as its documentation makes it, with fresh places at each reset."""
    env = env_dict.ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-goal-observable"](seed=seed)
    env._freeze_rand_vec, env.seeded_rand_vec = False, True
    env.seed(seed)
    return env


# ------------------------------------------------------------------------------------------------------------ physics


@every_task
def test_a_seed_gives_meta_world_s_own_episode_to_the_bit(task):
    env, own = base_of(task), own_env(task, 7)
    env.reset(seed=1), env.step(env.action_space.sample())  # what happened before does not matter
    state, _ = env.reset(seed=7)
    assert np.array_equal(state, own.reset()[0])
    for action in random_actions(env, 3):
        state, reward, terminated, truncated, info = env.step(action)
        want = own.step(action)
        assert np.array_equal(state, want[0]) and reward == want[1]
        assert (terminated, truncated) == (False, False) and info == want[4]
    assert np.array_equal(env.reset()[0], own.reset()[0])  # the random stream goes on


@every_task
def test_spaces_and_length_are_the_paper_s(task):
    env = base_of(task)
    assert env.action_space == gym.spaces.Box(-1, 1, (4,), np.float32)
    assert env.observation_space.shape == (39,)
    assert env.metadata["render_fps"] == 80 and env.unwrapped._env.dt == 0.0125
    assert env.spec.max_episode_steps == METAWORLD_STEPS == env.unwrapped._env.max_path_length


def test_the_goal_is_in_the_state():
    env = base_of("reach-v3")
    goals = [env.reset(seed=seed)[0][-3:] for seed in (0, 1, 0)]
    assert np.array_equal(goals[0], goals[2]) and not np.array_equal(goals[0], goals[1])
    assert np.array_equal(goals[2], env.unwrapped._env._target_pos)


def test_an_episode_is_truncated_after_500_steps():
    env = base_of("reach-v3")
    env.reset(seed=0)
    ends = [env.step(np.zeros(4, np.float32))[2:4] for _ in range(500)]
    assert ends == [(False, False)] * 499 + [(False, True)]


def test_success_ends_the_episode_on_request():
    env, expert = base_of("reach-v3", terminate_on_success=True), ScriptedExpert("reach-v3")
    state, _ = env.reset(seed=0)
    for _ in range(200):
        state, _, terminated, truncated, info = env.step(expert(state))
        assert terminated == bool(info["success"]) and not truncated
        if terminated:
            return
    pytest.fail("the scripted expert did not reach the goal in 200 steps")


@every_task
def test_scripted_experts_solve_their_tasks(task):
    env, expert, solved = base_of(task, terminate_on_success=True), ScriptedExpert(task), 0
    for seed in range(5):
        state, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            state, _, terminated, truncated, _ = env.step(expert(state))
            ended = terminated or truncated
        solved += terminated
    assert solved >= 4


def test_an_expert_s_action_is_within_the_space_and_quiet(recwarn):
    env, expert = base_of("push-v3"), ScriptedExpert("push-v3")
    action = expert(env.reset(seed=0)[0])
    assert action in env.action_space and action.dtype == np.float32
    assert not recwarn


@pytest.mark.parametrize("policy", ["expert", ScriptedExpert("drawer-close-v3")])
def test_an_expert_s_episodes_are_collected(policy):
    recorded = collect("MaskMetaWorld/drawer-close-v3", 1, policy=policy, max_steps=150)
    assert recorded.meta["policy"] == "scripted drawer-close-v3"
    assert recorded.meta["base"] == "MetaWorld/drawer-close-v3"
    assert recorded.actions.shape == (150, 4) and recorded.rewards[-1] > 9  # of 10


# ------------------------------------------------------------------------------------------------- what is to be drawn


@every_task
def test_what_is_drawn_is_where_the_physics_has_it(task):
    env = base_of(task).unwrapped
    for seed in (3, 4):
        env.reset(seed=seed)
        env.step(random_actions(env, 1)[0])
        seen, physics = mujoco.MjData(env.model), env._env
        seen.qpos[:] = env.data.qpos
        mujoco.mj_forward(env.model, seen)
        mujoco.mj_forward(physics.model, physics.data)
        # The placed things come after the physics' own bodies and geoms.
        own = physics.model.nbody
        for field in ("xpos", "xmat"):
            weld = int(physics.model.body("mocap").id)  # an invisible handle that the action moves
            kept = np.arange(own) != weld
            np.testing.assert_allclose(getattr(seen, field)[:own][kept], getattr(physics.data, field)[kept], atol=1e-9)
        for site in (placed[5:] for placed in METAWORLD_TASKS[task].placed if placed.startswith("site:")):
            marker = seen.body(f"placed site {site}")
            np.testing.assert_allclose(marker.xpos, physics.data.site(site).xpos, atol=1e-9)


@every_task
def test_the_masks_bodies_are_the_paper_s(task):
    env = base_of(task).unwrapped
    physics, model = env._env.model, env.model
    robot = next(b for b in range(1, physics.nbody) if physics.body_parentid[b] == 0 and "base" in physics.body(b).name)
    assert physics.body(robot).name == METAWORLD_ROBOT
    chain = np.flatnonzero(physics.body_rootid == robot)
    loose = [body for body in range(1, physics.nbody) if body not in chain and on_a_joint(physics, body)]
    spec = gym.spec(f"MaskMetaWorld/{task}").kwargs
    for target, want in (("agent", chain), ("object", loose), ("foreground", [*chain, *loose])):
        bodies = target_bodies(model, target, spec["agent_bodies"], spec["object_bodies"])
        assert bodies == sorted(int(body) for body in want)


def on_a_joint(model, body):
    """Whether a joint lies on the body's way to the world."""
    while body:
        if model.body_jntnum[body]:
            return True
        body = int(model.body_parentid[body])
    return False


def test_cameras_that_hang_upside_down_are_turned():
    env = base_of("push-v3").unwrapped
    physics, model = env._env.model, env.model
    turned = []
    for camera in range(model.ncam):
        before, after = (mujoco.MjData(m) for m in (physics, model))
        mujoco.mj_forward(physics, before), mujoco.mj_forward(model, after)
        a, b = (data.cam_xmat[camera].reshape(3, 3) for data in (before, after))
        if np.allclose(a, b):
            continue
        turned.append(model.camera(camera).name)
        np.testing.assert_allclose(b, a * [-1, -1, 1], atol=1e-9)
        assert a[2, 1] < 0 < b[2, 1]
    assert turned == ["corner", "corner2", "corner3", "corner4"]


def test_a_copy_is_an_environment_of_the_same_task():
    env = base_of("push-v3", terminate_on_success=True).unwrapped
    again = pickle.loads(pickle.dumps(env))
    assert again.terminate_on_success
    assert np.array_equal(env.reset(seed=3)[0], again.reset(seed=3)[0])


# -------------------------------------------------------------------------------------------------------------- frames


def traced(physics, size):
    """The geom (H, W) that the ray through each pixel of the upright image meets first, by MuJoCo; -1 for none."""
    model, data = physics.model, physics.data
    mujoco.mj_forward(model, data)
    camera = model.camera("corner").id
    at = ((np.arange(size) + 0.5) / size * 2 - 1) * np.tan(np.deg2rad(model.cam_fovy[camera]) / 2)
    left, up = np.meshgrid(at, at)  # the camera hangs upside down
    rays = np.stack([-left, up, -np.ones_like(up)], axis=-1).reshape(-1, 3) @ data.cam_xmat[camera].reshape(3, 3).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    ids, geom, shown = [], np.zeros(1, np.int32), np.array([1, 1, 1, 0, 0, 0], np.uint8)
    for ray in rays:
        distance = mujoco.mj_ray(model, data, data.cam_xpos[camera], ray, shown, 1, -1, geom)
        ids.append(int(geom[0]) if distance >= 0 else -1)
    return np.array(ids).reshape(size, size)


@every_task
def test_the_mask_is_the_robot_that_mujoco_s_rays_meet(task, opengl):
    env = make(task)
    mask = env.reset(seed=0)[0]["mask"][..., 0] == 255
    physics = env.unwrapped.base._env
    ids, model = traced(physics, 48), physics.model
    robot = (ids >= 0) & (model.body_rootid[model.geom_bodyid[ids]] == model.body(METAWORLD_ROBOT).id)
    # A pixel's centre is not its samples, and markers on the robot are a part of it here.
    assert (mask & robot).sum() / (mask | robot).sum() > 0.93
    assert robot.mean() > 0.05


@pytest.mark.parametrize("task", ["push-v3", "door-open-v3"])
def test_the_plate_is_where_sky_and_floor_were(task, opengl):
    env = make(task, distractor="video", renderer="opengl")
    pictures = [env.reset(seed=0, options={"distractor_seed": seed})[0]["pixels"].astype(int) for seed in (0, 1)]
    changed = (pictures[0] != pictures[1]).any(axis=2)
    physics = env.unwrapped.base._env
    ids = traced(physics, 48)
    background = (ids == -1) | (ids == physics.model.geom("floor").id)
    assert (changed & background).sum() / background.sum() > 0.95
    # Away from an edge, table, walls, robot and objects stay, but for the open seams between the robot's meshes.
    inner = sum(np.roll(background, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)) == 0
    assert inner.mean() > 0.3 and changed[inner].mean() < 0.03


@pytest.mark.parametrize("target", ["object", "foreground"])
def test_other_masks_show_the_object_too(target, opengl):
    agent, mask = (
        make("drawer-open-v3", mask_target=which).reset(seed=0)[0]["mask"][..., 0] == 255 for which in ("agent", target)
    )
    assert mask.any() and (mask & ~agent).any()
    assert np.array_equal(mask & agent, agent) == (target == "foreground")


@pytest.mark.parametrize("task", ["push-v3", "door-open-v3"])
def test_recorded_physics_is_drawn_again_byte_for_byte(task, opengl):
    env = make(task)
    recorded = collect(env, 2, policy=ScriptedExpert(task), seed=5, max_steps=4)
    frames = render_frames(recorded, env)
    for episode in range(2):
        live = [env.reset(seed=int(recorded.reset_seeds[episode]))[0]]
        live += [env.step(action)[0] for action in recorded.episode_actions(episode)]
        start = int(recorded.first_frame[episode])
        for i, observation in enumerate(live):
            assert np.array_equal(frames.pixels[start + i], observation["pixels"])
            assert np.array_equal(frames.mask[start + i], observation["mask"])


def test_episodes_show_their_own_goal(opengl):
    clean = [make("reach-v3", distractor="none", image_size=128).reset(seed=seed)[0]["pixels"] for seed in (0, 1)]
    red = [(picture[..., 0] > 100) & (picture[..., 1:] < 40).all(axis=2) for picture in clean]
    assert not np.array_equal(*red)


@every_task
def test_gymnasium_s_checker_is_clean(task, opengl, recwarn):
    check_env(make(task, render_mode="rgb_array").unwrapped)
    assert not [warning for warning in recwarn if "masklam" in str(warning.filename)]


def test_the_default_is_the_paper_s_size(opengl):
    env = gym.make("MaskMetaWorld/push-v3")
    observation, _ = env.reset(seed=0)
    assert observation["pixels"].shape == (128, 128, 3) and observation["mask"].shape == (128, 128, 1)
    assert observation in env.observation_space


@pytest.mark.parametrize("preset", ["distractor-hard", "everything"])
def test_presets_of_many_parts_work(preset, opengl):
    env = make("door-open-v3", distractor=preset, observation=KEYS)
    first, second = (rollout(env, 2)[0] for _ in range(2))
    assert all(observation in env.observation_space for observation in first)
    assert_same(first, second)


def test_the_floor_gives_way_to_the_video():
    assert make("push-v3", distractor="distractor-low").unwrapped.view.distractor.ground_alpha == 0.0


def test_a_distractor_leaves_the_physics_alone(opengl):
    keys = ("state", "mask")
    quiet, moved = (rollout(make("push-v3", distractor=d, observation=keys), 3) for d in ("none", "action"))
    assert_same(quiet[0], moved[0])
    assert quiet[1] == moved[1]


def test_a_vector_holds_the_single_environments(opengl):
    vector = gym.make_vec("MaskMetaWorld/door-open-v3", num_envs=2, image_size=48)
    singles = [make("door-open-v3"), make("door-open-v3")]
    observations, _ = vector.reset(seed=[3, 4])
    for i, env in enumerate(singles):
        assert np.array_equal(observations["pixels"][i], env.reset(seed=3 + i)[0]["pixels"])
    actions = random_actions(singles[0], 2)
    observations, rewards, *_ = vector.step(actions)
    for i, env in enumerate(singles):
        observation, reward, *_ = env.step(actions[i])
        assert np.array_equal(observations["pixels"][i], observation["pixels"]) and rewards[i] == reward
    vector.close()


def test_specs_round_trip_through_json(opengl):
    env = make("window-open-v3", distractor="video", base_kwargs={"terminate_on_success": True})
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.base.terminate_on_success
    assert_same(rollout(env, 1)[0], rollout(again, 1)[0])


# ------------------------------------------------------------------------------------------------------ documentation


@every_task
def test_every_task_has_every_section_and_a_row_a_number(task):
    check_reference(f"MaskMetaWorld/{task}")


@every_task
def test_rows_of_the_state_are_within_their_bounds_and_the_goal_is_last(task):
    env = base_of(task)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(3):
        state = env.step(env.action_space.sample())[0]
    rows = state_numbers(env)
    assert all(row.low <= value <= row.high for row, value in zip(rows, state.tolist(), strict=True))
    assert rows[36].what == "position of the goal, x" and np.allclose(state[36:], env.unwrapped._env._target_pos)
    assert all(row.what.startswith("nothing") == (row.low == row.high == 0) for row in rows)
