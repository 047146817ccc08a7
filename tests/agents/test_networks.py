import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch as th

from masklam_agents.common import strided
from masklam_agents.common.gather import PATCH
from masklam_agents.common.networks import NETWORKS, get_network
from masklam_agents.common.policies import LatentActionPolicy


def batch(layout: str, channels: int, size: int) -> th.Tensor:
    if layout == "image":
        return th.rand(2, channels, size, size)
    return th.rand(2, (size // PATCH) ** 2, channels * PATCH * PATCH)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("size", [32, 64])
def test_shapes_and_ranges(name, size, monkeypatch):
    monkeypatch.setattr(strided, "POLICY_SCALE", 1)
    family = get_network(name)
    assert family.idm(24, size, 16)(batch(family.layout, 24, size)).shape == (2, 16)
    assert family.policy(9, size, 6)(batch(family.policy_layout, 9, size)).shape == (2, 6)
    image = family.fdm(12, size, 16)(batch(family.layout, 12, size), th.rand(2, 16))
    assert image.shape == (2, 3, size, size)
    assert family.residual or image.abs().max() <= 0.5


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_latent_reaches_every_predicted_pixel(name):
    family = get_network(name)
    fdm = family.fdm(12, 32, 4)
    z = th.zeros(2, 4, requires_grad=True)
    fdm(batch(family.layout, 12, 32), z)[:, :, -1, -1].sum().backward()
    assert z.grad is not None and z.grad.abs().sum() > 0


@pytest.mark.parametrize("mask_channel", [False, True])
@pytest.mark.parametrize("layout", ["image", "patches"])
def test_a_residual_fdm_begins_from_the_current_frame(layout, mask_channel, monkeypatch):
    """With an FDM that changes nothing, the next frame is the stack's last: the one at t, in every layout."""

    class Nothing(th.nn.Module):
        def forward(self, x, z):
            return th.zeros(len(z), 3, 32, 32)

    family = dataclasses.replace(NETWORKS["small" if layout == "patches" else "impala"], residual=True)
    monkeypatch.setitem(NETWORKS, "residual", family)
    box = gym.spaces.Box(-1, 1, (2,))
    policy = LatentActionPolicy(gym.spaces.Box(0, 255, (32, 32, 3), np.uint8), box, 32, "residual", 4, 3, mask_channel)
    policy.fdm = Nothing()
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 4), np.uint8)
    x = policy.models_input(frames, np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 3, 4, 5]]))
    expected = th.from_numpy(frames[[2, 3], ..., :3]).permute(0, 3, 1, 2) / 255 - 0.5
    found = policy.next_frame(x, th.zeros(2, 4))
    th.testing.assert_close(found, expected)
    current = policy.gathered_current(frames, np.array([2, 3]))
    assert (current is None) == (layout == "image")
    assert th.equal(policy.next_frame(x, th.zeros(2, 4), current), found)


def test_errors():
    with pytest.raises(ValueError, match="Did you mean 'impala'"):
        get_network("impalla")
    with pytest.raises(ValueError, match="multiple of 8"):
        get_network("small").idm(24, 36, 8)
