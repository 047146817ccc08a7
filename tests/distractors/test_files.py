"""Footage from real files: video files, folders of images, the layout of DAVIS."""

import os
import sys

import cv2
import numpy as np
import pytest

from masklam_envs.distractors import ActionReference, make_distractor
from masklam_envs.distractors.files import DAVIS_TEST, DAVIS_TRAIN, FileFootage, decode_clip

REFERENCE = ActionReference.uniform([-1], [1])


def write_video(path, frames=6, size=(48, 32), codec="MJPG"):
    """Frame i is grey 20 + 30 i; width x height as OpenCV counts them."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, size)
    assert writer.isOpened()
    for i in range(frames):
        writer.write(np.full((size[1], size[0], 3), 20 + 30 * i, np.uint8))
    writer.release()
    return path


def write_images(folder, frames=3):
    folder.mkdir(parents=True)
    for i in range(frames):
        picture = np.zeros((20, 40, 3), np.uint8)
        picture[..., 2] = 50 * i + 100  # OpenCV's third channel is red
        cv2.imwrite(str(folder / f"{i:05d}.png"), picture)
    return folder


@pytest.mark.parametrize(("codec", "name"), [("MJPG", "a.avi"), ("mp4v", "a.mp4")])
def test_a_video_file_is_decoded_in_order(tmp_path, codec, name):
    clip = decode_clip(write_video(tmp_path / name, codec=codec), 16)
    assert clip.shape == (6, 16, 16, 3) and clip.dtype == np.uint8
    np.testing.assert_allclose(clip.mean((1, 2, 3)), 20 + 30 * np.arange(6), atol=4)


def test_a_folder_of_images_is_a_clip_in_rgb_and_square(tmp_path):
    clip = decode_clip(write_images(tmp_path / "clip"), 16)
    assert clip.shape == (3, 16, 16, 3)
    assert clip[:, 0, 0].tolist() == [[100, 0, 0], [150, 0, 0], [200, 0, 0]]


def test_shrinking_averages_areas_and_cuts_the_central_square(tmp_path):
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, 4:8] = 200
    picture[:, :4] = picture[:, 12:] = 255
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip" / "0.png"), picture)
    assert decode_clip(tmp_path / "clip", 2)[0, 0, :, 0].tolist() == [200, 0]
    assert decode_clip(tmp_path / "clip", 1)[0, 0, 0, 0] == 100


def test_a_folder_splits_its_clips_by_name(tmp_path):
    for name in "hgfedcba":
        write_video(tmp_path / f"{name}.avi", frames=2)
    footage = FileFootage([str(tmp_path)], 16)
    assert [path.stem for path in footage.paths] == list("abcdefgh")
    assert footage.clips("train") == (0, 1, 2, 3, 4, 5)
    assert footage.clips("test") == (6, 7)
    assert (footage.clips("fit"), footage.clips("validation")) == ((0, 1, 2, 3), (4, 5))


def test_davis_is_found_by_its_layout_and_split_by_its_lists(tmp_path):
    for name in ("camel", "bear", "walking", "dog"):
        write_images(tmp_path / "JPEGImages" / "480p" / name, frames=1)
    footage = FileFootage([str(tmp_path)], 16)
    names = {split: {footage.paths[clip].name for clip in footage.clips(split)} for split in ("train", "test")}
    assert names == {"train": {"bear", "walking"}, "test": {"camel", "dog"}}


def test_davis_lists_are_whole_and_disjoint():
    assert (len(DAVIS_TRAIN), len(DAVIS_TEST)) == (60, 30)
    assert not DAVIS_TRAIN & DAVIS_TEST


@pytest.mark.parametrize("beside", ["a.avi", "clip"])
def test_pictures_among_clips_are_refused_for_they_would_hide_them(tmp_path, beside):
    write_images(tmp_path / "mixed", 1)
    write_video(tmp_path / "mixed" / "a.avi") if beside == "a.avi" else write_images(tmp_path / "mixed" / "clip")
    with pytest.raises(ValueError, match=rf"one clip by its pictures \(00000.png\) and several .* \({beside}\): move"):
        FileFootage([str(tmp_path / "mixed")], 16)


def test_one_clip_serves_both_splits_with_a_warning(tmp_path):
    footage = FileFootage([str(write_video(tmp_path / "a.avi"))], 16)
    with pytest.warns(UserWarning, match="only clip"):
        assert footage.clips("train") == footage.clips("test") == (0,)


def test_one_training_clip_serves_validation_too_with_a_warning(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.avi")
    footage = FileFootage([str(tmp_path)], 16)
    with pytest.warns(UserWarning, match="a.avi is the only training clip, so validation shows it too; give more"):
        assert footage.clips("fit") == footage.clips("validation") == (0,)


def test_video_and_action_show_the_files(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.avi", frames=4)
    config = {"name": "video", "footage": str(tmp_path)}
    distractor = make_distractor(config, action_reference=REFERENCE, image_size=16)
    assert distractor.config[0]["footage"] == str(tmp_path)
    rows = distractor.track(0, np.zeros((12, 1)), np.zeros((13, 2)))
    greys = np.array([distractor.plate(row).mean() for row in rows])
    np.testing.assert_allclose(np.abs(np.diff(greys)), 30, atol=5)
    panned = make_distractor([config, "action"], action_reference=REFERENCE, image_size=16)
    row = panned.track(0, np.ones((5, 1)), np.zeros((6, 2)))[-1]
    assert panned.plate(row).std() < 3  # a grey frame mirrored at its edges stays grey


def test_unreadable_footage_names_the_file_and_the_cure(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    distractor = make_distractor(
        {"name": "video", "footage": [str(tmp_path / "broken.mp4"), str(write_video(tmp_path / "z.avi"))]},
        action_reference=REFERENCE,
        image_size=16,
    )
    with pytest.raises(ValueError, match=r"no frame from .*broken.mp4.*ffmpeg"):
        distractor.live(0)
    (tmp_path / "nothing.mp4").touch()
    with pytest.raises(
        ValueError, match=r"nothing.mp4 is empty \(0 bytes\): copy or download it again, or leave it out"
    ):
        decode_clip(tmp_path / "nothing.mp4", 16)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no video file"):
        FileFootage([str(tmp_path / "empty")], 16)
    images = write_images(tmp_path / "images")
    (images / "00001.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cannot read the image .*00001.png"):
        decode_clip(images, 16)


def test_a_missing_libgl_names_the_cures(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.avi")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"opencv-python-headless.*libgl1"):
        decode_clip(path, 16)


@pytest.mark.skipif("MASKLAM_VIDEOS" not in os.environ, reason="MASKLAM_VIDEOS names no folder of real videos")
def test_real_videos_play():
    config = {"name": "video", "footage": os.environ["MASKLAM_VIDEOS"]}
    distractor = make_distractor(config, action_reference=REFERENCE, image_size=64)
    rows = distractor.track(0, np.zeros((50, 1)), np.zeros((51, 2)))
    plates = np.array([distractor.plate(row) for row in rows])
    assert plates.shape == (51, 64, 64, 3) and plates.std() > 5
