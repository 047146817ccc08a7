"""Every option of every method: what it cannot be is refused by its name, before any work."""

from __future__ import annotations

import contextlib

import gymnasium as gym
import pytest
import torch as th

from masklam_agents import BC, IDM, LAOM, LAPO, MaskLAM, RandomLatents, RobustMaskLAM
from masklam_agents.common.configuration import NOT_CONFIGURATION, whole_signature
from masklam_agents.common.precision import trains_in_bf16

METHODS = (BC, IDM, LAOM, LAPO, MaskLAM, RandomLatents, RobustMaskLAM)
#: what no option takes
NEVER = (-1, float("nan"), "no such", [1.5])
OPTIONS = [
    pytest.param(method, name, id=f"{method.__name__}-{name}")
    for method in METHODS
    for name in whole_signature(method).parameters
    if name not in NOT_CONFIGURATION
]


@pytest.fixture(scope="module")
def env():
    return gym.make("MaskReacher-v0", image_size=32)


@pytest.mark.parametrize(("method", "option"), OPTIONS)
def test_what_an_option_cannot_be_is_refused_by_its_name(env, method, option):
    for value in NEVER:
        with pytest.raises((ValueError, TypeError), match=option):
            method(env=env, **{option: value})


@pytest.mark.parametrize("option", ["sample_offset", "mask_channel", "mask_input"])
def test_a_flag_is_no_word_and_no_number(env, option):
    for value in ("false", 1, None):
        with pytest.raises(ValueError, match=f"^{option} must be True or False, got {value!r}"):
            LAPO(env=env, **{option: value})


def test_none_is_allowed_where_it_means_something(env):
    assert LAOM(env=env, latent_dim=4, label_batch=None).config["label_batch"] is None
    assert IDM(env=env, head_dim=None).config["head_dim"] is None
    with pytest.raises(ValueError, match="head_dim must be an integer >= 1 or None, got 0"):
        IDM(env=env, head_dim=0)


def test_shares_of_nothing_are_refused(env):
    with pytest.raises(ValueError, match=r"stage_shares must be 3 numbers >= 0 for \[.*\], not all 0, got \[0, 0, 0\]"):
        LAPO(env=env, stage_shares=(0, 0, 0))


def test_a_schedule_is_a_dictionary(env):
    with pytest.raises(TypeError, match=r"schedules\['clone'\] must be a dictionary of options of Schedule, got 2"):
        LAPO(env=env, schedules={"clone": 2})


@pytest.mark.parametrize(
    ("method", "options"),
    [(LAOM, {"label_batch": 7}), (LAOM, {"label_target": "executed"}), (IDM, {"encoder_scale": 7})],
)
def test_an_option_of_what_is_not_chosen_is_refused(env, method, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is of the .*, or leave it out"):
        method(env=env, **options)


def test_an_agent_without_networks_says_what_it_needs(env, tmp_path):
    observation, _ = env.reset(seed=0)
    agent = LAPO()
    for work in (
        lambda: agent.predict(observation),
        lambda: agent.encode(observation, observation),
        lambda: agent.save(tmp_path / "agent"),
    ):
        with pytest.raises(ValueError, match="this LAPO has no networks yet: give it env= or dataset= first"):
            work()
    with pytest.raises(TypeError, match="one of Gymnasium's vector environments"):
        agent.set_env(gym.make_vec("MaskReacher-v0", num_envs=2))
    agent.set_env("MaskReacher-v0")
    assert agent.policy.image_size == 64


def test_cuda_s_emulated_bf16_is_none(monkeypatch):
    asked = []
    monkeypatch.setattr(th.cuda, "device", lambda device: contextlib.nullcontext(asked.append(device)))
    monkeypatch.setattr(th.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not trains_in_bf16("auto", th.device("cuda:1"))
    assert asked == [th.device("cuda:1")]
