"""Painters: what a row looks like."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs.distractors import ActionReference, make_distractor, texture
from masklam_envs.distractors.cache import FrameCache
from masklam_envs.distractors.plate import pan
from masklam_envs.distractors.procedural import TEST_CLIPS, TRAIN_CLIPS, ProceduralFootage
from masklam_envs.distractors.texture import paint_frame

REFERENCE = ActionReference.uniform([-1, -1], [1, 1])
CHECKSUMS = [406571136, 4190494907, 2367344659]


def made(config, size=64, **options):
    return make_distractor(config, action_reference=REFERENCE, image_size=size, **options)


def pan_by_definition(frame, x, y, size, wraps):
    """The same in floating point, by NumPy's own padding."""

    def taps(displacement, length):
        place = np.floor(-displacement * 256) / 256 + np.arange(size)
        padded = np.pad(np.arange(length), 300, mode="wrap" if wraps else "symmetric")
        first = np.floor(place).astype(int)
        return padded[first + 300], padded[first + 301], place - first

    top, bottom, down = taps(y, frame.shape[0])
    left, right, across = taps(x, frame.shape[1])
    down, across = down[:, None, None], across[None, :, None]
    picture = frame.astype(float)
    upper = picture[top][:, left] * (1 - across) + picture[top][:, right] * across
    lower = picture[bottom][:, left] * (1 - across) + picture[bottom][:, right] * across
    return upper * (1 - down) + lower * down


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-200, 200),
    y=st.floats(-200, 200),
    wraps=st.booleans(),
    size=st.integers(1, 20),
    larger=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_pan_is_bilinear_interpolation(x, y, wraps, size, larger):
    frame = np.random.default_rng(0).integers(0, 256, (size + larger[0], size + larger[1], 3), np.uint8)
    expected = pan_by_definition(frame, x, y, size, wraps)
    assert np.abs(pan(frame, x, y, size, wraps) - expected).max() <= 0.5 + 1e-9


def test_pan_by_whole_pixels_is_a_roll_and_content_moves_right_and_down():
    frame = ProceduralFootage(32).frame(0, 0)
    assert np.array_equal(pan(frame, 5.0, -3.0, 64, True), np.roll(frame, (-3, 5), axis=(0, 1)))


def test_a_plate_is_fresh_and_equal_each_time():
    distractor = made("action")
    row = distractor.track(0, np.ones((3, 2)), np.zeros((4, 5)))
    for at in (row[0], row[3]):
        first = distractor.plate(at)
        assert first.shape == (64, 64, 3) and first.dtype == np.uint8 and first.flags.c_contiguous
        kept = first.copy()
        first[:] = 0
        assert np.array_equal(distractor.plate(at), kept)


def test_none_leaves_the_scene_alone():
    assert made("none").plate(np.zeros(0)) is None


def test_video_plays_frames_of_one_clip_and_action_pans_them():
    actions, states = np.zeros((6, 2)), np.zeros((7, 5))
    video, both = made("video"), made(["video", {"name": "action", "gain": 0}])
    rows = both.track(0, actions, states)
    assert rows.shape == (7, 6)
    shown = [both.plate(row) for row in rows]
    assert all(np.array_equal(picture, video.plate(row[:2])) for picture, row in zip(shown, rows, strict=True))
    assert not np.array_equal(shown[0], shown[1])


def test_action_with_its_own_footage_stands_still_after_a_video():
    own = made(["video", {"name": "action", "gain": 0, "footage": "procedural"}])
    rows = own.track(0, np.zeros((4, 2)), np.zeros((5, 5)))
    assert np.array_equal(own.plate(rows[0]), own.plate(rows[4]))


def test_a_track_looks_alike_at_another_size():
    actions, states = np.random.default_rng(0).uniform(-1, 1, (20, 2)), np.zeros((21, 5))
    row = made("action").track(0, actions, states)[-1]
    small, large = made("action").plate(row), made("action", 128).plate(row)
    halved = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    likeness = np.corrcoef(small.ravel(), halved.ravel())[0, 1]
    assert likeness > 0.9


def test_splits_share_no_clip():
    footage = ProceduralFootage(64)
    train, test = footage.clips("train"), footage.clips("test")
    assert (len(train), len(test)) == (TRAIN_CLIPS, TEST_CLIPS)
    assert not set(train) & set(test)
    fit, validation = footage.clips("fit"), footage.clips("validation")
    assert fit + validation == train and len(validation) == TRAIN_CLIPS // 4
    seen = {int(made("video", split="test").live(seed).row[0]) for seed in range(40)}
    assert seen <= set(test) and len(seen) > 5


def test_procedural_bytes_are_the_same_on_every_machine():
    # Whole numbers all the way: a changed checksum means that every recorded dataset looks different.
    footage = ProceduralFootage(64)
    checksums = [zlib.crc32(footage.frame(clip, index).tobytes()) for clip, index in ((0, 0), (5, 77), (35, 127))]
    assert checksums == CHECKSUMS


def test_procedural_frames_differ_between_clips_and_move_smoothly():
    footage = ProceduralFootage(64)
    frames = [footage.frame(clip, 0).astype(int) for clip in range(36)]
    assert min(np.abs(a - b).mean() for i, a in enumerate(frames) for b in frames[:i]) > 15
    for clip in range(0, 36, 5):
        step = np.abs(footage.frame(clip, 1) - frames[clip]).mean()
        assert 1 < step < np.abs(footage.frame(clip, 60) - frames[clip]).mean()


def test_procedural_spectrum_falls_like_one_over_frequency():
    slopes = [amplitude_slope(ProceduralFootage(64).frame(clip, 0)) for clip in range(36)]
    assert -1.4 < np.mean(slopes) < -0.9
    assert min(slopes) > -1.6 and max(slopes) < -0.8


def amplitude_slope(frame):
    grey = frame.mean(-1)
    power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    axis = np.fft.fftfreq(len(grey)) * len(grey)
    radius = np.hypot(axis[:, None], axis)
    low = 2 * 1.3 ** np.arange(12)
    bands = [power[(radius >= edge) & (radius < 1.3 * edge)].mean() ** 0.5 for edge in low]
    return np.polyfit(np.log(low), np.log(bands), 1)[0]


@pytest.mark.parametrize("size", [42, 64])
def test_procedural_canvas_is_seamless(size):
    frame = ProceduralFootage(size).frame(3, 10).astype(int)
    for axis in (0, 1):
        steps = np.abs(np.diff(frame, axis=axis, append=frame.take([0], axis))).mean(axis=(1 - axis, 2))
        assert steps[-1] < steps[:-1].mean() + 4 * steps[:-1].std()


def test_one_still_frame_is_painted_alone(monkeypatch):
    painted = []
    monkeypatch.setattr(texture, "paint_frame", lambda *given: painted.append(1) or paint_frame(*given))
    distractor = made("action", 17)
    rows = distractor.track(0, np.ones((5, 2)), np.zeros((6, 5)))
    for row in rows:
        distractor.plate(row)
    assert len(painted) == 1


def test_cache_drops_the_least_recently_used_and_freezes_arrays():
    cache, calls = FrameCache(25), []

    def get(key, size=10):
        return cache.get(key, lambda: calls.append(key) or np.zeros(size, np.uint8))

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert calls == ["a", "b", "c", "b"]
    assert not get("a").flags.writeable
    get("large", 100)
    get("large", 100)
    assert calls[-1] == "large" and calls.count("large") == 1
