"""A file that somebody may read is whole, and what killed writers leave is removed in time."""

import ast
import os
import time

import numpy as np
import pytest

from masklam_agents.common.pictures import latent_map
from masklam_envs.whole import ABANDONED, whole_file


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
