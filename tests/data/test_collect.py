"""What `collect` records: whole episodes, reproducible, by the policy that was asked for."""

import importlib
import itertools
import json
import os
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.wrappers import TimeLimit

from masklam_envs import Trajectories, collect, load_expert, make_masked, measure_correlation
from masklam_envs.data import Frames, LazyFrames, render_frames
from masklam_envs.data.disturbance import BURST_STEPS
from masklam_envs.data.trajectories import _DTYPES as FIELDS
from masklam_envs.distractors import ActionReference
from masklam_envs.tasks import TASKS, Task

every_env = pytest.mark.parametrize("env_id", TASKS)


def short(env_id="MaskHopper-v0", episodes=3, **kwargs):
    return collect(env_id, episodes, **{"max_steps": 6, **kwargs})


def zeros(state):
    return np.zeros(3, np.float32)


@every_env
def test_collecting_twice_gives_the_same_bytes(env_id):
    first, second = short(env_id), short(env_id)
    assert first.meta == second.meta
    for name in ("qpos", "qvel", "actions", "labels", "rewards", "lengths", "reset_seeds", "distractor_seeds"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


@every_env
def test_an_episode_does_not_depend_on_how_many_there_are(env_id):
    few, many = short(env_id, 2), short(env_id, 5)
    assert few.returns.tolist() == many.returns[:2].tolist()
    assert few.distractor_seeds.tolist() == many.distractor_seeds[:2].tolist()


def test_another_seed_records_other_episodes():
    assert set(short(seed=0).reset_seeds).isdisjoint(short(seed=1).reset_seeds)


def test_the_distractor_does_not_matter():
    plain, video = (short(gym.make("MaskHopper-v0", distractor=name)) for name in ("none", "video"))
    assert np.array_equal(plain.qpos, video.qpos) and np.array_equal(plain.rewards, video.rewards)


@every_env
def test_rewards_and_ends_are_the_base_environment_s(env_id):
    recorded = collect(env_id, 1, policy="random", max_steps=80)
    base = gym.make(TASKS[env_id].base)
    base.reset(seed=int(recorded.reset_seeds[0]))
    for i, action in enumerate(recorded.actions):
        assert np.array_equal(base.unwrapped.data.qpos, recorded.qpos[i])
        _, reward, terminated, *_ = base.step(action)
        assert recorded.rewards[i] == np.float32(reward)
    assert np.array_equal(base.unwrapped.data.qpos, recorded.qpos[-1])
    assert recorded.terminated[0] == terminated


def test_an_episode_of_t_steps_has_t_plus_one_frames():
    recorded = short(episodes=4)
    assert len(recorded.qpos) == len(recorded.qvel) == recorded.lengths.sum() + 4
    assert len(recorded) == len(recorded.rewards) == recorded.lengths.sum()


def test_episodes_end_where_the_task_ends_them():
    recorded = collect("MaskHopper-v0", 5, policy="random")
    assert recorded.terminated.all()
    assert (recorded.lengths < 1000).all()


@pytest.mark.parametrize("limit", [1, 4])
def test_max_steps_cuts_episodes(limit):
    recorded = short("MaskCheetah-v0", max_steps=limit)
    assert recorded.lengths.tolist() == [limit] * 3
    assert not recorded.terminated.any()


def test_the_environment_s_own_limit_holds():
    assert short(gym.make("MaskCheetah-v0", max_episode_steps=4)).lengths.tolist() == [4] * 3
    assert short(TimeLimit(gym.make("MaskCheetah-v0"), 2)).lengths.tolist() == [2] * 3
    assert short(make_masked(TimeLimit(gym.make("HalfCheetah-v5"), 5))).lengths.tolist() == [5] * 3


@every_env
def test_actions_lie_in_the_action_space(env_id):
    recorded = short(env_id, noise=2.0)
    space = gym.make(env_id).action_space
    assert (recorded.actions >= space.low).all() and (recorded.actions <= space.high).all()
    assert recorded.actions.dtype == np.float32


@pytest.mark.parametrize("policy", ["random", zeros])
def test_without_noise_labels_are_the_actions(policy):
    recorded = short(policy=policy)
    assert np.array_equal(recorded.actions, recorded.labels)


def test_labels_are_the_actions_before_noise():
    recorded = short(policy=zeros, noise=0.2)
    assert not recorded.labels.any()
    assert recorded.actions.std() == pytest.approx(0.2, rel=0.3)


def test_the_expert_is_asked_for_every_state():
    recorded = short("MaskCheetah-v0", episodes=1, policy="expert", noise=0.3)
    states = np.concatenate([recorded.qpos[:-1, 1:], recorded.qvel[:-1]], axis=1)
    assert np.allclose(recorded.labels, load_expert("MaskCheetah-v0").predict(states), atol=1e-3)


def test_the_reference_policy_is_the_expert_with_its_noise():
    noise = load_expert("MaskCheetah-v0").info.reference_noise
    reference, expert = short("MaskCheetah-v0"), short("MaskCheetah-v0", policy="expert", noise=noise)
    assert np.array_equal(reference.actions, expert.actions)
    assert reference.meta["noise"] == noise


def test_the_expert_alone_acts_without_noise():
    recorded = short("MaskCheetah-v0", policy="expert")
    assert np.array_equal(recorded.actions, recorded.labels)


def test_the_medium_expert_is_recorded_with_what_is_known_of_it():
    recorded = short("MaskInvertedPendulum-v0", policy="medium", episodes=1)
    states = np.concatenate([recorded.qpos[:-1], recorded.qvel[:-1]], axis=1)
    medium = load_expert("MaskInvertedPendulum-v0", "medium")
    assert np.allclose(recorded.labels, medium.predict(states), atol=1e-3)
    assert np.array_equal(recorded.actions, recorded.labels)
    assert (recorded.meta["policy"], recorded.meta["noise"]) == ("medium", 0)
    record = recorded.meta["expert"]
    assert (record["strength"], record["timesteps"]) == ("medium", medium.info.timesteps)


def test_random_bursts_are_in_units_of_the_action_s_bound():
    recorded = collect("MaskInvertedPendulum-v0", 5, policy="mixed", noise=0.0, seed=1)
    assert load_expert("MaskInvertedPendulum-v0").info.action_bound == 3
    deviating = np.abs(recorded.actions[recorded.actions != recorded.labels])
    assert 1 < deviating.max() <= 3


def test_mixed_labels_are_the_expert_s_and_noise_differs_between_episodes():
    recorded = collect("MaskCheetah-v0", 6, policy="mixed", seed=2, max_steps=100)
    starts, steps = recorded.first_frame, recorded.first_step
    first = [np.concatenate([recorded.qpos[f, 1:], recorded.qvel[f]]) for f in starts[:-1]]
    labels = load_expert("MaskCheetah-v0").predict(np.stack(first))
    assert np.allclose(recorded.labels[steps[:-1]], labels, atol=1e-3)
    deviation = np.abs(recorded.actions - recorded.labels)
    per_episode = [np.median(deviation[a:b][deviation[a:b] > 0]) for a, b in itertools.pairwise(steps)]
    assert max(per_episode) > 2 * min(per_episode)
    assert (recorded.meta["policy"], recorded.meta["noise"]) == ("mixed", 0.6)


def test_mixed_without_noise_leaves_bursts_of_random_actions():
    recorded = collect("MaskCheetah-v0", 1, policy="mixed", noise=0.0, seed=0, max_steps=600)
    burst = (recorded.actions != recorded.labels).any(axis=1)
    lengths = [len(list(group)) for random, group in itertools.groupby(burst) if random]
    assert 0.05 < burst.mean() < 0.5
    assert min(lengths[:-1]) >= BURST_STEPS[0]


def test_without_an_expert_the_reference_is_random(monkeypatch):
    monkeypatch.setattr(Task, "expert_file", lambda self, strength: None)
    assert np.array_equal(short(policy="reference").actions, short(policy="random").actions)


def test_a_function_sees_the_base_s_state():
    seen = []

    def policy(state):
        seen.append(state)
        return np.zeros(3, np.float32)

    recorded = short(policy=policy)
    assert len(seen) == len(recorded)
    assert {state.shape for state in seen} == {(11,)}


def test_meta_says_where_it_comes_from():
    meta = short(policy=zeros, noise=0.5, seed=9).meta
    assert (meta["base"], meta["policy"], meta["noise"], meta["seed"]) == ("Hopper-v5", "zeros", 0.5, 9)
    assert (meta["action_low"], meta["action_high"]) == ([-1.0] * 3, [1.0] * 3)
    assert set(meta["versions"]) == {"masklam", "mujoco", "gymnasium", "renderer"}
    assert (meta["task"], meta["max_steps"]) == ("MaskHopper-v0", 6)
    assert short(policy="random").meta["expert"] is None
    assert json.loads(json.dumps(meta)) == meta


def test_meta_names_expert_and_reference_statistics():
    meta = short("MaskCheetah-v0").meta
    assert (meta["expert"]["algorithm"], meta["expert"]["env_id"]) == ("PPO", "HalfCheetah-v5")
    env = gym.make("MaskCheetah-v0").unwrapped
    assert ActionReference.from_json(meta["action_reference"]) == env.view.reference


# --------------------------------------------------------------------------------------------------- processes, files


def assert_same_episodes(first, second):
    assert first.meta == second.meta
    for name in FIELDS:
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes(), name


@pytest.mark.parametrize(("env_id", "policy"), [("MaskCheetah-v0", "mixed"), ("MaskHopper-v0", "random")])
def test_episodes_do_not_depend_on_the_number_of_workers(env_id, policy):
    one, two = (short(env_id, 3, policy=policy, workers=workers) for workers in (1, 2))
    assert_same_episodes(one, two)


def test_a_policy_that_other_processes_cannot_get_is_refused():
    with pytest.raises(ValueError, match=r"workers=2 environment and policy go to other processes, which these do not"):
        short(policy=lambda state: np.zeros(3), workers=2)


def test_recording_to_a_folder_gives_the_same_episodes(tmp_path):
    assert_same_episodes(short(out=tmp_path / "data"), short())


def test_an_interrupted_recording_goes_on(tmp_path):
    short(episodes=2, out=tmp_path / "data")
    assert_same_episodes(short(episodes=4, out=tmp_path / "data"), short(episodes=4))


RECORD = """
import sys
from masklam_envs import collect
collect("MaskCheetah-v0", 60, policy="expert", seed=3, out=sys.argv[1])
"""


def test_a_recording_ended_by_kill_9_keeps_its_episodes_and_goes_on(tmp_path, repo):
    target = tmp_path / "data"
    process = subprocess.Popen([sys.executable, "-c", RECORD, target], env={**os.environ, "PYTHONPATH": str(repo)})
    try:
        while not (target / "manifest.json").exists() or Trajectories.load(target).episodes < 2:
            time.sleep(0.01)
            assert process.poll() is None
    finally:
        process.kill()  # SIGKILL
        process.wait()
    kept = Trajectories.load(target, verify=True).episodes
    assert 2 <= kept < 60
    goes_on = collect("MaskCheetah-v0", kept + 1, policy="expert", seed=3, out=target)
    assert_same_episodes(goes_on, collect("MaskCheetah-v0", kept + 1, policy="expert", seed=3))


def test_a_recording_that_is_done_is_not_made_again(tmp_path):
    short(episodes=3, out=tmp_path / "data")
    before = (tmp_path / "data" / "qpos.bin").stat().st_mtime_ns
    assert short(episodes=2, out=tmp_path / "data").episodes == 2
    assert (tmp_path / "data" / "qpos.bin").stat().st_mtime_ns == before


@pytest.mark.parametrize("other", [{"seed": 1}, {"noise": 0.1}, {"max_steps": 5}, {"env_id": "MaskWalker-v0"}])
def test_another_recording_does_not_go_into_the_same_folder(tmp_path, other):
    short(out=tmp_path / "data")
    with pytest.raises(ValueError, match="was made otherwise"):
        short(out=tmp_path / "data", **other)


@pytest.mark.parametrize(("policy", "noise"), [("reference", None), ("mixed", None), ("expert", None)])
def test_a_cheetah_step_takes_at_most_150_bytes_on_disk(tmp_path, policy, noise):
    recorded = collect("MaskCheetah-v0", 1, policy=policy, noise=noise, out=tmp_path / "data")
    size = sum(path.stat().st_size for path in (tmp_path / "data").glob("*.*") if path.suffix != ".json")
    assert size / len(recorded) <= 150


def test_the_progress_bar_is_off_unless_asked_for(capsys):
    short()
    assert capsys.readouterr() == ("", "")
    short(progress_bar=True)
    assert "collect" in capsys.readouterr().err


def test_a_mask_environment_around_an_object_is_collected_too():
    recorded = short(make_masked(gym.make("Hopper-v5")), policy="random")
    assert np.array_equal(recorded.actions, short(policy="random").actions)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"episodes": 0}, "episodes, workers and max_steps must be at least 1, got 0"),
        ({"workers": 0}, "must be at least 1, got 3, 0"),
        ({"episodes": -3}, "must be at least 1, got -3"),
        ({"max_steps": 0}, "must be at least 1"),
        ({"noise": -1.0}, "noise must be a standard deviation >= 0, got -1"),
        ({"noise": float("nan")}, "noise must be a standard deviation >= 0, got nan"),
        ({"noise": float("inf")}, "noise must be a standard deviation >= 0, got inf"),
        (
            {"policy": "exprt"},
            "unknown policy 'exprt'. Did you mean 'expert'\\? Known: expert, medium, mixed, random, reference, or a",
        ),
        ({"policy": 3}, "unknown policy 3"),
        ({"policy": lambda state: np.zeros(2)}, r"action must have shape \(3,\), got \(2,\)"),
        ({"policy": lambda state: np.full(3, np.nan)}, "action must be finite"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_bad_arguments_say_what_is_wrong(kwargs, message):
    with pytest.raises(ValueError, match=message):
        short(**kwargs)


def test_another_environment_is_a_type_error():
    with pytest.raises(TypeError, match="needs an environment of masklam_envs, got CartPoleEnv; see make_masked"):
        collect(gym.make("CartPole-v1"), 1)
    with pytest.raises(TypeError, match="CartPoleEnv is no MuJoCo environment"):
        collect("CartPole-v1", 1)


def test_the_id_of_a_base_environment_is_what_make_masked_makes_of_it():
    assert_same_episodes(short("Swimmer-v5"), short(make_masked("Swimmer-v5")))
    assert short("gymnasium:Swimmer-v5").meta["base"] == "gymnasium:Swimmer-v5"


def made_by_function(**kwargs):
    return gym.make("MaskHopper-v0", **kwargs)


def test_a_function_that_makes_one_of_ours_is_known_by_what_it_makes(monkeypatch):
    spec = gym.envs.registration.EnvSpec("Made-v0", f"{__name__}:made_by_function")
    monkeypatch.setitem(gym.registry, "Made-v0", spec)
    assert short("Made-v0").meta["base"] == "Hopper-v5"


def test_frames_of_another_model_are_refused():
    with pytest.raises(ValueError, match="have 6 positions, the model has 9: they were recorded in Hopper-v5"):
        render_frames(short(), gym.make("MaskCheetah-v0"))


def test_frames_of_no_episode_are_empty():
    frames = render_frames(short().select([]), gym.make("MaskHopper-v0"))
    assert isinstance(frames, Frames)
    assert (frames.rgbm.shape, frames.tracks) == ((0, 64, 64, 4), [])


@pytest.mark.parametrize("policy", ["expert", "medium", "mixed"])
def test_an_environment_whose_actions_mean_something_else_has_no_expert(policy):
    env = make_masked(gym.wrappers.RescaleAction(gym.make("Hopper-v5"), -2, 2))
    with pytest.raises(ValueError, match="this task ships no (medium )?expert; use policy='random'"):
        collect(env, 1, policy=policy)


@pytest.mark.parametrize(
    "wrap",
    [
        gym.wrappers.NormalizeObservation,
        lambda env: gym.wrappers.TransformObservation(env, lambda state: 0.1 * state, None),
        lambda env: gym.wrappers.DelayObservation(env, 3),
    ],
)
def test_an_environment_whose_states_mean_something_else_has_no_expert(wrap):
    env = make_masked(wrap(gym.make("Hopper-v5")))
    assert collect(env, 1, max_steps=3).meta["policy"] == "random"
    with pytest.raises(ValueError, match="this task ships no expert; use policy='random'"):
        collect(env, 1, policy="expert")


def test_an_episode_without_an_end_is_an_error(monkeypatch):
    monkeypatch.setattr(importlib.import_module("masklam_envs.data.collect"), "ENDLESS", 1_500)
    endless = make_masked(HalfCheetahEnv())
    with pytest.raises(
        ValueError, match=r"neither ends by itself nor has a limit: give collect max_steps, or the base"
    ):
        collect(endless, 1)
    assert len(collect(endless, 1, max_steps=1_600)) == 1_600
    assert len(collect(make_masked(TimeLimit(HalfCheetahEnv(), 20)), 1)) == 20


def test_a_recording_ends_the_episode_of_the_environment_that_it_is_given():
    env = gym.make("MaskHopper-v0", image_size=32)
    env.reset(seed=0)
    measure_correlation(env, steps=20)
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        env.step(np.zeros(3, np.float32))
    first = env.reset(seed=0)[0]["pixels"]
    assert np.array_equal(first, gym.make("MaskHopper-v0", image_size=32).reset(seed=0)[0]["pixels"])


def test_frames_of_another_model_with_as_many_positions_are_refused(tmp_path):
    walker, cheetah = short("MaskWalker-v0"), gym.make("MaskCheetah-v0")
    message = (
        r"of another model, that of Walker2d-v5: they hold the joints rootx, .*thigh.*, this one has rootx, .*bthigh"
    )
    for view in (cheetah, cheetah.unwrapped.view):
        with pytest.raises(ValueError, match=message):
            render_frames(walker, view)
    with pytest.raises(ValueError, match=message):
        LazyFrames(walker, cheetah)
    walker.meta.pop("joints")  # recorded before there was such a list
    assert len(render_frames(walker, cheetah)) == len(walker) + walker.episodes


def test_numbers_of_numpy_are_recorded_as_plain_ones(tmp_path):
    given = {"seed": np.int64(3), "max_steps": np.int64(4), "noise": np.float32(0.5)}
    recorded = collect("MaskHopper-v0", np.int64(1), out=tmp_path / "data", **given)
    assert {name: recorded.meta[name] for name in given} == {"seed": 3, "max_steps": 4, "noise": 0.5}
