import numpy as np
import pytest
import torch as th

from masklam_agents import IDM, LAOM, LAPO, ExternalLAM, MaskLAM, RandomLatents, RobustMaskLAM
from masklam_agents.common import external
from masklam_agents.common.probe import linear_probe
from masklam_agents.methods import METHODS
from masklam_envs import Frames
from masklam_envs.data import pixel_trajectories


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


# ---------------------------------------------------------------- methods, on a dataset whose answer is known


def coloured(seed: int, lengths=(40, 3, 60)) -> Frames:
    """The agent's red and green walk at random, and the actions are their steps; the background walks on its own."""
    rng = np.random.default_rng(seed)
    walks = [rng.integers(0, 256, (length + 1, 4)) for length in lengths]
    steps = np.concatenate([np.diff(walk[:, :2], axis=0) for walk in walks])
    rgbm = np.zeros((sum(len(walk) for walk in walks), 16, 16, 4), np.uint8)
    rgbm[..., :2] = np.concatenate(walks)[:, None, None, 2:]
    rgbm[:, :8, :8, :2] = np.concatenate(walks)[:, None, None, :2]
    rgbm[:, :8, :8, 3] = 255
    recorded = pixel_trajectories({"source": "test"}, lengths, actions=(steps / 255).astype(np.float32))
    return Frames(recorded, rgbm, [np.zeros((length + 1, 0)) for length in lengths])


def steps_of(row: int):
    """An inverse model that is right: how a pixel changed between the last frames of two stacks."""

    def encode(rgbm, index):
        before, after = rgbm[index[:, 2], row, row, :2], rgbm[index[:, -1], row, row, :2]
        return th.from_numpy(after.astype(np.float32) - before)

    return encode


KINDS = [MaskLAM, RobustMaskLAM, LAPO, LAOM, IDM, RandomLatents, ExternalLAM]


@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_every_method_is_probed_for_the_action_of_the_transition_it_encodes(method, model, monkeypatch):
    """Its latents are those of the known transitions, in the order of their actions, none over an episode's end."""
    train, held_out = coloured(0), coloured(1)
    monkeypatch.setitem(external._LAMS, "linear", "tests.agents.test_external:Linear")
    agent = method(dataset=train, labels=20, **({"lam": "linear"} if method is ExternalLAM else {}))
    for row, answer in ((0, 0), (15, 1)):  # of the agent, of the background
        monkeypatch.setattr(agent, "_encode", steps_of(row))
        result = agent.probe(held_out, model=model)
        assert result.nmse == pytest.approx(answer, abs=0.05 if answer == 0 else 0.4)
        assert len(result.per_dimension) == 2
    assert len(agent.probe_samples(held_out)[2]) == 103


def test_an_idm_of_frames_is_probed_alike(monkeypatch):
    agent = LAPO(dataset=coloured(0), labels=20, idm_input="frames")
    monkeypatch.setattr(agent, "_encode", steps_of(0))
    assert agent.probe(coloured(1)).nmse < 1e-4


def test_supervision_finds_the_known_answer():
    """IDM's latent is the action it was taught, so the probe reads it."""
    train, held_out = coloured(0, (400,)), coloured(1, (200,))
    agent = IDM(dataset=train, labels=400, batch_size=64, stage_shares=(1.0, 0.0))
    before = agent.probe(held_out).nmse
    assert agent.learn(64 * 150).probe(held_out).nmse < min(0.1, before)


def test_all_classes_of_methods_with_latents_are_probed():
    assert {method.load_class() for method in METHODS.values() if "bc" not in method.algorithm} <= set(KINDS)
