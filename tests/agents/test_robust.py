"""Robust MaskLAM: masks that err at random are learned, and the learned ones are used everywhere."""

import numpy as np
import pytest
from torch import nn

from masklam_agents import RobustMaskLAM, load_agent, make_agent
from masklam_agents.common.networks import NetworkFamily
from masklam_envs import Frames, Windows
from masklam_envs.masks.quality import measure
from tests.agents.conftest import make_frames

OPTIONS = {"latent_dim": 8, "batch_size": 16, "future_offset": 1, "labels": 40}


def with_masks(frames, mask):
    return Frames(frames.trajectories, np.concatenate((frames.pixels, mask[..., None]), axis=3), frames.tracks)


def at_random(mask, rng, share=0.3):
    """Masks that miss this share of the frames, and have a false block in as many others."""
    found = mask.copy()
    found[rng.random(len(mask)) < share] = 0
    for t in np.flatnonzero(rng.random(len(mask)) < share):
        y, x = rng.integers(0, mask.shape[1] - 8, 2)
        found[t, y : y + 8, x : x + 8] = 255
    return found


@pytest.fixture(scope="module")
def wrong():
    """Frames whose masks err at random, and the true masks."""
    frames = make_frames(seed=0, episodes=12)
    return with_masks(frames, at_random(frames.rgbm[..., 3], np.random.default_rng(0))), frames.rgbm[..., 3]


@pytest.fixture(scope="module")
def segmented(wrong):
    return RobustMaskLAM(dataset=wrong[0], **{**OPTIONS, "batch_size": 32}).segment(32 * 400)


def iou(masks, truth):
    return measure(np.where(masks >= 128, np.uint8(255), np.uint8(0)), truth).iou_mean


def test_masks_that_err_at_random_are_better_when_learned(wrong, segmented):
    frames, truth = wrong
    learned = segmented.policy.segment(frames.pixels, "fp32")
    assert learned.dtype == np.uint8 and learned.shape == truth.shape
    given = frames.rgbm[..., 3]
    wronged = (given != truth).any(axis=(1, 2))
    assert 0.3 < wronged.mean() < 0.7
    assert iou(learned[wronged], truth[wronged]) > iou(given[wronged], truth[wronged]) + 0.2
    unseen = make_frames(seed=1)
    assert iou(segmented.policy.segment(unseen.pixels, "fp32"), unseen.rgbm[..., 3]) > 0.5


@pytest.mark.parametrize("relearned", ["soft", "hard"])
def test_the_models_see_the_learned_masks_alone(wrong, segmented, relearned, monkeypatch):
    frames, _ = wrong
    monkeypatch.setitem(segmented.config, "relearned", relearned)
    seen = []
    monkeypatch.setattr(
        RobustMaskLAM.__mro__[1], "_begin_pretrain", lambda self, data: seen.append(data) or (lambda rng: None)
    )
    segmented._begin_pretrain(frames)
    want = segmented.policy.segment(frames.pixels, segmented.config["precision"])
    if relearned == "hard":
        want = np.where(want >= 128, 255, 0)
    assert np.array_equal(seen[0].rgbm[..., 3], want) and np.array_equal(seen[0].pixels, frames.pixels)
    assert (len(np.unique(seen[0].rgbm[..., 3])) > 2) == (relearned == "soft")
    # The frames of a batch, in whatever order, have the masks that they have as a whole.
    index = np.array([[5, 6, 7], [3, 6, 0]])
    rgbm, places = segmented._seen_by_models(frames.rgbm, index)
    assert len(rgbm) == 5 and np.abs(rgbm[places][..., 3].astype(int) - want[index]).max() <= 2


def test_latents_need_no_masks_and_do_not_depend_on_them(wrong, tmp_path):
    frames, truth = wrong
    agent = RobustMaskLAM(dataset=frames, **OPTIONS).learn(16 * 80)
    windows = Windows(frames, frame_stack=3, future_offset=1)
    anchors = windows.anchors[::7]
    here, there = windows.observation(anchors)["pixels"], windows.observation(anchors + 1)["pixels"]
    alone = agent.encode(here, there)
    assert np.array_equal(alone, agent.encode({"pixels": here}, {"pixels": there}))
    masked = [with_masks(frames, mask) for mask in (truth, np.zeros_like(truth))]
    first, second = (agent.latents(each, anchors) for each in masked)
    assert np.array_equal(first, second)
    assert np.allclose(first, alone, atol=0.02 * first.std())
    assert agent.predict_next(here, there).shape == (len(anchors), 32, 32, 3)
    agent.save(tmp_path / "agent")
    again = load_agent(tmp_path / "agent")
    assert type(again) is RobustMaskLAM and np.array_equal(again.encode(here, there), alone)


def test_what_cannot_be_is_said(frames):
    agent = make_agent("masklam-robust", dataset=frames, **OPTIONS)
    with pytest.raises(ValueError, match=r"the segmenter is not trained: call segment\(samples\) before pretrain"):
        agent.pretrain(16)
    empty = with_masks(frames, np.zeros_like(frames.rgbm[..., 3]))
    with pytest.warns(UserWarning, match="of little use"), pytest.raises(ValueError, match="no frame has an agent"):
        RobustMaskLAM(dataset=empty, **OPTIONS).learn(160)
    with pytest.raises(ValueError, match="unknown relearned 'sof'. Did you mean 'soft'"):
        RobustMaskLAM(dataset=frames, relearned="sof")
    with pytest.raises(ValueError, match="loss='dual' three parts"):
        RobustMaskLAM(dataset=frames, loss="dual")
    with pytest.raises(ValueError, match=r"stage_shares must be 4 numbers >= 0 for \['segment', 'pretrain'"):
        RobustMaskLAM(dataset=frames, stage_shares=(1, 0, 0))
    with pytest.raises(ValueError, match="multiple of 8 pixels, got 20"):
        RobustMaskLAM(dataset=small(), network=anything)


def anything():
    """A network family that takes frames of any size."""
    return NetworkFamily("image", *(3 * [lambda *_: nn.Identity()]))


def small():
    """Frames of 20 pixels."""
    frames = make_frames(seed=0, episodes=1, steps=10)
    return Frames(frames.trajectories, np.ascontiguousarray(frames.rgbm[:, :20, :20]), frames.tracks)


def test_masks_of_frames_on_disk_are_learned_on_disk(wrong, tmp_path, monkeypatch):
    """No dataset need fit into memory, and where it lies changes nothing."""
    frames, _ = wrong
    frames.save(tmp_path / "data")
    seen = []
    begin = RobustMaskLAM.__mro__[1]._begin_pretrain
    monkeypatch.setattr(
        RobustMaskLAM.__mro__[1], "_begin_pretrain", lambda self, data: seen.append(data.rgbm) or begin(self, data)
    )
    shares = {"stage_shares": (1, 1, 0, 0)}
    agents = [
        RobustMaskLAM(dataset=data, **OPTIONS, **shares).learn(16 * 6)
        for data in (frames, Frames.load(tmp_path / "data"))
    ]
    first, second = (agent.policy.state_dict() for agent in agents)
    assert all(first[name].equal(second[name]) for name in first)
    assert [isinstance(rgbm.base, np.memmap) for rgbm in seen] == [False, True]
