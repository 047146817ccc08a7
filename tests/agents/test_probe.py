import numpy as np
import pytest

from masklam_agents.common.probe import linear_probe


def data(n: int = 4_000):
    rng = np.random.default_rng(0)
    return rng, rng.uniform(-1, 1, (n, 3))


def test_a_latent_that_is_a_linear_map_of_the_action_is_read_exactly():
    rng, actions = data()
    latents = actions @ rng.standard_normal((3, 16)) + 5
    result = linear_probe(latents[:3000], actions[:3000], latents[3000:], actions[3000:])
    assert result.nmse < 1e-4
    assert result.r2 > 0.9999


def test_noise_is_worth_the_mean():
    rng, actions = data()
    latents = rng.standard_normal((4000, 16))
    result = linear_probe(latents[:3000], actions[:3000], latents[3000:], actions[3000:])
    assert result.nmse == pytest.approx(1, abs=0.05)
    assert result.r2 == pytest.approx(0, abs=0.05)


def test_half_noise_has_the_known_error():
    rng, actions = data(20_000)
    latents = actions + np.sqrt(1 / 3) * rng.standard_normal(actions.shape)  # as much noise as signal
    result = linear_probe(latents[:15_000], actions[:15_000], latents[15_000:], actions[15_000:])
    assert result.nmse == pytest.approx(0.5, abs=0.03)


def test_one_readable_dimension_of_three():
    rng, actions = data()
    latents = np.hstack([actions[:, :1], rng.standard_normal((4000, 7))])
    result = linear_probe(latents[:3000], actions[:3000], latents[3000:], actions[3000:])
    assert result.per_dimension[0] < 0.01
    assert min(result.per_dimension[1:]) > 0.9
    assert result.nmse == pytest.approx(2 / 3, abs=0.05)


def test_more_latent_dimensions_than_samples_do_not_break_it():
    rng, actions = data(60)
    latents = rng.standard_normal((60, 128))
    assert np.isfinite(linear_probe(latents[:40], actions[:40], latents[40:], actions[40:]).nmse)


def test_errors():
    _, actions = data(20)
    with pytest.raises(ValueError, match="equal N"):
        linear_probe(actions[:5], actions, actions, actions)
    bad = actions.copy()
    bad[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        linear_probe(bad, actions, actions, actions)
