"""What every mask source keeps: names, inputs, outputs, pieces, smoothing."""

import json
import tracemalloc

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs.data.frames import LazyFrames, render_frames
from masklam_envs.masks import make_mask_source, register_mask_source, segment, source_names
from masklam_envs.masks.sources import Smoothed, make_live_source
from masklam_envs.masks.threshold import hard
from masklam_envs.wrappers import SegmentedMask
from tests.helpers import assert_same, random_actions, rollout

VIDEO = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
DIFFERENCE = {"name": "motion", "method": "difference", "window": 2, "smoothing": 3, "radius": 0}


class Bright:
    """How bright a frame and the one before it are."""

    memory = 1

    def __init__(self, gain=1.0):
        self.gain, self.calls = gain, []

    def segment(self, frames, prompt=None):
        self.calls.append(len(frames))
        share = frames.mean(axis=3, dtype=np.float32) / 255
        before = np.concatenate([share[:1], share[:-1]])
        return np.clip(self.gain * (share + before) / 2, 0, 1)


@pytest.fixture
def bright(monkeypatch):
    from masklam_envs.masks import sources

    monkeypatch.setattr(sources, "_KNOWN", dict(sources._KNOWN))
    register_mask_source("bright", f"{__name__}:Bright")
    return "bright"


def test_yours_by_name_everywhere(bright):
    assert bright in source_names()
    assert make_mask_source({"name": bright, "gain": 2.0}).gain == 2.0
    env = gym.make("MaskHopper-v0", mask_source={"name": bright, "gain": 0.9})
    first, second = rollout(env, 0, steps=2)[0][:2]
    want = hard(Bright(0.9).segment(np.stack([first["pixels"], second["pixels"]]))[1])
    assert np.array_equal(second["mask"][..., 0], want)
    with pytest.raises(ValueError, match=r"unknown option of mask source 'bright' 'gian'. Did you mean 'gain'"):
        make_mask_source(bright, gian=1)


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("motion", "a:B", "there is a mask source 'motion' already"),
        ("simulator", "a:B", "there is a mask source 'simulator' already"),
        ("new", "a.B", "must be 'module:Class'"),
    ],
)
def test_a_name_is_taken_or_malformed(name, entry, message):
    with pytest.raises(ValueError, match=message):
        register_mask_source(name, entry)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (VIDEO[0], r"got shape \(16, 16, 3\); a single frame is frame\[None\]"),
        (VIDEO[..., :1], r"got shape \(6, 16, 16, 1\)"),
        (VIDEO[:0], r"got shape \(0, 16, 16, 3\)"),
        (VIDEO / 255, r"float64; floats in \[0, 1\] become bytes by"),
        (VIDEO.tolist(), "got list"),
    ],
)
def test_other_frames_are_refused_with_the_cure(frames, message):
    with pytest.raises(ValueError, match=message):
        segment(Bright(), frames)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda m: m[:, :8], r"returned float32 \(6, 8, 16\) for frames \(6, 16, 16, 3\)"),
        (lambda m: m > 0.5, "returned bool"),
        (lambda m: m * 3, r"returned numbers outside \[0, 1\] or NaN"),
        (lambda m: m * np.float32(np.nan), r"returned numbers outside \[0, 1\] or NaN"),
    ],
)
def test_what_is_no_mask_is_an_error_that_names_the_source(wrong, message):
    class Wrong(Bright):
        def segment(self, frames, prompt=None):
            return wrong(np.full(frames.shape[:3], 0.6, np.float32))

    with pytest.raises(ValueError, match=f"mask source Wrong {message}"):
        segment(Wrong(), VIDEO)


@pytest.mark.parametrize("make", [Bright, lambda: Smoothed(Bright(), 4), lambda: make_mask_source(DIFFERENCE)])
def test_pieces_make_the_same_masks_as_one_call(make, monkeypatch):
    from masklam_envs.masks import sources

    whole = make().segment(VIDEO)
    monkeypatch.setattr(sources, "PIECE", 2)
    assert np.array_equal(segment(make(), VIDEO), whole)


def test_a_long_video_goes_in_pieces():
    source = Bright()
    segment(source, np.zeros((600, 4, 4, 3), np.uint8))
    assert source.calls == [256, 257, 89]


@pytest.mark.parametrize("make", [Bright, lambda: Smoothed(Bright(), 4), lambda: make_mask_source(DIFFERENCE)])
def test_a_long_video_takes_little_more_memory_than_its_masks(make):
    """Eight times the frames, the same on top of what is returned."""
    extra = []
    for count in (600, 4_800):
        frames = np.zeros((count, 16, 16, 3), np.uint8)
        source = make()
        segment(source, frames[:300])  # what is imported and kept at first use
        tracemalloc.start()
        masks = segment(source, frames)
        extra.append(tracemalloc.get_traced_memory()[1] - masks.nbytes)
        tracemalloc.stop()
    assert extra[1] < 1.3 * extra[0] + 100_000


