"""Labelled subsets and splits: disjoint, nested, seeded, of the size that was asked for."""

from __future__ import annotations

import itertools

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masklam_envs import Windows, collect, render_frames
from masklam_envs.data import labelled_anchors, split_episodes, split_frames
from tests.helpers import made_up_frames, made_up_trajectories

LENGTHS = [5, 3, 0, 8, 4, 6]
VIDEO = {"distractor": "video", "image_size": 36}


@pytest.fixture(scope="module")
def windows():
    return Windows(made_up_frames(LENGTHS), future_offset=1)


@given(count=st.integers(1, sum(LENGTHS)), seed=st.integers(0, 9), spread=st.sampled_from(["dataset", "episodes"]))
def test_so_many_transitions_are_labelled_once_each(windows, count, seed, spread):
    chosen = labelled_anchors(windows, transitions=count, spread=spread, seed=seed)
    assert len(chosen) == len(set(chosen.tolist())) == count
    assert np.isin(chosen, windows.anchors).all()
    assert (np.diff(chosen) > 0).all()


@given(seed=st.integers(0, 9), kind=st.sampled_from(["dataset", "episodes", "whole"]))
def test_a_smaller_subset_is_part_of_a_larger_one(windows, seed, kind):
    def of(count):
        if kind == "whole":
            return set(labelled_anchors(windows, episodes=count, seed=seed).tolist())
        return set(labelled_anchors(windows, transitions=count, spread=kind, seed=seed).tolist())

    assert of(1) < of(3) < of(5)


@given(count=st.integers(1, 5), seed=st.integers(0, 9))
def test_labelled_episodes_are_whole(windows, count, seed):
    chosen = labelled_anchors(windows, episodes=count, seed=seed)
    numbers, found = np.unique(windows.episode(chosen), return_counts=True)
    assert len(numbers) == count
    assert found.tolist() == [LENGTHS[number] for number in numbers]


@given(count=st.integers(1, sum(LENGTHS)), seed=st.integers(0, 9))
def test_transitions_in_few_episodes_fill_all_but_one_of_them(windows, count, seed):
    chosen = labelled_anchors(windows, transitions=count, spread="episodes", seed=seed)
    numbers, found = np.unique(windows.episode(chosen), return_counts=True)
    assert sum(found[i] < LENGTHS[number] for i, number in enumerate(numbers)) <= 1


@pytest.fixture(scope="module")
def as_large_as_the_papers():
    """128 episodes and more of 1,000 steps; their frames have one pixel."""
    return Windows(made_up_frames([1_000] * 140, size=1), future_offset=10)


def test_labels_of_the_papers_sizes(as_large_as_the_papers):
    windows, smaller = as_large_as_the_papers, set()
    for episodes in (2, 4, 8, 16, 32, 64, 128):
        chosen = labelled_anchors(windows, episodes=episodes)
        assert len(chosen) == episodes * 991 and len(np.unique(windows.episode(chosen))) == episodes
        assert smaller < set(chosen.tolist())
        smaller = set(chosen.tolist())
    smaller = set()
    for transitions in (2_048, 4_096, 8_192, 16_384, 32_768, 64_000, 128_000):
        chosen = labelled_anchors(windows, transitions=transitions)
        assert len(chosen) == len(set(chosen.tolist())) == transitions
        assert smaller < set(chosen.tolist())
        smaller = set(chosen.tolist())


def test_another_seed_labels_others(windows):
    first, second = (labelled_anchors(windows, transitions=5, seed=seed).tolist() for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "give either transitions or episodes"),
        ({"transitions": 1, "episodes": 1}, "give either transitions or episodes"),
        ({"transitions": 27}, "27 labelled windows were asked for, the dataset has 26"),
        ({"transitions": 27, "spread": "episodes"}, "27 labelled windows were asked for, the dataset has 26"),
        ({"transitions": 0}, "0 labelled windows"),
        ({"episodes": 6}, "6 labelled episodes with windows were asked for, the dataset has 5"),
        ({"transitions": 1, "spread": "episode"}, "unknown spread 'episode'. Did you mean 'episodes'"),
    ],
)
def test_bad_subsets_say_what_is_wrong(windows, kwargs, message):
    with pytest.raises(ValueError, match=message):
        labelled_anchors(windows, **kwargs)


# -------------------------------------------------------------------------------------------------------------- splits


@given(count=st.integers(3, 40), validation=st.floats(0, 0.3), test=st.floats(0, 0.3), seed=st.integers(0, 9))
def test_splits_share_no_episode_and_leave_none_out(count, validation, test, seed):
    splits = split_episodes(made_up_trajectories([1] * count), validation=validation, test=test, seed=seed)
    parts = [splits.train, splits.validation, splits.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    for part, share in ((splits.test, test), (splits.validation, validation)):
        assert share * count - 1e-6 <= len(part) < share * count + 1


def test_splits_are_seeded():
    data = made_up_trajectories([1] * 20)
    first, again, other = (split_episodes(data, seed=seed).train.tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (0.1, 1.0)])
def test_shares_out_of_range_are_refused(shares):
    with pytest.raises(ValueError, match="shares >= 0, together below 1"):
        split_episodes(made_up_trajectories([1] * 20), validation=shares[0], test=shares[1])


def test_too_few_episodes_are_refused():
    with pytest.raises(ValueError, match="2 episodes are too few for 1 of test and 1 of validation; collect more"):
        split_episodes(made_up_trajectories([1, 1]))


def test_every_part_has_episodes_and_backgrounds_of_its_own():
    env = gym.make("MaskHopper-v0", distractor="video", image_size=36)
    recorded = collect(env, 4, max_steps=3)
    parts = split_frames(recorded, env, validation=0.25, test=0.25)
    assert {name: part.trajectories.episodes for name, part in parts.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
        "test_seen": 1,
    }
    for name, split in (("train", "fit"), ("validation", "validation"), ("test_seen", "fit"), ("test", "test")):
        want = render_frames(parts[name].trajectories, gym.make("MaskHopper-v0", **VIDEO, split=split))
        assert np.array_equal(parts[name].select(range(parts[name].trajectories.episodes)).rgbm, want.rgbm), name
    assert np.array_equal(parts["test"].trajectories.qpos, parts["test_seen"].trajectories.qpos)
    clips = {name: set(part.view.distractor.parts[0].clips) for name, part in parts.items()}
    assert clips["train"] == clips["test_seen"]
    for one, other in itertools.combinations(("train", "validation", "test"), 2):
        assert not clips[one] & clips[other]


def test_without_validation_training_has_all_its_backgrounds():
    env = gym.make("MaskHopper-v0", **VIDEO)
    parts = split_frames(collect(env, 4, max_steps=3), env, validation=0, test=0.25)
    assert set(parts) == {"train", "test", "test_seen"}
    assert parts["train"].view.distractor.parts[0].clips == env.unwrapped.view.distractor.parts[0].clips


def test_shares_that_come_out_even_are_not_rounded_up():
    splits = split_episodes(made_up_trajectories([1] * 100), validation=0.14, test=0.07)
    assert (len(splits.validation), len(splits.test)) == (14, 7)
