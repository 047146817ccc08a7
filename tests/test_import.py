"""`import masklam_envs` registers the environments and imports nothing heavy."""

import os
import subprocess
import sys

import gymnasium as gym
import pytest

import masklam_envs
from masklam_envs.registration import ANY_ID, register_envs
from masklam_envs.tasks import TASKS, get_task, task_of_base

HEAVY = ("torch", "cv2", "numba", "OpenGL", "mujoco.egl", "stable_baselines3", "dm_control", "metaworld")


def run(code, repo):
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_import_loads_nothing_heavy(repo):
    done = run(f"import sys, masklam_envs; print([m for m in {HEAVY} if m in sys.modules])", repo)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_prefixed_id_needs_no_import_and_writes_nothing_but_frames(repo, tmp_path):
    code = "import gymnasium; env = gymnasium.make('masklam_envs:MaskCheetah-v0'); print(env.reset(seed=0)[0].keys())"
    done = run(code, repo)
    assert (done.stdout.strip(), done.stderr) == ("dict_keys(['pixels', 'mask'])", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("env_id", TASKS)
def test_both_spellings_make_the_same_environment(env_id):
    short, long = gym.make(env_id), gym.make(f"masklam_envs:{env_id}")
    assert short.spec.id == long.spec.id == env_id
    assert short.observation_space == long.observation_space


@pytest.mark.parametrize("env_id", TASKS)
def test_time_limit_is_the_base_environment_s(env_id):
    assert gym.spec(env_id).max_episode_steps == gym.spec(TASKS[env_id].base).max_episode_steps


def test_registering_again_changes_nothing():
    before = {env_id: gym.registry[env_id] for env_id in (*TASKS, ANY_ID)}
    register_envs()
    assert all(gym.registry[env_id] is spec for env_id, spec in before.items())


@pytest.mark.parametrize("name", masklam_envs.__all__)
def test_public_names_exist(name):
    assert getattr(masklam_envs, name).__name__ == name
    assert name in dir(masklam_envs)


def test_wrappers_are_there_without_an_import_of_their_own(repo):
    done = run("import masklam_envs; print(masklam_envs.wrappers.FrameStack.__name__)", repo)
    assert (done.stdout.strip(), done.stderr) == ("FrameStack", "")


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'make_mask'"):
        _ = masklam_envs.make_mask


def test_an_unknown_task_names_the_close_match_and_the_list():
    with pytest.raises(ValueError, match=r"Did you mean 'MaskCheetah-v0'\? Known: MaskAnt-v0, MaskCheetah-v0"):
        get_task("MaskCheeta-v0")


def test_tasks_are_found_by_their_base():
    assert task_of_base("Hopper-v5").id == "MaskHopper-v0"
    assert task_of_base("Ant-v4") is None
