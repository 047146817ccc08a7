"""A file that somebody may read is whole, and what killed writers leave is removed in time."""

import ast
import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from masklam_agents.common.pictures import latent_map
from masklam_envs.whole import ABANDONED, whole_file, whole_folder, whole_new


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), whole_file(path) as part:
        part.write_text("half")
        assert path.read_text() == "old" and part.parent == path.parent
        raise OSError("the disk is full")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["scores.json"]
    with whole_file(path, ".json") as part:
        assert part.suffix == ".json"
        part.write_text("new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["scores.json"]


def test_what_killed_writers_left_a_day_ago_is_removed_and_nothing_else(tmp_path):
    path = tmp_path / "a[1].png"  # a name that would be a pattern
    old = [tmp_path / ".a[1].png.77.part", tmp_path / ".a[1].png.78.part.png"]
    others = [tmp_path / ".a1.png.77.part", tmp_path / "a[1].png.part", tmp_path / ".b.png.77.part"]
    young = tmp_path / ".a[1].png.79.part"
    for file in (*old, *others, young):
        file.write_text("half")
    for file in (*old, *others):
        os.utime(file, (time.time() - ABANDONED - 60,) * 2)
    with whole_file(path) as part:
        part.write_text("whole")
    assert {file.name for file in tmp_path.iterdir()} == {path.name, young.name, *(file.name for file in others)}


def test_threads_that_write_one_file_do_not_share_a_temporary_name(tmp_path):
    both = threading.Barrier(2)

    def write(text):
        with whole_file(tmp_path / "a") as part:
            part.write_text(text)
            both.wait()
            assert part.read_text() == text
        return part.name

    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(write, ("one", "two")))) == 2
    assert (tmp_path / "a").read_text() in ("one", "two") and os.listdir(tmp_path) == ["a"]


def filled(folder, text="new"):
    folder.mkdir()
    (folder / "file").write_text(text)


def test_a_new_file_or_folder_replaces_nothing(tmp_path):
    target = tmp_path / "deeper" / "data"
    with pytest.raises(ValueError, match="half"), whole_new(target) as part:
        filled(part)
        raise ValueError("half way")
    assert not list(target.parent.iterdir())
    with whole_new(target) as part:
        filled(part)
    assert (target / "file").read_text() == "new" and os.listdir(target.parent) == ["data"]
    with pytest.raises(FileExistsError, match="data exists; give another name"), whole_new(target):
        pass
    with pytest.raises(OSError, match="other could not be written .No space left.*make room"):  # noqa: SIM117
        with whole_new(tmp_path / "other"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_takes_the_place_of_another_when_it_is_whole(tmp_path, monkeypatch):
    target = tmp_path / "data"
    filled(target, "old")
    with pytest.raises(ValueError, match="half"), whole_folder(target) as part:
        filled(part)
        raise ValueError("half way")
    assert (target / "file").read_text() == "old" and os.listdir(tmp_path) == ["data"]

    def fails_once(source, goal, replace=os.replace):
        if str(source).endswith(".part"):
            raise OSError("no")
        replace(source, goal)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no"), whole_folder(target) as part:
        filled(part)
        patch.setattr(os, "replace", fails_once)
    assert (target / "file").read_text() == "old" and os.listdir(tmp_path) == ["data"]
    with whole_folder(target) as part:
        filled(part)
    assert (target / "file").read_text() == "new" and os.listdir(tmp_path) == ["data"]


def test_pictures_are_whole_or_not_there(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    latents, actions = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    latent_map(latents, actions, tmp_path / "map.png")
    before = (tmp_path / "map.png").read_bytes()
    assert before.startswith(b"\x89PNG")

    def fails(figure, path, **options):
        path.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fails)
    with pytest.raises(OSError, match="full"):
        latent_map(latents, actions, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes() == before and os.listdir(tmp_path) == ["map.png"]


def test_every_picture_and_text_is_written_under_a_temporary_name(repo):
    """What is given to a writer is called `part`, or is a stream in memory."""
    found = []
    for package in ("masklam_envs", "masklam_agents"):
        for path in (repo / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    name, called = node.func.attr, ast.unparse(node)
                    if name in ("savefig", "write_text", "write_bytes", "imwrite") and not is_temporary(node, name):
                        found.append(f"{path.relative_to(repo)}: {called}")
    assert not found


def is_temporary(call, name):
    target = call.func.value if name.startswith("write") else call.args[0]
    words = ast.unparse(target)
    # `meta` is a folder within the dataset that `whole` has given a temporary name.
    return any(word in words for word in ("part", "buffer", "stream", "file", "meta /"))
