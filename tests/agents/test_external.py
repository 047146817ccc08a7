"""Models that are not ours: the protocol, what it shows them, and what the shared base makes of them."""

import random
import sys
import threading

import numpy as np
import pytest
import torch as th
from torch import nn

from masklam_agents import ExternalLAM, load_agent, make_agent, methods, register_lam
from masklam_agents.common import external
from masklam_agents.common.evaluation import episode_returns
from masklam_envs import Windows
from tests.agents.conftest import SIZE, make_env
from tests.agents.test_training import StopAt

TINY = {"latent_dim": 8, "batch_size": 16, "labels": 50}


class Linear(nn.Module):
    """A projection of the change, behind a dropout; remembers the last batch it was shown."""

    def __init__(self, image_size, frame_stack, latent_dim, gain=1.0):
        super().__init__()
        self.gain, self.shape, self.seen = gain, (3, image_size, image_size), None
        self.drop = nn.Dropout(0.5)
        self.to_latent = nn.Linear(3 * image_size**2, latent_dim)
        self.from_latent = nn.Linear(latent_dim, 3 * image_size**2)

    def encode(self, obs, next_obs):
        change = next_obs["pixels"][:, -3:] - obs["pixels"][:, -3:]
        return self.to_latent(self.drop(self.gain * change.flatten(1)))

    def predict_next(self, obs, z):
        return obs["pixels"][:, -3:] + self.from_latent(z).unflatten(1, self.shape)

    def loss(self, batch):
        self.seen = batch
        z = self.encode(batch.obs, batch.next_obs)
        return ((self.predict_next(batch.obs, z) - batch.target["pixels"]) ** 2).mean()


class Noisy(Linear):
    """Draws a noise of its own in the loss, and its latents."""

    def encode(self, obs, next_obs):
        z = super().encode(obs, next_obs)
        return z + 0.1 * th.randn_like(z)

    def loss(self, batch):
        return super().loss(batch) * (1 + 0.1 * th.rand(()))


class Wrong(Linear):
    """Answers wrongly in the method and the way that it is told."""

    def __init__(self, method, way, **kwargs):
        super().__init__(**kwargs)
        self.method, self.way = method, WAYS[way]

    def encode(self, obs, next_obs):
        z = super().encode(obs, next_obs)
        return self.way(z) if self.method == "encode" else z

    def predict_next(self, obs, z):
        image = super().predict_next(obs, z)
        return self.way(image) if self.method == "predict_next" else image

    def loss(self, batch):
        value = super().loss(batch)
        return self.way(value) if self.method == "loss" else value


WAYS = {
    "dict": lambda x: {"total": x, "kl": 0},
    "tuple": lambda x: (x, None),
    "float": lambda x: x.mean().item(),
    "none": lambda x: None,
    "vector": lambda x: x.expand(16),
    "detached": lambda x: x.detach(),
    "text": lambda x: np.full(x.shape, "x"),
    "nan": lambda x: th.where(th.arange(x.numel()).view_as(x) == 3, th.nan, x),
    "stack": lambda x: x.repeat(1, 3, 1, 1),
    "undefined": lambda x: x * th.nan,
    "wider": lambda x: x[:, [0, *range(x.shape[1])]],
    "array": lambda x: x.numpy(),
    "bytes": lambda x: x.byte(),
}


class Modest:
    """Has a loss, and nothing that torch could train."""

    def __init__(self, **kwargs):
        pass

    def encode(self, obs, next_obs):
        return np.zeros((len(obs["pixels"]), 8), np.float32)

    def loss(self, batch):
        return th.zeros(())


class Bare(Modest, nn.Module):
    def __init__(self, **kwargs):
        nn.Module.__init__(self)


class Keeping(Linear):
    """Changes in training what no update changes, and draws from every generator; can be kept from being copied."""

    def __init__(self, lock=False, **kwargs):
        super().__init__(**kwargs)
        self.norm = nn.BatchNorm1d(kwargs["latent_dim"])
        self.register_buffer("calls", th.zeros(()))
        self.notes, self.last = [], None
        self.lock = threading.Lock() if lock else None

    def encode(self, obs, next_obs):
        self.notes.append(self.training)
        return self.norm(super().encode(obs, next_obs)) + random.random()

    def loss(self, batch):
        self.calls += 1
        self.last = super().loss(batch) * np.random.uniform(1, 2)
        return self.last


