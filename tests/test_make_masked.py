"""`make_masked` on other MuJoCo environments, by id and by object."""

import functools
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import RescaleAction, TimeLimit, TransformAction

from masklam_envs import collect, make_masked, measure_correlation
from masklam_envs.distractors import ActionReference
from masklam_envs.experts import load_expert
from masklam_envs.masks import make_mask_source, segment
from masklam_envs.masks.threshold import hard
from masklam_envs.tasks import TASKS, Task
from tests.helpers import assert_same, random_actions, rollout

MUJOCO_V5 = sorted(
    env_id
    for env_id, spec in gym.registry.items()
    if env_id.endswith("-v5") and str(spec.entry_point).startswith("gymnasium.envs.mujoco")
)


def rescaled(env_id):
    low, high = np.full((2, *gym.make(env_id).action_space.shape), [[-2], [2]], np.float32)
    return RescaleAction(gym.make(env_id), low, high)


def reference_of(env):
    return env.unwrapped.view.reference


@pytest.mark.parametrize("env_id", MUJOCO_V5)
def test_every_mujoco_environment_of_gymnasium_can_be_masked(env_id):
    env = make_masked(env_id, image_size=84)
    for observation in rollout(env, 0)[0]:
        assert observation in env.observation_space
        assert observation["mask"].any() and not observation["mask"].all()


def test_a_mask_source_finds_the_masks_of_any_of_them():
    source = {"name": "motion", "method": "difference"}
    observations = rollout(make_masked("Ant-v5", distractor="action", mask_source=source), 0)[0]
    want = hard(segment(make_mask_source(source), np.stack([seen["pixels"] for seen in observations])))
    assert want.any() and np.array_equal(np.stack([seen["mask"][..., 0] for seen in observations]), want)


@pytest.mark.parametrize("env_id", MUJOCO_V5)
def test_by_id_the_time_limit_is_kept(env_id):
    assert make_masked(env_id).spec.max_episode_steps == gym.spec(env_id).max_episode_steps


def test_by_id_the_time_limit_ends_the_episode():
    env = make_masked("Reacher-v5", observation="mask")
    env.reset(seed=0)
    truncated = [env.step(np.zeros(2, np.float32))[3] for _ in range(50)]
    assert truncated == [False] * 49 + [True]


def test_by_id_the_spec_round_trips_through_json():
    env = make_masked("Ant-v5", distractor="video", base_kwargs={"include_cfrc_ext_in_observation": False})
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert_same(rollout(env, 2)[0], rollout(again, 2)[0])


def test_base_kwargs_reach_the_base():
    env = make_masked(
        "Hopper-v5", observation="state", base_kwargs={"exclude_current_positions_from_observation": False}
    )
    assert env.observation_space["state"].shape == (12,)


def test_by_object_its_wrappers_are_kept():
    base = TimeLimit(rescaled("Hopper-v5"), 3)
    env = make_masked(base)
    assert env.action_space == base.action_space
    env.reset(seed=0)
    assert [env.step(np.zeros(3, np.float32))[3] for _ in range(3)] == [False, False, True]


def test_by_object_actions_go_through_its_wrappers():
    scaled, plain = make_masked(rescaled("Hopper-v5")), make_masked("Hopper-v5")
    scaled.reset(seed=0), plain.reset(seed=0)
    a, b = scaled.step(np.full(3, 1.0, np.float32)), plain.step(np.full(3, 0.5, np.float32))
    assert a[1] == b[1]
    assert np.array_equal(a[0]["mask"], b[0]["mask"])


def test_by_object_and_by_id_show_the_same():
    by_object, by_id = make_masked(gym.make("Walker2d-v5")), make_masked("Walker2d-v5")
    assert_same(rollout(by_object, 1)[0], rollout(by_id, 1)[0])


def test_by_object_can_be_copied():
    env = make_masked(TimeLimit(gym.make("Hopper-v5"), 3), distractor="video")
    again = env.__reduce__()[0](*env.__reduce__()[1])
    assert_same(rollout(env, 1)[0], rollout(again, 1)[0])


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.id)
def test_a_task_and_its_base_differ_by_the_camera_alone(task):
    base = make_masked(task.base, camera=task.camera, zoom=task.zoom, camera_offset=task.camera_offset)
    assert_same(rollout(gym.make(task.id), 1)[0], rollout(base, 1)[0])


@pytest.mark.parametrize("env_id", sorted(task.base for task in TASKS.values()))
def test_without_an_expert_actions_are_whitened_as_uniform(env_id, monkeypatch):
    monkeypatch.setattr(Task, "expert_file", lambda self, strength: None)
    env = make_masked(env_id)
    assert reference_of(env) == ActionReference.uniform(env.action_space.low, env.action_space.high)


