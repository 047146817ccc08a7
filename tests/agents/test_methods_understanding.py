"""Measurements of latents, on latents whose measurements are known."""

import dataclasses
import json
import sys
import types

import gymnasium as gym
import numpy as np
import pytest

from masklam_agents import BC, LAPO, MaskLAM, make_agent
from masklam_agents.common import pictures
from masklam_agents.common.mlp_probe import mlp_probe
from masklam_agents.common.pictures import latent_map
from masklam_agents.common.probe import NothingMovesError, distractor_motion, effective_rank, linear_probe
from masklam_agents.common.projection import principal_components
from masklam_agents.common.understanding import (
    measure_latents,
    measure_reconstruction,
    split_for_probe,
    text_of,
)
from masklam_envs import LazyFrames, collect, render_frames
from tests.agents.conftest import SIZE, make_env
from tests.test_cli import masklam


class Made(LAPO):
    """Latents of a given kind; nothing is drawn."""

    kind = "action"

    def latents(self, frames, anchors):
        steps = self.windows(frames).step(anchors)
        rng = np.random.default_rng(len(frames))
        made = {
            "action": lambda: frames.trajectories.actions[steps],
            "noise": lambda: rng.standard_normal((len(steps), 8)),
            "background": lambda: distractor_motion(frames)[steps] @ np.array([[1.0, 2, 0], [0, 1, -1]]) + 5,
        }
        return made[self.kind]().astype(np.float32)


@pytest.fixture(scope="module")
def physics():
    """Episodes of random actions under a background that knows nothing of them, not drawn."""
    env = gym.make("MaskCheetah-v0", image_size=SIZE, distractor="action", correlation=0.0)
    return [LazyFrames(collect("MaskCheetah-v0", 8, policy="random", seed=i, max_steps=150), env) for i in (0, 1)]


@pytest.mark.parametrize(
    ("kind", "action_nmse", "distractor_r2"), [("action", 0, 0), ("noise", 1, 0), ("background", 1, 1)]
)
def test_latents_of_known_content(kind, action_nmse, distractor_r2, physics):
    train, held_out = physics
    agent = Made(dataset=train)
    agent.kind = kind
    action, background = (agent.probe(held_out, target=target) for target in ("action", "distractor"))
    assert action.nmse == pytest.approx(action_nmse, abs=0.05)
    assert action.train_nmse == pytest.approx(action_nmse, abs=0.05)
    assert background.r2 == pytest.approx(distractor_r2, abs=0.05)
    assert len(action.r2_per_dimension) == 6 and len(background.r2_per_dimension) == 2
    assert agent.probe(train, train=held_out).nmse == pytest.approx(action_nmse, abs=0.05)
    network = agent.probe(held_out, model="mlp")
    assert network.nmse == pytest.approx(action_nmse, abs=0.15)


def test_frames_in_memory_need_the_view_they_were_drawn_with(frames, held_out):
    agent = make_agent("lapo", dataset=frames, latent_dim=8)
    lazy = LazyFrames(held_out.trajectories, make_env())
    got = agent.probe(held_out, target="distractor", view=make_env())
    agent.dataset = LazyFrames(frames.trajectories, make_env())
    assert agent.probe(lazy, target="distractor") == got
    with pytest.raises(ValueError, match="pass view=env"):
        agent.probe(held_out, target="distractor")
    still = gym.make("MaskCheetah-v0", distractor="none", image_size=SIZE)
    with pytest.raises(NothingMovesError, match="does not move"):
        agent.probe(held_out, target="distractor", view=still)
    with pytest.raises(ValueError, match="Did you mean 'distractor'"):
        agent.probe(held_out, target="distracter")


def test_effective_rank_of_known_spreads():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((500, 6)))[0]
    q -= q.mean(axis=0)
    q = np.linalg.qr(q)[0]  # orthonormal columns about 0
    assert effective_rank(q @ np.diag([3, 3, 3, 3, 0, 0.0]) + 7) == pytest.approx(4, rel=1e-6)
    assert effective_rank(q[:, :1] @ rng.standard_normal((1, 6))) == pytest.approx(1, rel=1e-6)
    assert effective_rank(np.ones((50, 3))) == 0
    two = np.array([2 / 3, 1 / 3])
    assert effective_rank(q[:, :2] @ np.diag([2.0, 1])) == pytest.approx(np.exp(-(two * np.log(two)).sum()))