class Trained:
    """A model that has trained itself, in NumPy: mean colours of the change in the blocks of a grid."""

    def __init__(self, image_size, frame_stack, latent_dim, answer="numpy"):
        self.seen, self.size, self.answer = None, latent_dim, answer

    def encode(self, obs, next_obs):
        self.seen = obs
        change = (next_obs["pixels"].astype(np.float64) - obs["pixels"])[..., -3:]
        z = change.reshape(len(change), -1)[:, : self.size]
        return z if self.answer == "numpy" else th.from_numpy(z)


class Mute:
    def __init__(self, **kwargs):
        pass


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The models' names, gone again after the test: other tests go through every registered method."""
    for cls in (Linear, Noisy, Wrong, Modest, Bare, Keeping, Trained, Mute):
        name = f"test-{cls.__name__.lower()}"
        for registry in (methods.METHODS, external._LAMS):
            monkeypatch.setitem(registry, name, None)  # notes that there was none, to be undone
            del registry[name]
        register_lam(name, f"{__name__}:{cls.__name__}")


def make(frames, lam="test-linear", **kwargs):
    return ExternalLAM(lam=lam, dataset=frames, **{**TINY, **kwargs})


def equal(a, b) -> bool:
    pairs = zip(a.policy.state_dict().values(), b.policy.state_dict().values(), strict=True)
    return all(th.equal(x, y) for x, y in pairs)


def test_a_torch_module_trains_clones_decodes_probes_and_acts(frames, held_out):
    agent = make(frames)
    before = agent.policy.lam.to_latent.weight.clone()
    agent.learn(16 * 60)
    assert agent.progress == {"pretrain": 18, "clone": 24, "decode": 18}
    assert not th.equal(before, agent.policy.lam.to_latent.weight)
    assert np.isfinite(agent.probe(held_out).nmse)
    assert np.isfinite(episode_returns(agent, make_env, 1, seed=0)).all()


def test_its_loss_falls(frames):
    agent = make(frames, learning_rate=3e-3)
    loss_of, agent._optimizer = agent._begin_stage("pretrain", frames), agent._make_optimizer("pretrain")
    values = [agent._update("pretrain", loss_of, i, 200).item() for i in range(100)]
    assert np.mean(values[-5:]) < 0.8 * np.mean(values[:5])


@pytest.mark.parametrize("mask_channel", [False, True])
def test_what_a_module_is_shown_are_the_datasets_frames(mask_channel, frames):
    agent = make(frames, mask_channel=mask_channel, frame_stack=2, future_offset=3)
    windows = Windows(frames, frame_stack=2, future_offset=3)
    anchors = windows.anchors[[0, 7, 50]]
    agent.pretrain_loss(frames, windows, anchors, anchors + 3)
    batch = agent.policy.lam.seen
    for shown, index in ((batch.obs, windows.stack(anchors)), (batch.next_obs, windows.stack(anchors + 3))):
        want = np.moveaxis(frames.rgbm[index], -1, 2)  # (B, S, 4, H, W)
        pixels = (shown["pixels"].numpy() + 0.5) * 255
        assert np.allclose(pixels, want[:, :, :3].reshape(3, -1, SIZE, SIZE), atol=1e-3)
        assert ("mask" in shown) == mask_channel
        assert not mask_channel or np.allclose(shown["mask"].numpy() * 255, want[:, :, 3], atol=1e-3)
    target = np.moveaxis(frames.rgbm[anchors + 1], -1, 1)
    assert np.allclose((batch.target["pixels"].numpy() + 0.5) * 255, target[:, :3], atol=1e-3)
    assert ("mask" in batch.target) == mask_channel
    assert not mask_channel or np.allclose(batch.target["mask"].numpy() * 255, target[:, 3:], atol=1e-3)


@pytest.mark.parametrize("lam", ["test-linear", "test-trained"])
def test_a_mask_that_is_not_shown_is_told_with_its_cure(lam, frames):
    agent = make(frames, lam)
    index = Windows(frames, future_offset=1).stack(np.array([5]))
    shown = (agent._tensors if lam == "test-linear" else agent._arrays)(frames.rgbm, np.hstack((index, index)))[0]
    assert "mask" not in shown and shown.get("mask") is None
    with pytest.raises(KeyError, match=r"register_lam\(..., mask_channel=True\)"):
        shown["mask"]
    with pytest.raises(KeyError, match="Did you mean 'pixels'"):
        shown["pixel"]


