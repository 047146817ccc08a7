"""Expert policies: the NumPy forward pass, the file, and what is wrong with a wrong file."""

import dataclasses
import itertools
import json
import os
import stat
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import masklam_envs
from masklam_envs import Expert, collect, load_expert
from masklam_envs.experts import STRENGTHS, ExpertInfo
from masklam_envs.reference import reference_expert
from masklam_envs.tasks import TASKS, Task

SHIPPED = [(task, strength) for task in TASKS for strength in STRENGTHS]
# Where random actions cost more than they do: what is useful begins above the return of no action at all.
COSTLY = {"MaskReacher-v0", "MaskPusher-v0"}
shipped = pytest.mark.parametrize(("env_id", "strength"), SHIPPED)


def made_up_expert(seed=0, sizes=(5, 8, 7, 2), activation="relu", squash="tanh"):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    layers = [(normal(b, a), normal(b)) for a, b in itertools.pairwise(sizes)]
    info = ExpertInfo("Made-Up-v0", "SAC", 1000, seed, activation, squash, 9.5, 0.5, 10, -1.0, 0.25, "made up")
    statistics = normal(sizes[0]), np.exp(normal(sizes[0])), normal(sizes[-1]), np.eye(sizes[-1], dtype=np.float32)
    return Expert(info, layers, *statistics)


def torch_network(expert):
    """The same network made of torch's layers."""
    modules = []
    for weight, bias in expert.layers:
        linear = th.nn.Linear(*weight.shape[::-1])
        linear.load_state_dict({"weight": th.from_numpy(weight), "bias": th.from_numpy(bias)})
        modules += [linear, {"relu": th.nn.ReLU(), "tanh": th.nn.Tanh()}[expert.info.activation]]
    return th.nn.Sequential(*modules[:-1])


@pytest.fixture
def path(tmp_path):
    made_up_expert().save(tmp_path / "expert.safetensors")
    return tmp_path / "expert.safetensors"


# ------------------------------------------------------------------------------------------------------- forward pass


@given(
    seed=st.integers(0, 99),
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    activation=st.sampled_from(["relu", "tanh"]),
    squash=st.sampled_from(["tanh", "clip"]),
)
def test_the_forward_pass_equals_torch_s(seed, sizes, activation, squash):
    expert = made_up_expert(seed, sizes, activation, squash)
    observation = np.random.default_rng(seed).normal(size=(6, sizes[0])).astype(np.float32)
    with th.no_grad():
        scaled = th.from_numpy((observation - expert.obs_mean) / expert.obs_std).clamp(-10, 10)
        out = torch_network(expert)(scaled)
        want = out.tanh() if squash == "tanh" else out.clamp(-1, 1)
    np.testing.assert_allclose(expert.predict(observation), want.numpy(), rtol=1e-4, atol=1e-5)


def test_observations_are_clipped_at_ten_standard_deviations():
    expert = made_up_expert()
    far, farther = (expert.obs_mean + factor * expert.obs_std for factor in (11, 1000))
    assert np.array_equal(expert.predict(far), expert.predict(farther))


def test_a_batch_equals_its_rows():
    expert = made_up_expert()
    batch = np.random.default_rng(0).normal(size=(6, 5))
    np.testing.assert_allclose(expert.predict(batch), [expert.predict(row) for row in batch], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (6,), (2, 4), (), (5, 2)])
def test_an_observation_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match="the expert of Made-Up-v0 reads states of 5 numbers, got shape"):
        made_up_expert().predict(np.zeros(shape))


@pytest.mark.parametrize(("option", "value"), [("activation", "gelu"), ("squash", "sigmoid")])
def test_an_unknown_function_is_refused(option, value):
    with pytest.raises(ValueError, match=f"'{value}'.* one of"):
        made_up_expert(**{option: value})


# ------------------------------------------------------------------------------------------------------------ shipped


