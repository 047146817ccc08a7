"""Every method by its name: it trains, its losses fall, and it resumes; test_papers.py has the papers' sizes."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch as th

from masklam_agents import BC, IDM, LAOM, LAPO, MaskLAM, RandomLatents, RobustMaskLAM, load_agent, make_agent
from masklam_agents.common import strided, unet
from masklam_agents.common.augment import random_warps, to_patches, warp
from masklam_agents.common.gather import gather
from masklam_agents.common.policies import greyed
from masklam_agents.common.warped import warped
from masklam_agents.methods import METHODS, get_method, redrawn, register_method
from masklam_envs import Frames, LazyFrames, Windows, collect, make_masked, render_frames
from tests.agents.conftest import SIZE, make_env
from tests.agents.test_training import StopAt, equal, weights

SIZES = {"batch_size": 8, "network": "small", "labels": 40}
HEADS = {"latent_dim": 16, "head_dim": 16}


def make(name, frames, env=None, **kwargs):
    options = dict(SIZES)
    if name.startswith("laom"):
        options |= HEADS
    elif name.startswith("idm"):
        options |= {"head_dim": 16} if "paper" in name else {}
    return make_agent(name, env=env or make_env(), dataset=frames, **{**options, **kwargs})


@pytest.fixture(scope="module")
def reacher():
    """A task with an object, and frames of it."""
    env = gym.make("MaskReacher-v0", image_size=SIZE, max_episode_steps=20)
    return env, render_frames(collect("MaskReacher-v0", 3, policy="random", seed=0, max_steps=40), env)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_stopped_and_loaded_goes_on_to_the_same_weights_and_acts(name, frames, reacher):
    samples, env = 8 * 12, None
    if METHODS[name].mask_target:
        env, frames = reacher
    whole = make(name, frames, env).learn(samples)
    make(name, frames, env).learn(samples, callback=StopAt(3)).save("part")
    part = load_agent("part", dataset=whole.dataset)
    assert type(part) is type(whole) and part.config == whole.config
    part.learn(samples, reset_num_timesteps=False)
    assert equal(weights(whole), weights(part))
    action, _ = part.predict(frames.pixels[0])
    assert action.shape == whole.action_space.shape and np.isfinite(action).all()


def same_batches(loss_of):
    """Mean loss of thirty batches, the same in every call."""
    with th.no_grad():
        return np.mean([loss_of(np.random.default_rng((7, i))).item() for i in range(30)])


@pytest.mark.parametrize("name", METHODS)
def test_losses_fall(name, frames, reacher):
    """Of the first two stages, whose losses, networks and rates a preset decides; test_training has the decoder."""
    env, frames = reacher if METHODS[name].mask_target else (None, frames)
    rates = {"policy_learning_rate": 3e-3}
    rates |= {"learning_rate": 3e-3} if "pretrain" in METHODS[name].load_class().stages else {}
    agent = make(name, frames, env, **rates, **({"tau": 0.02} if "laom" in name.split("-") else {}))
    frames = agent.dataset
    for stage in (stage for stage in agent.stages if stage != "decode"):
        agent.policy.set_training_mode(True)
        loss_of, agent._optimizer = agent._begin_stage(stage, frames), agent._make_optimizer(stage)
        before = same_batches(loss_of)
        for i in range(90):
            agent._update(stage, loss_of, i, 120)
        after = same_batches(loss_of)
        assert after < 0.9 * before, stage


def test_random_latents_have_nothing_to_pretrain(frames):
    before = make("random-latents", frames)
    fresh = weights(before)
    after = weights(before.learn(8 * 6))
    trained = {name.split(".")[0] for name in fresh if not th.equal(fresh[name], after[name])}
    assert "actor" in trained and "decoder" in trained
    learnt = [n for n in fresh if n.startswith("idm") and not n.endswith(("mean", "whitening", "fitted"))]
    assert learnt and all(th.equal(fresh[n], after[n]) for n in learnt)
    with pytest.raises(NotImplementedError, match="predicts no pixels"):
        before.predict_next({"pixels": frames.pixels[:2]}, {"pixels": frames.pixels[1:3]})


def test_names_mean_what_they_say():
    classes = {"lapo": LAPO, "masklam": MaskLAM, "laom": LAOM, "idm": IDM, "bc": BC, "random": RandomLatents}
    classes["masklam-robust"] = RobustMaskLAM
    for name, method in METHODS.items():
        assert method.load_class() is classes.get(name, classes[name.split("-")[0]]), name
        assert method.summary
    config = {name: make_agent(name, env=make_env(), network="small", **over).config for name, over in PRESETS.items()}
    loss_mask = {name: config[name]["loss"] != "plain" for name in PRESETS}
    channel = {name: config[name]["mask_channel"] for name in PRESETS}
    k = {name: config[name]["future_offset"] for name in PRESETS}
    # The protocol's table of ablations: mask channel, loss mask, input mask, largest k.
    table = {n: (channel[n], loss_mask[n], config[n]["mask_input"], k[n]) for n in PRESETS}
    assert table == {
        "masklam-fixed": (True, True, False, 10),
        "masklam-paper": (True, True, False, 9),
        "masklam-loss": (False, True, False, 10),
        "masklam-channel": (True, False, False, 10),
        "masklam-input": (False, False, True, 10),
        "masklam-1step": (True, True, False, 1),
        "lapo-multistep": (False, False, False, 10),
        "lapo": (False, False, False, 1),
    }


PRESETS: dict[str, dict] = {
    name: {}
    for name in (
        *("masklam-fixed", "masklam-paper", "masklam-loss", "masklam-channel", "masklam-input", "masklam-1step"),
        *("lapo-multistep", "lapo"),
    )
}


def test_errors_name_the_cure(frames):
    with pytest.raises(ValueError, match="Did you mean 'masklam-paper'"):
        make_agent("masklam-papr")
    with pytest.raises(ValueError, match="exists already"):
        register_method("lapo", "a:B", "")
    with pytest.raises(ValueError, match="module:Class"):
        register_method("new", "a.B", "")
    with pytest.raises(ValueError, match="LAOM reconstructs no pixels: leave out loss"):
        make("laom", frames, loss="fixed")
    with pytest.raises(ValueError, match="tau must be in"):
        make("laom", frames, tau=0)
    with pytest.raises(ValueError, match="mask_softness is of masked losses"):
        make("lapo", frames, mask_softness=1)
    with pytest.raises(ValueError, match="object_weight is of loss='dual' alone"):
        make("masklam-fixed", frames, object_weight=2.0)
    with pytest.raises(ValueError, match="object_weight must be a finite number >= 0"):
        make("masklam-fixed", frames, loss="dual", object_weight=-1.0)
    with pytest.raises(ValueError, match="mask_input would grey objects"):
        make("masklam-fixed", frames, loss="dual", mask_input=True)
    with pytest.raises(ValueError, match="the model has no object of its own"):
        make("masklam-dual", frames)
    with pytest.raises(ValueError, match="unknown stage of max_grad_norm 'pretrian'. Did you mean 'pretrain'"):
        make("lapo", frames, max_grad_norm={"pretrian": 1.0})
    for name in ("learning_rate", "policy_learning_rate", "decoder_learning_rate", "weight_decay"):
        for value in (-1.0, float("nan"), "fast", True):
            with pytest.raises(ValueError, match=f"^{name} must be a finite number >= 0, got"):
                make("lapo", frames, **{name: value})
    with pytest.raises(TypeError, match="max_grad_norm must be a dictionary, {name: value}, or None, got 1.0"):
        make("lapo", frames, max_grad_norm=1.0)
    with pytest.raises(ValueError, match="unknown name in bottleneck_options 'cods'. Did you mean 'codes'"):
        make("lapo", frames, bottleneck="vq", bottleneck_options={"cods": 3})
    with pytest.raises(ValueError, match="unknown name in policy_kwargs 'view_shfit'. Did you mean 'view_shift'"):
        make("lapo", frames, policy_kwargs={"view_shfit": 2})
    for samples in (0, -5, "5", float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"total_timesteps must be at least one sample, got {samples!r}"):
            make("lapo", frames).learn(samples)
    with pytest.raises(ValueError, match="log_interval must be an integer >= 1, updates between log lines, got 0"):
        make("lapo", frames).learn(64, log_interval=0)
    for limit in (0, -3, 2.5, True):
        with pytest.raises(ValueError, match=f"limit must be an integer >= 1, the transitions to look at, got {limit}"):
            make("lapo", frames).probe(frames, limit)
    with pytest.raises(ValueError, match="draws? anew|drawn anew"):
        redrawn(frames, "none")


def test_methods_of_objects_are_trained_with_the_masks_they_say(reacher):
    env, frames = reacher
    lazy = LazyFrames(frames.trajectories, env)
    masks = {
        name: (make(name, frames, env).dataset.mask, make(name, lazy).dataset.select(range(3)).mask)
        for name in ("masklam-foreground", "masklam-dual")
    }
    assert all(np.array_equal(*pair) for pair in masks.values())
    agent = frames.mask > 0
    objects = (masks["masklam-foreground"][0] > 0) & ~agent
    assert agent.any() and objects.any()
    assert np.array_equal(masks["masklam-dual"][0], np.where(agent, 255, np.where(objects, 128, 0)))
    dual = make("masklam-dual", frames, env)
    assert np.array_equal(dual.dataset.pixels, frames.pixels)
    assert dual.config["loss"] == "dual" and not dual.config["mask_channel"]


def test_the_dual_loss_sees_a_wrong_object_as_much_as_a_wrong_agent(reacher, monkeypatch):
    """The forward model's frame is right everywhere but in the object: only the object's part of the loss is left."""
    env, frames = reacher
    agent = make("masklam-dual", frames, env, object_weight=0.5)
    windows = Windows(agent.dataset, frame_stack=3, future_offset=1)
    anchors = windows.anchors[[3, 40, 70]]
    target = th.from_numpy(agent.dataset.rgbm[anchors + 1]).permute(0, 3, 1, 2).float() / 255
    wrong = target[:, :3] - 0.5 + 0.25 * (target[:, 3:] == 128 / 255)
    monkeypatch.setattr(agent.policy, "next_frame", lambda x, z, current: wrong)
    seen = (target[:, 3:] == 128 / 255).flatten(1).any(dim=1).float().mean()
    assert seen > 0
    assert agent.pretrain_loss(agent.dataset, windows, anchors, anchors + 1).item() == pytest.approx(0.5 * seen / 16)


def test_a_registered_method_is_made_and_loaded(monkeypatch, frames):
    monkeypatch.setattr("masklam_agents.methods.METHODS", dict(METHODS))
    register_method("lapo-tiny", "masklam_agents.lapo:LAPO", "small", latent_dim=4)
    agent = make_agent("lapo-tiny", dataset=frames)
    assert agent.config["latent_dim"] == 4
    agent.save("tiny")
    assert load_agent("tiny").config == agent.config
    assert get_method("lapo-tiny").options == {"latent_dim": 4}


def test_clean_frames_are_those_without_distractor_and_keep_the_mask(frames):
    plain = render_frames(frames.trajectories, make_masked("HalfCheetah-v5", **view_without_distractor()))
    lazy = redrawn(LazyFrames(frames.trajectories, make_env()), "none")
    assert isinstance(lazy, LazyFrames)
    for clean in (lazy.select(range(3)), redrawn(frames, "none", make_env())):
        assert np.array_equal(clean.rgbm, plain.rgbm)
        assert np.array_equal(clean.mask, frames.mask)
        assert not np.array_equal(clean.pixels, frames.pixels)


def view_without_distractor():
    config = make_env().unwrapped.view.config.to_json()
    return {**{k: v for k, v in config.items() if k not in ("distractor", "correlation")}, "distractor": "none"}


# ---------------------------------------------------------------- the losses' corners


def test_masked_methods_have_no_gradient_outside_the_target_mask(frames):
    """Of the predicted frame: exactly zero where the next frame's mask is, nonzero inside."""
    for name in ("masklam-fixed", "masklam-paper", "masklam-loss"):
        agent = make(name, frames, precision="fp32")
        seen = {}
        agent.policy.fdm.register_forward_hook(
            lambda m, i, out, seen=seen: (out.retain_grad(), seen.update(out=out))[1]
        )
        windows = Windows(frames, future_offset=10)
        anchors = windows.anchors[:6]
        agent.pretrain_loss(frames, windows, anchors, anchors + 3).backward()
        gradient = seen["out"].grad.abs().sum(dim=1).numpy()
        mask = frames.mask[anchors + 1][..., 0] > 0
        assert not gradient[~mask].any() and gradient[mask].all(), name


