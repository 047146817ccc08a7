"""dm_control's tasks: its own physics to the bit, and everything that MaskEnv promises."""

import pickle
import warnings

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from masklam_envs import collect, make_masked, render_frames
from masklam_envs.distractors import PRESETS, distractor_names
from masklam_envs.documentation.states import state_numbers
from masklam_envs.env import KEYS
from masklam_envs.masks import make_mask_source, segment
from masklam_envs.masks.threshold import hard
from masklam_envs.rendering import gl
from masklam_envs.rendering.rays import PixelRays
from masklam_envs.suites.catalog import DMC_PLACED, DMC_STEPS, DMC_TASKS
from tests import promises
from tests.helpers import assert_same, check_reference, random_actions, rollout

suite = pytest.importorskip("dm_control.suite", reason="dm_control is not installed: pip install 'masklam[dmc]'")

PAPER = ("cheetah-run", "walker-run", "hopper-hop", "humanoid-walk")
CONTROL_STEPS = {"cheetah-run": 0.01, "walker-run": 0.025, "hopper-hop": 0.02, "humanoid-walk": 0.025}
GROUND_ALPHAS = {"cheetah-run": 1.0, "walker-run": 1.0, "hopper-hop": 1.0, "humanoid-walk": 0.3}
ACTIONS = {"cheetah-run": 6, "walker-run": 6, "hopper-hop": 4, "humanoid-walk": 21}
MESHES = ("dog",)  # the ray caster cannot draw them
ONE_OF_EACH_DOMAIN = {name.partition("-")[0]: name for name in DMC_TASKS if not name.startswith(MESHES)}.values()
# What of a model changes a frame.
DRAWN_FIELDS = ("body_pos", "body_quat", "geom_pos", "geom_quat", "geom_size", "geom_rgba", "site_pos", "site_quat")
DRAWN_FIELDS += ("site_size", "site_rgba", "light_pos", "light_dir", "cam_pos", "cam_quat", "mat_rgba")

paper = pytest.mark.parametrize("name", PAPER)


def make(name, **kwargs):
    return gym.make(f"MaskDMC/{name}-v0", **{"image_size": 36, **kwargs})


def load(name, seed):
    domain, _, task = name.partition("-")
    return suite.load(domain, task, task_kwargs={"random": seed})


def flat(timestep):
    return np.concatenate([np.ravel(value) for value in timestep.observation.values()])


def test_the_catalog_is_the_suite_without_random_terrain():
    assert {f"{domain}-{task}" for domain, task in suite.ALL_TASKS} - {"quadruped-escape"} == set(DMC_TASKS)


@pytest.mark.parametrize("name", [*PAPER, "reacher-easy", "manipulator-insert_peg", "swimmer-swimmer6"])
def test_a_seed_gives_dm_control_s_own_episode_to_the_bit(name):
    env, own = gym.make(f"DMC/{name}-v0"), load(name, 7)
    env.reset(seed=1), env.step(env.action_space.sample())  # what happened before does not matter
    assert np.array_equal(env.reset(seed=7)[0], flat(own.reset()))
    for action in random_actions(env, 4):
        state, reward, terminated, truncated, _ = env.step(action)
        timestep = own.step(action)
        assert np.array_equal(state, flat(timestep)) and reward == timestep.reward
        assert (terminated, truncated) == (False, False)
    assert np.array_equal(env.reset()[0], flat(own.reset()))  # the random stream goes on


def test_without_a_seed_first_resets_differ_and_large_seeds_are_taken():
    states = [gym.make("DMC/pendulum-swingup-v0").reset(seed=seed)[0] for seed in (None, None, 2**40, 2**40, 2**41)]
    assert not np.array_equal(states[0], states[1]) and not np.array_equal(states[3], states[4])
    assert np.array_equal(states[2], states[3])


@paper
def test_control_step_actions_and_length_are_the_paper_s(name):
    env = make(name)
    assert env.metadata["render_fps"] == round(1 / CONTROL_STEPS[name])
    assert env.action_space == gym.spaces.Box(-1, 1, (ACTIONS[name],), np.float32)
    assert env.spec.max_episode_steps == 1000
    domain = env.unwrapped.base._suite
    assert domain.control_timestep() == pytest.approx(CONTROL_STEPS[name])


