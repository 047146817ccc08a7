"""The cache of decoded clips: shared, never half a clip, made again when damaged."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import masklam_envs
from masklam_envs.cache_folder import cache_folder
from masklam_envs.distractors import disk
from masklam_envs.distractors.cache import MAPPED, FrameCache
from masklam_envs.distractors.disk import cached_clip
from masklam_envs.whole import ABANDONED


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKLAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "clips"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a video")
    return path


class Decoder:
    def __init__(self, frames=3, size=8):
        self.calls, self.clip = 0, np.random.default_rng(0).integers(0, 256, (frames, size, size, 3), np.uint8)

    def __call__(self):
        self.calls += 1
        return self.clip.copy()


def test_a_clip_is_decoded_once_and_mapped_read_only(folder, source):
    decoder = Decoder()
    first, second = (cached_clip(source, 8, decoder) for _ in range(2))
    assert decoder.calls == 1 and np.array_equal(first, decoder.clip) and np.array_equal(second, decoder.clip)
    for clip in (first, second):
        assert type(clip) is np.ndarray and isinstance(clip.base, np.memmap) and not clip.flags.writeable
    assert [path.suffix for path in folder.iterdir()] == [".npy"]


def test_another_size_or_a_changed_source_is_another_entry(folder, source):
    for size in (8, 4):
        assert cached_clip(source, size, Decoder(size=size)).shape[1] == size
    source.write_bytes(b"another video")
    changed = Decoder(frames=5)
    assert len(cached_clip(source, 8, changed)) == 5
    os.utime(source, ns=(1, 1))
    cached_clip(source, 8, changed)
    assert changed.calls == 2 and len(list(folder.iterdir())) == 4


def test_a_folder_is_known_by_all_of_its_files(folder, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(b"0")
    decoder = Decoder()
    cached_clip(tmp_path / "images", 8, decoder)
    (tmp_path / "images" / "1.png").write_bytes(b"1")
    cached_clip(tmp_path / "images", 8, decoder)
    assert decoder.calls == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"\x00" * len(data),
        lambda data: b"not an array at all, but of some length",
        lambda data: data[:300] + bytes([data[300] ^ 1]) + data[301:],
        lambda data: data.replace(b"'|u1'", b"'|i1'"),
        lambda data: data.replace(b"(3, 8,", b"(4, 8,"),
    ],
)
def test_a_damaged_entry_is_made_again(folder, source, damage):
    decoder = Decoder()
    cached_clip(source, 8, decoder)
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert np.array_equal(cached_clip(source, 8, decoder), decoder.clip)
    assert decoder.calls == 2 and entry.read_bytes() == whole


def test_a_failed_write_leaves_nothing_and_the_clip_is_there(folder, source, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(disk.npy, "write_array", full)
    decoder = Decoder()
    assert np.array_equal(cached_clip(source, 8, decoder), decoder.clip)
    assert list(folder.iterdir()) == []


def test_what_killed_writers_of_the_clip_left_a_day_ago_is_removed(folder, source):
    cached_clip(source, 8, decoder := Decoder())
    (entry,) = folder.iterdir()
    entry.unlink()
    old, young = (folder / f".{entry.name}.{name}.part" for name in ("abc", "xyz"))
    old.write_text("half")
    young.write_text("half")
    os.utime(old, (time.time() - ABANDONED - 60,) * 2)
    cached_clip(source, 8, decoder)
    assert {path.name for path in folder.iterdir()} == {entry.name, young.name}


def test_a_folder_that_cannot_be_made_is_no_error(source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MASKLAM_CACHE", str(tmp_path / "file"))
    assert np.array_equal(cached_clip(source, 8, decoder := Decoder()), decoder.clip)


def test_the_variable_names_the_folder_and_turns_it_off(source, tmp_path, monkeypatch):
    monkeypatch.setenv("MASKLAM_CACHE", "")
    assert cache_folder() is None
    cached_clip(source, 8, decoder := Decoder())
    cached_clip(source, 8, decoder)
    assert decoder.calls == 2
    monkeypatch.delenv("MASKLAM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "masklam"


def test_another_process_finds_the_clip_while_many_write_it(folder, source):
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from masklam_envs.distractors.disk import cached_clip\n"
        "clip = np.full((40, 32, 32, 3), 7, np.uint8)\n"
        "for _ in range(10):\n"
        "    assert (cached_clip(Path(sys.argv[1]), 32, lambda: clip) == 7).all()\n"
        "    for entry in Path(sys.argv[2]).glob('*.npy'):\n"
        "        entry.unlink(missing_ok=True)\n"
    )
    root = Path(masklam_envs.__file__).parents[1]
    run = [sys.executable, "-c", code, str(source), str(folder)]
    others = [subprocess.Popen(run, cwd=root) for _ in range(2)]
    assert [other.wait() for other in others] == [0, 0]
    assert not list(folder.glob(".*"))


def test_a_mapped_clip_counts_as_an_open_file(folder, source):
    cache, decoder = FrameCache(2 * MAPPED), Decoder()
    for name in "abc":
        cache.get(name, lambda: cached_clip(source, 8, decoder))
    assert list(cache._arrays) == ["b", "c"] and decoder.calls == 1