@pytest.mark.parametrize("layout", ["image", "patches"])
@pytest.mark.parametrize("keep_mask", [False, True])
def test_masked_input_is_grey_where_the_mask_is_not(layout, keep_mask):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 8, 8, 4), dtype=np.uint8)
    frames[..., 3] = np.where(rng.random((3, 8, 8)) < 0.5, 255, 0)
    grey = frames.astype(np.float32) / 255 - np.float32([0.5, 0.5, 0.5, 0])
    grey[..., :3] *= frames[..., 3:] > 0
    x = th.from_numpy(gather(frames, np.array([[2, 0]]), mask_channel=True, layout="image"))
    got = greyed(x, keep_mask).numpy()[0]
    want = (
        np.concatenate([grey[2], grey[0]], axis=-1) if keep_mask else np.concatenate([grey[2], grey[0]], -1)[..., RGB]
    )
    np.testing.assert_allclose(got, want, atol=1e-6)
    patches = greyed(th.from_numpy(gather(frames, np.array([[2, 0]]), mask_channel=True, layout="patches")), keep_mask)
    if layout == "patches":
        images = th.from_numpy(want).permute(2, 0, 1)[None]
        np.testing.assert_allclose(patches.numpy(), to_patches(images, 2).numpy(), atol=1e-6)


