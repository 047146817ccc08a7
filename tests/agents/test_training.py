import dataclasses
import itertools
import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from safetensors import safe_open
from safetensors.torch import save_file
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from masklam_agents import BC, LAPO, MaskLAM, RobustMaskLAM
from masklam_agents.common import networks, strided, unet
from masklam_agents.common.callbacks import SaveLatest
from masklam_agents.common.evaluation import episode_returns
from masklam_agents.common.networks import NETWORKS, NetworkFamily
from masklam_agents.common.saving import read_agent, read_header, write_agent
from masklam_agents.methods import load_agent
from tests.agents.conftest import SIZE, make_env

METHODS = [MaskLAM, RobustMaskLAM, LAPO, BC]
TINY = {"latent_dim": 8, "batch_size": 16, "future_offset": 2}
SAMPLES = 16 * 40


def make(method, frames, **kwargs):
    options = {"batch_size": 16} if method is BC else {**TINY, "labels": 50}
    return method(dataset=frames, **{**options, **kwargs})


def weights(agent) -> dict[str, th.Tensor]:
    return {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}


def equal(a, b) -> bool:
    return all(th.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", sorted(set(NETWORKS) - {"paper"}))
def test_every_method_trains_with_every_network_and_acts(method, network, frames, monkeypatch):
    monkeypatch.setattr(strided, "POLICY_SCALE", 1)
    monkeypatch.setattr(unet, "BASE", 4)
    agent = make(method, frames, network=network).learn(16 * 10)
    action, _ = agent.predict(make_env().reset(seed=0)[0])
    assert action.shape == (6,)
    assert np.isfinite(action).all() and np.abs(action).max() <= 1
    assert agent.num_timesteps == 160


@pytest.mark.parametrize("method", METHODS)
def test_losses_fall(method, frames):
    rates = {"policy_learning_rate": 3e-3}
    if method is not BC:
        rates |= {"learning_rate": 3e-3, "decoder_learning_rate": 3e-3}
    agent = make(method, frames, **rates)
    first, last = {}, {}
    for stage in agent.stages:
        loss_of = agent._begin_stage(stage, frames)
        agent._optimizer = agent._make_optimizer(stage)
        # Latents of so short a training differ little between frames, and the decoder takes long to tell them apart.
        updates = 1_000 if stage == "decode" else 150
        values = [agent._update(stage, loss_of, i, updates + 50).item() for i in range(updates)]
        first[stage], last[stage] = np.mean(values[:5]), np.mean(values[-5:])
    assert all(last[stage] < 0.9 * first[stage] for stage in agent.stages)


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_gives_equal_weights_and_another_others(method, frames):
    a, b = (make(method, frames, seed=3).learn(SAMPLES) for _ in range(2))
    assert equal(weights(a), weights(b))
    assert not equal(weights(a), weights(make(method, frames, seed=4).learn(SAMPLES)))


@pytest.mark.parametrize("method", METHODS)
def test_save_and_load_keep_actions_latents_and_configuration(method, frames):
    agent = make(method, frames, frame_stack=2).learn(16 * 10)
    agent.save("agent")
    again = method.load("agent", dataset=frames)
    observation, _ = make_env().reset(seed=1)
    assert np.array_equal(agent.predict(observation)[0], again.predict(observation)[0])
    assert again.config == agent.config
    assert equal(weights(agent), weights(again))


class StopAt(BaseCallback):
    def __init__(self, updates):
        super().__init__()
        self.updates = updates

    def _on_step(self):
        return self.n_calls < self.updates


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop", [3, 19, 25, 37])
def test_an_interrupted_run_goes_on_to_the_same_weights(method, stop, frames):
    whole = make(method, frames).learn(SAMPLES)
    part = make(method, frames).learn(SAMPLES, callback=StopAt(stop))
    part.save("part")
    again = method.load("part", dataset=frames)
    assert again.num_timesteps == 16 * stop
    again.learn(SAMPLES, reset_num_timesteps=False)
    assert equal(weights(whole), weights(again))
    assert again.num_timesteps == whole.num_timesteps


def test_a_run_goes_on_in_the_same_process_and_from_a_file_saved_before_it_went_on(frames):
    whole = make(MaskLAM, frames).learn(SAMPLES)
    part = make(MaskLAM, frames).learn(SAMPLES, callback=StopAt(5))
    part.save("first")
    MaskLAM.load("first").save("second")
    for agent in (part, MaskLAM.load("second", dataset=frames)):
        assert equal(weights(whole), weights(agent.learn(SAMPLES, reset_num_timesteps=False)))
        assert agent.num_timesteps == whole.num_timesteps


def test_stages_after_each_other_are_what_learn_does(frames):
    whole = make(MaskLAM, frames, stage_shares=(2.0, 3.0, 1.0)).learn(16 * 24)
    agent = make(MaskLAM, frames).pretrain(16 * 8)
    assert agent.progress == {"pretrain": 8, "clone": 0, "decode": 0}
    agent.clone(16 * 12, callback=StopAt(5)).clone(16 * 12, reset_num_timesteps=False).decode(16 * 4)
    assert agent.progress == whole.progress
    assert equal(weights(whole), weights(agent))
    assert agent.num_timesteps == whole.num_timesteps == 16 * 24
    agent.decode(16 * 2)
    assert agent.progress["decode"] == 2 and agent.num_timesteps == 16 * 22
    with pytest.raises(ValueError, match="BC has no stage 'pretrain'; it has clone"):
        make(BC, frames).pretrain(16)


def test_save_latest_leaves_a_file_to_go_on_from(frames):
    make(MaskLAM, frames).learn(SAMPLES, callback=[SaveLatest("latest", every=0), StopAt(7)])
    assert MaskLAM.load("latest").progress["pretrain"] == 7


def test_callbacks_and_loggers_of_sb3(frames, tmp_path):
    agent = MaskLAM(env=make_env(), dataset=frames, labels=50, **TINY)
    agent.set_logger(configure(str(tmp_path), ["csv", "tensorboard"]))
    agent.learn(
        SAMPLES,
        log_interval=10,
        callback=[
            CheckpointCallback(10, str(tmp_path / "checkpoints")),
            EvalCallback(Monitor(make_env()), eval_freq=30, n_eval_episodes=1, best_model_save_path=str(tmp_path)),
        ],
    )
    columns = set((tmp_path / "progress.csv").read_text().splitlines()[0].split(","))
    assert {"train/pretrain_loss", "train/decode_loss", "train/learning_rate", "eval/mean_reward"} <= columns
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 4
    assert (tmp_path / "best_model.safetensors").exists()
    assert list(tmp_path.glob("events*"))


def test_tensorboard_log_is_a_folder_of_runs(frames, tmp_path):
    make(BC, frames, tensorboard_log=str(tmp_path / "tb")).learn(16)
    assert list((tmp_path / "tb" / "BC_1").glob("events*"))


def test_evaluate_policy_of_sb3_takes_the_agent_and_its_state(frames):
    agent = make(BC, frames).learn(16 * 5)
    mean, _ = evaluate_policy(agent, Monitor(make_env()), n_eval_episodes=2)
    returns = episode_returns(agent, make_env, episodes=3, seed=5)
    assert np.isfinite(mean) and returns.shape == (3,)
    assert np.array_equal(returns, episode_returns(agent, make_env, episodes=3, seed=5))


def test_predict_with_state_equals_predict_on_ready_stacks(frames):
    agent = make(BC, frames).learn(16 * 5)
    env, pixels, state = make_env(), [], None
    observation, _ = env.reset(seed=0)
    for _ in range(4):
        pixels.append(observation["pixels"])
        action, state = agent.predict(observation, state)
        observation, *_ = env.step(action)
    ready, none = agent.predict(np.concatenate(pixels[-3:], axis=-1))
    assert none is None
    assert np.allclose(ready, action, atol=1e-6)


def test_the_latents_of_a_dataset_are_what_encode_says_of_its_observations(frames):
    from masklam_envs import Windows

    agent = make(MaskLAM, frames).learn(16 * 10)
    windows = Windows(frames, future_offset=1)
    anchors = windows.anchors[[0, 1, 5, 60]]
    encoded = agent.encode(windows.observation(anchors), windows.observation(anchors + 1))
    assert np.allclose(encoded, agent.latents(frames, anchors), atol=1e-5)
    assert agent.predict_next(windows.observation(anchors), windows.observation(anchors + 1)).shape == (4, 32, 32, 3)


def test_the_mask_reaches_masklam_and_not_lapo(frames):
    from masklam_envs import Windows

    windows = Windows(frames, future_offset=1)
    here, there = (windows.observation(windows.anchors[:4] + i) for i in (10, 11))
    blind = {**there, "mask": np.zeros_like(there["mask"])}
    for method, same in ((MaskLAM, False), (LAPO, True)):
        agent = make(method, frames)
        assert np.array_equal(agent.encode(here, there), agent.encode(here, blind)) == same


def test_masklam_without_mask_channel_ignores_pixels_outside_the_mask(frames):
    """The loss, not the architecture: gradients of stage 1 do not depend on the background of the target frame."""
    import dataclasses

    from masklam_envs import Windows

    rgbm = frames.rgbm.copy()
    anchors = np.array([5, 50, 90])
    targets = rgbm[anchors + 1]
    targets[..., :3][targets[..., 3] == 0] = 255
    rgbm[anchors + 1] = targets
    other = dataclasses.replace(frames, rgbm=rgbm)
    for method, same in ((MaskLAM, True), (LAPO, False)):
        agent = make(method, frames, future_offset=3, mask_channel=False)
        # k = 3 keeps the target frame out of a two-frame second stack, so only the loss sees it.
        losses = [
            agent.pretrain_loss(data, Windows(data, frame_stack=3, future_offset=3), anchors, anchors + 4).item()
            for data in (frames, other)
        ]
        assert (losses[0] == losses[1]) == same


def test_probe_is_finite_and_says_what_it_is_of(frames, held_out):
    result = make(MaskLAM, frames).learn(16 * 10).probe(held_out)
    assert 0 < result.nmse < 10
    assert len(result.per_dimension) == 6


def test_damaged_and_foreign_files_are_refused(frames, tmp_path):
    agent = make(LAPO, frames)
    agent.save("a")
    data = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "short.safetensors").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.safetensors").write_text(json.dumps({"format": "masklam-agent"}))
    for name in ("short", "text"):
        with pytest.raises(ValueError, match="damaged or no MaskLAM agent"):
            LAPO.load(name)
    with pytest.raises(ValueError, match=r"load it with LAPO\.load"):
        MaskLAM.load("a")
    with pytest.raises(FileNotFoundError, match="no agent at"):
        LAPO.load("nowhere")


