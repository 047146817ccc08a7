"""Windows equal a slow reimplementation, and none crosses an episode's end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masklam_envs import Frames, Windows
from masklam_envs.data import WindowLoader
from tests.helpers import made_up_frames

lengths = st.lists(st.integers(0, 9), min_size=1, max_size=5)
stacks, offsets = st.integers(1, 5), st.integers(1, 5)


@st.composite
def windows(draw):
    """Windows of made-up frames, at least one of whose episodes is long enough."""
    offset = draw(offsets)
    steps = [*draw(lengths), offset + draw(st.integers(0, 3)), *draw(lengths)]
    return Windows(made_up_frames(steps), frame_stack=draw(stacks), future_offset=offset)


def frames_of_episodes(windows):
    """Per episode the list of its frame indices."""
    found, first = [], 0
    for length in windows.frames.trajectories.lengths.tolist():
        found.append(list(range(first, first + length + 1)))
        first += length + 1
    return found


def window_by_hand(windows, anchor):
    """Frame indices of a window, and the transition behind each of them but the last."""
    step = 0
    for frames in frames_of_episodes(windows):
        if anchor in frames:
            at = frames.index(anchor)
            places = [max(i, 0) for i in range(at - windows.frame_stack + 1, at + windows.future_offset + 1)]
            return [frames[place] for place in places], [step + place for place in places[:-1]]
        step += len(frames) - 1
    raise AssertionError("the anchor is in no episode")


@given(windows())
def test_anchors_are_all_frames_with_enough_future(windows):
    want = [t for frames in frames_of_episodes(windows) for t in frames if t + windows.future_offset in frames]
    assert windows.anchors.tolist() == want
    assert windows.anchors.dtype == np.int64
    assert len(windows) == len(want)


@given(windows())
def test_every_frame_of_a_window_is_in_its_anchor_s_episode(windows):
    episode_of = np.concatenate([[e] * len(frames) for e, frames in enumerate(frames_of_episodes(windows))])
    for anchor, stack in zip(windows.anchors, windows.stack(windows.anchors), strict=True):
        assert (episode_of[stack] == episode_of[anchor]).all()
        assert episode_of[anchor + windows.future_offset] == episode_of[anchor]


@given(windows())
def test_a_stack_repeats_the_first_frame_at_an_episode_s_start(windows):
    for frames in frames_of_episodes(windows):
        [stack] = windows.stack(np.array(frames[:1]))
        assert stack.tolist() == [frames[0]] * windows.frame_stack


@given(windows())
def test_step_is_the_transition_that_leaves_a_frame(windows):
    leaving = [frame for frames in frames_of_episodes(windows) for frame in frames[:-1]]
    assert windows.step(np.array(leaving, np.int64)).tolist() == list(range(len(leaving)))


@given(windows())
def test_a_batch_equals_windows_cut_by_hand(windows):
    batch = windows.batch(windows.anchors)
    for i, anchor in enumerate(windows.anchors.tolist()):
        frames, steps = window_by_hand(windows, anchor)
        rgbm = np.stack([windows.frames.rgbm[frame] for frame in frames]).transpose(0, 3, 1, 2)
        assert np.array_equal(batch.pixels[i], rgbm[:, :3])
        assert np.array_equal(batch.mask[i], rgbm[:, 3:])
        assert np.array_equal(batch.actions[i], windows.frames.trajectories.actions[steps])


@given(windows(), st.data())
def test_a_window_by_its_number_is_that_of_its_anchor(windows, data):
    number = data.draw(st.integers(-len(windows), len(windows) - 1))
    want = windows.batch([windows.anchors[number].item()])  # a list does too
    for name, found in windows[number]._asdict().items():
        assert np.array_equal(found, getattr(want, name)[0]), name
    for outside in (len(windows), -len(windows) - 1):
        with pytest.raises(IndexError, match=f"windows are numbered 0 to {len(windows) - 1}: index {outside} is out"):
            windows[outside]
    assert len(list(windows)) == len(windows)  # an iteration ends


@given(windows(), st.data())
def test_frames_at_which_no_window_fits_are_refused_and_no_others(windows, data):
    frames = data.draw(st.lists(st.integers(-40, 60), min_size=1, max_size=4))
    if {*frames} <= {*windows.anchors.tolist()}:
        assert len(windows.batch(frames).time) == len(frames)
    else:
        with pytest.raises(ValueError, match=r"take anchors of windows\.anchors"):
            windows.batch(frames)


@pytest.mark.parametrize(
    ("anchors", "message"),
    [
        ([0, 5], "frame 5 is no anchor: a window needs 2 .* number 0, whose anchors are 0 to 3; take anchors of"),
        ([7], "frame 7 is no anchor: .* number 1, which is too short for any"),
        ([8, 12], "there is no frame 12 among 0 to 11"),
        ([-1], "there is no frame -1 among"),
        (3, r"whole numbers \(B,\), .* got int64 of shape \(\): give \[3\] for one"),
        ([1.0], "got float64 of shape"),
        ([], r"at least one, of windows.anchors, got float64 of shape \(0,\)"),
        ([True], "windows.anchors.where. for booleans"),
    ],
)
def test_a_wrong_anchor_is_named_with_those_there_are(anchors, message):
    windows = Windows(made_up_frames([5, 1, 3]), future_offset=2)
    with pytest.raises(ValueError, match=message):
        windows.batch(anchors)


@given(windows())
def test_a_batch_has_the_documented_shapes(windows):
    batch, count = windows.batch(windows.anchors[:2]), len(windows.anchors[:2])
    length = windows.frame_stack + windows.future_offset
    assert (batch.pixels.dtype, batch.pixels.shape) == (np.uint8, (count, length, 3, 4, 4))
    assert (batch.mask.dtype, batch.mask.shape) == (np.uint8, (count, length, 1, 4, 4))
    assert (batch.actions.dtype, batch.actions.shape) == (np.float32, (count, length - 1, 2))


@given(windows())
def test_an_observation_equals_a_frame_stack_on_channels(windows):
    every = np.arange(len(windows.frames))
    observation = windows.observation(every)
    for frame, stack in enumerate(windows.stack(every)):
        rgbm = windows.frames.rgbm[stack]
        assert np.array_equal(observation["pixels"][frame], np.concatenate(rgbm[..., :3], axis=-1))
        assert np.array_equal(observation["mask"][frame], np.concatenate(rgbm[..., 3:], axis=-1))


@given(windows())
def test_what_is_given_out_is_not_the_frames_memory(windows):
    batch, observation = windows.batch(windows.anchors), windows.observation(windows.anchors)
    for array in (batch.pixels, batch.mask, batch.actions, *observation.values()):
        assert not np.shares_memory(array, windows.frames.rgbm)
        assert not np.shares_memory(array, windows.frames.trajectories.actions)


@pytest.mark.parametrize("lengths", [[3, 2], [0], []])
def test_too_short_episodes_say_how_long_they_are(lengths):
    message = f"no episode has 4 steps .the longest has {max(lengths, default=0)}.: collect longer episodes or lower"
    with pytest.raises(ValueError, match=message):
        Windows(made_up_frames(lengths), future_offset=4)


def test_episodes_without_a_window_are_named_once_with_the_dataset_and_the_cure():
    windows = Windows(made_up_frames([5, 9, 2, 0, 7]), future_offset=6)
    with pytest.warns(UserWarning) as told:
        WindowLoader(windows, 2)
    assert [str(warning.message) for warning in told] == [
        "Made-Up-v0: no window of 6 steps fits in 3 of 5 episodes (the first is episode 0 with 5), so they are left "
        "out: collect longer ones, or lower future_offset"
    ]


def test_episodes_with_windows_are_no_warning(recwarn):
    WindowLoader(Windows(made_up_frames([5, 9]), future_offset=5), 2)
    assert not recwarn.list


def test_trajectories_without_frames_have_no_windows():
    with pytest.raises(TypeError, match="windows are of Frames or LazyFrames, see render_frames; got Trajectories"):
        Windows(made_up_frames([5]).trajectories)


@pytest.mark.parametrize(("frame_stack", "future_offset"), [(0, 1), (1, 0), (-1, 1)])
def test_a_stack_or_future_of_none_is_refused(frame_stack, future_offset):
    with pytest.raises(ValueError, match="frame_stack and future_offset must be at least 1"):
        Windows(made_up_frames([5]), frame_stack=frame_stack, future_offset=future_offset)


@pytest.mark.parametrize(
    "rgbm",
    [
        np.zeros((5, 4, 4, 4), np.uint8),
        np.zeros((6, 4, 4, 3), np.uint8),
        np.zeros((6, 4, 4), np.uint8),
        np.zeros((6, 4, 4, 4), np.float32),
    ],
)
def test_frames_of_another_shape_are_refused(rgbm):
    frames = made_up_frames([5])
    with pytest.raises(ValueError, match=r"rgbm must be uint8 of shape \(6, H, W, 4\)"):
        Frames(frames.trajectories, rgbm, frames.tracks)


def test_pixels_and_mask_are_views_of_the_frames():
    frames = made_up_frames([5])
    assert len(frames) == 6
    assert np.array_equal(np.concatenate([frames.pixels, frames.mask], axis=-1), frames.rgbm)
    assert np.shares_memory(frames.pixels, frames.rgbm)