RGB = [0, 1, 2, 4, 5, 6]


def test_gradients_are_clipped_in_the_named_stage_alone(frames):
    free, clipped = (make("lapo", frames, max_grad_norm=limit) for limit in ({}, {"pretrain": 1e-9}))
    for agent in (free, clipped):
        agent.learn(8 * 3, log_interval=1)
    before = weights(make("lapo", frames))
    moved = [
        max((weights(a)[n] - before[n]).abs().max() for n in before if n.startswith("fdm.state"))
        for a in (free, clipped)
    ]
    assert moved[0] > 10 * moved[1]


@pytest.mark.parametrize("network", ["small", "impala"])
@pytest.mark.parametrize("mask_channel", [False, True])
def test_an_idm_of_frames_sees_every_frame_once(network, mask_channel, frames):
    """The stack at t and the frame at t + 1: what else the second stack holds changes nothing."""
    agent = make("masklam-1step", frames, network=network, mask_channel=mask_channel, idm_input="frames")
    windows = Windows(frames, future_offset=1)
    anchors = windows.anchors[[0, 7, 50]]
    here, there = windows.observation(anchors), windows.observation(anchors + 1)
    z = agent.encode(here, there)
    assert np.allclose(z, agent.latents(frames, anchors), atol=1e-5)
    older = {"pixels": there["pixels"].copy(), "mask": there["mask"].copy()}
    older["pixels"][..., :6], older["mask"][..., :2] = 0, 0
    assert np.array_equal(z, agent.encode(here, older))
    newest = {"pixels": there["pixels"].copy(), "mask": there["mask"]}
    newest["pixels"][..., 6:] = 0
    assert not np.array_equal(z, agent.encode(here, newest))
    seen = {}
    agent.policy.idm.register_forward_hook(lambda m, i, out: seen.update(idm=i[0]))
    agent.policy.fdm.register_forward_hook(lambda m, i, out: seen.update(fdm=i[0]))
    agent.pretrain_loss(frames, windows, anchors, anchors + 1)
    dim = 1 if network == "impala" else -1
    first, last = seen["idm"].split([3 * seen["idm"].shape[dim] // 4, seen["idm"].shape[dim] // 4], dim=dim)
    assert th.equal(seen["fdm"], first)
    assert th.equal(last, agent.policy.models_input(frames.rgbm, anchors[:, None] + 1, half=agent._half))


# ---------------------------------------------------------------- LAOM


def test_the_target_encoder_follows_by_tau_and_learns_nothing_itself(frames):
    agent = make("laom", frames, tau=0.25)
    agent.policy.set_training_mode(True)
    loss_of, agent._optimizer = agent._begin_stage("pretrain", frames), agent._make_optimizer("pretrain")
    target = [p.clone() for p in agent.policy.target.parameters()]
    agent._update("pretrain", loss_of, 0, 10)
    fast = list(agent.policy.idm.encoder.parameters())
    for slow, old, new in zip(agent.policy.target.parameters(), target, fast, strict=True):
        assert slow.grad is None and not slow.requires_grad
        assert th.allclose(slow, 0.75 * old + 0.25 * new, atol=1e-7)
    assert not agent.policy.target.training
    for slow, new in zip(agent.policy.target.buffers(), agent.policy.idm.encoder.buffers(), strict=True):
        assert th.equal(slow, new)


def test_labels_supervise_and_only_where_they_are_asked_for(frames):
    agents = [make("laom", frames, label_weight=weight, augment=False) for weight in (0.0, 1.0)]
    losses = []
    for agent in agents:
        loss_of = agent._begin_stage("pretrain", frames)
        losses.append(loss_of(np.random.default_rng(0)))
    windows = Windows(frames, future_offset=1)
    assert len(agents[1]._labelled[2]) == 40 and agents[0]._labelled is None
    # The supervised part by hand: 2 = a quarter of the batch, drawn after the anchors and their k.
    rng = np.random.default_rng(0)
    rng.integers(len(Windows(frames, future_offset=10)), size=8), rng.integers(1, 11, size=8)
    chosen = agents[1].labelled(windows)[rng.integers(40, size=2)]
    z = th.from_numpy(agents[1].latents(frames, chosen))
    actions = th.from_numpy(frames.trajectories.labels[windows.step(chosen)])
    supervised = th.nn.functional.mse_loss(agents[1].policy.label_head(z), actions)
    assert (losses[1] - losses[0]).item() == pytest.approx(supervised.item(), rel=0.03)


def test_warps_of_known_geometry():
    image = th.arange(64.0).view(1, 1, 8, 8)
    same = np.eye(3)[None]
    assert th.allclose(warp(image, same), image, atol=1e-4)
    right = same.copy()
    right[0, 0, 2] = 2 * 2 / 8  # two pixels
    shifted = warp(image, right)
    assert th.allclose(shifted[..., :6], image[..., 2:], atol=1e-4)
    assert th.allclose(shifted[..., 7], image[..., 7], atol=1e-4)
    turned = same.copy()
    turned[0, :2, :2] = [[0, -1], [1, 0]]
    assert th.allclose(warp(image, turned), th.rot90(image, 1, (2, 3)), atol=1e-3) or th.allclose(
        warp(image, turned), th.rot90(image, -1, (2, 3)), atol=1e-3
    )


@pytest.mark.parametrize("mask_channel", [False, True])
@pytest.mark.parametrize("layout", ["image", "patches"])
def test_frames_warped_while_gathered_are_gathered_frames_warped(layout, mask_channel):
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (7, 16, 24, 4), dtype=np.uint8)
    index, warps = rng.integers(7, size=(40, 3)), random_warps(rng, 40)
    images = th.from_numpy(gather(frames, index, mask_channel=mask_channel, layout="image")).permute(0, 3, 1, 2)
    images = warp(images, warps)
    expected = to_patches(images, 3) if layout == "patches" else images.permute(0, 2, 3, 1)
    found = warped(frames, index, warps, mask_channel=mask_channel, layout=layout)
    assert found.shape == tuple(expected.shape) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=5e-5)