@pytest.mark.parametrize("byte", [-1, -1000])
def test_a_flipped_bit_of_the_weights_is_named_with_the_cure(frames, tmp_path, byte):
    agent = make(LAPO, frames)
    agent.save("a")
    data = bytearray((tmp_path / "a.safetensors").read_bytes())
    data[byte] ^= 1
    (tmp_path / "a.safetensors").write_bytes(data)
    for read in (LAPO.load, load_agent, read_header):
        with pytest.raises(ValueError, match=r"a.safetensors is damaged: the checksum of its weights .*copy it again"):
            read("a")


def test_a_file_from_before_there_were_checksums_is_loaded(frames, tmp_path):
    make(LAPO, frames).save("a")
    with safe_open("a.safetensors", "pt") as file:
        record, tensors = json.loads(file.metadata()["masklam"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert len(record.pop("sha256")) == 64
    save_file(tensors, "b.safetensors", {"masklam": json.dumps(record)})
    for name, tensor in read_agent("b")[1].items():
        assert th.equal(tensor, tensors[name])
    assert read_header("b") == read_header("a") == record


@pytest.mark.parametrize("method", [MaskLAM, BC])
def test_acting_takes_the_mean_over_views(method, frames):
    """Of frames as they are and one pixel aside in each direction, edges repeated."""
    agent = make(method, frames, policy_kwargs={"view_shift": 1}).learn(SAMPLES)
    agent.save("agent")
    plain = method.load("agent", policy_kwargs={})
    wide = np.pad(frames.pixels[20:26], ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    places = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    views = [plain.predict(np.ascontiguousarray(wide[:, y : y + SIZE, x : x + SIZE]))[0] for y, x in places]
    want, alone = np.mean(views, axis=0), views[0]
    inside = np.abs(views).max(axis=0) < 1  # actions are clipped after the mean
    found = agent.predict(frames.pixels[20:26])[0]
    assert inside.mean() > 0.5 and np.allclose(found[inside], want[inside], atol=1e-5)
    assert not np.allclose(found, alone, atol=1e-3)
    again = method.load("agent")
    assert np.array_equal(again.predict(frames.pixels[20:26])[0], found)
    with pytest.raises(ValueError, match=r"view_shift must be a whole number of pixels in \[0, 32\), got -1"):
        make(method, frames, policy_kwargs={"view_shift": -1})


def test_a_file_that_is_replaced_while_it_is_read_is_the_old_or_the_new_one():
    """As a training run does that saves itself, and a monitor that looks at its progress."""
    stop = threading.Event()

    def write(number=0.0):
        write_agent("a", {"class": "X"}, {"x": th.full((100_000,), number)})

    def write_on():
        for number in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
            write(float(number))

    write()
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write_on)
        try:
            for _ in range(200):
                assert len(read_agent("a")[1]["x"].unique()) == 1
        finally:
            stop.set()
        writer.result()


def test_the_same_agent_is_the_same_file(frames, tmp_path):
    agent = make(LAPO, frames)
    agent.save("a")
    agent.save("b")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_an_agents_file_is_as_readable_as_any_other():
    write_agent("a", {"class": "X"}, {"x": th.zeros(2)})
    Path("b").touch()
    assert Path("a.safetensors").stat().st_mode == Path("b").stat().st_mode


@pytest.mark.parametrize("dtype", [th.bfloat16, th.float32, th.int64, th.bool])
def test_every_type_of_tensor_is_summed_up(dtype):
    tensors = {"x": th.tensor([[0, 1], [1, 1]]).to(dtype), "scalar": th.tensor(1).to(dtype), "none": th.zeros(0, 3)}
    write_agent("a", {"class": "X"}, tensors)
    found = read_agent("a")[1]
    assert all(th.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, tensors: header["config"].update(lerning_rate=1.0), "does not fit this LAPO.*lerning_rate"),
        (lambda header, tensors: header["config"].update(tensorboard_log="/tmp/logs"), "no LAPO has: tensorboard_log"),
        (lambda header, tensors: header["config"].update(env="MaskHopper-v0"), "does not fit this LAPO"),
        (lambda header, tensors: header["config"].update(latent_dim=9), "does not fit its own configuration"),
        (lambda header, tensors: header["config"].update(network="os:system"), "unknown network 'os:system'"),
        (lambda header, tensors: header.update(format_version=1), "has format version 1"),
        (lambda header, tensors: tensors.update({"optimizer.x": th.zeros(1)}), "no momenta of AdamW: 'x'"),
    ],
)
def test_files_with_foreign_contents_are_refused_with_the_reason(change, message, frames):
    make(LAPO, frames).save("a")
    header, tensors = read_agent("a")
    change(header, tensors)
    write_agent("b", header, tensors)
    with pytest.raises(ValueError, match=message):
        LAPO.load("b")


