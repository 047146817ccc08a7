"""Batches that a thread prepares: the same weights, no thread left over, errors where they belong."""

import threading

import numpy as np
import pytest
import torch as th

from masklam_agents import IDM, MaskLAM
from masklam_agents.common.ahead import PreparedLoss
from masklam_agents.common.gather import gather
from masklam_agents.common.policies import as_tensor
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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", [MaskLAM, IDM])
def test_weights_are_the_same_with_and_without_a_thread(method, precision, frames):
    agents = [make(method, frames, precision=precision) for _ in range(2)]
    agents[1].prepare_ahead = 0
    for agent in agents:
        agent.learn(SAMPLES)
    assert equal(*(weights(agent) for agent in agents))
    assert not threads()


def test_the_thread_ends_with_a_stopped_stage(frames):
    make(MaskLAM, frames).learn(SAMPLES, callback=StopAt(3))
    assert not threads()


@pytest.mark.parametrize("layout", ["image", "patches"])
@pytest.mark.parametrize("mask", [False, True])
def test_bf16_is_the_float32_rounded(layout, mask):
    values = np.arange(256, dtype=np.uint8).repeat(4).reshape(1, 16, 16, 4)
    whole, half = (
        as_tensor(gather(values, np.zeros((1, 2), np.int64), mask_channel=mask, layout=layout, half=half))
        for half in (False, True)
    )
    assert half.dtype == th.bfloat16
    assert th.equal(half, whole.bfloat16())