def test_random_warps_are_of_every_kind_and_repeat():
    warps = random_warps(np.random.default_rng(0), 700)
    assert np.array_equal(warps, random_warps(np.random.default_rng(0), 700))
    same = (warps == np.eye(3)).all(axis=(1, 2)).mean()
    affine = (np.abs(warps[:, 2, :2]) < 1e-12).all(axis=1).mean()
    assert same == pytest.approx(1 / 7, abs=0.05)
    assert affine == pytest.approx(4 / 7, abs=0.06)  # nothing, shift, rotation, both
    assert np.isfinite(warps).all()


def test_every_name_is_in_the_documentation(repo):
    page = (repo / "docs" / "methods.md").read_text()
    assert [name for name in METHODS if f"`{name}`" not in page] == []
    assert f"any of [{len(METHODS)} named methods]" in (repo / "README.md").read_text()


@pytest.mark.parametrize("name", ["laom-labels-paper", "idm-paper", "lapo-paper", "bc-all-paper"])
def test_networks_of_papers_train_and_resume(name, frames, monkeypatch):
    """Drawn block by block, stopped in the middle of one, at the papers' layout and a fraction of their width."""
    monkeypatch.setattr(strided, "POLICY_SCALE", 1)
    monkeypatch.setattr(unet, "BASE", 4)
    options = {"network": METHODS[name].options["network"], "batch_size": 4}
    options |= {"encoder_scale": 1, "head_dim": 16, "labels": 8} if name.startswith(("laom", "idm")) else {}
    lazy = LazyFrames(frames.trajectories, make_env(), block=2)
    whole = make(name, lazy, **options).learn(4 * 6)
    make(name, lazy, **options).learn(4 * 6, callback=StopAt(1)).save("part")
    part = load_agent("part", dataset=lazy).learn(4 * 6, reset_num_timesteps=False)
    assert equal(weights(whole), weights(part))
    assert np.isfinite(whole.predict(frames.pixels[0])[0]).all()


