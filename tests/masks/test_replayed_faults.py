"""Faulty masks drawn again from recorded physics are those that the live environment showed, byte for byte."""

import functools
import itertools

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import LazyFrames, collect, render_frames

MIXED = [
    {"name": "flicker", "rate": 0.5, "radius": 2},
    {"name": "latency", "frames": 2},
    {"name": "occlusion", "fraction": 0.5},
    {"name": "dropout", "rate": 0.3, "burst": 3},
    {"name": "false_positives", "hold": 2},
    {"name": "latency", "frames": 1},
]
CONFIGS = {str(fault["name"]): fault for fault in MIXED} | {"mixed": MIXED}


@functools.cache
def recorded():
    return collect("MaskHopper-v0", 2, seed=3, max_steps=12)


def make(faults, distractor="video"):
    return gym.make("MaskHopper-v0", distractor=distractor, image_size=36, mask_faults=faults)


def live(env):
    shown = []
    for e in range(recorded().episodes):
        shown.append(env.reset(seed=int(recorded().reset_seeds[e]))[0])
        shown += [env.step(action)[0] for action in recorded().episode_actions(e)]
    return np.stack([np.concatenate([seen["pixels"], seen["mask"]], axis=-1) for seen in shown])


@pytest.mark.parametrize("name", CONFIGS)
def test_live_replayed_and_lazy_masks_are_equal(name):
    env = make(CONFIGS[name])
    shown, drawn = live(env), render_frames(recorded(), env).rgbm
    assert np.array_equal(shown, drawn)
    index = np.random.default_rng(0).permutation(len(drawn))
    frames, places = LazyFrames(recorded(), env).rows(index)
    assert np.array_equal(frames[places], drawn[index])
    assert not np.array_equal(drawn[..., 3], render_frames(recorded(), make(None)).rgbm[..., 3])


def test_the_seed_decides_and_the_physics_does_not_notice():
    env = make("dropout")
    first, second = (env.reset(seed=1, options={"distractor_seed": s})[0]["mask"] for s in (5, 5))
    assert np.array_equal(first, second)
    lost = [not env.reset(seed=1, options={"distractor_seed": s})[0]["mask"].any() for s in range(60)]
    assert 0 < np.mean(lost) < 0.3


def test_whole_episodes_are_occluded_in_data_and_refused_live():
    env = make({"name": "occlusion", "box": "episode"})
    with pytest.raises(ValueError, match="box='seen' live"):
        env.reset(seed=0)
    with pytest.raises(gym.error.ResetNeeded):
        env.unwrapped.step(env.action_space.sample())
    clean, frames = render_frames(recorded(), make(None)), render_frames(recorded(), env)
    for first, end in itertools.pairwise(recorded().first_frame):
        covered = (frames.pixels[first:end] == 128).all(axis=(0, 3))
        assert covered.any()
        cut = np.where(covered[None, ..., None], 0, clean.mask[first:end])
        assert np.array_equal(frames.mask[first:end], cut)


def test_pixels_change_only_by_occlusion():
    clean = render_frames(recorded(), make(None))
    for fault in MIXED:
        same = np.array_equal(render_frames(recorded(), make(fault)).pixels, clean.pixels)
        assert same == (fault["name"] != "occlusion")


GHOST = ["video", {"name": "ghost", "lag": 3}]


@pytest.mark.parametrize("faults", ["ghost", [{"name": "ghost", "share": 0.7}, {"name": "latency", "frames": 2}]])
def test_a_ghost_in_the_mask_replays_too(faults):
    env = make(faults, GHOST)
    shown, drawn = live(env), render_frames(recorded(), env).rgbm
    assert np.array_equal(shown, drawn)
    index = np.random.default_rng(1).permutation(len(drawn))
    frames, places = LazyFrames(recorded(), env).rows(index)
    assert np.array_equal(frames[places], drawn[index])


def test_the_share_of_the_ghost_s_pixels_is_the_set_one():
    true = render_frames(recorded(), make(None, GHOST))
    bare = render_frames(recorded(), make(None, "video"))
    ghost = (true.pixels != bare.pixels).any(axis=-1) & (true.mask[..., 0] == 0)
    assert ghost.sum(axis=(1, 2)).min() > 50
    for share in (0.25, 1.0):
        faulty = render_frames(recorded(), make({"name": "ghost", "share": share}, GHOST))
        added = (faulty.mask != true.mask)[..., 0]
        assert not (added & ~ghost).any()
        assert np.array_equal(added.sum(axis=(1, 2)), np.round(share * ghost.sum(axis=(1, 2))))
        assert np.array_equal(faulty.pixels, true.pixels)


def test_the_ghost_fault_needs_a_ghost():
    with pytest.raises(ValueError, match="needs a distractor with a ghost"):
        make("ghost").reset(seed=0)
