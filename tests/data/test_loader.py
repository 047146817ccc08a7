"""Batches come in an order that the seed alone decides, and every window comes once a pass."""

from __future__ import annotations

import dataclasses
import threading

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import LazyFrames, Windows, collect
from masklam_envs.data import WindowLoader
from tests.helpers import made_up_frames


@pytest.fixture(scope="module")
def windows():
    return Windows(made_up_frames([9, 7, 12]), future_offset=2)


@pytest.fixture(scope="module")
def drawn():
    env = gym.make("MaskHopper-v0", distractor="video", image_size=36)
    return Windows(LazyFrames(collect(env, 3, max_steps=8), env), future_offset=2)


def assert_same(first, second):
    for field in dataclasses.fields(first):
        assert np.array_equal(getattr(first, field.name), getattr(second, field.name)), field.name


@pytest.mark.parametrize("name", ["windows", "drawn"])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_batches_do_not_depend_on_the_workers(request, name, workers):
    data = request.getfixturevalue(name)
    want = list(WindowLoader(data, 4, seed=5).batches(0, 9))
    found = list(WindowLoader(data, 4, seed=5, workers=workers).batches(0, 9))
    assert len(found) == 9
    for first, second in zip(want, found, strict=True):
        assert_same(first, second)


def test_a_pass_has_every_window_once_and_passes_differ(windows):
    loader = WindowLoader(windows, 1, seed=1)
    passes = [
        [
            (int(batch.episode[0]), int(batch.time[0]))
            for batch in loader.batches(turn * len(loader), (turn + 1) * len(loader))
        ]
        for turn in (0, 1)
    ]
    assert len(passes[0]) == len(windows)
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(set(passes[0]))
    assert passes[0] != passes[1]


def test_one_may_begin_anywhere(windows):
    loader = WindowLoader(windows, 4, seed=2, workers=2)
    every = list(loader.batches(0, 12))
    for number, batch in enumerate(loader.batches(7, 12), start=7):
        assert_same(batch, every[number])
        assert_same(loader.batch(number), every[number])


def test_a_seed_is_an_order(windows):
    first, again, other = (WindowLoader(windows, 8, seed=seed).batch(0).time.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_batches_without_end_can_be_left(windows):
    loader, before = WindowLoader(windows, 4, workers=2), threading.active_count()
    for number, _ in enumerate(batches := loader.batches()):
        if number == 20:
            break
    assert threading.active_count() > before
    batches.close()
    assert number == 20 and threading.active_count() == before


def test_iterating_is_the_first_pass(windows):
    loader = WindowLoader(windows, 4)
    assert len(list(loader)) == len(loader) == len(windows) // 4


def test_a_worker_s_mistake_is_raised(windows):
    class Broken(Windows):
        def batch(self, anchors):
            raise RuntimeError("broken")

    broken = Broken(windows.frames, future_offset=2)
    with pytest.raises(RuntimeError, match="broken"):
        list(WindowLoader(broken, 4, workers=2))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"workers": -1}, "workers at least 0"),
        ({"batch_size": 1000}, "25 windows do not fill a batch of 1000"),
    ],
)
def test_bad_arguments_say_what_is_wrong(windows, kwargs, message):
    with pytest.raises(ValueError, match=message):
        WindowLoader(windows, **kwargs)


def test_a_batch_says_where_its_windows_are(windows):
    batch = windows.batch(windows.anchors)
    starts = windows.frames.trajectories.first_frame
    assert (starts[batch.episode] + batch.time).tolist() == windows.anchors.tolist()
