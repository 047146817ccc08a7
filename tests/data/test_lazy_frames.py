"""Frames that are drawn when asked for are those drawn in advance."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from gymnasium import make
from hypothesis import given
from hypothesis import strategies as st

import masklam_envs  # noqa: F401
from masklam_envs import Frames, LazyFrames, Trajectories, Windows, collect, render_frames
from masklam_envs.data import Blocks
from masklam_envs.data.parts import PartFrames
from tests.helpers import made_up_frames

EPISODES = 5


@pytest.fixture(scope="module")
def recorded() -> Trajectories:
    return collect("MaskCheetah-v0", EPISODES, seed=3, max_steps=6)


@pytest.fixture(scope="module")
def frames(recorded: Trajectories) -> Frames:
    return render_frames(recorded, make("MaskCheetah-v0"))


@pytest.fixture(scope="module")
def lazy(recorded: Trajectories) -> LazyFrames:
    return LazyFrames(recorded, make("MaskCheetah-v0"), block=2)


def test_length_and_size(lazy, frames):
    assert (len(lazy), lazy.image_size) == (len(frames), frames.image_size) == (EPISODES * 7, 64)


@given(st.lists(st.integers(0, EPISODES * 7 - 1), min_size=1, max_size=6))
def test_any_rows_are_those_of_the_rendered_frames(lazy, frames, index):
    rgbm, place = lazy.rows(np.array([index]))
    assert np.array_equal(rgbm[place], frames.rgbm[np.array([index])])
    assert len(rgbm) == len(set(index))


@given(st.lists(st.integers(0, EPISODES - 1), min_size=1, max_size=3))
def test_selected_episodes_are_those_of_the_rendered_frames(lazy, frames, episodes):
    starts = frames.trajectories.first_frame
    want = np.concatenate([frames.rgbm[starts[e] : starts[e + 1]] for e in episodes])
    assert np.array_equal(lazy.select(episodes).rgbm, want)


def test_windows_read_both_alike(lazy, frames):
    one, other = (Windows(each, future_offset=2) for each in (lazy, frames))
    chosen = one.anchors[::4]
    assert np.array_equal(one.batch(chosen).pixels, other.batch(chosen).pixels)
    assert np.array_equal(one.observation(chosen)["mask"], other.observation(chosen)["mask"])


@pytest.mark.parametrize("renderer", ["raycast", "opengl"])
def test_frames_can_be_pickled_before_and_after_they_were_drawn(request, recorded, renderer):
    if renderer == "opengl":
        request.getfixturevalue("needs_opengl")
    lazy = LazyFrames(recorded, make("MaskCheetah-v0", distractor="everything", renderer=renderer, image_size=32))
    fresh, index = pickle.dumps(lazy), np.array([3, 11])
    want, _ = lazy.rows(index)
    used = pickle.dumps(lazy)
    assert len(used) <= len(fresh) + 1000  # neither a renderer nor what it drew
    for copy in map(pickle.loads, (fresh, used)):
        assert np.array_equal(copy.rows(index)[0], want)
    assert np.array_equal(lazy.rows(index)[0], want)  # it goes on


def test_frames_of_parts_can_be_pickled_too():
    env = make("MaskReacher-v0", image_size=32)
    parts, index = PartFrames(collect(env, 1, max_steps=4), env), np.arange(3)
    want, _ = parts.rows(index)
    assert np.array_equal(pickle.loads(pickle.dumps(parts)).rows(index)[0], want)


def test_a_pass_of_blocks_has_every_episode_once_and_passes_differ(lazy, recorded):
    blocks = Blocks(lazy, batch_size=4, seed=1)
    passes = [
        np.concatenate([blocks.load(turn * blocks.count + i).trajectories.reset_seeds for i in range(blocks.count)])
        for turn in (0, 1)
    ]
    assert blocks.count == 3
    for seeds in passes:
        assert sorted(seeds) == sorted(recorded.reset_seeds)
    assert not np.array_equal(*passes)


def test_a_pass_has_about_one_sample_a_transition(lazy, recorded):
    blocks = Blocks(lazy, batch_size=2, seed=1)
    last_of_pass = blocks.count * blocks.updates
    assert blocks.number(last_of_pass - 1) == blocks.count - 1
    assert blocks.number(last_of_pass) == blocks.count
    assert last_of_pass * 2 == pytest.approx(len(recorded), rel=0.2)


def test_frames_in_memory_are_one_block():
    frames = made_up_frames([5, 7])
    blocks = Blocks(frames, batch_size=2, seed=0)
    assert {blocks.number(update) for update in (0, 1, 1000)} == {0}
    assert blocks.load(0) is frames


def test_an_empty_block_is_refused(recorded):
    with pytest.raises(ValueError, match="at least one episode, got 0"):
        LazyFrames(recorded, make("MaskCheetah-v0"), block=0)


def test_physics_of_another_model_is_refused(recorded):
    with pytest.raises(ValueError, match="recorded in HalfCheetah-v5"):
        LazyFrames(recorded, make("MaskHopper-v0"))