def test_an_episode_is_truncated_after_its_limit():
    env = gym.make("DMC/pendulum-swingup-v0")
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(1000)]
    assert ends == [(False, False)] * 999 + [(False, True)]


@pytest.mark.parametrize("name", ["cartpole-balance", *PAPER, "reacher-hard", "quadruped-run", "stacker-stack_2"])
def test_the_registered_limit_is_the_suite_s(name):
    assert load(name, 0)._step_limit == DMC_STEPS


@pytest.mark.slow
def test_only_what_the_table_names_is_moved_by_resets():
    moved = {}
    for name in DMC_TASKS:
        env = load(name, 0)
        model = env.physics.model.ptr
        env.reset()
        fields = {field: getattr(model, field).copy() for field in DRAWN_FIELDS}
        env.reset()
        for field, before in fields.items():
            for index in np.flatnonzero((getattr(model, field) != before).any(axis=1)):
                kind = field.partition("_")[0]
                names = {"body": model.body, "geom": model.geom, "site": model.site, "light": model.light}
                moved.setdefault(name, set()).add(f"{kind}:{names[kind](index).name}")
    assert moved == {name: set(placed) for name, placed in DMC_PLACED.items()}


@pytest.mark.parametrize("name", DMC_PLACED)
def test_what_is_drawn_is_where_the_physics_has_it(name):
    env = gym.make(f"DMC/{name}-v0").unwrapped
    env.reset(seed=3)
    env.step(random_actions(env, 1)[0])
    model, seen, physics = env.model, mujoco.MjData(env.model), env._suite.physics
    seen.qpos[:] = env.data.qpos
    mujoco.mj_forward(model, seen)
    mujoco.mj_kinematics(physics.model.ptr, physics.data.ptr)
    for body in range(1, physics.model.nbody):
        name_of = physics.model.ptr.body(body).name
        np.testing.assert_allclose(seen.body(name_of).xpos, physics.data.xpos[body], atol=1e-6)
        np.testing.assert_allclose(seen.body(name_of).xmat, physics.data.xmat[body], atol=1e-5)
    for kind, _, thing in (placed.partition(":") for placed in DMC_PLACED[name]):
        if kind in ("geom", "site"):
            place = getattr(physics.data.ptr, kind)(thing)
            np.testing.assert_allclose(seen.body(f"placed {kind} {thing}").xpos, place.xpos, atol=1e-12)


@pytest.mark.parametrize("name", ONE_OF_EACH_DOMAIN)
def test_every_domain_is_drawn(name):
    env = make(name, observation=KEYS)
    observations, rewards = rollout(env, 0)
    assert all(observation in env.observation_space for observation in observations)
    assert np.isfinite(rewards).all()
    assert not np.array_equal(observations[0]["pixels"], observations[0]["clean"])
    assert observations[0]["mask"].any()


@pytest.mark.parametrize("name", ["dog-run", "dog-fetch"])
def test_meshes_and_skins_are_drawn_by_opengl(name):
    try:
        gl.description()
    except gl.OpenGLUnavailableError as error:
        pytest.skip(str(error))
    env = make(name)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert 0.05 < (observation["mask"] == 255).mean() < 0.3


@paper
def test_the_mask_is_every_geom_of_a_body(name):
    env = make(name)
    mask = env.reset(seed=0)[0]["mask"]
    base = env.unwrapped
    ids = base.view.renderer.inspect(base.base.data.qpos).ids
    robot = (ids >= 0) & (base.base.model.geom_bodyid[ids] > 0)
    assert np.array_equal(mask[..., 0] == 255, robot) and robot.mean() > 0.02


@pytest.mark.parametrize("name", ["fish-swim", "quadruped-fetch", "swimmer-swimmer6", "swimmer-swimmer15"])
def test_a_goal_is_missing_in_the_mask_only_where_the_camera_does_not_see_it(name):
    env, shown = make(name, mask_target="object", image_size=64).unwrapped, set()
    geoms = np.flatnonzero(np.isin(env.view.model.geom_bodyid, env.view.mask_bodies))
    for seed in range(8):
        mask = env.reset(seed=seed)[0]["mask"][..., 0] == 255
        assert (mask != np.isin(PixelRays(env.view.renderer, env.physics.data.qpos).trace().ids, geoms)).sum() <= 2
        shown.add(bool(mask.any()))
    assert shown == {False, True}


