"""Whoever watches an agent while it is trained changes nothing of it."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.monitor import Monitor

from masklam_agents import make_agent
from tests.agents.conftest import make_env

SMALL = {"batch_size": 8, "labels": 40, "latent_dim": 16}
UPDATES = 12


class Ask(BaseCallback):
    """Asks the agent something after every other update."""

    def __init__(self, ask):
        super().__init__()
        self.ask = ask

    def _on_step(self):
        if self.n_calls % 2:
            self.ask(self.model)
        return True


def predicts(frames):
    pixels = frames.pixels[0]
    return lambda agent: agent.predict({"pixels": pixels})


def predicts_next(frames):
    first, second = (frames.rgbm[i : i + 3][None] for i in (0, 1))
    stacks = [
        {"pixels": np.concatenate(list(x[0, ..., :3]), -1)[None], "mask": np.moveaxis(x[..., 3], 1, -1)}
        for x in (first, second)
    ]
    return lambda agent: agent.predict_next(*stacks)


def latents(frames):
    return lambda agent: agent.latents(frames, np.arange(4))


def switches_off(frames):
    return lambda agent: agent.policy.eval()


# Networks that act otherwise in training: moving codes, batch normalisation.
@pytest.mark.parametrize("ask", [predicts, predicts_next, latents, switches_off])
@pytest.mark.parametrize(("method", "options"), [("lapo-vq", {}), ("lapo", {"network": "lapo"})])
def test_the_weights_are_those_of_an_agent_that_nobody_asked(method, options, ask, frames):
    alone, asked = (make_agent(method, env=make_env(), dataset=frames, **{**SMALL, **options}) for _ in range(2))
    alone.pretrain(8 * UPDATES)
    asked.pretrain(8 * UPDATES, callback=Ask(ask(frames)))
    mine, its = alone.policy.state_dict(), asked.policy.state_dict()
    assert [name for name in mine if not th.equal(mine[name], its[name])] == []


def test_evaluations_of_sb3_leave_the_training_as_it_is(frames):
    alone, watched = (make_agent("lapo-vq", env=make_env(), dataset=frames, **SMALL) for _ in range(2))
    alone.pretrain(8 * UPDATES)
    watched.pretrain(8 * UPDATES, callback=EvalCallback(Monitor(make_env()), n_eval_episodes=1, eval_freq=5))
    mine, its = alone.policy.state_dict(), watched.policy.state_dict()
    assert all(th.equal(mine[name], its[name]) for name in mine)


def test_an_agent_is_asked_as_it_will_act(frames):
    """A new one too, and one that was read: nothing but training is done in training mode."""
    agent = make_agent("lapo", env=make_env(), dataset=frames, network="lapo", **SMALL)
    before = {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}
    agent.latents(frames, np.arange(4))
    agent.save("agent")
    read = type(agent).load("agent", env=make_env())
    read.predict(gym.make("MaskCheetah-v0", image_size=32).reset(seed=0)[0])
    for each in (agent, read):
        assert not each.policy.training
        assert all(th.equal(tensor, before[name]) for name, tensor in each.policy.state_dict().items())
