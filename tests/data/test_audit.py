"""`masklam inspect` measures what is there and flags what would make a result meaningless."""

from __future__ import annotations

import base64
import dataclasses
import re

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import Frames, collect, measure_correlation
from masklam_envs.data import audit_report, pixel_trajectories
from masklam_envs.data.audit import audit, background_motion
from masklam_envs.data.audit_report import text_of, write_report
from masklam_envs.data.mask_columns import MaskColumn, segment_dataset
from tests.test_cli import masklam

META = {"base": None, "masks": "motion", "action_low": [-1.0, -1.0], "action_high": [1.0, 1.0]}


def flags_of(frames, folder):
    frames.save(folder)
    return audit(folder).flags


def good(lengths=(20, 20, 20), seed=0, size=16):
    """Random pixels, a steady mask in the middle, actions spread over their range."""
    rng = np.random.default_rng(seed)
    count = sum(lengths) + len(lengths)
    rgbm = rng.integers(0, 256, (count, size, size, 4), np.uint8)
    rgbm[..., 3] = 0
    rgbm[:, 5:11, 5:11, 3] = 255
    actions = rng.uniform(-1, 1, (sum(lengths), 2)).astype(np.float32)
    return Frames(pixel_trajectories(META, lengths, actions=actions), rgbm, [np.zeros((n + 1, 0)) for n in lengths])


def changed(frames, **fields):
    return Frames(dataclasses.replace(frames.trajectories, **fields), frames.rgbm, frames.tracks)


def test_a_good_dataset_has_no_flag(tmp_path):
    assert flags_of(good(), tmp_path / "data") == []


def test_physics_is_measured_as_it_is_seen(tmp_path):
    recorded = collect("MaskCheetah-v0", 3, max_steps=120, out=tmp_path / "data")
    found = audit(tmp_path / "data", view={"distractor": "action", "correlation": 0.7, "image_size": 36})
    assert found.variance == pytest.approx(recorded.actions.astype(float).var(axis=0))
    assert found.saturation == pytest.approx((np.abs(recorded.actions) == 1).mean(axis=0), abs=0.01)
    assert found.returns.tolist() == recorded.returns.tolist()
    assert found.motion == "track"
    assert found.correlation.multiple_correlation == pytest.approx(0.7, abs=0.15)
    assert 0.01 < np.median(found.pixels.agent) < 0.5
    assert found.pixels.blinks < 0.02
    assert not any("flickers" in flag for flag in found.flags)
    assert "to the last bit" in found.replay


def test_the_measured_correlation_is_that_of_the_environment(tmp_path):
    env = gym.make("MaskHopper-v0", distractor="action", correlation=0.5)
    collect(env, 40, policy="random", out=tmp_path / "data")
    found = audit(tmp_path / "data", view={"distractor": "action", "correlation": 0.5, "image_size": 36})
    want = measure_correlation(env, steps=1_000, policy="random", seed=9)
    assert found.correlation.multiple_correlation == pytest.approx(want.multiple_correlation, abs=0.15)


def test_the_background_s_motion_is_seen_in_pixels():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (32, 32, 3)).repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)
    where = rng.integers(24, 40, (40, 2))
    where = (where + where[0]) // 2
    rgbm = np.zeros((40, 64, 64, 4), np.uint8)
    for frame, (x, y) in zip(rgbm, where, strict=True):
        frame[..., :3] = scene[y : y + 64, x : x + 64]
        frame[25:35, 25:35] = 255
    # A window that moves right shows a picture that moves left.
    error = np.abs(background_motion(rgbm) + np.diff(where, axis=0))
    assert np.median(error) < 0.3


