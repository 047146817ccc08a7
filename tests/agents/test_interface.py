"""What users of Stable-Baselines3 expect of an agent, for one method of each kind."""

import dataclasses
import inspect

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.callbacks import (
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from masklam_agents import BC, IDM, LAOM, LAPO, ExternalLAM, MaskLAM, RandomLatents, RobustMaskLAM
from masklam_envs import Frames, Windows
from tests.agents.conftest import make_env

SMALL = {"batch_size": 8, "labels": 40}
OPTIONS = {MaskLAM: SMALL, LAOM: {**SMALL, "latent_dim": 16, "head_dim": 16}, IDM: SMALL, BC: SMALL}
SAMPLES = 8 * 10


@pytest.mark.parametrize("method", [MaskLAM, RobustMaskLAM, LAPO, LAOM, IDM, BC, RandomLatents, ExternalLAM])
def test_help_shows_every_argument_that_a_method_takes(method):
    parameters = inspect.signature(method).parameters
    assert list(parameters)[:4] == ["policy", "env", "dataset", "labels"]
    shared = {
        "network",
        "batch_size",
        "policy_learning_rate",
        "schedules",
        "max_grad_norm",
        "seed",
        "device",
        "verbose",
    }
    assert shared <= set(parameters) and not any(name.startswith("_") for name in parameters)
    kinds = {parameter.kind for parameter in parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def test_help_shows_a_methods_own_defaults():
    assert inspect.signature(LAPO).parameters["future_offset"].default == 1
    assert inspect.signature(MaskLAM).parameters["mask_channel"].default is True
    assert inspect.signature(MaskLAM).parameters["future_offset"].default == 10


@pytest.mark.parametrize("method", OPTIONS)
def test_an_agent_does_what_sb3s_do(method, frames, tmp_path):
    env = make_env()
    agent = method("CnnPolicy", env, frames, **OPTIONS[method])
    stop = StopTrainingOnRewardThreshold(-1e9)
    seen = Monitor(make_env())
    evaluation = EvalCallback(
        seen,
        callback_on_new_best=stop,
        eval_freq=4,
        n_eval_episodes=1,
        verbose=0,
        best_model_save_path=str(tmp_path),
        log_path=str(tmp_path),
    )
    agent.learn(SAMPLES, callback=[EveryNTimesteps(16, CheckpointCallback(1, str(tmp_path))), evaluation])
    assert agent.num_timesteps == 8 * 4  # the first evaluation is over the threshold
    assert np.load(tmp_path / "evaluations.npz")["timesteps"].tolist() == [32]
    best = method.load(tmp_path / "best_model", env=env, dataset=frames, print_system_info=False, force_reset=True)
    observation, _ = env.reset(seed=0)
    assert np.array_equal(best.predict(observation)[0], agent.predict(observation)[0])
    again = method.load(tmp_path / "rl_model_16_steps.zip", dataset=frames)
    again.learn(SAMPLES, reset_num_timesteps=False)
    assert again.num_timesteps == SAMPLES
    again.set_parameters(agent.get_parameters())
    assert np.array_equal(again.predict(observation)[0], agent.predict(observation)[0])
    agent.set_env(DummyVecEnv([lambda: Monitor(make_env())] * 2))
    returns, lengths = evaluate_policy(agent, agent.get_env(), n_eval_episodes=2, return_episode_rewards=True)
    assert lengths == [20, 20] and np.isfinite(returns).all()
    batch, _ = agent.predict(frames.pixels[:5])
    assert batch.shape == (5, 6) and batch.dtype == np.float32
    assert np.allclose(batch[0], agent.predict(frames.pixels[0].transpose(2, 0, 1))[0], atol=1e-5)


@pytest.mark.parametrize("method", [MaskLAM, LAOM, IDM])
def test_stages_alone_and_what_latents_are_asked(method, frames, held_out):
    agent = method(dataset=frames, **OPTIONS[method])
    for stage in agent.stages:
        getattr(agent, stage)(8 * 3)
    assert set(agent.progress.values()) == {3}
    windows = Windows(frames, future_offset=1)
    here, there = (windows.observation(windows.anchors[[1, 9]] + i) for i in (0, 1))
    latents = agent.encode(here, there)
    assert latents.shape == (2, agent.config.get("latent_dim", 6)) and latents.dtype == np.float32
    first = [{key: value[0] for key, value in observation.items()} for observation in (here, there)]
    assert np.allclose(agent.encode(*first), latents[0], atol=1e-5)
    assert np.isfinite(agent.probe(held_out).nmse)
    if agent.predicts_pixels:
        assert agent.predict_next(*first).shape == (32, 32, 3)
    else:
        with pytest.raises(NotImplementedError, match="predicts no pixels"):
            agent.predict_next(*first)


def test_errors_name_the_cure(frames):
    with pytest.raises(TypeError, match="use masklam_agents.MaskVecEnv"):
        LAPO(env=gym.make_vec("MaskCheetah-v0", num_envs=2, image_size=32))
    LAPO(dataset=frames, **SMALL).save("agent")
    with pytest.raises(ValueError, match="give constructor arguments as keywords"):
        LAPO.load("agent", custom_objects={"seed": 3})
    with pytest.raises(ValueError, match="lerning_rate"):
        LAPO.load("agent", lerning_rate=3)


def test_numbers_of_numpy_are_configuration_too(frames):
    """As sweeps draw them; an agent that could not be saved would lose its training."""
    given = {
        **{"learning_rate": np.float32(1e-3), "weight_decay": np.float32(0), "shift": np.int64(1)},
        **{"stage_shares": np.array([0.3, 0.4, 0.3]), "mask_channel": np.bool_(True), "seed": np.int64(3)},
        "max_grad_norm": {"pretrain": np.float64(2)},
    }
    agent = MaskLAM("MultiInputPolicy", make_env(), frames, **SMALL, **given).learn(SAMPLES)
    agent.save("agent")
    read = MaskLAM.load("agent").config
    assert (read["shift"], read["mask_channel"], read["seed"]) == (1, True, 3)
    assert (read["stage_shares"], read["max_grad_norm"]) == ([0.3, 0.4, 0.3], {"pretrain": 2.0})
    assert read["learning_rate"] == pytest.approx(1e-3)


def test_any_seed_is_one_that_is_known_afterwards(frames):
    agents = [BC("MultiInputPolicy", make_env(), frames, seed=None, **SMALL).learn(SAMPLES) for _ in range(2)]
    seeds = [agent.config["seed"] for agent in agents]
    assert seeds[0] != seeds[1]
    again = BC("MultiInputPolicy", make_env(), frames, seed=seeds[0], **SMALL).learn(SAMPLES)
    mine, its = agents[0].policy.state_dict(), again.policy.state_dict()
    assert all((mine[name] == its[name]).all() for name in mine)
    for wrong in (-1, 2**32, 0.5, True, "3"):
        with pytest.raises(ValueError, match="seed must be an integer from 0 to"):
            BC("MultiInputPolicy", make_env(), frames, seed=wrong)


def test_environment_or_dataset_may_come_later(frames):
    later = LAPO("MultiInputPolicy", **SMALL)
    later.dataset = frames
    later.learn(SAMPLES)
    at_once = LAPO("MultiInputPolicy", dataset=frames, **SMALL).learn(SAMPLES)
    mine, its = later.policy.state_dict(), at_once.policy.state_dict()
    assert all((mine[name] == its[name]).all() for name in mine)
    shown = LAPO("MultiInputPolicy", **SMALL)
    shown.set_env(make_env())
    assert shown.predict(make_env().reset(seed=0)[0])[0].shape == (6,)
    with pytest.raises(TypeError, match=r"got 'data/cheetah': Trajectories.load\(path\) opens a folder"):
        later.dataset = "data/cheetah"
    with pytest.raises(TypeError, match="dataset must be Frames, LazyFrames or Trajectories, got 3: see render_frames"):
        LAPO("MultiInputPolicy", make_env(), dataset=3)


def test_an_environment_that_does_not_fit_is_refused_wherever_it_comes(frames):
    LAPO("MultiInputPolicy", make_env(), frames, **SMALL).save("agent")
    tenth = np.float32(0.1)
    scaled = gym.wrappers.RescaleAction(make_env(), -tenth, tenth)
    with pytest.raises(ValueError, match=r"acts in Box\(-1.0, 1.0.*acts in Box\(-0.1, 0.1"):
        LAPO.load("agent", env=scaled)
    with pytest.raises(ValueError, match="the agent sees 32 pixels and acts in .*, the environment shows 64 and"):
        LAPO.load("agent", env="MaskCheetah-v0")
    other = BC("MultiInputPolicy", scaled, frames, **SMALL)
    with pytest.raises(ValueError, match="actions were recorded within .*-1.* the agent acts in Box.*-0.1, 0.1"):
        other.learn(SAMPLES)
    foreign = dataclasses.replace(frames.trajectories, meta={**frames.trajectories.meta, "base": None})
    other.dataset = Frames(foreign, frames.rgbm, frames.tracks)  # whose bounds are a guess
    other.learn(SAMPLES)


def test_actions_that_are_no_numbers_are_told_before_they_are_learned(frames):
    labels = frames.trajectories.labels.copy()
    labels[3, 1] = np.nan
    broken = Frames(dataclasses.replace(frames.trajectories, labels=labels), frames.rgbm, frames.tracks)
    with pytest.raises(ValueError, match=r"action 3 is \[.*nan.*\]: leave out what is not finite"):
        BC("MultiInputPolicy", make_env(), broken, **SMALL).learn(SAMPLES)
