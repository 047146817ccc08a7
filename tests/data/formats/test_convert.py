"""Layouts are found out, and one road leads from each to ours and from ours to each."""

from __future__ import annotations

import os
import re
import sys
import time
import warnings
from importlib.metadata import metadata

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import Frames, Trajectories, collect, render_frames
from masklam_envs.data.formats import convert_dataset, detect_format, folder, import_dataset, laom
from masklam_envs.data.formats.convert import parse_options
from masklam_envs.whole import ABANDONED
from tests.helpers import write_clip
from tests.test_cli import masklam


@pytest.fixture
def physics(equal, tmp_path):
    equal.trajectories.save(tmp_path / "physics")
    return tmp_path / "physics"


VIEW = {"distractor": "video", "image_size": 36}


def test_physics_becomes_pixels(physics, equal, tmp_path):
    convert_dataset(physics, tmp_path / "pixels", "masklam", view=VIEW)
    frames = Frames.load(tmp_path / "pixels")
    assert np.array_equal(frames.rgbm, equal.select(range(3)).rgbm)
    assert frames.trajectories.meta["masks"] == "simulator"
    assert detect_format(tmp_path / "pixels") == "masklam"


def test_pixels_can_be_written_on(physics, equal, tmp_path):
    convert_dataset(physics, tmp_path / "pixels", "masklam", view=VIEW)
    convert_dataset(tmp_path / "pixels", tmp_path / "clips", "folder")
    assert detect_format(tmp_path / "clips") == "folder"
    frames = import_dataset(tmp_path / "clips", tmp_path / "back", size=36)
    assert np.array_equal(frames.mask, equal.select(range(3)).mask)


@pytest.mark.parametrize(
    ("layout", "package"),
    [("folder", "cv2"), ("huggingface", "pyarrow"), ("laom", "h5py"), ("lerobot", "pyarrow"), ("minari", "minari")],
)
@pytest.mark.filterwarnings("ignore::UserWarning:minari")
def test_where_a_dataset_comes_from_survives_every_layout(tmp_path, monkeypatch, layout, package):
    pytest.importorskip(package)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    (tmp_path / "clips").mkdir()
    for number in range(5):
        write_clip(tmp_path / "clips" / f"{number}.mp4", np.zeros((3, 40, 40, 3), np.uint8))
    recorded = collect("MaskHopper-v0", 2, policy="medium", noise=0.1, seed=9, max_steps=4, out=tmp_path / "physics")
    view = {"distractor": {"name": "video", "footage": str(tmp_path / "clips"), "videos": 2}, "image_size": 36}
    there = "masklam/hopper-v0" if layout == "minari" else tmp_path / f"x.{'hdf5' if layout == 'laom' else 'data'}"
    convert_dataset(tmp_path / "physics", there, layout, view=view)
    meta = import_dataset(there, tmp_path / "back", layout).trajectories.meta
    found = meta["source"]["recorded"]
    assert {key: found[key] for key in recorded.meta} == recorded.meta  # expert, noise, seed, versions, reference
    assert found["view"]["distractor"] == view["distractor"]
    assert found["videos"] == ["0.mp4", "1.mp4"]


def test_layouts_are_found_out(equal, video_only, tmp_path):
    laom.export(equal, tmp_path / "x.hdf5")
    folder.export(video_only, tmp_path / "clips")
    assert detect_format(tmp_path / "x.hdf5") == "laom"
    assert detect_format(tmp_path / "clips") == detect_format(tmp_path / "clips" / "episode_00000.mp4") == "folder"


def test_a_view_of_pixels_is_refused(video_only, tmp_path):
    video_only.save(tmp_path / "data")
    with pytest.raises(ValueError, match="holds pixels, which cannot be seen otherwise"):
        convert_dataset(tmp_path / "data", tmp_path / "x.hdf5", "laom", view=VIEW)


