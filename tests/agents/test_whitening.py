import torch as th

from masklam_agents.common.policies import ActionDecoder
from masklam_agents.common.whitening import RIDGE, WhitenedConv2d, WhitenedLinear


def correlated_rows(count: int = 4_000) -> th.Tensor:
    generator = th.Generator().manual_seed(0)
    independent = th.randn(count, 3, generator=generator) * th.tensor([10.0, 1.0, 0.0])
    turn = th.linalg.qr(th.randn(3, 3, generator=generator)).Q
    return independent @ turn + 5


def test_it_sees_inputs_of_equal_variance_except_what_never_varies():
    layer, x = WhitenedLinear(3, 3).train(), correlated_rows()
    with th.no_grad():
        layer.linear.weight.copy_(th.eye(3))
        layer.linear.bias.zero_()
        seen = layer(x)
    variance = th.cov(seen.T)
    expected = th.tensor([0.0, 1 / (1 + RIDGE), 1.0])
    assert th.allclose(th.diagonal(variance), expected, atol=0.01)
    assert th.allclose(variance, th.diag(th.diagonal(variance)), atol=1e-3)
    assert th.allclose(seen.mean(dim=0), th.zeros(3), atol=1e-3)


def test_only_the_first_training_batch_decides():
    layer, x = WhitenedLinear(3, 2), correlated_rows()
    layer.eval()(x)
    assert not layer.fitted
    layer.train()(x)
    assert layer.fitted
    whitening = layer.whitening.clone()
    layer(3 * x)
    assert th.equal(layer.whitening, whitening)


def test_statistics_are_saved_with_the_weights():
    layer, again, x = WhitenedLinear(3, 2).train(), WhitenedLinear(3, 2).train(), correlated_rows()
    y = layer(x)
    again.load_state_dict(layer.state_dict())
    assert th.equal(again(2 * x), layer(2 * x))
    assert th.equal(again(x), y)


def test_the_decoder_does_not_depend_on_the_latents_scale():
    latents = correlated_rows(100)
    decoder = ActionDecoder(3, 2)
    decoder.standardize(latents)
    first = decoder(latents)
    decoder.standardize(100 * latents - 7)
    assert th.allclose(decoder(100 * latents - 7), first, atol=1e-4)


def test_one_label_is_enough_to_standardise():
    decoder = ActionDecoder(3, 2)
    decoder.standardize(th.ones(1, 3))
    assert decoder(th.ones(1, 3)).isfinite().all()


def test_a_whitened_convolution_is_the_convolution_of_whitened_patches():
    conv, images = WhitenedConv2d(2, 5, 3).train(), th.rand(8, 2, 9, 9) ** 2
    out = conv(images)
    patches = th.nn.functional.unfold(images, 3).transpose(1, 2)
    whitened = (patches - conv.mean) @ conv.whitening.T
    assert th.allclose(whitened.mean(dim=(0, 1)), th.zeros(18), atol=1e-4)
    assert (whitened.var(dim=(0, 1)) < 1.01).all() and whitened.var(dim=(0, 1)).max() > 0.9
    assert th.allclose(out[:, :, 1:-1, 1:-1].flatten(2).transpose(1, 2), conv.linear(whitened), atol=1e-4)
