"""An environment whose actions are latent actions."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from masklam_agents.common.base import LatentActionAlgorithm
from masklam_agents.methods import load_agent


class LatentActionEnv(gym.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Act in an agent's latent space: its decoder, which stays as it is, turns latents into the environment's actions.

    An action is a latent in the coordinates in which the agent's policy predicts: about the mean of the latents that it
        was cloned on, in its basis.  So the policy's network and any algorithm of SB3 mean the same by a number.  The
    latents' spread is at most 1 in every coordinate, or, of agents with ``whiten=None`` (the papers' presets), 1 in
    the mean over coordinates and up to the root of their number in one: give those a larger ``bound``.

    :param env: an environment that the agent can act in
    :param agent: an agent whose latent policy is cloned and whose decoder is trained, or its file
    :param bound: latents lie in [-bound, bound] in every coordinate
    :raises TypeError: when the agent has no latent actions, or ``env`` is no environment
    :raises ValueError: when its decoder is not trained, its actions are not the environment's, or ``bound`` is not a
        finite number above 0
    """

    def __init__(self, env: gym.Env[Any, Any], agent: LatentActionAlgorithm | str, bound: float = 3.0) -> None:
        if not isinstance(env, gym.Env):
            raise TypeError(f"LatentActionEnv needs an environment, got {env!r}: gym.make makes one of an id")
        given = agent
        agent = load_agent(agent) if isinstance(agent, str) else agent  # type: ignore[assignment]
        if not isinstance(agent, LatentActionAlgorithm):
            raise TypeError(f"LatentActionEnv needs an agent with latent actions, got {type(agent).__name__}")
        if "decode" not in agent.stages:
            raise TypeError(f"the latents of {type(agent).__name__} are actions: act in the environment itself")
        if not agent.progress.get("decode"):
            raise ValueError(
                "this agent's decoder is not trained, its actions would be noise: run its stage 'decode' with labels "
                "first. Without labels agent.finetune() learns policy and decoder from the reward, in place of this"
            )
        if agent.action_space != env.action_space:
            raise ValueError(f"the agent acts in {agent.action_space}, the environment in {env.action_space}")
        if not 0 < bound < math.inf:
            raise ValueError(f"bound must be a finite number above 0, got {bound}")
        RecordConstructorArgs.__init__(self, agent=given, bound=bound, _disable_deepcopy=True)
        gym.ActionWrapper.__init__(self, env)
        self.agent = agent
        self.action_space = spaces.Box(-bound, bound, (len(agent.policy.latent_mean),), np.float32)

    def action(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """The environment's action (A,) of a latent (latent_dim,).

        :raises ValueError: for a latent of another shape
        """
        policy, space = self.agent.policy, self.env.action_space
        assert isinstance(space, spaces.Box)
        latent = np.asarray(action, np.float32)
        if latent.shape != self.action_space.shape:
            raise ValueError(f"a latent action has shape {self.action_space.shape}, got {latent.shape}")
        with th.no_grad():
            coordinates = th.as_tensor(latent, device=policy.device)
            decoded = policy.decoder((coordinates @ policy.latent_basis + policy.latent_mean)[None])[0]
        return np.clip(decoded.float().cpu().numpy().reshape(space.shape), space.low, space.high)