@pytest.mark.parametrize("name", ["fish-swim", "swimmer-swimmer6", "swimmer-swimmer15"])
def test_the_page_s_cameras_see_every_goal(name):
    above = {"lookat": [0, 0, 0], "distance": 1.2 if name == "fish-swim" else 5.5, "elevation": -90}
    env = make(name, mask_target="object", observation="mask", image_size=64, camera=above)
    assert all(env.reset(seed=seed)[0]["mask"].any() for seed in range(8))


@pytest.mark.parametrize("name", ["cheetah-run", "reacher-easy"])
def test_recorded_physics_is_drawn_again_byte_for_byte(name):
    env = make(name)
    recorded = collect(env, 2, policy="random", seed=5, max_steps=6)
    frames = render_frames(recorded, env)
    for episode in range(2):
        live = [env.reset(seed=int(recorded.reset_seeds[episode]))[0]]
        live += [env.step(action)[0] for action in recorded.episode_actions(episode)]
        start = int(recorded.first_frame[episode])
        for i, observation in enumerate(live):
            assert np.array_equal(frames.pixels[start + i], observation["pixels"])
            assert np.array_equal(frames.mask[start + i], observation["mask"])


@pytest.mark.parametrize("name", ["cheetah-run", "reacher-easy"])  # without and with a model of its own for drawing
@pytest.mark.parametrize("distractor", distractor_names())
def test_every_distractor_works(name, distractor):
    env = make(name, distractor=distractor, observation=KEYS)
    first, second = (rollout(env, 2)[0] for _ in range(2))
    assert all(observation in env.observation_space for observation in first)
    assert_same(first, second)


# All at once; not `state`, which rolls out thousands of steps of each task to know its velocities.
ALL_BUT_STATE = [part for part in PRESETS["everything"] if part["name"] != "state"]


@pytest.mark.slow
@pytest.mark.parametrize("distractor", ["action-0.9", ALL_BUT_STATE], ids=["action-0.9", "all but state"])
@pytest.mark.parametrize("name", [name for name in DMC_TASKS if not name.startswith(MESHES)])
def test_every_task_keeps_what_every_environment_promises(name, distractor):
    env_id = f"MaskDMC/{name}-v0"
    promises.assert_reproducible(env_id, distractor)
    promises.assert_physics_untouched(env_id, distractor)
    promises.assert_replayed(env_id, distractor)
    promises.assert_mask_is_the_geoms(env_id, distractor)
    promises.assert_gymnasium_s_checker_is_clean(env_id, distractor)
    promises.assert_sb3_s_checker_is_clean(env_id, distractor)


@pytest.mark.parametrize(("name", "alpha"), [*GROUND_ALPHAS.items(), ("reacher-easy", 0.0), ("finger-spin", 0.3)])
def test_the_ground_over_a_video_is_as_opaque_as_the_papers_have_it(name, alpha):
    assert make(name, distractor="distractor-low").unwrapped.view.distractor.ground_alpha == alpha


@pytest.mark.parametrize("preset", ["video", "action"])
def test_a_distractor_leaves_the_physics_alone(preset):
    keys = ("state", "mask")
    quiet, moved = (rollout(make("hopper-hop", distractor=d, observation=keys), 3) for d in ("none", preset))
    assert_same(quiet[0], moved[0])
    assert quiet[1] == moved[1]


def test_a_mask_source_finds_the_masks_live():
    source = {"name": "motion", "method": "difference"}
    envs = (make("cheetah-run", distractor="action", **given) for given in ({"mask_source": source}, {}))
    found, true = (rollout(env, 3)[0] for env in envs)
    pixels = np.stack([observation["pixels"] for observation in found])
    assert np.array_equal(pixels, np.stack([observation["pixels"] for observation in true]))
    want = hard(segment(make_mask_source(source), pixels))[..., None]
    assert want.any() and np.array_equal(np.stack([observation["mask"] for observation in found]), want)


@paper
def test_gymnasium_s_checker_is_clean(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(name, render_mode="rgb_array").unwrapped)


def test_sb3_s_checker_is_clean():
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(make("walker-run"), warn=True)


def test_specs_round_trip_through_json():
    env = make("reacher-easy", distractor="video", observation=("pixels", "mask"))
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec.to_json() == env.spec.to_json()
    assert_same(rollout(env, 1)[0], rollout(again, 1)[0])