def test_a_network_reads_what_a_line_does_not():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((3_000, 4))
    actions = np.stack([z[:, 0] * z[:, 1], np.abs(z[:, 2])], axis=1)
    samples = z[:2_000], actions[:2_000], z[2_000:], actions[2_000:]
    line, network = linear_probe(*samples), mlp_probe(*samples)
    assert line.nmse > 0.95 and network.nmse < 0.15
    assert network.ridge is None and network == mlp_probe(*samples)
    noise = mlp_probe(rng.standard_normal((2_000, 4)), actions[:2_000], z[2_000:], actions[2_000:])
    assert noise.nmse == pytest.approx(1, abs=0.1)
    with pytest.raises(ValueError, match="N >= 10"):
        mlp_probe(z[:5], actions[:5], z, actions)


def test_principal_components_of_a_known_spread():
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((200, 3)))[0]
    q = np.linalg.qr(q - q.mean(axis=0))[0]
    directions = np.linalg.qr(rng.standard_normal((5, 3)))[0].T
    points, share = principal_components(q @ np.diag([3.0, 2, 1]) @ directions + 7)
    assert share == pytest.approx([9 / 14, 4 / 14])
    for found, true, size in zip(points.T, q.T, (3, 2), strict=False):
        assert min(np.abs(found - size * true).max(), np.abs(found + size * true).max()) < 1e-9
    line, rest = principal_components(np.arange(6.0)[:, None])
    assert np.allclose(line, np.stack([np.arange(6) - 2.5, np.zeros(6)], axis=1)) and rest.tolist() == [1, 0]


