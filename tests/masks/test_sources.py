"""Mask sources: what moves, what a model file finds, and never a download."""

from __future__ import annotations

import numpy as np
import pytest

from masklam_envs.masks.sources import Motion, Rembg, make_mask_source


def blobs(count=30, size=64):
    frames = np.full((count, size, size, 3), 90, np.uint8)
    for t in range(count):
        frames[t, 20:40, t : t + 20] = 200
    return frames


def test_a_still_clip_moves_nowhere():
    noise = np.random.default_rng(0).integers(-3, 4, (20, 32, 32, 3))
    assert not Motion().segment(np.clip(90 + noise, 0, 255).astype(np.uint8)).any()


def test_motion_is_where_the_picture_differs_from_its_median():
    mask = Motion(radius=0).segment(blobs())
    want = (blobs() != np.median(blobs(), axis=0)).any(axis=3)
    assert (mask.shape, mask.dtype) == ((30, 64, 64), np.float32)
    assert np.array_equal(mask > 0.5, want)


def test_specks_are_opened_away():
    frames = blobs()
    frames[5, 60, 60] = 255
    assert Motion(radius=0).segment(frames)[5, 60, 60] == 1
    assert Motion(radius=2).segment(frames)[5, 60, 60] == 0


def test_a_higher_threshold_finds_less():
    frames = np.random.default_rng(0).normal(90, 12, (20, 32, 32, 3)).clip(0, 255).astype(np.uint8)
    low, high = (Motion(threshold, radius=0, camera="still").segment(frames).mean() for threshold in (1.5, 3.0))
    assert low > high


def test_a_moving_camera_is_followed():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (40, 60, 3)).repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)
    frames, want = np.zeros((30, 96, 96, 3), np.uint8), np.zeros((30, 96, 96), bool)
    for t, frame in enumerate(frames):
        frame[:] = scene[20 : 20 + 96, 3 * t : 3 * t + 96]
        want[t, 30:54, 80 - 2 * t : 104 - 2 * t] = True
    frames[want] = rng.integers(0, 256, (30, 96, 96, 3)).astype(np.uint8)[want]
    found = Motion().segment(frames) > 0.5
    inside, outside = found[want].mean(), found[~want].mean()
    assert inside > 0.6 and outside < 0.1
    still = Motion(camera="still").segment(frames) > 0.5
    assert abs(still[want].mean() - still[~want].mean()) < inside - outside


def test_names():
    assert make_mask_source("none") is None
    with pytest.raises(ValueError, match="unknown camera 'stil'. Did you mean 'still'"):
        make_mask_source("motion", camera="stil")
    with pytest.raises(ValueError, match="mask source 'none' has no options"):
        make_mask_source("none", threshold=1)


# --------------------------------------------------------------------------------------------------------------- rembg


def field(number, data):
    """A field of a protocol buffer: bytes, text or a whole number."""
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def value_info(name, *shape):
    dims = b"".join(field(1, field(1, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def brightness_model():
    """An ONNX file of two nodes that finds bright pixels: the mean over channels, then a sigmoid."""
    axes = field(1, "axes") + field(8, 1) + field(20, 7)  # ints: [1], type INTS
    keep = field(1, "keepdims") + field(3, 1) + field(20, 2)  # i: 1, type INT
    mean = field(1, "x") + field(2, "m") + field(4, "ReduceMean") + field(5, axes) + field(5, keep)
    sigmoid = field(1, "m") + field(2, "y") + field(4, "Sigmoid")
    graph = field(1, mean) + field(1, sigmoid) + field(2, "g")
    graph += field(11, value_info("x", 1, 3, 320, 320)) + field(12, value_info("y", 1, 1, 320, 320))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Any connection fails, and no model lies in the home folder."""
    import socket

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REMBG_HOME", "U2NET_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_a_model_file_finds_what_it_was_made_for(no_network, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "bright.onnx").write_bytes(brightness_model())
    source = Rembg("u2net_custom", tmp_path / "bright.onnx")
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[:, 16:48, 16:48] = 255
    mask = source.segment(frames)
    assert (mask.shape, mask.dtype) == ((2, 64, 64), np.float32)
    assert mask[0, 20:44, 20:44].min() > 0.9 and mask[0, :10].max() < 0.1


def test_a_model_that_is_not_there_is_named_and_not_downloaded(no_network, tmp_path):
    pytest.importorskip("onnxruntime")
    folder = tmp_path / ".rembg" / "models" / "u2net"
    with pytest.raises(FileNotFoundError, match=rf"file u2net.onnx .* is not in {folder}, .*get it with `python -c"):
        make_mask_source("rembg", model="u2net")


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (None, ValueError, "needs model_path, the .onnx file"),
        ("nothing.onnx", FileNotFoundError, "there is no model file nothing.onnx in /"),
    ],
)
def test_a_custom_model_needs_its_file(no_network, path, error, message):
    pytest.importorskip("onnxruntime")
    with pytest.raises(error, match=message):
        Rembg("u2net_custom", path)


def test_without_an_onnx_runtime_the_extra_is_named(monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else real(name))
    with pytest.raises(ImportError, match=r"pip install 'masklam\[rembg\]'"):
        make_mask_source("rembg")
