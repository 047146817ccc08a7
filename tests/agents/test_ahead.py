"""Batches that a thread prepares: the same weights, no thread left over, errors where they belong."""

import threading

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from masklam_agents import BC, IDM, LAOM, MaskLAM
from masklam_agents.common.ahead import PreparedLoss
from tests.agents.test_training import SAMPLES, StopAt, equal, make, weights


def rngs(count):
    return [np.random.default_rng(i) for i in range(count)]


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("batches")]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_ready_losses_equal_the_plain_call(ahead):
    loss = PreparedLoss(lambda rng: rng.random(), lambda batch, rng: th.tensor(batch + 10 * rng.random()))
    ready = [float(each(None)) for each in loss.ready(iter(rngs(7)), ahead)]
    assert ready == [float(loss(rng)) for rng in rngs(7)]
    assert not threads()


def test_an_error_is_raised_in_its_turn_and_the_thread_ends():
    def prepare(rng):
        if rng is None:
            raise OSError("disk gone")
        return 1.0

    losses = PreparedLoss(prepare, lambda batch, rng: th.tensor(batch)).ready([*rngs(2), None, *rngs(2)], 2)
    assert [float(next(losses)(None)) for _ in range(2)] == [1, 1]
    with pytest.raises(OSError, match="disk gone"):
        next(losses)
    assert not threads()


def test_closing_ends_the_thread():
    losses = PreparedLoss(lambda rng: 1.0, lambda batch, rng: th.tensor(batch)).ready(rngs(100), 2)
    next(losses)
    assert threads()
    losses.close()
    assert not threads()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (MaskLAM, {"precision": "fp32"}),
        (MaskLAM, {"precision": "bf16", "mask_input": True, "loss": "plain"}),
        (LAOM, {"head_dim": 8, "label_weight": 0.1}),
        (IDM, {"precision": "bf16"}),
        (BC, {"shift": 2}),
    ],
)
def test_weights_are_the_same_with_and_without_a_thread(method, options, frames):
    agents = [method(dataset=frames, batch_size=16, labels=50, **options) for _ in range(2)]
    agents[1].prepare_ahead = 0
    for agent in agents:
        agent.learn(SAMPLES)
    assert equal(*(weights(agent) for agent in agents))
    assert not threads()


def test_a_run_stopped_with_a_thread_goes_on_without_one_to_the_same_weights(frames):
    whole = make(MaskLAM, frames).learn(SAMPLES)
    make(MaskLAM, frames).learn(SAMPLES, callback=StopAt(5)).save("part")
    assert not threads()
    part = MaskLAM.load("part", dataset=frames)
    part.prepare_ahead = 0
    assert equal(weights(whole), weights(part.learn(SAMPLES, reset_num_timesteps=False)))


@pytest.mark.parametrize("where", ["gather", "callback"])
def test_an_error_of_a_batch_or_of_a_callback_leaves_learn_and_no_thread(where, frames, monkeypatch):
    agent, updates = make(MaskLAM, frames), []
    gathered = agent._pretrain_inputs

    def broken(*args):
        if where == "gather" and len(updates) >= 4:
            raise OSError("disk gone")
        return gathered(*args)

    class Count(BaseCallback):
        def _on_step(self):
            updates.append(self.num_timesteps)
            if where == "callback" and len(updates) == 6:
                raise OSError("disk gone")
            return True

    monkeypatch.setattr(agent, "_pretrain_inputs", broken)
    with pytest.raises(OSError, match="disk gone"):
        agent.learn(SAMPLES, callback=Count())
    assert 4 <= len(updates) <= 6
    assert not threads()
