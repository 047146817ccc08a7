import pytest
import torch as th

from masklam_agents.common import strided
from masklam_agents.common.gather import PATCH
from masklam_agents.common.networks import NETWORKS, get_network


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
    assert image.abs().max() <= 0.5


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_latent_reaches_every_predicted_pixel(name):
    family = get_network(name)
    fdm = family.fdm(12, 32, 4)
    z = th.zeros(2, 4, requires_grad=True)
    fdm(batch(family.layout, 12, 32), z)[:, :, -1, -1].sum().backward()
    assert z.grad is not None and z.grad.abs().sum() > 0


def test_errors():
    with pytest.raises(ValueError, match="Did you mean 'impala'"):
        get_network("impalla")
    with pytest.raises(ValueError, match="multiple of 8"):
        get_network("small").idm(24, 36, 8)
