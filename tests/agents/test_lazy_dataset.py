"""Training on frames that are drawn block by block."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch as th

from masklam_agents import BC, LAPO, MaskLAM
from masklam_agents.common.base import latent_basis
from masklam_envs import Frames, LazyFrames
from tests.agents.conftest import make_env
from tests.agents.test_training import METHODS, SAMPLES, StopAt, equal, make, weights


@pytest.fixture(scope="module")
def lazy(frames: Frames) -> LazyFrames:
    return LazyFrames(frames.trajectories, make_env(), block=1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop", [3, 25])
def test_an_interrupted_run_goes_on_to_the_same_weights(method, stop, lazy):
    whole = make(method, lazy).learn(SAMPLES)
    make(method, lazy).learn(SAMPLES, callback=StopAt(stop)).save("part")
    again = method.load("part", dataset=lazy).learn(SAMPLES, reset_num_timesteps=False)
    assert equal(weights(whole), weights(again))


@pytest.mark.parametrize("method", METHODS)
def test_a_block_has_the_losses_of_the_same_frames_in_memory(method, lazy, frames):
    for stage in method.stages:
        agents = [make(method, each) for each in (lazy, frames)]
        for agent in agents:
            agent.progress = dict.fromkeys(agent.progress, 1)  # a stage may ask that the one before it was trained
        losses = [agent._begin_stage(stage, agent.dataset.select([2, 0])) for agent in agents]
        values = [loss(np.random.default_rng(0)).item() for loss in losses]
        assert values[0] == values[1] > 0


def test_few_labels_are_picked_from_the_whole_dataset_without_drawing_the_rest(lazy, frames, monkeypatch):
    drawn = []
    rows = LazyFrames.rows
    monkeypatch.setattr(LazyFrames, "rows", lambda self, index: (drawn.append(np.unique(index)), rows(self, index))[1])
    monkeypatch.setattr(LazyFrames, "select", None)
    few = [make(BC, each, labels=4).learn(16 * 5) for each in (lazy, frames)]
    assert equal(*(weights(agent) for agent in few))
    assert len(drawn) == 1 and len(drawn[0]) <= 4 * 3


@pytest.mark.parametrize("method", [MaskLAM, LAPO])
def test_probe_and_latents_are_those_of_frames_in_memory(method, lazy, frames, held_out):
    agent = make(method, frames)
    anchors = np.array([0, 5, 41, 60])
    assert np.array_equal(agent.latents(lazy, anchors), agent.latents(frames, anchors))
    in_memory = agent.probe(held_out)
    agent.dataset = lazy
    assert agent.probe(held_out) == in_memory


def test_episodes_without_a_window_are_a_warning_of_training(frames):
    part = frames.select([0])
    short = dataclasses.replace(part.trajectories, meta={**part.trajectories.meta, "task": "MaskTest-v0"})
    agent = make(MaskLAM, Frames(short, part.rgbm, part.tracks))
    complaint = r"MaskTest-v0: no window of 41 steps fits in 1 of 1 episodes \(the first is episode 0 with 40\)"
    agent.config["future_offset"] = 41
    with pytest.warns(UserWarning, match=complaint), pytest.raises(ValueError, match="MaskTest-v0: no episode has 41"):
        agent.learn(SAMPLES)


def test_the_latent_basis_whitens_directions_of_any_spread():
    th.manual_seed(0)
    latents = th.randn(5_000, 4) @ th.tensor([[5.0, 0, 0, 0], [3, 1, 0, 0], [0, 0, 0.1, 0], [0, 0, 0, 0]])
    raw, whitened = latent_basis(latents, None), latent_basis(latents, 1e-6)
    for basis in (raw, whitened):
        coordinates = th.linalg.solve(basis, latents - latents.mean(0), left=False)
        assert th.allclose(coordinates @ basis + latents.mean(0), latents, atol=1e-4)
    spread = th.linalg.solve(whitened, latents - latents.mean(0), left=False).std(0).sort().values
    assert th.allclose(spread, th.tensor([0.0, 1, 1, 1]), atol=0.02)
    assert th.allclose(raw, th.eye(4) * latents.var(0).mean().sqrt())


def test_policies_with_and_without_whitening_differ(frames):
    agents = [make(MaskLAM, frames, whiten=whiten).learn(SAMPLES) for whiten in (None, 1e-3)]
    assert not equal(*(weights(agent) for agent in agents))


@pytest.mark.parametrize("whiten", [-1.0, float("nan"), "yes"])
def test_a_whitening_out_of_range_is_refused(whiten, frames):
    with pytest.raises(ValueError, match="whiten must be None or a finite number > 0"):
        make(MaskLAM, frames, whiten=whiten)
