"""Recorded episodes: which, when, and what is in the file."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from masklam_envs import pictures
from masklam_envs.pictures import OUTLINE, outlined, write_video
from masklam_envs.wrappers import FrameStack, Grayscale, MaskChannel, RecordMaskVideo
from tests.helpers import random_actions
from tests.wrappers import foreign


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def frames_of(path):
    """(T, H, W, 3) RGB."""
    if path.suffix in (".gif", ".webp"):
        with Image.open(path) as gif:
            shown = []
            for i in range(gif.n_frames):
                gif.seek(i)
                shown.append(np.asarray(gif.convert("RGB")))
            return np.stack(shown)
    import cv2

    capture, shown = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        shown.append(read[1][..., ::-1])
    return np.stack(shown)


def run(env, episodes, steps=3):
    for seed in range(episodes):
        env.reset(seed=seed)
        for action in random_actions(env, steps):
            env.step(action)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_a_video_shows_the_frames_with_the_outline(tmp_path, suffix):
    plain = gym.make("MaskHopper-v0", distractor="video")
    env = RecordMaskVideo(gym.make("MaskHopper-v0", distractor="video"), tmp_path / "deep" / "down", suffix=suffix)
    run(env, 1, steps=6)
    assert files(tmp_path / "deep" / "down") == []  # the episode goes on
    env.close()
    shown = frames_of(tmp_path / "deep" / "down" / f"masklam-episode-0{suffix}")
    expected = [plain.reset(seed=0)[0], *(plain.step(action)[0] for action in random_actions(plain, 6))]
    expected = np.stack([outlined(seen["pixels"], seen["mask"]) for seen in expected])
    assert shown.shape == expected.shape == (7, 256, 256, 3)
    # All formats lose a little; MPEG-4 and WebP have one colour for four pixels.
    assert np.abs(shown.astype(int) - expected).mean() < 12
    edge = (expected == OUTLINE).all(axis=-1)
    assert np.abs(shown[edge].mean(axis=0) - OUTLINE).max() < 140


def test_the_outline_is_inside_the_mask_and_can_be_left_out():
    mask = np.zeros((6, 6, 1), np.uint8)
    mask[1:5, 1:5] = 255
    drawn = (outlined(np.zeros((6, 6, 3), np.uint8), mask, scale=1) == OUTLINE).all(axis=-1)
    assert drawn.sum() == 12 and not drawn[2:4, 2:4].any()
    env = RecordMaskVideo(foreign.make(), "here", outline=False)
    seen = env.reset(seed=0)[0]
    assert np.array_equal(env._picture(seen["pixels"], seen["mask"])[::4, ::4], seen["pixels"])


@pytest.mark.parametrize(
    ("trigger", "recorded"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (lambda episode: episode in (1, 3), [1, 3])]
)
def test_the_trigger_chooses_the_episodes(tmp_path, trigger, recorded):
    env = RecordMaskVideo(foreign.make(), tmp_path, episode_trigger=trigger, name="a", suffix=".gif", scale=1)
    run(env, 5)
    env.close()
    assert files(tmp_path) == [f"a-episode-{i}.gif" for i in recorded]


def test_a_video_is_written_when_the_episode_ends(tmp_path):
    env = RecordMaskVideo(foreign.make(steps=3), tmp_path, suffix=".gif", scale=1)
    run(env, 1, steps=3)
    assert files(tmp_path) == ["masklam-episode-0.gif"]
    assert len(frames_of(tmp_path / "masklam-episode-0.gif")) == 4


def test_a_copy_leaves_the_original_s_video_alone(tmp_path):
    env = RecordMaskVideo(foreign.make(), tmp_path, suffix=".gif", scale=1)
    run(env, 1)
    copied = copy.deepcopy(env)
    for action in random_actions(env, 2):
        env.step(action)
    env.close(), copied.close()
    assert len(frames_of(tmp_path / "masklam-episode-0.gif")) == 6


@pytest.mark.parametrize(
    ("wrap", "agent"),
    [(FrameStack, (250, 30, 60)), (Grayscale, [79] * 3), (lambda env: Grayscale(FrameStack(env)), [79] * 3)],
)
def test_the_newest_frame_of_a_stack_is_recorded(tmp_path, wrap, agent):
    env = RecordMaskVideo(wrap(foreign.make(noise=False)), tmp_path, suffix=".gif", scale=1, outline=False)
    run(env, 1)
    env.close()
    shown = frames_of(tmp_path / "masklam-episode-0.gif")
    newest = env.unwrapped._observe()["mask"]
    assert len(shown) == 4
    assert np.array_equal(shown[-1], np.where(newest == 255, np.array(agent), 90))


def test_odd_sides_of_an_mp4_get_a_pixel_more(tmp_path):
    write_video(tmp_path / "v.mp4", np.full((3, 41, 47, 3), 200, np.uint8), fps=20)
    shown = frames_of(tmp_path / "v.mp4")
    assert shown.shape == (3, 42, 48, 3)
    assert np.abs(shown.astype(int) - 200).max() < 8


def test_a_video_that_fails_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "v.gif").write_bytes(b"before")

    def frames():
        yield np.zeros((8, 8, 3), np.uint8)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_video(tmp_path / "v.gif", frames(), 20)
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "w.mp4", [], 20)
    with pytest.raises(OSError, match="OpenCV cannot write"):
        write_video(tmp_path / "missing" / "w.mp4", [np.zeros((8, 8, 3), np.uint8)], 20)
    assert files(tmp_path) == ["v.gif"]
    assert (tmp_path / "v.gif").read_bytes() == b"before"
    assert pictures.VIDEO_SUFFIXES == (".gif", ".mp4", ".webp")


def test_a_gif_keeps_its_time(tmp_path):
    write_video(tmp_path / "v.gif", [np.full((8, 8, 3), i * 50, np.uint8) for i in range(3)], fps=25)
    with Image.open(tmp_path / "v.gif") as gif:
        assert gif.info["duration"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"suffix": ".avi"}, "unknown video format '.avi'"),
        ({"scale": 0}, "scale must be an integer"),
        ({"episode_trigger": 0}, "episode_trigger must be an integer"),
        ({"fps": 0}, "fps must be a number above 0"),
    ],
)
def test_bad_arguments_are_refused_before_a_folder_is_made(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        RecordMaskVideo(foreign.make(), tmp_path / "new", **arguments)
    with pytest.raises(TypeError, match="apply it before"):
        RecordMaskVideo(MaskChannel(foreign.make()), tmp_path / "new")
    assert files(tmp_path) == []
