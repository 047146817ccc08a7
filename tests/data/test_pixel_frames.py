"""Frames without physics: saved, opened, cut into windows and learned from like any others."""

from __future__ import annotations

import numpy as np
import pytest

from masklam_envs import Frames, LazyFrames, Trajectories, Windows
from masklam_envs.data import pixel_trajectories
from tests.helpers import made_up_frames, made_up_trajectories


def pixels_only(lengths, size=4, **kwargs):
    count = sum(lengths) + len(lengths)
    rgbm = np.random.default_rng(0).integers(0, 256, (count, size, size, 4), np.uint8)
    return Frames(
        pixel_trajectories({"source": "test"}, lengths, **kwargs), rgbm, [np.zeros((n + 1, 0)) for n in lengths]
    )


@pytest.mark.parametrize("frames", [made_up_frames([3, 5]), pixels_only([3, 5]), pixels_only([0, 2])])
def test_what_is_saved_is_opened(tmp_path, frames):
    frames.save(tmp_path / "data")
    opened = Frames.load(tmp_path / "data")
    assert opened.trajectories.meta == frames.trajectories.meta
    assert np.array_equal(opened.rgbm, frames.rgbm)
    for name in ("qpos", "qvel", "actions", "labels", "rewards", "lengths", "terminated", "reset_seeds"):
        assert np.array_equal(getattr(opened.trajectories, name), getattr(frames.trajectories, name)), name


def test_windows_of_pixels_alone_have_no_actions():
    windows = Windows(pixels_only([3, 5]), future_offset=2)
    batch = windows.batch(windows.anchors)
    assert batch.pixels.shape == (len(windows), 5, 3, 4, 4)
    assert batch.actions.shape == (len(windows), 4, 0)


def test_what_is_known_beside_the_pixels_is_kept():
    rng = np.random.default_rng(0)
    actions, states = rng.normal(size=(8, 2)).astype(np.float32), rng.normal(size=(10, 3)).astype(np.float32)
    frames = pixels_only([3, 5], actions=actions, states=states, rewards=np.arange(8), terminated=[True, False])
    recorded = frames.trajectories
    assert np.array_equal(recorded.labels, actions)
    assert np.array_equal(recorded.states(1), states[4:])
    assert (recorded.returns.tolist(), recorded.terminated.tolist()) == ([3.0, 25.0], [True, False])


def test_physics_of_a_dataset_with_pixels_can_be_opened_alone(tmp_path):
    frames = made_up_frames([3, 2])
    frames.save(tmp_path / "data")
    assert np.array_equal(Trajectories.load(tmp_path / "data").qpos, frames.trajectories.qpos)


def test_a_dataset_without_pixels_says_how_to_draw_them(tmp_path):
    made_up_trajectories([3]).save(tmp_path / "data")
    with pytest.raises(ValueError, match="holds physics and no pixels: draw them with render_frames or LazyFrames"):
        Frames.load(tmp_path / "data")


def test_pixels_cannot_be_drawn_anew():
    import gymnasium as gym

    with pytest.raises(ValueError, match="came as pixels and has no positions to draw from: open it with Frames.load"):
        LazyFrames(pixels_only([3]).trajectories, gym.make("MaskHopper-v0"))


def test_a_damaged_frame_is_named(tmp_path):
    made_up_frames([3, 2]).save(tmp_path / "data")
    path = tmp_path / "data" / "rgbm.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="rgbm.bin: episode 1 is damaged"):
        Frames.load(tmp_path / "data")