def test_with_an_expert_actions_are_whitened_by_its_statistics():
    expert = load_expert("MaskCheetah-v0")
    want = ActionReference.from_covariance(expert.action_mean, expert.action_covariance)
    assert reference_of(gym.make("MaskCheetah-v0")) == reference_of(make_masked("HalfCheetah-v5")) == want


@pytest.mark.parametrize(
    "env",
    [
        lambda: make_masked(rescaled("HalfCheetah-v5")),
        lambda: make_masked("HalfCheetah-v5", base_kwargs={"exclude_current_positions_from_observation": False}),
    ],
    ids=["other actions", "other states"],
)
def test_an_expert_that_does_not_fit_is_not_the_reference(env):
    made = env()
    assert reference_of(made) == ActionReference.uniform(made.action_space.low, made.action_space.high)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("CartPole-v1", "is no MuJoCo environment .* give a Gymnasium MuJoCo id"),
        (
            "MaskCheetah-v0",
            "MaskCheetah-v0 is masked already: .* or mask its base environment, 'HalfCheetah-v5'",
        ),
    ],
)
@pytest.mark.parametrize("by_object", [False, True])
def test_another_kind_of_environment_is_a_type_error(env, message, by_object):
    with pytest.raises(TypeError, match=message):
        make_masked(gym.make(env) if by_object else env)


@pytest.mark.parametrize("env", [3, None, ["HalfCheetah-v5"]])
def test_what_is_no_environment_is_a_type_error(env):
    with pytest.raises(TypeError, match="give an environment or the id of one, such as 'HalfCheetah-v5', got"):
        make_masked(env)


UNKNOWN = {
    "forward_reward_weight": "is an argument of the base environment: give base_kwargs={'forward_reward_weight': 2}",
    "frame_stack": "frames are stacked by a wrapper, masklam_envs.wrappers.FrameStack(env, frame_stack=2)",
    "num_envs": "several environments are made by gymnasium.make_vec(id, num_envs=2)",
    "seed": "the seed is given to env.reset(seed=2)",
    "distractors": "unknown argument 'distractors'. Did you mean 'distractor'? Known: agent_bodies, base_kwargs",
    "nonsense": "unknown argument 'nonsense'. Known: agent_bodies",
}


