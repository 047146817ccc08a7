"""Other masks for frames: of frames on disk the result is on disk too."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from masklam_envs.data import remasked as module
from masklam_envs.data.remasked import remasked

COUNT = 600


@pytest.fixture
def rgbm():
    return np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 4), np.uint8)


@pytest.fixture
def mapped(rgbm, tmp_path):
    rgbm.tofile(tmp_path / "frames.rgbm")
    return np.memmap(tmp_path / "frames.rgbm", np.uint8, "c", shape=rgbm.shape).view(np.ndarray)


def inverted(rgbm):
    return lambda part: 255 - rgbm[part, ..., 3]


def is_mapped(array):
    return isinstance(array.base, np.memmap)


def test_colours_stay_and_masks_are_the_new_ones(rgbm, mapped):
    want = np.concatenate((rgbm[..., :3], 255 - rgbm[..., 3:]), axis=3)
    in_memory, on_disk = (remasked(frames, inverted(rgbm)) for frames in (rgbm, mapped))
    assert np.array_equal(in_memory, want) and not is_mapped(in_memory)
    assert np.array_equal(on_disk, want) and is_mapped(on_disk) and type(on_disk) is np.ndarray
    assert np.array_equal(mapped, rgbm)  # what was given is as it was


def test_masks_are_asked_for_a_few_frames_at_a_time(rgbm):
    asked = []
    remasked(rgbm, lambda part: asked.append(part) or rgbm[part, ..., 3])
    assert [len(rgbm[part]) for part in asked] == [256, 256, 88]


def test_nothing_is_left_on_the_disk(rgbm, mapped, tmp_path):
    new = remasked(mapped, inverted(rgbm))
    new[0] = 7  # in memory alone, as in a dataset
    assert [file.name for file in tmp_path.iterdir()] == ["frames.rgbm"]
    again = remasked(new, inverted(rgbm))
    assert is_mapped(again) and np.array_equal(again[0, ..., :3], new[0, ..., :3])


def test_no_frames_have_no_masks(rgbm):
    assert remasked(rgbm[:0], inverted(rgbm)).shape == (0, 8, 8, 4)


def test_frames_whose_folder_cannot_be_written_get_their_masks_elsewhere(rgbm, mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    used, make = [], tempfile.TemporaryFile
    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda dir: used.append(dir) or make(dir=dir))
    assert is_mapped(remasked(mapped, inverted(rgbm)))
    assert [str(folder) for folder in used] == [tempfile.gettempdir()]


def test_a_full_disk_is_told(rgbm, mapped, tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda dir: Path("/dev/full").open("w+b"))  # noqa: SIM115  # it is left by a with
    with pytest.raises(OSError, match=f"frames with new masks could not be kept in {tmp_path} .*make room there"):
        remasked(mapped, inverted(rgbm))