@pytest.mark.parametrize("name", ["cheetah-run", "reacher-easy"])
def test_a_vector_holds_the_single_environments(name):
    vector, singles = gym.make_vec(f"MaskDMC/{name}-v0", num_envs=2, image_size=36), [make(name), make(name)]
    observations, _ = vector.reset(seed=[3, 4])
    assert_same([{"pixels": p, "mask": m} for p, m in zip(*observations.values(), strict=True)], starts(singles))
    actions = random_actions(singles[0], 2)
    for action in actions:
        observations, rewards, *_ = vector.step(np.stack([action, -action]))
        stepped = [env.step(a)[:2] for env, a in zip(singles, (action, -action), strict=True)]
        assert np.array_equal(observations["pixels"], [observation["pixels"] for observation, _ in stepped])
        assert rewards.tolist() == [reward for _, reward in stepped]
    vector.close()


def starts(envs):
    return [env.reset(seed=seed)[0] for env, seed in zip(envs, (3, 4), strict=True)]


def test_a_pickled_environment_has_the_same_episodes():
    env = make("reacher-easy")
    assert_same(rollout(pickle.loads(pickle.dumps(env)), 2)[0], rollout(env, 2)[0])


def test_make_masked_takes_the_physics_by_id_and_by_object():
    by_id = make_masked("DMC/walker-run-v0", camera=0, image_size=36)
    by_object = make_masked(gym.make("DMC/walker-run-v0"), camera=0, image_size=36)
    assert_same(rollout(by_id, 2)[0], rollout(by_object, 2)[0])
    assert_same(rollout(by_id, 2)[0], rollout(make("walker-run"), 2)[0])


def test_a_process_without_display_says_nothing(repo, capfd):
    make("cheetah-run").reset(seed=0)
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------------ documentation

# Words of a number, and the number by the suite's own names.
TOLD = (
    ("acrobot-swingup", "cosine of the tilt of `lower_arm`", lambda data: data.xmat["lower_arm", "zz"]),
    ("cartpole-two_poles", "sine of the tilt of `pole_2`", lambda data: data.xmat["pole_2", "xz"]),
    ("cheetah-run", "position of `rootz`", lambda data: data.qpos["rootz"][0]),
    ("finger-turn_easy", "angular velocity of `distal`", lambda data: data.qvel["distal"][0]),
    ("fish-swim", "angle of `finleft_pitch`", lambda data: data.qpos["finleft_pitch"][0]),
    ("hopper-hop", "velocity of `rootx`", lambda data: data.qvel["rootx"][0]),
    ("humanoid-walk", "right hand in the torso's frame, z", lambda data: in_torso(data, "right_hand")[2]),
    ("manipulator-bring_peg", "angular velocity of `peg_y`", lambda data: data.qvel["peg_y"][0]),
    ("quadruped-walk", "sensor `imu_gyro`, y", lambda data: data.sensordata["imu_gyro"][1]),
    ("quadruped-walk", "sensor `force_toe_back_left`, z", lambda data: arsinh(data, "force_toe_back_left")[2]),
    (
        "reacher-easy",
        "`target` minus `finger`, y",
        lambda data: np.subtract(*data.geom_xpos[["target", "finger"], "y"]),
    ),
    ("stacker-stack_2", "velocity of `box1_z`", lambda data: data.qvel["box1_z"][0]),
    ("swimmer-swimmer6", "turning of `segment_4`", lambda data: data.sensordata["gyro_4"][2]),
    ("walker-run", "sine of the tilt of `left_foot`", lambda data: data.xmat["left_foot", "xz"]),
)


def in_torso(data, body):
    return (data.xpos[body] - data.xpos["torso"]).dot(data.xmat["torso"].reshape(3, 3))


def arsinh(data, sensor):
    return np.arcsinh(data.sensordata[sensor])


@pytest.mark.parametrize(("name", "words", "value"), TOLD, ids=[f"{name}: {words}" for name, words, _ in TOLD])
def test_a_number_of_the_state_is_what_its_row_says(name, words, value):
    env = gym.make(f"DMC/{name}-v0")
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(5):
        state = env.step(env.action_space.sample())[0]
    index = [number.what for number in state_numbers(env)].index(words)
    wanted = value(env.unwrapped._suite.physics.named.data)
    assert state[index] == pytest.approx(float(wanted), rel=1e-9, abs=1e-12) and wanted != 0


