"""Data without masks: a stage that looks at none takes it, one that does says what it lacks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from masklam_agents import LAPO, MaskLAM, RobustMaskLAM
from masklam_envs import Frames
from tests.agents.conftest import make_env

OPTIONS = {"latent_dim": 8, "batch_size": 16, "future_offset": 1, "labels": 40}
NONE = "learns from masks and the dataset has none: import it with a mask source"


@pytest.fixture(scope="module")
def bare(frames):
    """The same frames as a dataset without masks has them."""
    recorded = frames.trajectories
    rgbm = frames.rgbm.copy()
    rgbm[..., 3] = 0
    return Frames(dataclasses.replace(recorded, meta={**recorded.meta, "masks": "none"}), rgbm, frames.tracks)


def test_models_that_read_no_masks_need_them_in_stage_1_alone(frames, bare):
    agent = MaskLAM(dataset=frames, mask_channel=False, **OPTIONS).pretrain(64)
    want = agent.latents(frames, np.arange(5))
    agent.dataset = bare
    assert np.array_equal(agent.latents(bare, np.arange(5)), want)
    agent.clone(64).decode(64)
    with pytest.raises(ValueError, match=NONE):
        agent.pretrain(64)


def test_models_that_read_masks_need_them_until_the_decoder(frames, bare):
    agent = MaskLAM(dataset=frames, **OPTIONS).pretrain(64).clone(64)
    agent.dataset = bare
    agent.decode(64)
    with pytest.raises(ValueError, match=NONE):
        agent.clone(64)
    with pytest.raises(ValueError, match="the latents of this MaskLAM are made of masks, and the frames have none"):
        agent.probe(bare, train=frames)


def test_a_segmenter_needs_them_in_its_own_stage_alone(frames, bare):
    agent = RobustMaskLAM(dataset=frames, **OPTIONS).segment(64)
    agent.dataset = bare
    agent.pretrain(64).clone(64).decode(64)
    with pytest.raises(ValueError, match=NONE):
        agent.segment(64)


def test_who_looks_at_none_trains_without(bare):
    agent = LAPO(dataset=bare, **OPTIONS).learn(160)
    assert all(agent.progress.values()) and np.isfinite(agent.latents(bare, np.arange(5))).all()


def test_masks_may_come_channels_first_as_sb3_hands_them_out(frames):
    env = make_env()
    agent = MaskLAM(env=env, dataset=frames, **OPTIONS)
    first = agent.get_env().reset()
    assert first["mask"].shape[1] == 1
    last = {key: value.transpose(0, 2, 3, 1) for key, value in first.items()}
    assert np.array_equal(agent.encode(first, first), agent.encode(last, last))
