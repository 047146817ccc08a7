"""What a layout keeps of an episode, compared with what it was."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest


def assert_episode(frames, episode, want, steps, *, exact_pixels=True, exact_states=True):
    """The first ``steps`` steps and their frames of an episode are those of a dataset's."""
    got, want = frames.select([episode]), want.select([episode])
    assert got.trajectories.lengths.tolist() == [steps]
    assert np.array_equal(got.mask, want.mask[: steps + 1])
    if exact_pixels:
        assert np.array_equal(got.pixels, want.pixels[: steps + 1])
    else:
        error = got.pixels.astype(float) - want.pixels[: steps + 1]
        assert 10 * np.log10(255**2 / (error**2).mean()) > 20  # dB: lossy, but the same picture
    assert np.array_equal(got.trajectories.actions, want.trajectories.actions[:steps])
    assert np.array_equal(got.trajectories.rewards, want.trajectories.rewards[:steps])
    if exact_states:
        assert np.array_equal(got.trajectories.states(0), want.trajectories.states(0)[: steps + 1])


@contextlib.contextmanager
def disk_of(size):
    """No file gets larger than so many bytes: what a full disk does, for this process."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def blot(path, first=0.3, count=4_000):
    """Write zeros over a piece in the middle of a file."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * first)
    data[start : start + count] = bytes(count)
    path.write_bytes(data)


def cut(path, keep=0.6):
    """Leave the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