@pytest.mark.parametrize("name", ONE_OF_EACH_DOMAIN)
def test_a_task_of_every_domain_has_every_section_and_a_row_a_number(name):
    check_reference(f"MaskDMC/{name}-v0")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(DMC_TASKS) - set(ONE_OF_EACH_DOMAIN)))
def test_every_task_has_every_section_and_a_row_a_number(name):
    check_reference(f"MaskDMC/{name}-v0")


def gauss(way):
    """1 at 0 and less, 0.1 at 1, as the words have it."""
    return 0.1 ** (max(way, 0) ** 2)


def share(value):
    return min(max(value, 0.0), 1.0)


def calm(u):
    return (4 + np.maximum(0, 1 - u**2).mean()) / 5


def head_and_torso(data):
    return gauss((1.4 - data.xpos["head", "z"]) / 0.35) * share((1 + data.xmat["torso", "zz"]) / 1.9)


def legs(data):
    return (3 * gauss((1.2 - data.xpos["torso", "z"]) / 0.6) + (1 + data.xmat["torso", "zz"]) / 2) / 4


def distance(data, first, second):
    return np.linalg.norm(data.geom_xpos[first] - data.geom_xpos[second])


# The words of the reference as formulas, of the suite's own names and the action u.
REWARDS = {
    "cheetah-run": lambda data, u: share(data.sensordata["torso_subtreelinvel"][0] / 10),
    "walker-run": lambda data, u: legs(data) * (5 * share(data.sensordata["torso_subtreelinvel"][0] / 8) + 1) / 6,
    "walker-stand": lambda data, u: legs(data),
    "humanoid-run": lambda data, u: (
        head_and_torso(data)
        * calm(u)
        * (5 * share(np.linalg.norm(data.sensordata["torso_subtreelinvel"][:2]) / 10) + 1)
        / 6
    ),
    "humanoid-stand": lambda data, u: (
        head_and_torso(data)
        * calm(u)
        * np.mean([gauss(abs(v) / 2) for v in data.sensordata["torso_subtreelinvel"][:2]])
    ),
    "quadruped-run": lambda data, u: (
        (1 + data.xmat["torso", "zz"]) / 2 * (1 + np.clip(data.sensordata["velocimeter"][0] / 5, -1, 1)) / 2
    ),
    "cartpole-balance": lambda data, u: (
        (1 + data.xmat["pole_1", "zz"])
        / 2
        * (1 + gauss(abs(data.qpos["slider"][0]) / 2))
        / 2
        * (4 + max(0, 1 - u[0] ** 2))
        / 5
        * (1 + gauss(abs(data.qvel["hinge_1"][0]) / 5))
        / 2
    ),
    "lqr-lqr_6_2": lambda data, u: 1 - 0.5 * (np.asarray(data.qpos) ** 2).sum() - 0.05 * (u**2).sum(),
    "point_mass-easy": lambda data, u: gauss((distance(data, "target", "pointmass") - 0.015) / 0.015) * calm(u),
    "swimmer-swimmer6": lambda data, u: 1 / (1 + 9 * (max(nose(data) - 0.1, 0) / 0.5) ** 2),
    "fish-swim": lambda data, u: (
        (7 * gauss((distance(data, "mouth", "target") - 0.045) / 0.09) + (1 + data.xmat["torso", "zz"]) / 2) / 8
    ),
    "acrobot-swingup": lambda data, u: gauss(np.linalg.norm(data.site_xpos["target"] - data.site_xpos["tip"]) - 0.2),
}


def nose(data):
    away = (data.geom_xpos["target"] - data.geom_xpos["nose"]).dot(data.xmat["head"].reshape(3, 3))
    return np.linalg.norm(away[:2])


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_is_what_the_reference_says(name):
    env = gym.make(f"DMC/{name}-v0")
    env.action_space.seed(2)
    found = []
    for seed in range(3):
        env.reset(seed=seed)
        for _ in range(25):
            action = np.clip(env.action_space.sample(), -1, 1)
            _, reward, *_ = env.step(action)
            data = env.unwrapped._suite.physics.named.data
            assert reward == pytest.approx(float(REWARDS[name](data, action)), rel=1e-6, abs=1e-9)
            found.append(reward)
    assert len(set(found)) > 1
