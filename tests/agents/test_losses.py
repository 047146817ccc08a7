import numpy as np
import pytest
import torch as th

from masklam_agents.common.losses import LOSSES, reconstruction_loss, softened


def images() -> tuple[th.Tensor, th.Tensor, th.Tensor]:
    """Two samples of 1x2 pixels; errors 1 and 2 in all channels, masks of one and of two pixels."""
    prediction = th.tensor([[1.0, 2.0], [1.0, 2.0]]).view(2, 1, 1, 2).repeat(1, 3, 1, 1)
    mask = th.tensor([[1.0, 0.0], [1.0, 1.0]]).view(2, 1, 1, 2)
    return prediction, th.zeros_like(prediction), mask


def test_plain_is_the_mean_over_everything():
    prediction, target, mask = images()
    assert reconstruction_loss(prediction, target, mask, "plain").item() == pytest.approx((1 + 4) / 2)


def test_fixed_is_the_mean_of_sample_means():
    # Sample 0: error 1 on its one pixel. Sample 1: (1 + 4) / 2.
    assert reconstruction_loss(*images(), "fixed").item() == pytest.approx((1 + 2.5) / 2)


def test_paper_sums_channels_and_divides_by_the_batch_mask():
    # (3 * 1) + (3 * 1 + 3 * 4) over 3 mask pixels.
    assert reconstruction_loss(*images(), "paper").item() == pytest.approx(18 / 3)


def test_dual_is_the_agents_mean_plus_the_weighted_mean_of_objects():
    prediction, target, _ = images()
    parts = th.tensor([[1.0, 0.5], [0.0, 128 / 255]]).view(2, 1, 1, 2)
    # The agent: error 1 in sample 0, none in sample 1. Objects: error 4 in both.
    assert reconstruction_loss(prediction, target, parts, "dual").item() == pytest.approx((1 + 0) / 2 + (4 + 4) / 2)
    assert reconstruction_loss(prediction, target, parts, "dual", 0.25).item() == pytest.approx(0.5 + 0.25 * 4)


@pytest.mark.parametrize("kind", ["fixed", "paper", "dual"])
def test_empty_masks_give_zero_and_no_nan_gradient(kind):
    prediction, target, mask = images()
    prediction.requires_grad_()
    loss = reconstruction_loss(prediction, target, th.zeros_like(mask), kind)
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None and not prediction.grad.any()


@pytest.mark.parametrize("kind", ["fixed", "paper", "dual"])
def test_no_gradient_outside_the_mask(kind):
    rng = th.Generator().manual_seed(0)
    prediction = th.rand(4, 3, 8, 8, generator=rng, requires_grad=True)
    mask = (th.rand(4, 1, 8, 8, generator=rng) > 0.5).float()
    reconstruction_loss(prediction, th.rand(4, 3, 8, 8, generator=rng), mask, kind).backward()
    assert prediction.grad is not None
    gradient = prediction.grad * (1 - mask)
    assert not gradient.any()
    assert (prediction.grad * mask).abs().sum() > 0


def by_autograd(prediction, target, mask, kind):
    """The losses as their formulas are written."""
    error = (prediction.float() - target) ** 2
    if kind == "plain":
        return error.mean()
    if kind == "paper":
        return (error * mask).sum() / mask.sum()
    parts = [mask] if kind == "fixed" else [(mask > 0.75).float(), ((mask >= 0.25) & (mask <= 0.75)).float()]
    return sum(((error * m).sum(dim=(1, 2, 3)) / (3 * m.sum(dim=(1, 2, 3)))).mean() for m in parts)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("dtype", [th.float32, th.bfloat16])
def test_value_and_gradient_are_those_of_the_formula(kind, dtype):
    rng = th.Generator().manual_seed(1)
    target, mask = th.rand(3, 3, 8, 8, generator=rng), th.rand(3, 1, 8, 8, generator=rng)
    start = th.rand(3, 3, 8, 8, generator=rng).to(dtype)
    losses, gradients = [], []
    for function in (reconstruction_loss, by_autograd):
        prediction = start.clone().requires_grad_()
        losses.append(function(prediction, target, mask, kind))
        (5 * losses[-1]).backward()
        gradients.append(prediction.grad)
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    assert gradients[0].dtype == dtype
    th.testing.assert_close(*gradients, rtol=1e-5 if dtype == th.float32 else 0.01, atol=0)


def test_fixed_weighs_samples_alike_however_large_the_agent():
    prediction = th.ones(2, 3, 4, 4)
    mask = th.zeros(2, 1, 4, 4)
    mask[0, :, 0, 0], mask[1] = 1, 1
    assert np.isclose(reconstruction_loss(prediction, 0 * prediction, mask, "fixed").item(), 1)


def test_errors_name_the_cure():
    with pytest.raises(ValueError, match="Did you mean 'paper'"):
        reconstruction_loss(*images(), "papr")
    with pytest.raises(ValueError, match="needs the target frame's mask"):
        reconstruction_loss(*images()[:2], None, "fixed")


def test_a_soft_mask_keeps_the_mask_and_fades_around_it():
    mask = th.zeros(1, 1, 5, 5)
    mask[0, 0, 2, 2] = 1
    soft = softened(mask, 1)
    assert soft[0, 0, 2, 2] == 1
    ring = [soft[0, 0, y, x].item() for y in (1, 2, 3) for x in (1, 2, 3) if (y, x) != (2, 2)]
    assert ring == pytest.approx([1 / 9] * 8)
    assert not soft[0, 0, 0].any() and not soft[0, 0, :, 4].any()
    assert softened(mask, 0) is mask