def with_nan(frames):
    actions = frames.trajectories.actions.copy()
    actions[7, 0] = np.nan
    return actions


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda: good([20]), "one episode: nothing can be held out"),
        (lambda: good([20, 20, 4]), r"1 of 3 episodes are below 10 steps \(the first is 2\)"),
        (lambda: good().select([0, 1, 0]), r"1 episodes repeat earlier ones \(the first is 2\)"),
        (
            lambda: changed(good(), actions=np.zeros((60, 0), np.float32), labels=np.zeros((60, 0), np.float32)),
            "no actions",
        ),
        (lambda: changed(good(), actions=good().trajectories.actions * [1, 0]), r"dimensions \[1\] hardly change"),
        (lambda: changed(good(), actions=np.sign(good().trajectories.actions)), "100% of the actions are at a bound"),
        (lambda: changed(good(), actions=3 * good().trajectories.actions), "actions lie outside their bounds"),
        (lambda: changed(good(), actions=with_nan(good())), "the actions of 1 steps are not finite numbers"),
        (
            lambda: changed(good(), rewards=np.where(np.arange(60) == 25, np.nan, 0).astype(np.float32)),
            r"1 episodes \(the first is 1\) have rewards that are not finite",
        ),
    ],
)
def test_what_is_wrong_with_episodes_and_actions_is_flagged(tmp_path, make, flag):
    assert any(re.search(flag, found) for found in flags_of(make(), tmp_path / "data"))


def painted(paint):
    frames = good()
    paint(frames.rgbm)
    return frames


def loop(rgbm):
    rgbm[21:42], rgbm[42:] = rgbm[:21], rgbm[:21]


def flicker(rgbm):
    rgbm[::2, ..., 3] = 0
    rgbm[::2, :3, :3, 3] = 255


@pytest.mark.parametrize(
    ("paint", "flag"),
    [
        (lambda rgbm: rgbm[..., 3].fill(0), "every mask is empty"),
        (lambda rgbm: rgbm[::3, ..., 3].fill(0), "the mask is empty in 33% of the frames"),
        (lambda rgbm: rgbm[..., 3].fill(255), "the mask covers 100% of the frame"),
        (flicker, "the mask flickers"),
        (loop, "67% of the frames are copies of earlier ones"),
        (lambda rgbm: rgbm[:21, ..., :3].fill(7), r"33% of the steps change no pixel \(up to 20 in a row\)"),
    ],
)
def test_what_is_wrong_with_pixels_is_flagged(tmp_path, paint, flag):
    assert any(re.search(flag, found) for found in flags_of(painted(paint), tmp_path / "data"))


def test_a_small_agent_is_flagged(tmp_path):
    frames = good(size=64)
    frames.rgbm[..., 3] = 0
    frames.rgbm[:, 30:33, 30:33, 3] = 255
    assert any("the agent covers 0.22% of the frame" in flag for flag in flags_of(frames, tmp_path / "data"))


def test_a_background_that_tells_the_action_is_flagged(tmp_path):
    collect("MaskHopper-v0", 40, policy="random", out=tmp_path / "data")
    found = audit(tmp_path / "data", view={"distractor": "action", "correlation": 1.0, "image_size": 36})
    assert any("the background's motion is explained by the actions" in flag for flag in found.flags)


def test_every_damaged_episode_is_named(tmp_path):
    good().save(tmp_path / "data")
    for name in ("rgbm.bin", "actions.zz"):
        path = tmp_path / "data" / name
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        data[-1] ^= 1
        path.write_bytes(data)
    found = audit(tmp_path / "data")
    assert len(found.damaged) == 4
    for name in ("rgbm.bin", "actions.zz"):
        for episode in (0, 2):
            assert any(f"{name}: episode {episode} is damaged" in line for line in found.damaged)


def test_a_missing_file_is_damage(tmp_path):
    good().save(tmp_path / "data")
    (tmp_path / "data" / "rewards.bin").unlink()
    [line] = audit(tmp_path / "data").damaged
    assert line == f"{tmp_path / 'data' / 'rewards.bin'} is missing; collect the dataset again"


def test_the_agent_is_measured_in_pixels(tmp_path):
    good().save(tmp_path / "data")
    assert re.search(r"agent, pixels +36 / 36 / 36 \(least", text_of(audit(tmp_path / "data")))