def test_latents_of_a_dataset_are_what_encode_says_without_dropout(frames):
    agent = make(frames).learn(16 * 10)
    agent.policy.set_training_mode(True)
    windows = Windows(frames, future_offset=1)
    anchors = windows.anchors[[0, 1, 60]]
    here, there = windows.observation(anchors), windows.observation(anchors + 1)
    assert np.allclose(agent.encode(here, there), agent.latents(frames, anchors), atol=1e-5)
    assert agent.policy.lam.training
    assert agent.predict_next(here, there).shape == (3, SIZE, SIZE, 3)


@pytest.mark.parametrize("answer", ["numpy", "torch"])
def test_a_model_that_trained_itself_joins_with_encode_alone(answer, frames, held_out):
    agent = make(frames, "test-trained", lam_kwargs={"answer": answer}, mask_channel=True).learn(16 * 40)
    assert agent.progress["pretrain"] == 0 and agent.progress["clone"] > 0 and agent.progress["decode"] > 0
    windows = Windows(frames, future_offset=1)
    here, there = windows.observation(windows.anchors[:4]), windows.observation(windows.anchors[:4] + 1)
    z = agent.encode(here, there)
    assert all(np.array_equal(agent.policy.lam.seen[key], here[key]) for key in ("pixels", "mask"))
    want = (there["pixels"].astype(np.float32) - here["pixels"])[..., -3:].reshape(4, -1)[:, :8]
    assert np.array_equal(z, want)
    assert np.isfinite(agent.probe(held_out).nmse)
    with pytest.raises(NotImplementedError, match="draws nothing"):
        agent.predict_next(here, there)
    with pytest.raises(ValueError, match=r"has no loss, so it has trained itself: begin with clone\(\)"):
        agent.pretrain(16)


@pytest.mark.parametrize("lam", ["test-linear", "test-trained"])
def test_one_seed_gives_equal_weights_and_files_keep_them(lam, frames):
    agent, again = (make(frames, lam, seed=5).learn(16 * 20) for _ in range(2))
    assert equal(agent, again)
    agent.save("external")
    loaded = ExternalLAM.load("external", dataset=frames)
    assert equal(agent, loaded) and loaded.config == agent.config
    observation, _ = make_env().reset(seed=1)
    assert np.array_equal(agent.predict(observation)[0], loaded.predict(observation)[0])


@pytest.mark.parametrize("stop", [2, 13])  # of 6 updates of stage 1 and 8 of stage 2
def test_a_model_that_draws_noise_goes_on_to_the_same_weights(stop, frames):
    whole = make(frames, "test-noisy").learn(16 * 20)
    part = make(frames, "test-noisy").learn(16 * 20, callback=StopAt(stop))
    part.save("part")
    again = ExternalLAM.load("part", dataset=frames)
    th.randn(stop)  # whatever else draws
    assert equal(whole, again.learn(16 * 20, reset_num_timesteps=False))


def test_the_seed_of_a_models_noise_moves_no_other_random_numbers(frames):
    agent, other = make(frames, "test-noisy", seed=1), make(frames, "test-noisy", seed=2)
    other.policy.load_state_dict(agent.policy.state_dict())
    windows, values, before = Windows(frames, future_offset=1), [], th.get_rng_state()
    inputs = agent._pretrain_inputs(frames, windows, windows.anchors[:16], windows.anchors[:16] + 1)
    for each, update in ((agent, 0), (agent, 0), (agent, 1), (other, 0)):
        rng = each._random_numbers("pretrain", update)
        values.append((each._loss_of_inputs(inputs, rng).item(), each.latents(frames, windows.anchors[:1]).sum()))
    assert th.equal(before, th.get_rng_state())
    assert values[0] == values[1] and len({loss for loss, _ in values}) == 3 and len({z for _, z in values}) == 2


def test_an_agent_draws_what_it_predicts_without_dropout(frames):
    """In the middle of training too; its model is left in the mode that it was in."""
    make(frames).save("fresh")
    agent = ExternalLAM.load("fresh", dataset=frames)
    windows = Windows(frames, future_offset=1)
    here, there = windows.observation(windows.anchors[:4]), windows.observation(windows.anchors[:4] + 1)
    assert not agent.policy.lam.training
    agent.policy.set_training_mode(True)
    drop, modes = agent.policy.lam.drop, []
    agent.policy.lam.predict_next = lambda obs, z: modes.append(drop.training) or obs["pixels"][:, -3:] + drop(z).mean()
    drawn = agent.predict_next(here, there)
    assert modes == [False] and agent.policy.lam.training
    agent.policy.set_training_mode(False)
    assert np.array_equal(drawn, agent.predict_next(here, there)) and not agent.policy.lam.training


