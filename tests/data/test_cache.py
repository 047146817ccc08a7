"""Frames mapped from a file are those that are drawn; a file that is not whole is drawn again; processes share one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import Frames, LazyFrames, collect, render_frames
from masklam_envs.data import cache, open_frames


@pytest.fixture(scope="module")
def env():
    return gym.make("MaskHopper-v0", distractor="video", image_size=36)


@pytest.fixture(scope="module")
def recorded(env):
    return collect(env, 3, max_steps=5)


def files(folder, suffix=".rgbm"):
    return sorted(path for path in folder.iterdir() if path.suffix == suffix)


def test_the_file_holds_what_is_drawn(recorded, env, tmp_path):
    drawn = render_frames(recorded, env)
    for _ in range(2):  # drawn, then found
        opened = open_frames(recorded, env, folder=tmp_path / "cache")
        assert isinstance(opened, Frames)
        assert np.array_equal(opened.rgbm, drawn.rgbm)
        assert all(np.array_equal(a, b) for a, b in zip(opened.tracks, drawn.tracks, strict=True))
    [path] = files(tmp_path / "cache")
    assert path.stat().st_size == drawn.rgbm.nbytes


def test_a_file_that_is_there_is_not_drawn_again(recorded, env, tmp_path, monkeypatch):
    drawn = np.array(open_frames(recorded, env, folder=tmp_path).rgbm)
    monkeypatch.setattr(cache, "draw_episode", lambda *_: pytest.fail("drawn again"))
    assert np.array_equal(open_frames(recorded, env, folder=tmp_path).rgbm, drawn)


def test_whoever_changes_the_frames_does_not_change_the_file(recorded, env, tmp_path):
    open_frames(recorded, env, folder=tmp_path).rgbm[:] = 0
    assert open_frames(recorded, env, folder=tmp_path).rgbm.any()


def test_a_file_that_was_cut_short_is_drawn_again(recorded, env, tmp_path):
    open_frames(recorded, env, folder=tmp_path)
    [path] = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert np.array_equal(open_frames(recorded, env, folder=tmp_path).rgbm, render_frames(recorded, env).rgbm)


def test_an_interrupted_drawing_is_done_again(recorded, env, tmp_path, monkeypatch):
    real, calls = cache.draw_episode, iter((False, True))

    def interrupted(*args):
        if next(calls):
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(cache, "draw_episode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_frames(recorded, env, folder=tmp_path)
    assert not files(tmp_path)
    monkeypatch.undo()
    assert np.array_equal(open_frames(recorded, env, folder=tmp_path).rgbm, render_frames(recorded, env).rgbm)
    assert not files(tmp_path, ".part")


@pytest.mark.parametrize(
    "changed", [{"distractor": "none"}, {"image_size": 40}, {"split": "test"}, {"mask_faults": "erosion"}]
)
def test_another_view_is_another_file(recorded, env, tmp_path, changed):
    other = gym.make("MaskHopper-v0", **{"distractor": "video", "image_size": 36, **changed})
    assert cache.frames_key(recorded, env.unwrapped.view) != cache.frames_key(recorded, other.unwrapped.view)


def test_other_physics_is_another_file(recorded, env):
    view = env.unwrapped.view
    assert cache.frames_key(recorded, view) != cache.frames_key(recorded.select([0, 1]), view)
    assert cache.frames_key(recorded, view) == cache.frames_key(recorded.select([0, 1, 2]), view)


@pytest.mark.parametrize("written", ["{}/clips", "~/clips"])
def test_footage_that_changed_is_another_file(recorded, tmp_path, monkeypatch, written):
    from tests.helpers import write_clip

    monkeypatch.setenv("HOME", str(tmp_path))
    footage = written.format(tmp_path)

    def key():
        env = gym.make("MaskHopper-v0", distractor={"name": "video", "footage": footage}, image_size=36)
        return cache.frames_key(recorded, env.unwrapped.view)

    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        write_clip(tmp_path / "clips" / f"{name}.mp4", np.zeros((3, 40, 40, 3), np.uint8))
    before = key()
    assert key() == before
    write_clip(tmp_path / "clips" / "b.mp4", np.full((9, 40, 40, 3), 200, np.uint8))
    assert key() != before


def test_size_decides_where_nothing_else_is_said(recorded, env, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "CACHE_LIMIT", 1000)
    assert isinstance(open_frames(recorded, env, folder=tmp_path / "new"), LazyFrames)
    assert isinstance(open_frames(recorded, env, folder=tmp_path / "new", cache=True), Frames)
    monkeypatch.undo()
    assert isinstance(open_frames(recorded, env, folder=tmp_path / "new", cache=False), LazyFrames)


def test_a_disk_without_room_is_not_filled(recorded, env, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage)
    assert isinstance(open_frames(recorded, env, folder=tmp_path), LazyFrames)


def test_a_full_disk_says_what_to_do(recorded, env, tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="GiB of frames could not be kept .*; make room, give another folder"):
            open_frames(recorded, env, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not files(tmp_path) and not files(tmp_path, ".part")


def test_the_cache_s_folder_is_the_environment_s(recorded, env, monkeypatch, tmp_path):
    monkeypatch.setenv("MASKLAM_CACHE", str(tmp_path / "here"))
    open_frames(recorded, env)
    assert files(tmp_path / "here")
    monkeypatch.delenv("MASKLAM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "there"))
    open_frames(recorded, env)
    assert files(tmp_path / "there" / "masklam")


def test_an_empty_variable_turns_the_cache_off(recorded, env, monkeypatch, tmp_path):
    monkeypatch.setenv("MASKLAM_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert isinstance(open_frames(recorded, env), LazyFrames)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="MASKLAM_CACHE is empty.* give folder="):
        open_frames(recorded, env, cache=True)
    assert isinstance(open_frames(recorded, env, folder=tmp_path / "named"), Frames)


def test_another_opengl_driver_is_another_file(recorded, env, monkeypatch):
    view = env.unwrapped.view
    before = cache.frames_key(recorded, view)
    assert cache.frames_key(recorded, view) == before
    monkeypatch.setattr(type(view.renderer), "name", "opengl, another driver")
    assert cache.frames_key(recorded, view) != before


OPEN = """
import sys, zlib
import gymnasium as gym
from masklam_envs import Trajectories
from masklam_envs.data import open_frames
env = gym.make("masklam_envs:MaskHopper-v0", distractor="video", image_size=36)
print(zlib.crc32(open_frames(Trajectories.load(sys.argv[1]), env, folder=sys.argv[2]).rgbm.tobytes()))
"""


def test_two_processes_at_once_share_one_file(recorded, env, tmp_path, repo):
    import zlib

    recorded.save(tmp_path / "data")
    command = [sys.executable, "-c", OPEN, str(tmp_path / "data"), str(tmp_path / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = {process.communicate()[0].strip() for process in started}
    assert found == {str(zlib.crc32(render_frames(recorded, env).rgbm.tobytes()))}
    assert len(files(tmp_path / "cache")) == 1


def unwritable(*_):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_folder_that_cannot_be_written_is_gone_without(recorded, env, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_one_process", unwritable)
    with pytest.warns(UserWarning, match=r"cannot be written \(Permission denied\): they are drawn on the fly"):
        opened = open_frames(recorded, env, folder=tmp_path)
    assert isinstance(opened, LazyFrames)
    with pytest.raises(PermissionError, match=r"cannot be written .*: give another folder \(or MASKLAM_CACHE\)"):
        open_frames(recorded, env, folder=tmp_path, cache=True)


def test_a_file_that_is_whole_needs_no_folder_that_can_be_written(recorded, env, tmp_path, monkeypatch):
    want = open_frames(recorded, env, folder=tmp_path).rgbm
    monkeypatch.setattr(cache, "_one_process", unwritable)
    assert np.array_equal(open_frames(recorded, env, folder=tmp_path).rgbm, want)
