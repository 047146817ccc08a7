"""The discrete bottlenecks against hand-made numbers."""

import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from masklam_agents.common.quantize import (
    FiniteScalarQuantizer,
    VectorQuantizer,
    codebook_health,
    make_quantizer,
)


def test_health_of_even_collapsed_and_half_used_codebooks():
    counts = th.tensor([[5.0, 5, 5, 5], [20, 0, 0, 0], [10, 10, 0, 0]])
    health = codebook_health(counts)
    assert health.usage == (1.0, 0.25, 0.5)
    assert health.perplexity == pytest.approx((4, 1, 2))
    assert health.codes == 4


def test_codes_are_the_nearest_and_the_loss_is_the_distance():
    vq = VectorQuantizer(4, chunks=2, codebooks=2, codes=2, beta=0.5).eval()
    vq.codebook.copy_(th.tensor([[[0.0, 0], [1, 1]], [[2, 2], [3, 3]]]))
    coded, loss = vq(th.tensor([[0.9, 0.9, 2.2, 2.2]]))
    assert th.allclose(coded, th.tensor([[1.0, 1, 2, 2]]))
    assert loss.item() == pytest.approx(0.5 * (2 * 0.1**2 + 2 * 0.2**2) / 4)
    assert vq.counts(th.tensor([[0.9, 0.9, 2.2, 2.2]] * 3)).tolist() == [[0, 3], [3, 0]]


def test_moving_averages_by_hand():
    vq = VectorQuantizer(1, chunks=1, codebooks=1, codes=2, decay=0.9, restart=False)
    vq.codebook.copy_(th.tensor([[[0.0], [10.0]]]))
    vq.count.fill_(1)
    vq.total.copy_(vq.codebook)
    vq.train()(th.tensor([[1.0], [3.0]]))
    # count: .9 + .1 * 2 = 1.1 and .9; total: .1 * 4 = .4 and 9
    assert vq.count.tolist() == [[pytest.approx(1.1), pytest.approx(0.9)]]
    assert vq.codebook.flatten().tolist() == pytest.approx([0.4 / 1.1, 10])


def test_gradients_pass_straight_through():
    vq, z = VectorQuantizer(8, beta=0.0), th.randn(64, 8, requires_grad=True)
    coded, _ = vq(z)
    coded.sum().backward()
    assert th.equal(z.grad, th.ones_like(z))


def test_codes_do_not_move_when_nothing_is_learnt():
    vq, z = VectorQuantizer(8), th.randn(64, 8)
    with th.no_grad():
        vq.train()(z)
    vq.eval()(z)
    assert not vq.fitted and th.equal(vq.codebook, vq.total)


@pytest.mark.parametrize(("restart", "alive"), [(True, True), (False, False)])
def test_restart_is_what_keeps_a_codebook_alive(restart, alive):
    """Latents far from every random code: without a restart one code takes them all."""
    th.manual_seed(0)
    vq = VectorQuantizer(16, chunks=8, codebooks=2, codes=16, restart=restart).train()
    for _ in range(40):
        vq(100 + th.randn(64, 16, requires_grad=True))
    perplexity = min(codebook_health(vq.counts(100 + th.randn(512, 16))).perplexity)
    assert (perplexity > 8) == alive
    assert min(vq.health().perplexity) <= 16


def test_a_dead_code_moves_to_the_worst_coded_row():
    vq = VectorQuantizer(1, chunks=1, codebooks=1, codes=2, decay=0.5)
    vq.codebook.copy_(th.tensor([[[0.0], [1000.0]]]))
    vq.total.copy_(vq.codebook * 1e-3)
    vq.count.fill_(1e-3)
    vq.fitted.fill_(True)
    vq.train()(th.tensor([[0.0], [0.5], [7.0]]))
    assert vq.codebook[0, 1].item() == pytest.approx(7)


@given(
    seed=st.integers(0, 2**16),
    levels=st.lists(st.integers(2, 9), min_size=1, max_size=4),
    codes=st.integers(1, 3),
)
def test_fsq_has_its_levels_and_no_others(seed, levels, codes):
    fsq = FiniteScalarQuantizer(len(levels) * codes, levels=levels)
    z = 20 * th.randn(200, len(levels) * codes, generator=th.Generator().manual_seed(seed))
    coded, loss = fsq(z)
    assert loss == 0 and coded.shape == z.shape and coded.abs().max() <= 1
    for i in range(z.shape[1]):
        assert len(coded[:, i].unique()) <= levels[i % len(levels)]
    counts = fsq.counts(z)
    assert counts.shape == (codes, np.prod(levels)) and (counts.sum(dim=1) == 200).all()


def test_fsq_of_a_wide_latent_uses_every_code_and_keeps_gradients():
    fsq, z = FiniteScalarQuantizer(2, levels=(3, 4)), (3 * th.randn(4000, 2)).requires_grad_()
    coded, _ = fsq(z)
    coded.sum().backward()
    assert z.grad is not None and (z.grad >= 0).all() and z.grad.any()
    assert sorted(np.unique(coded[:, 0].detach().numpy().round(4))) == [-1, 0, 1]
    assert sorted(np.unique(coded[:, 1].detach().numpy().round(4))) == [-1, -0.5, 0, 0.5]
    assert codebook_health(fsq.counts(z)).usage == (1.0,)


def test_errors():
    with pytest.raises(ValueError, match="Did you mean 'vq'"):
        make_quantizer("vqq", 8, {})
    with pytest.raises(ValueError, match="multiple of chunks"):
        make_quantizer("vq", 9, {})
    with pytest.raises(ValueError, match="levels of at least 2"):
        make_quantizer("fsq", 8, {"levels": [1]})
    with pytest.raises(ValueError, match="no options"):
        make_quantizer("none", 8, {"codes": 2})
    with pytest.raises(ValueError, match="decay in"):
        make_quantizer("vq", 8, {"decay": 1.0})
    assert make_quantizer("none", 8, {}) is None