def test_a_registered_model_is_a_method_by_its_name(frames):
    agent = make_agent("test-linear", dataset=frames, **TINY)
    agent.save("by_name")
    assert isinstance(load_agent("by_name").policy.lam, Linear)
    with pytest.raises(ValueError, match="'lapo' is registered already"):
        register_lam("lapo", "elsewhere:LAPO")


def test_a_model_registered_again_takes_its_new_options(frames):
    first = make_agent("test-linear", dataset=frames, **TINY)
    register_lam("test-linear", f"{__name__}:Linear", mask_channel=True, latent_dim=4)
    again = make_agent("test-linear", dataset=frames)
    assert (again.config["mask_channel"], again.config["latent_dim"], again.config["lam"]) == (True, 4, "test-linear")
    assert not first.config["mask_channel"]
    register_lam("test-linear", f"{__name__}:Linear")
    assert methods.METHODS["test-linear"].options == {"lam": "test-linear"}


def test_a_file_has_no_unregistered_model_imported(frames, monkeypatch):
    make(frames, lam_kwargs={"gain": 2.0}).save("external")
    monkeypatch.delitem(sys.modules["masklam_agents.common.external"]._LAMS, "test-linear")
    with pytest.raises(ValueError, match="unknown model 'test-linear'.*Register it first"):
        ExternalLAM.load("external")


def test_an_entry_point_without_module_is_told(frames, monkeypatch):
    monkeypatch.setitem(external._LAMS, "test-mute", "elsewhere:Mute")
    with pytest.raises(ModuleNotFoundError, match="model 'test-mute' is registered as 'elsewhere:Mute'.*no module"):
        make(frames, "test-mute")


def test_mistakes_are_named(frames):
    with pytest.raises(ValueError, match="Did you mean 'test-linear'"):
        make(frames, "test-liner")
    with pytest.raises(ValueError, match="must be 'module:Class'"):
        register_lam("another", "no_class")
    with pytest.raises(ValueError, match="name in options of a model 'mask_chanel'. Did you mean 'mask_channel'"):
        register_lam("another", f"{__name__}:Linear", mask_chanel=True)
    with pytest.raises(ValueError, match="registered already"):
        register_lam("test-linear", "elsewhere:Linear")
    for same in (f"{__name__}:Linear", Linear):
        register_lam("test-linear", same)  # once more is no mistake
    with pytest.raises(TypeError, match="needs a method encode"):
        make(frames, "test-mute")
    with pytest.raises(TypeError, match="plain JSON values"):
        make(frames, lam_kwargs={"gain": object()})
    for name, value in {
        "loss": "fixed",
        "mask_input": True,
        "bottleneck": "vq",
        "bottleneck_options": {"codes": 4},
    }.items():
        with pytest.raises(ValueError, match=f"its own loss, input and latent: leave out {name},"):
            make(frames, **{name: value})
    agent = make(frames, "test-trained")
    agent.policy.lam.size = 5
    with pytest.raises(ValueError, match=r"latents of shape \(4, 8\), got \(4, 5\)"):
        agent.latents(frames, Windows(frames, future_offset=1).anchors[:4])


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("dict", "return a scalar tensor with a gradient, got a dict of 'total', 'kl': return one tensor"),
        ("tuple", r"got a tuple of Tensor \w+ of shape \(\), None: return one tensor"),
        ("float", r"got a float: return one tensor, without item\(\)"),
        ("none", "got None: return one tensor"),
        ("vector", r"got Tensor float32 of shape \(16,\): take its mean\(\) or sum\(\)"),
        ("detached", "got one that depends on no parameter"),
    ],
)
def test_a_loss_of_another_kind_is_refused_at_the_first_update(way, message, frames):
    agent = make(frames, "test-wrong", lam_kwargs={"method": "loss", "way": way})
    with pytest.raises((TypeError, ValueError), match=rf"loss\(\) of model 'test-wrong' must .*{message}"):
        agent.learn(16 * 10)
    assert not agent.num_timesteps


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("dict", "must return latents of shape .* a tensor or a NumPy array, got a dict of 'total', 'kl'"),
        ("tuple", r"got a tuple of Tensor \w+ of shape \(\d+, 8\), None: return the latents alone"),
        ("none", "got None"),
        ("text", r"got ndarray <U1 of shape \(\d+, 8\)"),
        ("nan", r"latents of model 'test-wrong' are not finite: 1 of \d+ numbers"),
    ],
)
def test_latents_of_another_kind_are_refused(way, message, frames):
    agent = make(frames, "test-wrong", lam_kwargs={"method": "encode", "way": way})
    with pytest.raises((TypeError, ValueError), match=message):
        agent.clone(16 * 10)


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("stack", r"\(2, 3, 32, 32\) in \[-0.5, 0.5\], got Tensor float32 of shape \(2, 9, 32, 32\)"),
        ("array", r"a tensor of real numbers, got ndarray float32 of shape \(2, 3, 32, 32\)"),
        ("bytes", "a tensor of real numbers, got Tensor uint8"),
    ],
)
def test_predictions_of_another_kind_are_refused(way, message, frames):
    agent = make(frames, "test-wrong", lam_kwargs={"method": "predict_next", "way": way})
    windows = Windows(frames, future_offset=1)
    here, there = windows.observation(windows.anchors[:2]), windows.observation(windows.anchors[:2] + 1)
    with pytest.raises((TypeError, ValueError), match=rf"predict_next\(\) of model 'test-wrong' .*{message}"):
        agent.predict_next(here, there)