def test_out_of_memory_says_how_long_the_video_was():
    class Hungry:
        def segment(self, frames, prompt=None):
            raise MemoryError

    with pytest.raises(MemoryError, match="Hungry needs the whole video and 6 frames of 16x16 do not fit"):
        segment(Hungry(), VIDEO)


def test_smoothing_is_the_mean_over_the_last_frames():
    raw = Bright().segment(VIDEO)
    smooth = make_mask_source(DIFFERENCE)
    assert smooth.memory == 4
    assert np.allclose(Smoothed(Bright(), 3).segment(VIDEO)[4], raw[2:5].mean(axis=0))
    assert np.allclose(Smoothed(Bright(), 3).segment(VIDEO)[0], raw[0])
    with pytest.raises(ValueError, match=r"smoothing must be an integer in \[1, 64\] frames, got 0"):
        make_mask_source("motion", smoothing=0)


# ---------------------------------------------------------------------------------------------------------------- live


def test_live_masks_are_those_of_recorded_frames_and_of_the_wrapper():
    """Byte for byte, in whatever order recorded frames are drawn."""
    from masklam_envs import collect

    faults = [{"name": "latency", "frames": 1}]
    recorded = collect("MaskHopper-v0", 2, policy="random", max_steps=6, seed=1)
    env = gym.make("MaskHopper-v0", distractor="action", mask_source=DIFFERENCE, mask_faults=faults)
    frames = render_frames(recorded, env)
    lazy = LazyFrames(recorded, env)
    order = np.random.default_rng(0).permutation(len(frames))
    rgbm, place = lazy.rows(order)
    assert np.array_equal(rgbm[place], frames.rgbm[order])
    live = [
        env.reset(seed=int(recorded.reset_seeds[0]), options={"distractor_seed": int(recorded.distractor_seeds[0])})
    ]
    observations = [live[0][0]] + [env.step(action)[0] for action in recorded.episode_actions(0)]
    count = len(observations)
    assert np.array_equal(np.stack([seen["mask"] for seen in observations]), frames.mask[:count])
    plain = gym.make("MaskHopper-v0", distractor="action", observation=["pixels"])
    found = render_frames(recorded, gym.make("MaskHopper-v0", distractor="action", mask_source=DIFFERENCE))
    wrapped = SegmentedMask(plain, DIFFERENCE)
    wrapped.reset(seed=int(recorded.reset_seeds[0]), options={"distractor_seed": int(recorded.distractor_seeds[0])})
    masks = [wrapped.step(action)[0]["mask"] for action in recorded.episode_actions(0)]
    assert np.array_equal(np.stack(masks), found.mask[1:count])
    assert found.mask.any() and not np.array_equal(found.mask, frames.mask)


def test_the_vector_environment_shows_the_same_masks():
    kwargs = {"mask_source": DIFFERENCE, "distractor": "video"}
    envs = gym.make_vec("MaskHopper-v0", num_envs=2, **kwargs)
    single = gym.make("MaskHopper-v0", **kwargs)
    shown = [envs.reset(seed=4)[0]]
    seen = [single.reset(seed=5)[0]]
    for action in random_actions(single, 3):
        shown.append(envs.step(np.stack([action, action]))[0])
        seen.append(single.step(action)[0])
    assert_same([{key: part[1] for key, part in each.items()} for each in shown], seen)
    assert seen[2]["mask"].any()


def test_the_spec_survives_json():
    env = gym.make("MaskHopper-v0", mask_source=DIFFERENCE)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.view.config.mask_source == DIFFERENCE
    json.dumps(env.unwrapped.view.config.to_json())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("motion", "'motion' needs the whole video and cannot make masks while an episode runs; record episodes"),
        ("none", "leave 'mask' out of its observation"),
        ("studnet", "unknown mask source 'studnet'. Did you mean 'student'"),
        (3, "a mask source is a name or a dict"),
        ({"name": "simulator", "gain": 1}, "mask source 'simulator' has no options"),
    ],
)
def test_what_cannot_be_live_is_refused_when_the_environment_is_made(config, message):
    with pytest.raises(ValueError, match=message):
        gym.make("MaskHopper-v0", mask_source=config)


def test_the_simulator_is_no_source_of_its_own():
    assert make_live_source("simulator") is None
    with pytest.raises(ValueError, match="come with the environment"):
        make_mask_source("simulator")


def test_the_wrapper_says_what_it_needs():
    env = gym.make("MaskHopper-v0", observation=["pixels"])
    with pytest.raises(ValueError, match="looks at pixels: 'simulator' is no source"):
        SegmentedMask(env, "simulator")
    with pytest.raises(ValueError, match="needs 'pixels' of one RGB frame"):
        SegmentedMask(gym.make("MaskHopper-v0", observation=["mask"]), DIFFERENCE)