def test_what_is_not_known_is_named(physics, tmp_path):
    with pytest.raises(ValueError, match=r"unknown format 'lerobt'. Did you mean 'lerobot'"):
        convert_dataset(physics, tmp_path / "x", "lerobt")
    with pytest.raises(ValueError, match=r"unknown option of 'laom' 'lenght'. Did you mean 'length'"):
        convert_dataset(physics, tmp_path / "x.hdf5", "laom", lenght=3)
    with pytest.raises(ValueError, match="does not exist; name its layout, one of masklam, folder"):
        detect_format(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is of no layout that is known"):
        detect_format(tmp_path / "empty")


def test_from_one_foreign_layout_to_another_goes_through_ours(equal, tmp_path):
    laom.export(equal, tmp_path / "x.hdf5")
    with pytest.raises(ValueError, match=r"is of layout 'laom': import it first .*--to masklam"):
        convert_dataset(tmp_path / "x.hdf5", tmp_path / "clips", "folder")


def test_an_interrupted_import_leaves_nothing(equal, tmp_path, monkeypatch):
    laom.export(equal, tmp_path / "x.hdf5")
    with pytest.raises(ValueError, match="unknown option"):
        import_dataset(tmp_path / "x.hdf5", tmp_path / "data", clp=True)
    monkeypatch.setattr(laom, "rgbm_of", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        import_dataset(tmp_path / "x.hdf5", tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["x.hdf5"]


def test_a_dataset_that_is_there_is_never_replaced(physics, equal, tmp_path):
    laom.export(equal, tmp_path / "x.hdf5")
    before = {path: path.read_bytes() for path in physics.rglob("*") if path.is_file()}
    for source in (physics, tmp_path / "x.hdf5"):
        with pytest.raises(FileExistsError, match="exists; give another name or remove it"):
            convert_dataset(source, physics, "masklam")
    assert {path: path.read_bytes() for path in physics.rglob("*") if path.is_file()} == before


def test_what_a_killed_import_has_left_is_removed_by_the_next_a_day_later(equal, tmp_path):
    laom.export(equal, tmp_path / "x.hdf5")
    old, young = tmp_path / ".data.1.part", tmp_path / ".data.2.part"
    for left in (old, young):
        left.mkdir()
        (left / "rgbm.bin").write_bytes(b"half")
    for path in (old, old / "rgbm.bin", young):  # of the young one the file alone is young
        os.utime(path, (time.time() - ABANDONED - 60,) * 2)
    import_dataset(tmp_path / "x.hdf5", tmp_path / "data")
    assert not old.exists() and young.exists()


@pytest.mark.parametrize("ignored", [{"view": VIEW}, {"env": "MaskHopper-v0"}, {"masks": "motion"}])
def test_what_is_of_no_use_to_another_layout_is_refused(equal, tmp_path, ignored):
    laom.export(equal, tmp_path / "x.hdf5")
    with pytest.raises(ValueError, match=f"{next(iter(ignored))} is for datasets of ours"):
        convert_dataset(tmp_path / "x.hdf5", tmp_path / "data", "masklam", **ignored)


def test_a_dataset_of_ours_is_of_no_other_layout(physics, tmp_path):
    with pytest.raises(ValueError, match="is a dataset of ours, and not of layout 'laom': leave out --from"):
        convert_dataset(physics, tmp_path / "x", "folder", layout="laom")
    with pytest.raises(ValueError, match="unknown format 'laomm'. Did you mean 'laom'"):
        convert_dataset(physics, tmp_path / "x", "folder", layout="laomm")


@pytest.mark.parametrize(
    ("layout", "package", "extra"),
    [("laom", "h5py", "laom"), ("huggingface", "pyarrow", "hf"), ("lerobot", "pyarrow", "hf"), ("minari",) * 3],
)
def test_a_layout_says_which_extra_it_lacks(physics, tmp_path, monkeypatch, layout, package, extra):
    for module in {package, *(name for name in sys.modules if name.startswith(f"{package}."))}:
        monkeypatch.setitem(sys.modules, module, None)
    for work in (
        lambda: import_dataset(tmp_path / "foreign", tmp_path / "back", layout),
        lambda: convert_dataset(physics, tmp_path / "a-v0", layout, view=VIEW),
    ):
        with pytest.raises(ImportError, match=rf"{package} is not installed: pip install 'masklam\[{extra}\]'"):
            work()
    assert extra in (metadata("masklam").get_all("Provides-Extra") or [])
    assert [path.name for path in tmp_path.iterdir()] == [physics.name]


def test_options_of_the_command_line():
    assert parse_options(["a-b=1", "c=x", 'd={"e": 1.5}']) == {"a_b": 1, "c": "x", "d": {"e": 1.5}}
    assert parse_options(["a=True", "b=False", "c=None", "d=false"]) == {"a": True, "b": False, "c": None, "d": False}
    with pytest.raises(ValueError, match="an option is name=value, got 'length'"):
        parse_options(["length"])


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("laom", {"length": "abc"}, "option length of 'laom' must be a whole number or None, got 'abc'"),
        ("laom", {"labelled": True}, "option labelled of 'laom' must be a whole number or None, got True"),
        ("huggingface", {"rows_per_file": 0}, "rows_per_file must be a whole number from 1 on, got 0"),
        (
            "huggingface",
            {"rows_per_file": 2.5},
            "option rows_per_file of 'huggingface' must be a whole number, got 2.5",
        ),
        ("huggingface", {"split": "../../esc"}, "split must be a name of letters, digits"),
        ("lerobot", {"rows_per_file": -3}, "rows_per_file must be a whole number from 1 on, got -3"),
        ("lerobot", {"fps": 0}, "fps must be a number above 0, got 0"),
        ("lerobot", {"fps": "fast"}, "option fps of 'lerobot' must be a number, got 'fast'"),
        ("folder", {"fps": float("nan")}, "fps must be a number above 0, got nan"),
    ],
)
def test_an_option_of_another_kind_or_out_of_range_is_named(physics, tmp_path, to, options, message):
    pytest.importorskip("h5py")
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=re.escape(message)):
        convert_dataset(physics, tmp_path / "written", to, view={"image_size": 36}, **options)
    assert {path.name for path in tmp_path.iterdir()} <= {physics.name}


