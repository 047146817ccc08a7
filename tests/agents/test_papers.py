"""The papers' presets: sizes, shapes and numbers of the protocol (sections 1 and 2), without any memory for weights."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from masklam_agents import LAPO, make_agent
from masklam_agents.common.networks import count_parameters
from masklam_agents.common.strided import StridedEncoder
from masklam_agents.common.unet import UNetFDM
from masklam_agents.methods import METHODS, get_method
from tests.agents.conftest import SIZE

SIDE, ACTIONS = 64, 6
PAPERS = [name for name in METHODS if "paper" in name.split("-")]


class Shown(gym.Env):
    """The spaces of an environment."""

    action_space = spaces.Box(-1, 1, (ACTIONS,), np.float32)

    def __init__(self, size):
        pixels, mask = (spaces.Box(0, 255, (size, size, channels), np.uint8) for channels in (3, 1))
        self.observation_space = spaces.Dict({"pixels": pixels, "mask": mask})


def policy_of(name, size=SIDE, **options):
    """The preset's networks on PyTorch's device for shapes alone."""
    method = get_method(name)
    agent = method.load_class()(env=Shown(size), _init_setup_model=False, **{**method.options, **options})
    with th.device("meta"):
        return agent._make_policy()


def sizes(policy):
    """Parameters by part."""
    return {name: count_parameters(part) for name, part in policy.named_children() if count_parameters(part)}


def conv(i, o, k=3):
    return i * o * k * k + o


def linear(i, o):
    return i * o + o


def mlp(*widths):
    return sum(linear(i, o) for i, o in itertools.pairwise(widths))


def encoder(channels, scale):
    """Convolution, pooling or a stride, two residual blocks; three times."""
    total = 0
    for depth in (16, 32, 32):
        width = depth * scale
        total += conv(channels, width) + 4 * conv(width, width)
        channels = width
    return total


def impala_fdm(channels, latent, side):
    """Encoder x 6, the latent on as many channels as its output, three transposed convolutions, 1x1 to RGB."""
    decoder = conv(384, 192, 2) + conv(192, 192, 2) + conv(192, 96, 2) + conv(96, 3, 1)
    return encoder(channels, 6) + linear(latent, 192 * (side // 8) ** 2) + decoder


def unet(channels, latent, base=24):
    """LAPO's: blocks of a convolution, normalisation and a residual layer that is half as wide inside."""
    widths = [base * 2**level for level in range(6)]
    block = {width: 2 * width + conv(width, width // 2) + conv(width // 2, width) for width in widths}
    down = sum(conv(i, o) + block[o] for i, o in zip([channels + latent, *widths[:4]], widths[:5], strict=True))
    bottom = conv(widths[4], widths[5], 2)
    pairs = [(widths[5] + latent, widths[4]), (768, 192), (384, 96), (192, 48), (96, 24), (48, 24)]
    up = sum(conv(i, o, 2) + block[o] for i, o in pairs)
    out = conv(base + channels, base) + conv(base, base // 2) + conv(base // 2, base) + conv(base, 3, 1)
    return down + bottom + up + out


def head(first, again, hidden, outputs):
    """LAOM's: three blocks, four times as wide inside and normalised, a projection before each."""
    blocks = 3 * (linear(hidden, 4 * hidden) + linear(4 * hidden, hidden) + 2 * hidden)
    return linear(first, hidden) + 2 * linear(hidden + again, hidden) + blocks + linear(hidden, outputs)


FLAT = 128 * 8 * 8  # numbers of an IMPALA x 4 encoder's output at 64 pixels
FEATURES = 192 * 8 * 8  # of LAOM's x 6
LAOM_SIZES = {
    "idm": encoder(9, 6) + head(2 * FEATURES, 2 * FEATURES, 1024, 8192),
    "fdm": head(8192 + FEATURES, 8192, 1024, FEATURES),
    "label_head": linear(8192, ACTIONS),
    "actor": encoder(9, 32) + linear(1024, 8192),
    "decoder": mlp(8192, 256, 256, ACTIONS),
}
MASKLAM_SIZES = {
    "idm": encoder(24, 4) + linear(FLAT, 128),
    "fdm": impala_fdm(12, 128, 64),
    "actor": encoder(9, 4) + linear(FLAT, 128),
    "decoder": mlp(128, 256, 256, ACTIONS),
}
SIZES = {
    "masklam-paper": MASKLAM_SIZES,
    "masklam-paper-metaworld": MASKLAM_SIZES,
    "lapo-masklam-paper": {
        **MASKLAM_SIZES,
        "idm": encoder(12, 4) + linear(FLAT, 128),  # 4 frames
        "fdm": impala_fdm(9, 128, 64),
    },
    "lapo-paper": {
        "idm": encoder(9, 4) + mlp(FLAT, 256, 128),  # 3 frames
        "fdm": unet(6, 128),
        "actor": encoder(6, 4) + mlp(FLAT, 256, 128),
        "decoder": mlp(128, 128, 128, ACTIONS),
    },
    "laom-paper": LAOM_SIZES,
    "laom-labels-paper": LAOM_SIZES,
    "idm-paper": {
        "idm": encoder(9, 12) + head(4 * FEATURES, 4 * FEATURES, 1024, ACTIONS),
        "actor": encoder(9, 32) + linear(1024, ACTIONS),
    },
    "bc-labels-paper": {"actor": encoder(9, 32) + linear(1024, ACTIONS)},
    "bc-all-paper": {"actor": encoder(9, 32) + linear(1024, ACTIONS)},
    "bc-masklam-paper": {"actor": encoder(9, 4) + mlp(FLAT, 256, ACTIONS)},
}


@pytest.mark.parametrize("name", PAPERS)
def test_every_part_has_its_papers_parameters(name):
    assert sizes(policy_of(name)) == SIZES[name]


@pytest.mark.parametrize(("size", "millions"), [(64, 2.6), (128, 5.8)])
def test_masklams_idm_has_the_published_size(size, millions):
    assert sizes(policy_of("masklam-paper", size))["idm"] / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("name", PAPERS)
def test_shapes_of_latents_frames_and_actions(name):
    policy = policy_of(name)
    with th.device("meta"):
        stack = th.zeros(2, 3 * policy.frame_stack, SIDE, SIDE)
        assert policy(stack).shape == (2, ACTIONS)
        if name.startswith("bc"):
            return
        channels = policy.frame_stack * (4 if policy.mask_channel else 3)
        frames = 2 * policy.frame_stack if policy.idm_input == "stacks" else policy.frame_stack + 1
        pair = th.zeros(2, frames * channels // policy.frame_stack, SIDE, SIDE)
        z = policy.idm(pair)
        wanted = ACTIONS if name.startswith("idm") else 8192 if name.startswith("laom") else 128
        assert z.shape == (2, wanted)
        if name.startswith(("masklam", "lapo")):
            assert policy.fdm(policy.first_stack(pair), z).shape == (2, 3, SIDE, SIDE)
        elif name.startswith("laom"):
            features = policy.idm.encoder(pair[:, :channels])
            assert policy.fdm(z, features).shape == features.shape == (2, FEATURES)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("masklam-paper", {"latent_dim": 128, "batch_size": 512, "learning_rate": 6e-4, "policy_learning_rate": 4e-4}),
        ("masklam-paper", {"decoder_learning_rate": 1e-3, "max_grad_norm": {"decode": 1.0}, "weight_decay": 0.01}),
        ("masklam-paper", {"loss": "paper", "future_offset": 9, "sample_offset": True, "schedules": {}}),
        ("masklam-paper", {"frame_stack": 3, "labels": 128_000, "stage_shares": [35_156, 35_156, 25_000]}),
        ("masklam-paper-metaworld", {"batch_size": 128, "learning_rate": 3e-4, "policy_learning_rate": 2e-4}),
        ("masklam-paper-metaworld", {"loss": "paper", "stage_shares": [31_250, 31_250, 25_000]}),
        ("lapo-masklam-paper", {"loss": "plain", "future_offset": 1, "mask_channel": False, "batch_size": 512}),
        ("laom-paper", {"latent_dim": 8192, "head_dim": 1024, "encoder_scale": 6, "tau": 0.001, "batch_size": 512}),
        ("laom-paper", {"weight_decay": 0.0, "learning_rate": 1e-4, "decoder_learning_rate": 3e-4, "augment": True}),
        ("laom-paper", {"future_offset": 10, "label_weight": 0.0, "stage_shares": [97_656.25, 97_656.25, 2_500]}),
        ("laom-labels-paper", {"label_weight": 0.001, "label_batch": 128, "future_offset": 10}),
        ("idm-paper", {"head_dim": 1024, "encoder_scale": 12, "batch_size": 512, "stage_shares": [10_000, 97_656.25]}),
        ("lapo-paper", {"bottleneck": "vq", "learning_rate": 3e-4, "policy_learning_rate": 2e-4, "batch_size": 128}),
        ("lapo-paper", {"max_grad_norm": {"pretrain": 2.0}, "future_offset": 1, "labels": 131_072}),
        ("lapo-paper", {"stage_shares": [50_000, 60_000, 3 * 131_072 / 128], "latent_dim": 128}),
        ("bc-labels-paper", {"batch_size": 512, "policy_learning_rate": 1e-4, "labels": 128_000}),
        ("bc-masklam-paper", {"batch_size": 2048, "policy_learning_rate": 8e-4, "max_grad_norm": {"clone": 0.5}}),
        ("bc-masklam-paper", {"schedules": {"clone": {"shape": "linear", "last": 0.01}}}),
    ],
)
def test_presets_hold_their_papers_numbers(name, numbers):
    method = get_method(name)
    config = method.load_class()(**method.options).config
    assert {key: config[key] for key in numbers} == numbers


def test_lapos_quantiser_is_its_codes():
    vq = policy_of("lapo-paper").bottleneck
    assert vq.codebook.shape == (2, 64, 16)
    assert (vq.decay, vq.beta, vq.restart) == (0.999, 0.05, False)
    codes = make_agent("lapo-paper", env=Shown(SIZE), network="small").policy.bottleneck.codebook
    assert 0.07 < codes.abs().max() <= 5 / 64


@pytest.mark.parametrize("published", [True, False])
def test_laoms_encoder_sees_pixels_from_minus_one_and_keeps_its_features_unbounded(published):
    made = StridedEncoder(9, SIZE, 1, published)
    seen = []
    made[0].register_forward_hook(lambda module, given, out: seen.append(given[0]))
    features = made(th.rand(4, 9, SIZE, SIZE) - 0.5)
    assert seen[0].abs().max() == pytest.approx(1 if published else 0.5, abs=0.01)
    assert bool((features >= 0).all()) != published


def test_the_unet_normalises_in_training_alone(monkeypatch, frames):
    monkeypatch.setattr("masklam_agents.common.unet.BASE", 4)
    agent = LAPO(dataset=frames, network="lapo", batch_size=4, labels=8).learn(4 * 3)
    agent.save("agent")
    again = LAPO.load("agent")
    pair = (
        {"pixels": np.concatenate(frames.pixels[:3], axis=-1)},
        {"pixels": np.concatenate(frames.pixels[1:4], axis=-1)},
    )
    before = {name: tensor.clone() for name, tensor in again.policy.state_dict().items()}
    assert np.array_equal(again.predict_next(*pair), agent.predict_next(*pair))
    assert all(th.equal(before[name], tensor) for name, tensor in again.policy.state_dict().items())
    assert not th.equal(before["fdm.down.0.1.running_mean"], th.zeros(4))


def test_the_unet_names_the_sizes_it_takes():
    with pytest.raises(ValueError, match="network 'lapo' needs an image_size that is a multiple of 32, got 48"):
        UNetFDM(6, 48, 8)