def test_an_argument_that_makes_other_networks_is_named_when_a_file_is_read(frames):
    agent = make(LAPO, frames)
    agent.save("a")
    with pytest.raises(ValueError, match="latent_dim=7 makes other networks than those in a, which has 8: leave it"):
        LAPO.load("a", latent_dim=7, verbose=0)
    assert LAPO.load("a", learning_rate=0.25).config["learning_rate"] == 0.25


def tiny_family():
    """One linear layer a model, of the whole image."""

    def encoder(channels, size, out):
        return th.nn.Sequential(th.nn.Flatten(), th.nn.Linear(channels * size**2, out))

    class Forward(th.nn.Module):
        def __init__(self, channels, size, latent):
            super().__init__()
            self.z = th.nn.Linear(latent, 3 * size**2)

        def forward(self, x, z):
            return th.tanh(self.z(z).view(-1, 3, *x.shape[2:])) / 2

    return NetworkFamily("image", encoder, Forward, encoder)


def test_a_function_of_ones_own_makes_the_networks(frames, monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", dict(NETWORKS))
    agent = make(MaskLAM, frames, network=tiny_family).learn(16 * 6)
    assert isinstance(agent.policy.idm[1], th.nn.Linear)
    agent.save("own")
    assert equal(weights(agent), weights(MaskLAM.load("own")))
    assert make(BC, frames, network=tiny_family).predict(frames.pixels[0])[0].shape == (6,)
    monkeypatch.setattr(networks, "NETWORKS", dict(NETWORKS))  # as in another process
    with pytest.raises(ValueError, match="Load the agent with network=tiny_family"):
        MaskLAM.load("own")
    assert equal(weights(agent), weights(MaskLAM.load("own", network=tiny_family)))
    for wrong in (lambda: tiny_family(), 3, dict):
        with pytest.raises(TypeError, match="returns a NetworkFamily"):
            make(LAPO, frames, network=wrong)


def test_set_env_changes_where_callbacks_evaluate(frames):
    agent = make(BC, frames)
    assert agent.get_env() is None
    agent.set_env(DummyVecEnv([make_env]))
    agent.learn(16 * 4, callback=EvalCallback(Monitor(make_env()), eval_freq=2, n_eval_episodes=1))
    assert agent.get_env().num_envs == 1
    for other in (gym.make("MaskHopper-v0", image_size=32), gym.make("MaskCheetah-v0", image_size=64)):
        with pytest.raises(ValueError, match="the agent sees 32 pixels and acts in"):
            agent.set_env(other)


def test_a_failed_save_leaves_the_old_file(frames, tmp_path, monkeypatch):
    agent = make(LAPO, frames)
    agent.save("a")
    before = (tmp_path / "a.safetensors").read_bytes()

    def fail(*args, **kwargs):
        (tmp_path / ".a.safetensors.part").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr("masklam_agents.common.saving.save", fail)
    with pytest.raises(OSError, match="disk full"):
        agent.save("a")
    assert (tmp_path / "a.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "smal"}, "Did you mean 'small'"),
        ({"loss": "l1"}, "loss"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"stage_shares": (1.0,)}, "stage_shares must be 3 numbers"),
        ({"precision": "fp16"}, "precision"),
    ],
)
def test_bad_options_are_named(options, message, frames):
    with pytest.raises(ValueError, match=message):
        LAPO(dataset=frames, **options)