def test_a_word_is_no_flag(physics, tmp_path):
    pytest.importorskip("h5py")
    convert_dataset(physics, tmp_path / "x.hdf5", "laom", view={"image_size": 36}, length=4)
    with pytest.raises(ValueError, match="option clip of 'laom' must be True or False, got 'no'"):
        import_dataset(tmp_path / "x.hdf5", tmp_path / "back", clip="no")


def test_the_command_converts_there_and_back(physics, tmp_path):
    view = '{"distractor": "video", "image_size": 36}'
    done = masklam("convert", physics, tmp_path / "x.hdf5", "--to", "laom", "--view", view, "-o", "length=4")
    assert done.exit_code == 0, done.output
    assert masklam("convert", tmp_path / "x.hdf5", tmp_path / "back", "--to", "masklam").exit_code == 0
    assert Frames.load(tmp_path / "back").trajectories.lengths.tolist() == [3, 3, 3]


def test_the_command_imports_video(video_only, tmp_path):
    folder.export(video_only, tmp_path / "clips")
    done = masklam("import", tmp_path / "clips", "--out", tmp_path / "data", "--size", 36)
    assert done.exit_code == 0, done.output
    assert "2 episodes, 11 frames; masks: dataset, 50.0% of the pixels" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "nothing", "x", "--to", "laom"), "nothing does not exist; name its layout"),
        (("convert", "nothing", "x", "--to", "laom", "--view", "{"), "--view takes JSON like"),
        (("convert", "nothing", "x", "--to", "laom", "--view", "3"), "with these quotes, got '3'"),
        (("import", "nothing.mp4", "--out", "x"), "there is no video nothing.mp4"),
    ],
)
def test_a_mistake_is_a_message_and_no_traceback(arguments, message):
    done = masklam(*arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output


def test_found_and_faulty_masks_are_not_called_the_simulator_s(physics, tmp_path):
    for view, name in (
        ({"mask_source": {"name": "motion", "method": "difference"}}, "motion"),
        ({"mask_faults": {"name": "dilation", "radius": 2}}, "faulty"),
        ({}, "simulator"),
    ):
        convert_dataset(physics, tmp_path / name, "masklam", view={"image_size": 32, **view})
        meta = Frames.load(tmp_path / name).trajectories.meta
        assert meta["masks"] == name and meta["view"]["image_size"] == 32
        env = gym.make("MaskHopper-v0", image_size=32, **view)
        assert render_frames(Trajectories.load(physics), env).trajectories.meta.get("masks", "simulator") == name


def test_labels_that_a_layout_has_no_place_for_are_told(tmp_path):
    for noise in (0.0, 0.5):
        collect("MaskHopper-v0", 2, policy="expert", noise=noise, max_steps=6).save(tmp_path / f"data{noise}")
    with pytest.warns(UserWarning, match="the layout 'folder' has no place for the policy's actions before noise"):
        convert_dataset(tmp_path / "data0.5", tmp_path / "noisy", "folder")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert_dataset(tmp_path / "data0.0", tmp_path / "plain", "folder")