@pytest.mark.parametrize(
    ("lam", "message"),
    [("test-modest", "Modest is no torch.nn.Module"), ("test-bare", "Bare is no torch module with parameters")],
)
def test_what_torch_cannot_train_is_refused_for_stage_1_alone(lam, message, frames):
    agent = make(frames, lam)
    with pytest.raises(TypeError, match=f"model '{lam}' has a loss to be trained by, but {message}.*leave loss out"):
        agent.learn(16 * 10)
    agent.clone(16)


def test_a_loss_that_is_not_finite_is_told_by_when_it_began(frames):
    agent = make(frames, "test-wrong", lam_kwargs={"method": "loss", "way": "undefined"})
    with pytest.raises(FloatingPointError, match=r"loss\(\) of model 'test-wrong' is nan from the first update on"):
        agent.learn(16 * 1000)
    assert agent.progress["pretrain"] == 1
    with pytest.raises(FloatingPointError, match="'pretrain' has loss .* at update 50; lower its learning rate"):
        make(frames, learning_rate=1e20).learn(16 * 1000)


@pytest.mark.parametrize(
    ("method", "way", "message"),
    [("encode", "wider", r"latents of shape \(16, 8\), got \(16, 9\)"), ("predict_next", "stack", "next frame alone")],
)
def test_a_wrong_answer_is_refused_before_stage_1_whatever_method_gives_it(method, way, message, frames):
    agent = make(frames, "test-wrong", lam_kwargs={"method": method, "way": way})
    with pytest.raises(ValueError, match=message):
        agent.learn(16 * 1000)
    assert not agent.num_timesteps


def test_a_model_is_tried_out_and_nothing_of_it_moves(frames):
    agent = make(frames, "test-keeping").learn(16 * 10)  # its last loss has a history, which no deepcopy takes
    lam, before = agent.policy.lam, {name: x.clone() for name, x in agent.policy.state_dict().items()}
    calls, notes, seen, last = lam.calls.item(), len(lam.notes), lam.seen, lam.last
    assert calls == 3 and lam.notes[:3] == [True] * 3
    streams = random.getstate(), np.random.get_state()[1:3], th.get_rng_state()
    agent._try_out(frames)
    assert agent.policy.lam is lam and (len(lam.notes), lam.calls.item()) == (notes, calls)
    assert lam.seen is seen and lam.last is last
    assert all(th.equal(x, before[name]) for name, x in agent.policy.state_dict().items())
    assert random.getstate() == streams[0] and th.equal(th.get_rng_state(), streams[2])
    assert all(np.array_equal(*pair) for pair in zip(np.random.get_state()[1:3], streams[1], strict=True))
    assert external._copied(lam).last is not None


def test_a_model_that_cannot_be_copied_is_trained_without_being_tried_out(frames):
    agent = make(frames, "test-keeping", lam_kwargs={"lock": True}).learn(16 * 10)
    assert agent.policy.lam.calls == 3