@pytest.fixture
def segmented(tmp_path):
    """Physics with a column of masks that are next to nothing."""
    collect("MaskHopper-v0", 2, policy="random", max_steps=12, out=tmp_path / "data")
    with pytest.warns(UserWarning, match="are of little use"):
        segment_dataset(tmp_path / "data", "motion", view={"distractor": "video", "image_size": 36})
    return tmp_path / "data"


@pytest.mark.filterwarnings("ignore:the masks 'motion' are of little use")
def test_columns_of_masks_are_measured_and_can_be_looked_at(segmented):
    view = {"distractor": "video", "image_size": 36}
    found, column = audit(segmented, view=view), MaskColumn.load(segmented, "motion")
    assert found.columns == {"motion": str(column.quality)} and "masks 'motion'" in text_of(found)
    assert not any("little use" in flag for flag in found.flags)
    looked_at = audit(segmented, view=view, masks="motion")
    assert any("the masks are of little use: their IoU with" in flag for flag in looked_at.flags)
    assert looked_at.meta["masks"] == "motion"


MOTION = {"name": "motion", "method": "difference"}


def test_masks_of_a_source_are_compared_with_the_simulator_s(tmp_path):
    collect("MaskHopper-v0", 2, policy="random", max_steps=12, out=tmp_path / "data")
    found = audit(tmp_path / "data", view={"distractor": "video", "image_size": 36, "mask_source": MOTION})
    assert any("the masks are of little use: their IoU with" in flag for flag in found.flags)


def test_damage_of_a_column_of_masks_is_named(segmented):
    path = segmented / "masks" / "motion" / "mask.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    [line] = audit(segmented).damaged
    assert re.search(r"masks/motion/mask.bin: episode 1 is damaged", line)


@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_a_report_is_one_file(tmp_path, suffix):
    good().save(tmp_path / "data")
    path = tmp_path / "out" / f"report{suffix}"
    write_report(audit(tmp_path / "data"), path)
    data = path.read_bytes()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    if suffix == ".html":
        assert b"NMSE denominator" in data and b"http" not in data
        data = base64.b64decode(re.search(rb"base64,([^\"]+)", data)[1])
    assert data.startswith(b"\x89PNG")


def test_names_are_escaped(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_report, "_drawn", lambda _: b"")  # takes seconds, and is not what is tested here
    frames = good()
    meta = {**META, "task": "<script>alert(1)</script>"}
    Frames(dataclasses.replace(frames.trajectories, meta=meta), frames.rgbm, frames.tracks).save(tmp_path / "data")
    write_report(audit(tmp_path / "data"), tmp_path / "x.html")
    assert b"<script>" not in (tmp_path / "x.html").read_bytes()


def test_another_ending_is_refused(tmp_path):
    good().save(tmp_path / "data")
    with pytest.raises(ValueError, match=r"one .html or one .png file, got 'x.pdf'"):
        write_report(audit(tmp_path / "data"), tmp_path / "x.pdf")


def test_the_command_prints_and_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_report, "_drawn", lambda _: b"")
    good([20]).save(tmp_path / "data")
    done = masklam("inspect", tmp_path / "data", "--out", tmp_path / "x.html")
    assert done.exit_code == 0, done.output
    assert text_of(audit(tmp_path / "data")) in done.output
    assert "FLAG: one episode" in done.output
    assert (tmp_path / "x.html").is_file()


def test_the_command_fails_on_damage(tmp_path):
    good().save(tmp_path / "data")
    path = tmp_path / "data" / "rewards.bin"
    path.write_bytes(b"\xff" * path.stat().st_size)
    done = masklam("inspect", tmp_path / "data", "--out", tmp_path / "x.html")
    assert done.exit_code == 1
    assert "DAMAGED:" in done.output and "rewards.bin: episode 1 is damaged" in done.output


def test_no_dataset_is_a_message(tmp_path):
    done = masklam("inspect", tmp_path / "nothing")
    assert done.exit_code == 2
    assert "holds no dataset" in done.output