def test_umap_is_optional(monkeypatch, tmp_path):
    latents, actions = np.random.default_rng(0).standard_normal((2, 40, 3))
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"umap-learn is not installed: pip install 'masklam\[umap\]'"):
        latent_map(latents, actions, tmp_path / "map.png", "umap")
    assert not (tmp_path / "map.png").exists()

    class UMAP:
        def __init__(self, n_components, random_state):
            assert (n_components, random_state) == (2, 0)

        def fit_transform(self, x):
            assert np.allclose(x.mean(0), 0) and np.allclose(x.std(0), 1)
            return x[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    latent_map(latents, actions, tmp_path / "map.png", "umap")
    assert (tmp_path / "map.png").stat().st_size > 5_000
    with pytest.raises(ValueError, match="Did you mean 'umap'"):
        latent_map(latents, actions, tmp_path / "map.png", "umpa")


def test_error_maps_show_where_a_prediction_errs(held_out, monkeypatch, tmp_path):
    agent = make_agent("lapo", env=make_env(), latent_dim=8)
    shown = []
    monkeypatch.setattr(pictures, "_show", lambda axis, image, outline: shown.append((np.array(image), outline)))
    monkeypatch.setattr(agent, "predict_next", lambda here, there: there["pixels"][..., -3:] ^ 255)
    pictures.prediction_grid({"it": agent}, held_out, tmp_path / "grid.png", count=2)
    frames, masks, predicted, errors = (shown[2 * i : 2 * i + 2] for i in range(4))
    for (frame, _), (mask, _), (guess, none), (error, outline) in zip(frames, masks, predicted, errors, strict=True):
        assert none is None and np.array_equal(outline, mask)
        assert np.allclose(error, np.abs(guess.astype(float) - frame).mean(-1) / 255)


def test_reconstruction_inside_and_outside_by_hand(held_out, monkeypatch):
    agent = make_agent("lapo", env=make_env(), latent_dim=8)
    anchors = agent.spaced(held_out, 1_000)
    still, nxt = held_out.pixels[anchors] / 255.0, held_out.pixels[anchors + 1] / 255.0
    mask = held_out.mask[anchors + 1][..., 0] > 0
    error = ((still - nxt) ** 2).mean(-1)
    monkeypatch.setattr(agent, "predict_next", lambda here, there: there["pixels"][..., -3:] ^ 1)
    found = measure_reconstruction(agent, held_out)
    assert found.inside == pytest.approx(1 / 255**2) and found.outside == pytest.approx(1 / 255**2)
    assert found.still_inside == pytest.approx(error[mask].mean())
    assert found.still_outside == pytest.approx(error[~mask].mean())
    blank = held_out.rgbm.copy()
    blank[..., 3] = 0
    none = measure_reconstruction(agent, type(held_out)(held_out.trajectories, blank, held_out.tracks), 20)
    assert none.inside is None and none.outside is not None


@pytest.mark.parametrize(
    ("name", "draws", "codes"), [("lapo-vq", True, 64), ("lapo-fsq", True, 1000), ("laom", False, 0)]
)
def test_a_report_holds_what_its_method_has(name, draws, codes, frames, held_out):
    agent = make_agent(name, env=make_env(), latent_dim=16)
    report = measure_latents(agent, frames, held_out, view=make_env(), limit=60)
    assert (report.reconstruction is not None) == draws
    assert (report.codebooks.codes if report.codebooks else 0) == codes
    assert report.transitions == (60, 60) and 0 < report.effective_rank <= 16
    text = text_of(report)
    assert ("inside mask" in text) == draws and ("codebooks" in text) == bool(codes) and "distractor  NMSE" in text
    assert json.loads(json.dumps(report.to_json()))["latent_dim"] == 16
    assert measure_latents(agent, frames, held_out, limit=60).distractor is None
    with gym.make("MaskCheetah-v0", distractor="none", image_size=SIZE) as still:
        assert measure_latents(agent, frames, held_out, view=still, limit=60).distractor is None


def test_frames_of_another_size_are_refused(frames):
    agent = make_agent("lapo", env="MaskCheetah-v0")
    with pytest.raises(ValueError, match="32 pixels wide"):
        measure_latents(agent, frames, frames)
    with pytest.raises(ValueError, match="32 pixels wide, the agent was made for 64: draw them at that size"):
        agent.probe(frames, train=frames)
    with pytest.raises(ValueError, match="give them by train=, or the agent a dataset"):
        agent.probe(frames)


def test_without_actions_everything_else_is_measured(frames, tmp_path):
    agent = make_agent("masklam-fixed", env=make_env(), latent_dim=8)
    none = np.zeros((len(frames.trajectories), 0), np.float32)
    silent = dataclasses.replace(
        frames, trajectories=dataclasses.replace(frames.trajectories, actions=none, labels=none)
    )
    report = measure_latents(agent, silent, silent, limit=50)
    assert report.action is None and report.action_mlp is None and report.effective_rank > 0
    assert "action      not known" in text_of(report)
    with pytest.raises(ValueError, match="the actions of .* are not known: probe episodes whose actions are"):
        agent.probe(silent, train=silent)
    with pytest.raises(ValueError, match="actions of .* are not known"):
        measure_latents(agent, frames, silent)
    silent.save(tmp_path / "data")
    agent.save(tmp_path / "agent")
    files = ("--out", tmp_path / "out.json", "--pictures", tmp_path / "drawn")
    done = masklam("evaluate", tmp_path / "agent", "--data", tmp_path / "data", *files)
    assert done.exit_code == 0 and "Warning" not in done.output, done.output
    assert json.loads((tmp_path / "out.json").read_text())["action"] is None
    assert (tmp_path / "drawn" / "latents_pca.png").exists()


def test_actions_of_other_tasks_do_not_fit():
    z = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(ValueError, match="targets of 3 and 2: are the datasets of one task"):
        linear_probe(z, z, z, z[:, :2])


def test_a_split_is_of_whole_episodes(frames):
    for each in (frames, LazyFrames(frames.trajectories, make_env())):
        fitted, scored = split_for_probe(each)
        assert (fitted.trajectories.episodes, scored.trajectories.episodes) == (2, 1)
    with pytest.raises(ValueError, match="one episode cannot be split"):
        split_for_probe(scored)


def test_the_command_prints_and_writes_the_numbers(tmp_path):
    collect("MaskCheetah-v0", 3, max_steps=30).save(tmp_path / "data")
    make_agent("masklam-1step", env=make_env(), latent_dim=8).save(tmp_path / "agent")
    BC(env=make_env()).save(tmp_path / "bc")
    view = ("--view", '{"distractor": "action"}')
    drawn = tmp_path / "pictures"
    files = ("--out", tmp_path / "out.json", "--pictures", drawn)
    done = masklam("evaluate", tmp_path / "agent", "--data", tmp_path / "data", *view, *files)
    assert done.exit_code == 0, done.output
    numbers = json.loads((tmp_path / "out.json").read_text())
    assert f"NMSE {numbers['action']['nmse']:.3f}" in done.output and "MaskLAM: 8 numbers a latent" in done.output
    assert f"distractor  NMSE {numbers['distractor']['nmse']:.3f}" in done.output
    assert numbers["transitions"] == [60, 30] and f"NMSE {numbers['action_mlp']['nmse']:.3f}" in done.output
    assert {file.name for file in drawn.iterdir()} == {"predictions.png", "latents_pca.png"}
    (tmp_path / "file").touch()
    nowhere = masklam(
        "evaluate", tmp_path / "agent", "--data", tmp_path / "data", "--out", tmp_path / "file" / "x.json"
    )
    assert nowhere.exit_code == 2 and "file" in nowhere.output and "NMSE" not in nowhere.output  # before the work
    unwanted = masklam("evaluate", tmp_path / "agent", "--data", tmp_path / "data", "--umap")
    assert unwanted.exit_code == 2 and "--pictures" in unwanted.output
    alone = masklam("evaluate", tmp_path / "agent", "--data", tmp_path / "data", "--train-view", "{}")
    assert alone.exit_code == 2 and "--train-view is how --train is seen" in " ".join(alone.output.split())
    train = ("--train", tmp_path / "data", "--train-view", '{"distractor": "action", "split": "test"}')
    both = masklam("evaluate", tmp_path / "agent", "--data", tmp_path / "data", *train, *view)
    assert "fitted on 90 transitions, scored on 90" in both.output
    refused = masklam("evaluate", tmp_path / "bc", "--data", tmp_path / "data")
    assert refused.exit_code == 2 and "has no latent actions" in refused.output and "Traceback" not in refused.output


def test_drawn_frames_and_frames_drawn_when_asked_for_give_one_report(held_out):
    agent = make_agent("masklam-fixed", env=make_env(), latent_dim=8)
    lazy = LazyFrames(held_out.trajectories, make_env())
    drawn = render_frames(held_out.trajectories, make_env())
    reports = [measure_latents(agent, each, each, view=make_env(), limit=50) for each in (lazy, drawn)]
    assert reports[0] == reports[1]


def test_a_model_of_one_offset_is_asked_at_that_offset(held_out):
    """With ``sample_offset=False`` the IDM has seen pairs k apart alone; an error at other pairs is not its own."""
    agent = MaskLAM(env=make_env(), latent_dim=8, future_offset=3, sample_offset=False)
    windows, anchors = agent.windows(held_out), np.array([0, 5])
    assert agent.ahead(held_out, anchors).tolist() == [3, 8]
    last = int(held_out.trajectories.first_frame[1]) - 1
    assert agent.ahead(held_out, np.array([last - 1])).tolist() == [last]
    here, there = windows.observation(anchors), windows.observation(anchors + 3)
    assert np.allclose(agent.encode(here, there), agent.latents(held_out, anchors), atol=1e-6)
    asked, real = [], agent.predict_next
    agent.predict_next = lambda obs, next_obs: asked.append((obs, next_obs)) or real(obs, next_obs)
    measure_reconstruction(agent, held_out, limit=2)
    [(obs, next_obs)] = asked
    chosen = agent.spaced(held_out, 2)
    assert np.array_equal(obs["pixels"], windows.observation(chosen)["pixels"])
    assert np.array_equal(next_obs["pixels"], windows.observation(agent.ahead(held_out, chosen))["pixels"])
