"""The batch behind stable-baselines3's interface does what its own DummyVecEnv does around the single environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage

from masklam_agents.common.vec_env import MaskVecEnv

KEYS = ("pixels", "mask", "state")


def make_ours(env_id: str = "MaskHopper-v0", count: int = 3, **kwargs: Any) -> MaskVecEnv:
    return MaskVecEnv(env_id, count, **{"image_size": 36, **kwargs})


def make_dummy(env_id: str = "MaskHopper-v0", count: int = 3, **kwargs: Any) -> DummyVecEnv:
    options = {"image_size": 36, **kwargs}
    return DummyVecEnv([lambda: Monitor(gym.make(env_id, **options)) for _ in range(count)])


def assert_same_infos(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if key == "episode":
            assert (ours[key]["r"], ours[key]["l"]) == (value["r"], value["l"]) and ours[key]["t"] >= 0
        elif key == "terminal_observation":
            assert all(np.array_equal(ours[key][part], value[part]) for part in value)
        else:
            assert ours[key] == pytest.approx(value, abs=0)


@pytest.mark.parametrize(("env_id", "limit"), [("MaskHopper-v0", 25), ("MaskCheetah-v0", 7)])
def test_equals_dummy_vec_env(env_id: str, limit: int) -> None:
    ours = make_ours(env_id, observation=KEYS, max_episode_steps=limit)
    theirs = make_dummy(env_id, observation=KEYS, max_episode_steps=limit)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    assert ours.seed(4) == theirs.seed(4)
    first, expected = ours.reset(), theirs.reset()
    rng, ends, limited = np.random.default_rng(0), 0, 0
    for _ in range(70):
        assert all(np.array_equal(first[key], expected[key]) for key in KEYS)
        assert ours.reset_infos == theirs.reset_infos
        actions = rng.uniform(-1, 1, (3, *ours.action_space.shape)).astype(np.float32)
        first, rewards, dones, infos = ours.step(actions)
        expected, their_rewards, their_dones, their_infos = theirs.step(actions)
        assert rewards.dtype == their_rewards.dtype and np.array_equal(rewards, their_rewards)
        assert np.array_equal(dones, their_dones)
        for info, other in zip(infos, their_infos, strict=True):
            assert_same_infos(info, other)
        ends += int(dones.sum())
        limited += sum(info["TimeLimit.truncated"] for info in infos)
    assert ends > 3 and limited > 0 and (limited < ends or env_id == "MaskCheetah-v0")


def test_options_are_used_once() -> None:
    env = make_ours()
    env.set_options({"distractor_seed": 5})
    env.reset()
    assert [info["distractor_seed"] for info in env.reset_infos] == [5, 5, 5]
    env.reset()
    assert 5 not in [info["distractor_seed"] for info in env.reset_infos]
    env.set_options([{"distractor_seed": 5}, {}, {}])
    with pytest.raises(ValueError, match="same options"):
        env.reset()


def test_attributes_and_methods_of_some() -> None:
    env = make_ours(render_mode="rgb_array")
    env.set_attr("note", "x", indices=[0, 2])
    assert env.get_attr("note", 2) == ["x"] and not hasattr(env.envs.envs[1], "note")
    env.seed(1)
    observations: Any = env.reset()
    assert env.env_method("get_wrapper_attr", "np_random_seed", indices=[1]) == [2]
    with pytest.raises(ValueError, match="leave the batch"):
        env.env_method("step", np.zeros(3))
    assert env.env_is_wrapped(Monitor, [0, 1]) == [True, True]
    assert env.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * 3
    assert np.array_equal(env.get_images()[1], observations["pixels"][1])
    assert env.render("rgb_array").shape == (72, 72, 3)
    assert make_ours().get_images() == [None] * 3


def test_what_it_does_not_take() -> None:
    with pytest.raises(ValueError, match="SameStep"):
        MaskVecEnv(gym.make_vec("MaskHopper-v0", num_envs=2))
    with pytest.raises(ValueError, match=r"Hopper-v5 is none of masklam_envs: MaskVecEnv\('MaskMujoco-v0', 2, base="):
        MaskVecEnv("Hopper-v5", 2)
    with pytest.raises(TypeError, match="SyncVectorEnv"):
        MaskVecEnv(gym.make_vec("MaskHopper-v0", num_envs=2, vectorization_mode="sync"))
    with pytest.raises(ValueError, match="distractor"):
        MaskVecEnv(gym.make_vec("MaskHopper-v0", num_envs=2, autoreset_mode="SameStep"), distractor="none")


def test_ppo_trains_on_it() -> None:
    env = make_ours(count=4, max_episode_steps=20)
    model = PPO("MultiInputPolicy", env, n_steps=32, batch_size=64, n_epochs=1, seed=0, device="cpu")
    before = {name: weight.clone() for name, weight in model.policy.state_dict().items()}
    model.learn(256)
    assert model.num_timesteps == 256
    assert len(model.ep_info_buffer) > 5 and max(info["l"] for info in model.ep_info_buffer) <= 20
    assert any(not weight.equal(before[name]) for name, weight in model.policy.state_dict().items())
    rewards, lengths = evaluate_policy(model, make_ours(count=2, max_episode_steps=9), 4, return_episode_rewards=True)
    assert len(rewards) == 4 and max(lengths) <= 9


def test_stacks_and_transposes_as_any_vec_env() -> None:
    env = VecTransposeImage(VecFrameStack(make_ours(observation=("pixels", "mask"), max_episode_steps=3), 3))
    observations: Any = env.reset()
    assert observations["pixels"].shape == (3, 9, 36, 36)
    for _ in range(3):
        observations, _, dones, infos = env.step(np.zeros((3, 3)))
    assert dones.all() and infos[0]["terminal_observation"]["mask"].shape == (3, 36, 36)