@shipped
def test_a_shipped_expert_acts_within_the_space(env_id, strength):
    expert = load_expert(env_id, strength)
    base = gym.make(TASKS[env_id].base)
    bound = np.float32(expert.info.action_bound)
    assert base.action_space == gym.spaces.Box(-bound, bound, expert.action_mean.shape, np.float32)
    assert base.observation_space.shape == expert.obs_mean.shape
    assert reference_expert(base, strength).info == expert.info
    states, actions = expert.obs_mean.size, expert.action_mean.size
    for shape in ((states,), (3, states)):
        action = expert.predict(100 * np.random.default_rng(0).normal(size=shape))
        assert (action.dtype, action.shape) == (np.float32, (*shape[:-1], actions))
        assert np.abs(action).max() <= bound


@pytest.mark.parametrize("squash", ["tanh", "clip"])
def test_actions_are_in_units_of_their_bound(squash):
    expert, scaled = made_up_expert(squash=squash), made_up_expert(squash=squash)
    scaled.info = dataclasses.replace(scaled.info, action_bound=0.4)
    observation = 100 * np.random.default_rng(0).normal(size=(9, 5))
    assert np.abs(scaled.predict(observation)).max() == pytest.approx(0.4)
    np.testing.assert_allclose(scaled.predict(observation), 0.4 * expert.predict(observation), rtol=1e-6)


def test_the_cheetah_s_expert_has_six_actions():
    assert load_expert("MaskCheetah-v0").predict(np.zeros(17)).shape == (6,)


@shipped
def test_a_shipped_expert_s_record_is_complete(env_id, strength):
    info = load_expert(env_id, strength).info
    assert (info.env_id, info.strength) == (TASKS[env_id].base, strength)
    assert np.isfinite([info.return_mean, info.return_std, info.random_return, info.reference_noise]).all()
    assert info.return_mean > info.random_return
    assert info.return_episodes == 50 and info.command.startswith("python examples/train_expert.py ")


@shipped
def test_a_shipped_expert_beats_random_actions(env_id, strength):
    expert, random = (collected_return(env_id, policy, episodes=2) for policy in (strength, "random"))
    assert expert > random


@pytest.mark.slow
@shipped
def test_a_shipped_expert_s_recorded_return_is_found_again(env_id, strength):
    info, episodes = load_expert(env_id, strength).info, 10
    error = info.return_std * (1 / np.sqrt(episodes) + 1 / np.sqrt(info.return_episodes))
    found = collected_return(env_id, strength, episodes)
    assert found == pytest.approx(info.return_mean, abs=3 * error + 1e-3 * abs(info.return_mean))


def collected_return(env_id, policy, episodes):
    return collect(env_id, episodes, policy=policy, seed=77).returns.mean()


@pytest.mark.parametrize("env_id", TASKS)
def test_a_shipped_medium_expert_is_between_doing_nothing_useful_and_the_expert(env_id):
    medium, expert = load_expert(env_id, "medium").info, load_expert(env_id).info
    nothing = np.zeros(load_expert(env_id).action_mean.shape, np.float32)
    low = collected_return(env_id, lambda state: nothing, 50) if env_id in COSTLY else medium.random_return
    assert 0.25 < (medium.return_mean - low) / (expert.return_mean - low) < 0.75


def test_every_task_ships_an_expert_and_a_medium_one():
    assert all(task.expert_file(strength) for task in TASKS.values() for strength in STRENGTHS)


def test_the_files_are_small_and_belong_to_tasks():
    folder = Path(masklam_envs.experts.__file__).parent
    files = sorted(folder.glob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) < 10_000_000
    assert {file.name for file in files} == {TASKS[task].expert_file(strength) for task, strength in SHIPPED}


@shipped
def test_a_shipped_expert_s_statistics_can_whiten(env_id, strength):
    expert = load_expert(env_id, strength)
    covariance = expert.action_covariance
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_a_task_without_an_expert_says_which_have_one(monkeypatch):
    real = Task.expert_file
    monkeypatch.setattr(Task, "expert_file", lambda self, s: None if "Hopper" in self.id else real(self, s))
    with pytest.raises(ValueError, match=r"MaskHopper-v0 ships no expert; .*MaskCheetah-v0.*train_expert"):
        load_expert("MaskHopper-v0")
    with pytest.raises(ValueError, match=r"MaskHopper-v0 ships no medium expert; .*MaskInvertedPendulum-v0"):
        load_expert("MaskHopper-v0", "medium")