@pytest.mark.parametrize(("name", "message"), UNKNOWN.items())
@pytest.mark.parametrize(
    "make",
    [functools.partial(gym.make, "MaskCheetah-v0"), functools.partial(make_masked, "HalfCheetah-v5")],
    ids=["gym.make", "make_masked"],
)
def test_an_unknown_argument_says_what_was_meant(make, name, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        make(**{name: 2})


def test_a_vector_environment_says_so_too():
    with pytest.raises(TypeError, match=re.escape(UNKNOWN["frame_stack"])):
        gym.make_vec("MaskCheetah-v0", num_envs=2, frame_stack=2)


def test_of_a_base_that_is_there_its_arguments_are_given_where_it_is_made():
    for base in (rescaled("Hopper-v5"), gym.make("Hopper-v5").unwrapped):
        with pytest.raises(TypeError, match="'frame_skip' is an argument of the base environment: give it where"):
            make_masked(base, frame_skip=2)
    with pytest.raises(TypeError, match=r"is a wrapper of the base, gymnasium.wrappers.TimeLimit\(base, 3"):
        make_masked(rescaled("Hopper-v5"), max_episode_steps=3)


def test_a_base_that_is_registered_by_its_class_is_asked_too(monkeypatch):
    spec = EnvSpec("ByClass-v0", type(gym.make("Hopper-v5").unwrapped))
    monkeypatch.setitem(gym.registry, "ByClass-v0", spec)
    with pytest.raises(TypeError, match="give base_kwargs={'frame_skip': 2}"):
        make_masked("ByClass-v0", frame_skip=2)


def test_by_id_another_time_limit_may_be_given():
    assert make_masked("Reacher-v5", max_episode_steps=3).spec.max_episode_steps == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"distractor": {"name": ["video", "ghost"]}},
            "the name of a distractor is one text, got ['video', 'ghost']; ",
        ),
        ({"mask_source": {"name": ["motion"]}}, "unknown mask source ['motion']. Did you mean 'motion'?"),
        ({"observation": 3}, "observation must be some of pixels, mask, state, clean, got 3"),
    ],
)
def test_a_value_of_another_type_is_named(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_masked("Reacher-v5", **arguments)


class FiveTimes(gym.Wrapper, RecordConstructorArgs):
    """Every action five times; the reward is the sum."""

    def __init__(self, env):
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def step(self, action):
        rewards = [self.env.step(action) for _ in range(4)]
        state, reward, *rest = self.env.step(action)
        return state, reward + sum(step[1] for step in rewards), *rest


@pytest.mark.parametrize(
    "spec",
    [
        EnvSpec("Five-v0", lambda: FiveTimes(gym.make("Reacher-v5", max_episode_steps=50))),
        EnvSpec(
            "Five-v0", "gymnasium.envs.mujoco.reacher_v5:ReacherEnv", additional_wrappers=(FiveTimes.wrapper_spec(),)
        ),
    ],
    ids=["by its entry point", "by its spec"],
)
def test_the_wrappers_that_an_id_stands_for_are_kept(spec, monkeypatch):
    monkeypatch.setitem(gym.registry, "Five-v0", spec)
    base, env = gym.make("Five-v0"), make_masked("Five-v0", distractor="state", observation=("mask", "state"))
    vector = gym.make_vec("MaskMujoco-v0", 2, base="Five-v0", observation=("mask", "state"))
    actions = random_actions(base, 5)
    base.reset(seed=0), env.reset(seed=0), vector.reset(seed=0)
    for action in actions:
        state, reward, terminated, truncated, _ = base.step(action)
        seen = env.step(action)
        assert np.array_equal(seen[0]["state"], state)
        assert seen[1:4] == (reward, terminated, truncated)
        assert vector.step(np.stack([action, action]))[1][0] == reward
    recorded = collect("Five-v0", 1, policy="random", max_steps=5, seed=0)
    assert recorded.meta["base"] == "Five-v0"
    base.reset(seed=int(recorded.reset_seeds[0]))
    assert np.float32(base.step(recorded.actions[0])[1]) == recorded.rewards[0]


def test_an_id_without_wrappers_is_stepped_without_any():
    env = make_masked("Reacher-v5").unwrapped
    assert env.base is env.base.unwrapped


class Strict(gym.Wrapper):
    """Bounds that no float32 has, and no patience with what is outside."""

    action_space = gym.spaces.Box(np.array([-0.1, -0.7]), np.array([0.1, 0.3]), dtype=np.float64)

    def step(self, action):
        assert self.action_space.contains(action), action
        self.acted = action
        return self.env.step(action)


def test_actions_are_cut_within_bounds_that_float32_has_not():
    base = Strict(gym.make("Reacher-v5"))
    env = make_masked(base)
    env.reset(seed=0)
    for action in ([1, 1], [-1, -1], [0.1, -0.7], [0, 0]):
        env.step(np.array(action, np.float64))
        np.testing.assert_allclose(
            base.acted, np.clip(action, base.action_space.low, base.action_space.high), rtol=1e-6
        )


def test_velocities_are_whitened_by_episodes_of_the_base_s_own_length():
    measured = [
        measure_correlation(make_masked(gym.make("Hopper-v5", max_episode_steps=n), distractor="state"), steps=3_000)
        for n in (50, 1_000)
    ]
    for found in measured:
        assert abs(found.multiple_correlation - 0.9) < 0.04


def hopper_of(space, act):
    """A Hopper whose actions are of another space."""

    class Other(gym.ActionWrapper):
        action_space = space

        def action(self, action):
            return np.asarray(act(action), np.float32)

    return Other(gym.make("Hopper-v5"))


@pytest.mark.parametrize(
    ("space", "act", "message", "function"),
    [
        (
            gym.spaces.Box(-np.inf, np.inf, (3,)),
            np.tanh,
            "must be bounded under every .*, got Box",
            lambda action: action,
        ),
        (gym.spaces.Discrete(3), lambda leg: np.eye(3)[leg], "must be a Box of .* every .*, got Discrete", np.argmax),
        (gym.spaces.Box(-1, 1, (3,), np.int64), np.array, "must be a Box of floats .* got Box.*int64", np.rint),
    ],
    ids=["unbounded", "discrete", "whole numbers"],
)
def test_actions_that_are_no_bounded_vector_are_a_type_error_whose_cure_works(space, act, message, function):
    base = hopper_of(space, act)
    with pytest.raises(TypeError, match=rf"{message}.* make_masked\(gymnasium.wrappers.TransformAction\(base, "):
        make_masked(base, distractor="none")
    env = make_masked(TransformAction(base, function, gym.spaces.Box(-1, 1, (3,), np.float32)))
    assert len(collect(env, 1, policy="random", max_steps=3)) == 3


def test_base_kwargs_belong_to_an_id():
    with pytest.raises(ValueError, match="base_kwargs are for a base environment given by id"):
        make_masked(gym.make("Hopper-v5"), base_kwargs={"frame_skip": 2})


def test_an_unknown_id_is_gymnasium_s_error():
    with pytest.raises(gym.error.NameNotFound, match="Hoper"):
        make_masked("Hoper-v5")
