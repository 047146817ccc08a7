"""Minari: lossless masks, whole episodes, and an environment that can be made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from masklam_envs.data.formats import import_dataset
from masklam_envs.data.formats import minari as layout
from tests.data.formats.helpers import assert_episode, cut, disk_of

minari = pytest.importorskip("minari")
h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def storage(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.fixture
def written(drawn, storage, monkeypatch):
    monkeypatch.setattr(layout, "EPISODES_AT_ONCE", 2)
    layout.export(drawn, "masklam/hopper-v0", author="A. Nonymous")
    return "masklam/hopper-v0"


def test_minari_opens_it_and_masks_and_pixels_are_exact(written, drawn):
    dataset = minari.load_dataset(written)
    assert (dataset.total_episodes, dataset.total_steps) == (3, len(drawn.trajectories))
    for e, episode in enumerate(dataset.iterate_episodes()):
        want = drawn.select([e])
        assert np.array_equal(episode.observations["pixels"], want.pixels)
        assert np.array_equal(episode.observations["mask"], want.mask)
        assert np.array_equal(episode.observations["state"], want.trajectories.states(0))
        assert np.array_equal(episode.actions, want.trajectories.actions)
        assert np.array_equal(np.float32(episode.rewards), want.trajectories.rewards)
        ended = bool(want.trajectories.terminated[0])
        assert (episode.terminations[-1], episode.truncations[-1]) == (ended, not ended)
        assert not episode.terminations[:-1].any() and not episode.truncations[:-1].any()


def test_minari_makes_the_environment_again(written, drawn):
    env = minari.load_dataset(written).recover_environment()
    observation, _ = env.reset(seed=int(drawn.trajectories.reset_seeds[0]))
    assert np.array_equal(observation["pixels"], drawn.select([0]).pixels[0])
    assert np.array_equal(observation["mask"], drawn.select([0]).mask[0])


def test_minari_knows_where_it_comes_from(written):
    metadata = minari.load_dataset(written).storage.metadata
    assert metadata["jpeg_encoding"] is False
    assert "A. Nonymous" in metadata["author"]
    assert json.loads(metadata["description"])["view"]["distractor"] == "video"


def test_what_is_written_is_read(written, drawn, tmp_path):
    frames = import_dataset(written, tmp_path / "back")
    for e in range(3):
        assert_episode(frames, e, drawn, int(drawn.trajectories.lengths[e]))
    assert frames.trajectories.terminated.tolist() == drawn.trajectories.terminated.tolist()
    assert frames.trajectories.meta["masks"] == "dataset"
    assert frames.trajectories.meta["action_high"] == [1.0] * 3


def test_pixels_alone_can_be_written(equal, storage, tmp_path):
    pixels = equal.select([0, 1])
    layout.export(pixels, "masklam/pixels-v0")
    dataset = minari.load_dataset("masklam/pixels-v0")
    assert dataset.env_spec is None
    assert np.array_equal(dataset[1].observations["mask"], pixels.select([1]).mask)


def test_video_without_actions_cannot_be_minari_s(video_only, storage):
    with pytest.raises(ValueError, match="Minari's layout needs actions"):
        layout.export(video_only, "masklam/video-v0")


def test_an_export_that_fails_leaves_nothing(drawn, storage, monkeypatch):
    monkeypatch.setattr(layout, "EPISODES_AT_ONCE", 1)
    with disk_of(120_000), pytest.raises(OSError, match=r"'masklam/hopper-v0' could not be written .*; make room"):
        layout.export(drawn, "masklam/hopper-v0")
    assert minari.list_local_datasets() == {}
    assert not list((storage / "masklam").glob("hopper*"))


def test_what_is_there_is_not_replaced(written, drawn):
    with pytest.raises(FileExistsError, match=r"'masklam/hopper-v0' exists .*give another name or version"):
        layout.export(drawn, written)
    assert minari.load_dataset(written).total_episodes == 3


def test_only_the_whole_dataset_has_a_name(written):
    assert list(minari.list_local_datasets()) == [written]
    assert minari.load_dataset(written).spec.dataset_id == written


@pytest.mark.parametrize("name", ["hopper", "masklam/hopper-vx", "-v0"])
def test_a_name_without_version_is_refused(drawn, storage, name):
    with pytest.raises(ValueError, match="a Minari dataset is named like masklam/cheetah-v0, with a version; got"):
        layout.export(drawn, name)


RECOVER = """
import sys, minari
observation, _ = minari.load_dataset(sys.argv[1]).recover_environment().reset(seed=int(sys.argv[2]))
print(observation["pixels"].sum(), observation["mask"].sum())
"""


def test_a_process_that_knows_nothing_of_us_makes_the_environment_again(written, drawn, repo):
    seed = drawn.trajectories.reset_seeds[0]
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    command = [sys.executable, "-c", RECOVER, written, str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    want = drawn.select([0])
    assert done.stdout.split() == [str(want.pixels[0].sum()), str(want.mask[0].sum())], done.stderr


def test_a_dataset_that_is_not_there_is_named(storage, tmp_path):
    with pytest.raises(ValueError, match=r"Minari cannot open 'masklam/nothing-v0' .*minari list local"):
        import_dataset("masklam/nothing-v0", tmp_path / "back", "minari")


def without(name):
    def remove(path):
        with h5py.File(path, "a") as file:
            del file[name]

    return remove


def with_small_masks(path):
    without("episode_1/observations/mask")(path)
    with h5py.File(path, "a") as file:
        file["episode_1/observations/mask"] = np.zeros((3, 36, 36, 1), np.uint8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "cannot be read at episode 0 .*truncated file.*; download or make it again"),
        (without("episode_1/actions"), "cannot be read at episode 1 .*'actions'.*; download or make it again"),
        (without("episode_2"), "cannot be read at episode 2 .*; download or make it again"),
        (with_small_masks, r"episode 1: the mask has shape \(3, 36, 36\), its pixels need \(\d+, 36, 36\)"),
    ],
)
def test_a_damaged_file_is_named_with_its_episode(written, storage, tmp_path, damage, message):
    damage(storage / written / "data" / "main_data.hdf5")
    with pytest.raises(ValueError, match=rf"Minari dataset 'masklam/hopper-v0',? {message}"):
        import_dataset(written, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_damaged_metadata_is_named(written, storage, tmp_path):
    cut(storage / written / "data" / "metadata.json")
    with pytest.raises(ValueError, match=r"Minari cannot open 'masklam/hopper-v0' .*`minari list local` shows"):
        import_dataset(written, tmp_path / "back", "minari")


@pytest.mark.filterwarnings("default::UserWarning")
def test_masks_that_are_missing_are_a_warning(written, tmp_path):
    with pytest.warns(UserWarning, match=r"'masklam/hopper-v0' has observations .* and no 'agent': the dataset has no"):
        frames = import_dataset(written, tmp_path / "back", mask="agent")
    assert frames.trajectories.meta["masks"] == "none"


def test_other_keys_are_named(written, tmp_path):
    with pytest.raises(ValueError, match=r"has observations \['mask', 'pixels', 'state'\] and no 'image'"):
        import_dataset(written, tmp_path / "back", pixels="image")
