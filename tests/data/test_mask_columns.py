"""Columns of masks: resumed, checked, picked by name."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from masklam_agents import MaskLAM
from masklam_agents.cli import app
from masklam_agents.common.understanding import split_for_probe
from masklam_agents.methods import masked_dataset, redrawn
from masklam_envs import collect
from masklam_envs.data.formats.convert import open_own
from masklam_envs.data.frames import Frames, LazyFrames
from masklam_envs.data.mask_check import warn_of_useless_masks
from masklam_envs.data.mask_columns import (
    MaskColumn,
    comparable_columns,
    draw_sheet,
    mask_columns,
    segment_dataset,
)
from masklam_envs.data.store import EpisodeWriter
from masklam_envs.data.trajectories import Trajectories
from masklam_envs.masks import make_mask_source, register_mask_source, segment
from masklam_envs.masks.threshold import hard

VIEW = {"distractor": "video", "image_size": 32}
MOTION = {"name": "motion", "method": "difference"}


class Failing:
    """Bright pixels, until it has seen so many videos."""

    videos = 0

    def segment(self, frames, prompt=None):
        Failing.videos += 1
        if Failing.videos == 3:
            raise RuntimeError("the graphics card is gone")
        return (frames.mean(axis=3) > 128).astype(np.float32)


@pytest.fixture
def physics(tmp_path):
    collect("MaskHopper-v0", 4, policy="random", max_steps=5, seed=0, out=tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* are of little use")
        yield


def test_a_column_is_what_the_source_says_of_every_episode(physics):
    column = segment_dataset(physics, MOTION, name="moving", view=VIEW)
    frames = open_own(physics, view=VIEW)
    starts = frames.trajectories.first_frame
    source = make_mask_source(MOTION)
    for e in range(4):
        pixels = np.ascontiguousarray(frames.select([e]).pixels)
        assert np.array_equal(column.rows(np.arange(*starts[e : e + 2])), hard(segment(source, pixels)))
    assert mask_columns(physics) == ("moving",)
    assert column.quality is not None and column.quality.frames == len(frames)


def test_physics_is_seen_with_the_column_whole_or_in_parts(physics):
    column = segment_dataset(physics, MOTION, view=VIEW)
    lazy = open_own(physics, view=VIEW, masks="motion")
    index = np.array([9, 3, 17, 3])
    rgbm, place = lazy.rows(index)
    assert np.array_equal(rgbm[place][..., 3], column.rows(index))
    starts = lazy.trajectories.first_frame
    chosen = np.concatenate([np.arange(*starts[e : e + 2]) for e in (2, 0)])
    assert np.array_equal(lazy.select([2, 0]).mask[..., 0], column.rows(chosen))
    assert np.array_equal(lazy.twin().select([2]).mask, lazy.select([2]).mask)
    assert np.array_equal(lazy.select([1]).pixels, open_own(physics, view=VIEW).select([1]).pixels)
    assert lazy.trajectories.meta["masks"] == "motion"


def test_simulator_masks_are_a_column_of_iou_1(physics):
    column = segment_dataset(physics, "simulator", view=VIEW)
    assert (column.quality.iou_mean, column.quality.empty) == (1.0, 0.0)
    assert np.array_equal(column.soft, open_own(physics, view=VIEW).select(range(4)).mask[..., 0])


def test_pixels_get_columns_side_by_side(physics, tmp_path):
    drawn = open_own(physics, view=VIEW).select(range(4))
    drawn.save(tmp_path / "pixels")
    segment_dataset(tmp_path / "pixels", MOTION, name="a")
    segment_dataset(tmp_path / "pixels", "motion", name="b", workers=2)
    assert mask_columns(tmp_path / "pixels") == ("a", "b")
    own = Frames.load(tmp_path / "pixels")
    for name in ("a", "b"):
        picked = Frames.load(tmp_path / "pixels", masks=name)
        assert np.array_equal(picked.pixels, own.pixels)
        assert np.array_equal(picked.mask[..., 0], MaskColumn.load(tmp_path / "pixels", name).rows(np.arange(len(own))))
    source, starts = make_mask_source("motion"), own.trajectories.first_frame
    want = segment(source, np.ascontiguousarray(own.pixels[: starts[1]]))
    assert np.array_equal(Frames.load(tmp_path / "pixels", masks="b").mask[: starts[1], ..., 0], hard(want))


def test_masks_of_others_are_never_called_the_simulator_s(physics, tmp_path):
    frames = open_own(physics, view=VIEW)
    for masks, holds in (("motion", "those of 'motion'"), ("none", "no masks")):
        drawn = frames.select(range(4))
        drawn.trajectories.meta["masks"] = masks
        drawn.save(tmp_path / masks)
        with pytest.raises(ValueError, match=f"not known, it came as pixels with {holds}: name a mask source"):
            segment_dataset(tmp_path / masks, "simulator")
        assert mask_columns(tmp_path / masks) == ()


def test_a_part_keeps_its_masks_and_so_do_frames_seen_otherwise(physics):
    segment_dataset(physics, MOTION, view=VIEW)
    frames = open_own(physics, view=VIEW, masks="motion")
    whole, starts = frames.select(range(4)), frames.trajectories.first_frame
    for chosen in ([0, 1], [2, 0]):
        rows = np.concatenate([np.arange(*starts[e : e + 2]) for e in chosen])
        part = frames.part(chosen)
        assert np.array_equal(part.select(range(2)).rgbm, whole.rgbm[rows])
        assert np.array_equal(part.rows(np.arange(len(part)))[0], whole.rgbm[rows])
    fitted, scored = split_for_probe(frames)
    both = [each.select(range(each.trajectories.episodes)).mask for each in (fitted, scored)]
    assert np.array_equal(np.concatenate(both), whole.mask)
    env = open_own(physics, view=VIEW).view
    for clean in (redrawn(frames, "none").select(range(4)), redrawn(whole, "none", gym.make("MaskHopper-v0", **VIEW))):
        assert np.array_equal(clean.mask, whole.mask) and not np.array_equal(clean.pixels, whole.pixels)
    simulated = masked_dataset(frames, "agent")
    assert simulated.trajectories.meta.get("masks", "simulator") == "simulator"
    assert np.array_equal(simulated.select(range(4)).mask, LazyFrames(frames.trajectories, env).select(range(4)).mask)


def test_a_method_trains_on_a_column_by_name(physics):
    """What it learns follows the masks: by name, or the same masks put into the frames by hand."""
    column = segment_dataset(physics, MOTION, name="m", view=VIEW)
    options = {"network": "small", "batch_size": 8, "future_offset": 1, "stage_shares": (1, 0, 0), "seed": 0}

    def learned(dataset):
        agent = MaskLAM(dataset=dataset, **options).learn(16)
        return np.concatenate([each.detach().numpy().ravel() for each in agent.policy.parameters()])

    by_name, own = open_own(physics, view=VIEW, masks="m"), open_own(physics, view=VIEW)
    assert not np.array_equal(learned(by_name), learned(own))
    by_hand = own.select(range(4)).with_masks(column)
    assert np.array_equal(learned(by_name.select(range(4))), learned(by_hand))


def test_an_interrupted_run_goes_on_where_it_was(physics, monkeypatch):
    from masklam_envs.masks import sources

    monkeypatch.setattr(sources, "_KNOWN", dict(sources._KNOWN))
    register_mask_source("failing", f"{__name__}:Failing")
    Failing.videos = 0
    with pytest.raises(RuntimeError, match="graphics card"):
        segment_dataset(physics, "failing", view=VIEW)
    with pytest.raises(ValueError, match="are of 2 of 4 episodes: give the same `masklam segment` command again"):
        MaskColumn.load(physics, "failing")
    # Killed in the middle of a write: the rest of an episode without a record does not count.
    with open(physics / "masks" / "failing" / "mask.bin", "ab") as file:
        file.write(b"half an episode")
    column = segment_dataset(physics, "failing", view=VIEW)
    assert Failing.videos == 3 + 2  # the two that were missing
    frames = open_own(physics, view=VIEW).select(range(4))
    assert np.array_equal(column.soft > 0, frames.pixels.mean(axis=3) > 128)


LOST = """
import os
import numpy as np