def test_an_unknown_strength_is_named():
    with pytest.raises(ValueError, match="unknown strength 'medum'. Did you mean 'medium'"):
        load_expert("MaskCheetah-v0", "medum")


def test_an_unknown_task_is_named():
    with pytest.raises(ValueError, match=r"unknown task 'MaskCheeta-v0'. Did you mean 'MaskCheetah-v0'"):
        load_expert("MaskCheeta-v0")


# --------------------------------------------------------------------------------------------------------------- file


def test_what_is_saved_is_loaded(path):
    want, loaded = made_up_expert(), Expert.load(path)
    assert loaded.info == want.info
    for name in ("obs_mean", "obs_std", "action_mean", "action_covariance"):
        assert np.array_equal(getattr(loaded, name), getattr(want, name))
    observation = np.random.default_rng(0).normal(size=(4, 5))
    assert np.array_equal(loaded.predict(observation), want.predict(observation))


def test_more_than_ten_layers_keep_their_order(tmp_path):
    want = made_up_expert(sizes=(3,) * 13)
    want.save(tmp_path / "deep.safetensors")
    observation = np.ones(3)
    assert np.array_equal(Expert.load(tmp_path / "deep.safetensors").predict(observation), want.predict(observation))


def test_saving_leaves_nothing_else(path):
    made_up_expert(seed=1).save(path)
    assert [file.name for file in path.parent.iterdir()] == ["expert.safetensors"]
    assert Expert.load(path).info.seed == 1


def test_an_interrupted_save_leaves_the_old_file(path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made_up_expert(seed=1).save(path)
    assert Expert.load(path).info.seed == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_file_can_be_read_by_others(path):
    reference = path.with_name("plain")
    reference.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(reference.stat().st_mode)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_named(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"expert.safetensors is damaged or no MaskLAM expert"):
        Expert.load(path)


def test_another_safetensors_file_is_named(path):
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with pytest.raises(ValueError, match=r"damaged or no MaskLAM expert .*'expert'"):
        Expert.load(path)


@pytest.mark.parametrize("missing", ["obs_mean", "obs_std", "action_mean", "action_covariance", "bias_1", "weight_0"])
def test_a_missing_tensor_is_named(path, missing):
    tensors = load_file(path)
    del tensors[missing]
    save_file(tensors, path, {"expert": json.dumps(dataclasses.asdict(made_up_expert().info))})
    with pytest.raises(ValueError, match="damaged or no MaskLAM expert"):
        Expert.load(path)


@pytest.mark.parametrize("record", ["", "{", "3", "[]", "{}", '{"no_such_field": 1}'])
def test_a_damaged_record_is_named(path, record):
    save_file(load_file(path), path, {"expert": record})
    with pytest.raises(ValueError, match="damaged or no MaskLAM expert"):
        Expert.load(path)


def flip(path, byte):
    """Change one bit of a file, counted from its end where negative."""
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("byte", [-1, -40, -200])
def test_a_flipped_bit_of_the_weights_is_named_with_the_cure(path, byte):
    flip(path, byte)
    with pytest.raises(ValueError, match=r"expert.safetensors is damaged: the checksum .*train_expert.py"):
        Expert.load(path)


def test_a_changed_record_is_damage_too(path):
    data = path.read_bytes()
    assert data.count(b"Made-Up-v0") == 1
    path.write_bytes(data.replace(b"Made-Up-v0", b"Made-Up-v1"))
    with pytest.raises(ValueError, match="expert.safetensors is damaged: the checksum"):
        Expert.load(path)


def test_a_file_from_before_there_were_checksums_is_loaded(path):
    want = made_up_expert()
    save_file(load_file(path), path, {"expert": json.dumps(dataclasses.asdict(want.info))})
    assert np.array_equal(Expert.load(path).predict(np.ones(5)), want.predict(np.ones(5)))


def test_a_missing_file_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        Expert.load(tmp_path / "nothing.safetensors")