def test_what_is_missing_is_named(frames):
    with pytest.raises(ValueError, match="needs a dataset"):
        LAPO(env=make_env()).learn(100)
    with pytest.raises(ValueError, match="32 pixels wide"):
        LAPO(env="MaskCheetah-v0", dataset=frames).learn(100)
    with pytest.raises(ValueError, match="unknown preset 'papers'. Did you mean 'paper'"):
        MaskLAM(dataset=frames, preset="papers")
    with pytest.raises(ValueError, match="with 'pixels' and 'mask'"):
        MaskLAM(dataset=frames).encode(frames.pixels[0], frames.pixels[1])


def test_the_paper_preset_has_the_paper_loss(frames):
    assert MaskLAM(dataset=frames, preset="paper").config["loss"] == "paper"
    assert MaskLAM(dataset=frames).config["loss"] == "fixed"


@pytest.mark.parametrize(("method", "told"), [(MaskLAM, True), (LAPO, False)])
def test_who_learns_from_masks_warns_of_useless_ones_before_training(method, told, frames):
    empty = frames.rgbm.copy()
    empty[::5, ..., 3] = 0
    agent = make(method, dataclasses.replace(frames, rgbm=empty))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        agent.learn(16)
    assert any("masks are of little use for training" in str(warning.message) for warning in caught) == told


def test_latents_and_losses_that_are_not_finite_are_told(frames):
    agent = make(LAPO, frames)
    with th.no_grad():
        next(agent.policy.idm.parameters()).fill_(th.nan)
    with pytest.raises(ValueError, match="latents that are not finite.*Lower learning_rate"):
        agent.clone(16)
    with pytest.raises(FloatingPointError, match="the loss of stage 'pretrain' is nan from the first update on"):
        agent.pretrain(16 * 100)
