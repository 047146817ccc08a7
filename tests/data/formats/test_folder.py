"""Own videos: what is written is read, clips become episodes, stage 1 trains on them, and what is wrong is named."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from masklam_agents import BC, LAPO, MaskLAM
from masklam_envs import Frames, LazyFrames
from masklam_envs.data.formats import folder as layout
from masklam_envs.data.formats import images, import_dataset
from tests.data.formats.helpers import assert_episode, cut, disk_of
from tests.helpers import write_clip
from tests.test_cli import masklam

REAL = Path(os.environ.get("MASKLAM_VIDEOS", Path(__file__).parents[4] / "shared" / "videos"))


def moving_square(count=40, size=96, side=24, noise=3.0, seed=0):
    """A bright square that crosses a noisy picture: frames (T, S, S, 3) and its masks (T, S, S)."""
    rng = np.random.default_rng(seed)
    scene = rng.integers(40, 120, (size, size, 3)).astype(float)
    frames = np.clip(scene + noise * rng.normal(size=(count, size, size, 3)), 0, 255).astype(np.uint8)
    masks = np.zeros((count, size, size), bool)
    for t, left in enumerate(np.linspace(0, size - side, count).astype(int)):
        masks[t, size // 3 : size // 3 + side, left : left + side] = True
    frames[masks] = (230, 210, 90)
    return frames, masks


def test_what_is_written_is_read(drawn, tmp_path):
    layout.export(drawn, tmp_path / "clips")
    frames = import_dataset(tmp_path / "clips", tmp_path / "back", size=36)
    lengths = drawn.trajectories.lengths
    for e in range(3):
        got, want = frames.select([e]), drawn.select([e])
        assert np.array_equal(got.mask, want.mask)
        assert np.array_equal(got.trajectories.actions, want.trajectories.actions)
    assert (frames.trajectories.meta["masks"], frames.trajectories.lengths.tolist()) == ("dataset", lengths.tolist())


def test_masks_and_video_survive(video_only, tmp_path):
    layout.export(video_only, tmp_path / "clips")
    frames = import_dataset(tmp_path / "clips", tmp_path / "back", size=36)
    assert np.array_equal(frames.mask, video_only.mask)
    assert frames.trajectories.actions.shape == (9, 0)


def test_video_is_the_same_picture(drawn, tmp_path):
    layout.export(drawn, tmp_path / "clips")
    frames = import_dataset(tmp_path / "clips", tmp_path / "back", size=36)
    zeros = Frames(frames.trajectories, frames.rgbm, frames.tracks)
    error = zeros.pixels.astype(float) - drawn.select(range(3)).pixels
    assert 10 * np.log10(255**2 / (error**2).mean()) > 20


def test_the_motion_source_finds_what_moves(tmp_path):
    frames, masks = moving_square()
    write_clip(tmp_path / "clip.mp4", frames)
    found = import_dataset([tmp_path / "clip.mp4"], tmp_path / "data", mask_source="motion", size=48)
    want = masks.reshape(len(masks), 48, 2, 48, 2).mean(axis=(2, 4)) > 0.5
    got = found.mask[..., 0] > 0
    iou = (got & want).sum(axis=(1, 2)) / (got | want).sum(axis=(1, 2))
    assert np.median(iou) > 0.8


def test_a_clip_becomes_episodes_of_its_central_square(tmp_path):
    frames = np.zeros((25, 40, 80, 3), np.uint8)
    frames[:, :, 20:60] = 200
    write_clip(tmp_path / "clip.mp4", frames)
    found = import_dataset([tmp_path / "clip.mp4"], tmp_path / "data", size=40, longest=10, stride=2)
    assert found.trajectories.lengths.tolist() == [9, 2]
    assert found.pixels[:, :, 5:-5].min() > 150
    assert found.trajectories.meta["source"]["clips"] == ["clip.mp4"]


@pytest.fixture
def clips(tmp_path):
    frames, _ = moving_square(count=24, size=64, side=16)
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        write_clip(tmp_path / "clips" / f"{name}.mp4", frames)
    return tmp_path / "clips"


STAGE_1 = {"stage_shares": (1, 0, 0), "batch_size": 16, "future_offset": 2, "seed": 0}


def test_stage_1_trains_on_it(clips, tmp_path):
    frames = import_dataset(clips, tmp_path / "data", mask_source="motion", size=32)
    agent = MaskLAM(dataset=frames, **STAGE_1).learn(96)
    assert agent.progress == {"pretrain": 6, "clone": 0, "decode": 0}
    windows = agent.windows(frames)
    assert agent.latents(frames, windows.anchors).std() > 0


def test_without_masks_masklam_says_what_to_do_and_lapo_trains(clips, tmp_path):
    frames = import_dataset(clips, tmp_path / "data", mask_source="none", size=32)
    with pytest.raises(ValueError, match=r"MaskLAM learns from masks and the dataset has none: .*--mask-source motion"):
        MaskLAM(dataset=frames, **STAGE_1).learn(16)
    assert LAPO(dataset=frames, **STAGE_1).learn(32).progress["pretrain"] == 2


@pytest.mark.parametrize("method", [LAPO, BC])
def test_without_actions_nothing_is_decoded(clips, tmp_path, method):
    frames = import_dataset(clips, tmp_path / "data", mask_source="none", size=32)
    with pytest.raises(ValueError, match=r"has no actions: train stage 1 alone \(stage_shares=\(1, 0, 0\)\)"):
        method(dataset=frames, batch_size=16).learn(96)


def imported(folder, *arguments):
    """What the command of the README makes of clips, and what it prints."""
    done = masklam("import", *arguments, "--mask-source", "motion", "--out", folder)
    assert done.exit_code == 0, done.output
    return Frames.load(folder), done.output


def test_the_command_makes_masks_of_motion(clips, tmp_path):
    frames, told = imported(tmp_path / "data", clips / "a.mp4", clips / "b.mp4", "--size", 32)
    assert f"{tmp_path / 'data'}: 2 episodes, 48 frames; masks: motion," in told
    assert np.array_equal(frames.mask, import_dataset(clips, tmp_path / "same", mask_source="motion", size=32).mask)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real clips here")
@pytest.mark.slow
def test_real_clips_become_a_dataset_that_stage_1_trains_on(tmp_path):
    frames, told = imported(tmp_path / "data", *sorted(REAL.glob("*.mp4"))[:2])
    assert "2 episodes, 1000 frames; masks: motion," in told
    assert frames.trajectories.lengths.tolist() == [499, 499]
    assert 0 < (frames.mask > 0).mean() < 0.5
    assert MaskLAM(dataset=frames, **STAGE_1).learn(64).progress["pretrain"] == 4


# ----------------------------------------------------------------------------------------------------------- bad input


def test_masks_that_are_missing_are_a_warning_unless_that_was_said(clips, tmp_path, recwarn):
    import_dataset(clips, tmp_path / "data", mask_source="none", size=32)
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"no folder of PNG files lies beside .*a.mp4 and no mask source is"):
        import_dataset(clips, tmp_path / "more", size=32)


def test_a_video_of_nothing_is_named(clips, tmp_path):
    (clips / "c.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"c.mp4 is empty \(0 bytes\): copy or download .*leave such clips out"):
        import_dataset(clips, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    with pytest.warns(UserWarning, match=r"c.mp4.*it is left out"):
        assert import_dataset(clips, tmp_path / "data", skip_damaged=True).trajectories.episodes == 2


def test_a_pixel_that_is_half_covered_is_the_agent_s_as_everywhere(tmp_path):
    """Two by two pixels of the PNG become one of the mask."""
    import cv2

    write_clip(tmp_path / "a.mp4", np.full((2, 16, 16, 3), 90, np.uint8))
    mask = np.zeros((16, 16), np.uint8)
    mask[0, :2] = 255  # half of the first pixel
    mask[0, 2] = 255  # a quarter of the second
    (tmp_path / "a").mkdir()
    for t in range(2):
        cv2.imwrite(str(tmp_path / "a" / f"{t}.png"), mask)
    found = import_dataset(tmp_path, tmp_path / "data", size=8).mask[0, ..., 0]
    assert found[0, :3].tolist() == [255, 0, 0] and not found[1:].any()


def test_masks_of_0_and_1_are_those_of_0_and_255(video_only, tmp_path):
    layout.export(video_only, tmp_path / "clips")
    for file in (tmp_path / "clips").rglob("*.png"):
        file.write_bytes(images.png(images.decoded("", file.read_bytes(), grey=True) // 255))
    assert np.array_equal(import_dataset(tmp_path / "clips", tmp_path / "back", size=36).mask, video_only.mask)


def test_options_of_a_source_that_is_not_named_are_refused(video_only, tmp_path):
    layout.export(video_only, tmp_path / "clips")
    with pytest.raises(ValueError, match="mask_options .* are of a mask source: name it"):
        import_dataset(tmp_path / "clips", tmp_path / "back", mask_options={"threshold": 3})


def test_bounds_that_we_wrote_stay(drawn, tmp_path):
    meta = {**drawn.trajectories.meta, "action_low": [-4.0] * 3, "action_high": [4.0] * 3}
    layout.export(LazyFrames(dataclasses.replace(drawn.trajectories, meta=meta), drawn.view), tmp_path / "clips")
    assert import_dataset(tmp_path / "clips", tmp_path / "back").trajectories.meta["action_high"] == [4.0] * 3


def test_without_opencv_the_cure_is_named(clips, drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    for work in (
        lambda: import_dataset(clips, tmp_path / "data"),
        lambda: layout.export(drawn, tmp_path / "written"),
        lambda: images.png(np.zeros((4, 4), np.uint8)),
        lambda: images.decoded("row 3", b"a png"),
        lambda: images.VideoReader().frames(clips / "a.mp4", 0, 1),
    ):
        with pytest.raises(ImportError, match=r"pip install opencv-python-headless.*libGL"):
            work()
    assert not (tmp_path / "data").exists()


def test_a_video_whose_index_is_cut_off_is_named(clips, tmp_path):
    cut(clips / "b.mp4")
    with pytest.raises(ValueError, match=r"OpenCV reads no frame of .*b.mp4: it is empty, cut short"):
        import_dataset(clips, tmp_path / "data")


def test_a_video_that_ends_early_is_a_warning(tmp_path):
    import cv2

    frames, _ = moving_square(count=24, size=64)
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
    for frame in frames:
        writer.write(frame)
    writer.release()
    cut(tmp_path / "a.avi", 0.5)
    with pytest.warns(UserWarning, match=r"a.avi promises 24 frames and \d+ can be read: it is cut short"):
        assert 5 < len(import_dataset([tmp_path / "a.avi"], tmp_path / "data", size=32)) < 20


def test_a_full_disk_leaves_nothing_and_is_told(drawn, tmp_path):
    with disk_of(2_000), pytest.raises(OSError, match=r"clips could not be written .*; make room and try again"):
        layout.export(drawn, tmp_path / "clips")
    assert not list(tmp_path.iterdir())


def test_masks_that_do_not_fit_are_named(video_only, tmp_path):
    layout.export(video_only, tmp_path / "clips")
    (tmp_path / "clips" / "episode_00001" / "000002.png").unlink()
    with pytest.raises(ValueError, match=r"episode_00001 has 4 masks for 5 frames of episode_00001.mp4"):
        import_dataset(tmp_path / "clips", tmp_path / "data")


def test_a_damaged_mask_is_named(video_only, tmp_path):
    layout.export(video_only, tmp_path / "clips")
    (tmp_path / "clips" / "episode_00001" / "000002.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"000002.png cannot be read; make that mask again"):
        import_dataset(tmp_path / "clips", tmp_path / "data")


def test_masks_of_some_clips_only_are_named(video_only, tmp_path):
    layout.export(video_only, tmp_path / "clips")
    import shutil

    shutil.rmtree(tmp_path / "clips" / "episode_00001")
    with pytest.raises(ValueError, match=r"episode_00001.mp4 has no folder of masks .*other clips have"):
        import_dataset(tmp_path / "clips", tmp_path / "data")


def test_a_damaged_record_of_where_clips_come_from_is_named(video_only, tmp_path):
    layout.export(video_only, tmp_path / "clips")
    cut(tmp_path / "clips" / "masklam.json")
    with pytest.raises(ValueError, match=r"masklam.json is damaged; copy it again, or remove it"):
        import_dataset(tmp_path / "clips", tmp_path / "data")


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros((9, 2), np.float32), "has 9 actions for 6 frames; 5 are due"),
        (np.zeros((3, 2), np.float32), "ends early: a frame but the last has no action"),
        (np.zeros(5, np.float32), r"must hold floats \(T, A\), got float32 \(5,\)"),
        (np.zeros((5, 2), np.int64), r"must hold floats \(T, A\), got int64"),
    ],
)
def test_actions_that_do_not_fit_are_named(video_only, tmp_path, actions, message):
    layout.export(video_only.select([0]), tmp_path / "clips")
    np.save(tmp_path / "clips" / "episode_00000.actions.npy", actions)
    with pytest.raises(ValueError, match=message):
        import_dataset(tmp_path / "clips", tmp_path / "data", size=36)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_source": "moton"}, "unknown mask source 'moton'. Did you mean 'motion'"),
        ({"mask_source": "motion", "mask_options": {"treshold": 1}}, "Did you mean 'threshold'"),
        ({"mask_source": "motion", "mask_options": {"threshold": 0}}, "threshold must be above 0"),
        ({"size": 0}, "size >= 4, stride >= 1 and longest >= 2 are needed"),
        ({"stride": 0}, "size >= 4, stride >= 1"),
        ({"sise": 3}, "unknown option of 'folder' 'sise'. Did you mean 'size'"),
    ],
)
def test_bad_options_say_what_is_wrong(clips, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        import_dataset(clips, tmp_path / "data", **options)


def test_a_video_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no video .*nothing.mp4"):
        import_dataset([tmp_path / "nothing.mp4", tmp_path / "x.mp4"], tmp_path / "data")


def test_a_folder_without_video_is_named(tmp_path):
    with pytest.raises(ValueError, match="hold no video"):
        import_dataset(tmp_path, tmp_path / "data", "folder")


def test_a_clip_too_short_for_a_window_says_so(clips, tmp_path):
    from masklam_envs import Windows

    frames = import_dataset(clips, tmp_path / "data", longest=3)
    with pytest.raises(ValueError, match=r"no episode has 10 steps .the longest has 2.: collect longer episodes"):
        Windows(frames, future_offset=10)


def test_what_is_kept_of_an_episode_is_compared_whole(drawn):
    """The comparison of the other tests sees a difference."""
    other = drawn.select(range(3))
    other.rgbm[0, 0, 0, 3] ^= 255
    with pytest.raises(AssertionError):
        assert_episode(other, 0, drawn, int(drawn.trajectories.lengths[0]))


def test_masks_are_in_the_order_of_their_numbers(tmp_path):
    """FFmpeg counts 1, 2, .. 10: as text 10 would come before 2."""
    frames, masks = moving_square(12, size=48)
    write_clip(tmp_path / "clip.mp4", frames)
    (tmp_path / "clip").mkdir()
    for t, mask in enumerate(masks):
        (tmp_path / "clip" / f"{t + 1}.png").write_bytes(images.png(mask.astype(np.uint8) * 255))
    found = import_dataset([tmp_path / "clip.mp4"], tmp_path / "data", size=48)
    assert np.array_equal(found.mask[..., 0] > 0, masks)


def test_an_episode_of_a_thousand_steps_stays_one(tmp_path):
    frames = moving_square(40, size=16, side=4)[0]
    write_clip(tmp_path / "long.mp4", np.concatenate([frames] * 26)[:1_001])
    found = import_dataset([tmp_path / "long.mp4"], tmp_path / "data", size=16, mask_source="none")
    assert found.trajectories.lengths.tolist() == [1_000]
    with pytest.warns(UserWarning, match="long.mp4: its last frame is left out, an episode has two or more"):
        short = import_dataset([tmp_path / "long.mp4"], tmp_path / "other", size=16, mask_source="none", longest=1_000)
    assert short.trajectories.lengths.tolist() == [999]


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(Path("clip.mp4"), moving_square(4, size=16, side=4)[0])
    Path("clip.mp4").rename("12:30.mp4")
    assert len(import_dataset(["12:30.mp4"], "data", size=16, mask_source="none")) == 4