class Lost:
    # Bright pixels; in the episode that begins with this pixel the agent is not found, or the process ends.
    def __init__(self, begins, ends=False):
        self.begins, self.ends = begins, ends

    def segment(self, frames, prompt=None):
        if frames[0, 0, 0].tolist() == self.begins:
            if self.ends:
                os._exit(9)
            raise LookupError("GroundingDINO finds no 'a robot.'")
        return (frames.mean(axis=3) > 128).astype(np.float32)
"""


@pytest.fixture
def lost(physics, monkeypatch, tmp_path):
    """A source of another module that is lost in episode 2."""
    from masklam_envs.masks import sources

    (tmp_path / "lost_source.py").write_text(LOST)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sources, "_KNOWN", dict(sources._KNOWN))
    register_mask_source("lost", "lost_source:Lost")
    return {"name": "lost", "begins": open_own(physics, view=VIEW).select([2]).pixels[0, 0, 0].tolist()}


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_wrong_with_an_episode_says_which_and_those_before_it_stay(physics, lost, workers):
    """A name of yours is known to worker processes, too."""
    with pytest.raises(LookupError, match="episode 2: GroundingDINO finds no 'a robot.'"):
        segment_dataset(physics, lost, view=VIEW, workers=workers)
    with pytest.raises(ValueError, match="are of 2 of 4 episodes"):
        MaskColumn.load(physics, "lost")
    with pytest.raises(ValueError, match=r"was made otherwise \(source differ"):
        segment_dataset(physics, {**lost, "begins": [0, 0, 0]}, view=VIEW)


def test_a_worker_that_ends_is_told_with_the_cure(physics, lost):
    with pytest.raises(MemoryError, match=r"episode \d: a worker ended at once, .* with fewer workers"):
        segment_dataset(physics, {**lost, "ends": True}, view=VIEW, workers=2)


def test_a_prompt_that_a_source_does_not_take_is_refused(physics):
    with pytest.raises(ValueError, match="Motion cannot be told what to look for"):
        segment_dataset(physics, MOTION, view=VIEW, prompt={"box": [0, 0, 9, 9]})


def test_a_sheet_shows_the_columns_of_the_same_frames(physics):
    segment_dataset(physics, MOTION, name="a", view=VIEW)
    segment_dataset(physics, MOTION, name="other", view={**VIEW, "distractor": "none"})
    column = segment_dataset(physics, {**MOTION, "radius": 0}, name="b", view=VIEW)
    assert comparable_columns(physics, column) == ["a", "b"]


def test_another_source_or_view_under_the_name_is_refused(physics):
    segment_dataset(physics, MOTION, name="m", view=VIEW)
    with pytest.raises(ValueError, match=r"was made otherwise \(source differ"):
        segment_dataset(physics, {**MOTION, "radius": 0}, name="m", view=VIEW)
    with pytest.raises(ValueError, match=r"was made otherwise \(view differ"):
        segment_dataset(physics, MOTION, name="m", view={**VIEW, "distractor": "none"})
    with pytest.raises(ValueError, match=r"made of other frames: distractor \['video'\] there, \['action'\] here"):
        open_own(physics, view={"distractor": "action", "image_size": 32}, masks="m")


def test_a_dataset_that_grew_needs_more_masks_and_one_that_changed_others(physics, tmp_path):
    segment_dataset(physics, MOTION, name="m", view=VIEW)
    recorded = Trajectories.load(physics)
    with EpisodeWriter(physics, recorded.meta) as writer:
        recorded.select([0]).append_to(writer)
    with pytest.raises(ValueError, match="are of 4 of 5 episodes"):
        MaskColumn.load(physics, "m")
    assert len(segment_dataset(physics, MOTION, name="m", view=VIEW).soft) == len(recorded.qpos) + 6
    other = tmp_path / "other"
    collect("MaskHopper-v0", 5, policy="random", max_steps=5, seed=9, out=other)
    (physics / "masks").rename(other / "masks")
    with pytest.raises(ValueError, match=r"are of other episodes than the dataset's \(from episode 0 on\)"):
        MaskColumn.load(other, "m")


def test_damage_is_named(physics):
    segment_dataset(physics, MOTION, name="m", view=VIEW)
    path = physics / "masks" / "m" / "mask.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"mask.bin: episode 0 is damaged"):
        MaskColumn.load(physics, "m")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask_source": "none"}, "a mask source and at least one worker are needed"),
        ({"mask_source": "motion", "name": "../x"}, "named by letters, digits"),
        ({"mask_source": "sma"}, "unknown mask source 'sma'. Did you mean 'sam'"),
    ],
)
def test_bad_arguments_write_nothing(physics, arguments, message):
    with pytest.raises(ValueError, match=message):
        segment_dataset(physics, view=VIEW, **arguments)
    assert not (physics / "masks").exists()


def test_an_unknown_column_is_named_with_the_command(physics):
    segment_dataset(physics, MOTION, view=VIEW)
    with pytest.raises(ValueError, match=r"unknown mask column 'moton'. Did you mean 'motion'.*masklam segment"):
        open_own(physics, view=VIEW, masks="moton")


def test_useless_masks_are_warned_of_before_training(physics):
    segment_dataset(physics, {**MOTION, "threshold": 1e6}, name="nothing", view=VIEW)
    with pytest.warns(UserWarning, match="masks 'nothing' are of little use: their IoU with the simulator's is 0.00"):
        open_own(physics, view=VIEW, masks="nothing")
    recorded = Trajectories.load(physics)
    bad = gym.make("MaskHopper-v0", **VIEW, mask_faults={"name": "dropout", "rate": 1.0})
    with pytest.warns(UserWarning, match="of little use for training: their IoU .* 100% of them are empty"):
        warn_of_useless_masks(LazyFrames(recorded, bad))
    with pytest.warns(UserWarning, match="100% of them are empty, more than 5%"):
        warn_of_useless_masks(LazyFrames(recorded, bad).select([0, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_useless_masks(LazyFrames(recorded, gym.make("MaskHopper-v0", **VIEW)))


def test_the_commands(physics, tmp_path):
    pytest.importorskip("onnxruntime")
    view = '{"distractor": "video", "image_size": 32}'
    sheet, student = tmp_path / "sheet.png", tmp_path / "student.onnx"
    call = [
        "segment",
        str(physics),
        "--mask-source",
        "motion",
        "-o",
        "method=flow",
        "--view",
        view,
        "--sheet",
        str(sheet),
    ]
    told = CliRunner().invoke(app, call)
    assert told.exit_code == 0, told.output
    assert "masks 'motion' of 24 frames" in told.output and "IoU" in told.output and sheet.is_file()
    call = ["train-segmenter", str(physics), "--out", str(student), "--view", view, "--updates", "2", "--base", "4"]
    told = CliRunner().invoke(app, call)
    assert told.exit_code == 0, told.output
    assert "on held-out episodes IoU" in told.output
    call = ["segment", str(physics), "--mask-source", "student", "-o", f"path={student}", "--view", view]
    assert CliRunner().invoke(app, call).exit_code == 0
    worse = ["--name", "worse", "--faults", '{"name": "latency", "frames": 2}', "--sheet", str(sheet)]
    told = CliRunner().invoke(app, [*call, *worse])
    assert told.exit_code == 0, told.output
    assert mask_columns(physics) == ("motion", "student", "worse")
    # A student of another source's masks.
    call = ["train-segmenter", str(physics), "--out", str(student), "--view", view, "--updates", "2", "--base", "4"]
    assert CliRunner().invoke(app, [*call, "--masks", "motion"]).exit_code == 0
    draw_sheet(sheet, physics, ["motion", "student"], view=VIEW)
    assert Image.open(sheet).size == (96 + 8 * 2 * 32, 3 * 2 * 32)  # a row each, and the simulator's
    told = CliRunner().invoke(app, ["segment", str(physics), "--mask-source", "moton"])
    assert told.exit_code == 2 and "Did you mean" in told.output


def test_rembg_says_what_it_runs_on_even_when_its_masks_are_smoothed(physics, tmp_path):
    pytest.importorskip("onnxruntime")
    from masklam_agents.segmenter import SegmenterNet
    from masklam_agents.segmenter.export import export_for_rembg

    export_for_rembg(SegmenterNet(4).eval(), tmp_path / "for_rembg.onnx", 32, {})
    call = ["segment", str(physics), "--mask-source", "rembg", "-o", "model=u2net_custom", "-o", "smoothing=2"]
    call += ["-o", f"model_path={tmp_path / 'for_rembg.onnx'}", "--view", '{"image_size": 32}']
    told = CliRunner().invoke(app, call)
    assert told.exit_code == 0, told.output
    assert "rembg runs on CPUExecutionProvider" in told.output
    assert "4/4" in told.stderr  # the progress bar, of episodes


def test_a_column_of_other_episodes_is_refused(tmp_path):
    """Though there are as many of as many steps: a column of the training set with the held-out one."""
    env = gym.make("MaskHopper-v0", **VIEW)
    for seed, name in enumerate(("train", "held_out")):
        collect("MaskHopper-v0", 3, max_steps=5, seed=seed).save(tmp_path / name)
        segment_dataset(tmp_path / name, MOTION, view=VIEW)
    train, held_out = (Trajectories.load(tmp_path / name) for name in ("train", "held_out"))
    column = MaskColumn.load(tmp_path / "train", "motion")
    assert len(LazyFrames(train, env, masks=column)) == 18
    for other in (held_out, train.select([2, 0, 1])):
        with pytest.raises(ValueError, match="the masks 'motion' are of other episodes, or of these in another order"):
            LazyFrames(other, env, masks=column)
