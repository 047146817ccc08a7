"""The correlation that is set is the correlation that is measured."""

import json

import numpy as np
import pytest

from masklam_envs.correlation import correlation_of
from masklam_envs.distractors import ActionReference, make_distractor

SAMPLES = 20_000


def gaussian_actions(size, rng):
    return rng.normal(size=(SAMPLES, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)


def measured(config, reference, actions, **options):
    distractor = make_distractor(config, action_reference=reference, image_size=64, **options)
    rows = distractor.track(5, actions, np.zeros((len(actions) + 1, 2)))
    return correlation_of(distractor.motion(rows), actions)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("size", [1, 6, 21])
def test_set_is_measured_for_uniform_and_gaussian_actions(rho, size):
    rng = np.random.default_rng(size)
    low, high = -rng.uniform(0.1, 2, size), rng.uniform(0.1, 2, size)
    uniform = rng.uniform(low, high, (SAMPLES, size))
    gaussian = gaussian_actions(size, rng)
    for actions, reference in (
        (uniform, ActionReference.uniform(low, high)),
        (gaussian, ActionReference.from_samples(gaussian)),
    ):
        found = measured("action", reference, actions.astype(np.float32), correlation=rho)
        assert found.multiple_correlation == pytest.approx(rho, abs=0.03)
        assert found.per_component == pytest.approx([rho] * min(2, size), abs=0.04)
        assert found.canonical == pytest.approx([rho] * min(2, size), abs=0.05)
        assert found.r2 == pytest.approx(rho**2, abs=0.03)
        assert found.samples == SAMPLES


def test_motion_has_the_set_gain_whatever_the_correlation():
    actions = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, 4))
    reference = ActionReference.uniform(-np.ones(4), np.ones(4))
    for rho in (0.0, 0.5, 1.0):
        distractor = make_distractor(
            {"name": "action", "correlation": rho, "gain": 3.0}, action_reference=reference, image_size=64
        )
        motion = distractor.motion(distractor.track(0, actions, np.zeros((SAMPLES + 1, 2))))
        np.testing.assert_allclose(motion.std(axis=0), 3.0, rtol=0.03)


def test_video_and_constants_are_uncorrelated():
    actions = np.random.default_rng(0).uniform(-1, 1, (1000, 3))
    reference = ActionReference.uniform(-np.ones(3), np.ones(3))
    for speed in (1.0, 0.3):
        found = measured({"name": "video", "speed": speed}, reference, actions)
        assert (found.multiple_correlation, found.r2, found.canonical) == (0.0, 0.0, (0.0,))
    assert correlation_of(actions, np.ones((1000, 2))).multiple_correlation == 0.0


def test_known_values_of_a_small_case():
    x = np.linspace(-1, 1, 100)[:, None]
    found = correlation_of(np.hstack([2 * x + 3, np.ones_like(x)]), x)
    assert found.per_component == pytest.approx([1.0, 0.0])
    assert found.multiple_correlation == pytest.approx(np.sqrt(0.5))
    assert found.canonical == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("motion", "actions", "message"),
    [
        (np.zeros((50, 2)), np.zeros((49, 3)), "must be"),
        (np.zeros(50), np.zeros((50, 3)), "must be"),
        (np.zeros((50, 0)), np.zeros((50, 3)), "must be"),
        (np.zeros((50, 2)), np.full((50, 3), np.nan), "actions holds? NaN"),
        (np.zeros((5, 2)), np.zeros((5, 3)), "too few"),
    ],
)
def test_bad_samples_are_refused(motion, actions, message):
    with pytest.raises(ValueError, match=message):
        correlation_of(motion, actions)


def test_whitening_gives_unit_covariance():
    actions = np.random.default_rng(0).normal(size=(1000, 5)) @ (np.eye(5) + 0.2 * np.arange(25).reshape(5, 5) % 1)
    reference = ActionReference.from_samples(actions)
    white = (actions - reference.mean) @ reference.whitening.T
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(5), atol=1e-6)
    again = ActionReference.from_json(json.loads(json.dumps(reference.to_json())))
    assert again == reference and hash(again) == hash(reference)
    assert reference != ActionReference.uniform(-np.ones(5), np.ones(5))


def test_a_direction_that_hardly_varies_is_not_amplified_without_bound():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 1))
    reference = ActionReference.from_samples(np.hstack([x, x + 1e-6 * rng.normal(size=x.shape)]))
    assert np.abs(reference.whitening).max() < 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ActionReference.from_samples(np.ones((100, 2)) * np.arange(100)[:, None] * [1, 0]), r"\[1\] never"),
        (lambda: ActionReference.from_samples(np.zeros((100, 2))), "never change"),
        (lambda: ActionReference.from_samples(np.zeros((2, 2))), "N > A"),
        (lambda: ActionReference.from_samples(np.full((9, 2), np.inf)), "NaN or infinity"),
        (lambda: ActionReference.uniform([-np.inf], [1]), "finite"),
        (lambda: ActionReference.uniform([1], [1]), "above low"),
        (lambda: ActionReference.from_covariance([0, 0], np.eye(3)), "covariance"),
        (lambda: ActionReference(np.zeros(2), np.eye(3)), "whitening"),
        (lambda: ActionReference.from_json({"mean": [0]}), "whitening"),
    ],
)
def test_bad_references_say_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()