@pytest.mark.parametrize(("method", "options"), [(IDM, {}), (LAOM, {"label_weight": 1.0, "head_dim": 16})])
def test_models_of_frame_pairs_may_learn_the_executed_actions(method, options, frames):
    """Labels are the policy's own actions; with noise the pixels show others."""
    recorded = frames.trajectories
    assert not np.array_equal(recorded.labels, recorded.actions)
    agents = {
        target: method(dataset=frames, batch_size=8, labels=40, label_target=target, **options).pretrain(8 * 5)
        for target in ("policy", "executed")
    }
    swapped = Frames(dataclasses.replace(recorded, labels=recorded.actions), frames.rgbm, frames.tracks)
    other = method(dataset=swapped, batch_size=8, labels=40, **options).pretrain(8 * 5)
    weights = {name: agent.policy.state_dict() for name, agent in agents.items()}
    same = {
        name: all(th.equal(x, found[key]) for key, x in other.policy.state_dict().items() if key.startswith("idm"))
        for name, found in weights.items()
    }
    assert same == {"policy": False, "executed": True}
    with pytest.raises(ValueError, match="unknown label_target 'actions'"):
        method(dataset=frames, label_target="actions", **options)


def test_a_target_without_supervision_is_refused(frames):
    with pytest.raises(ValueError, match="label_target is of the supervision: give label_weight too"):
        LAOM(dataset=frames, label_target="executed")
