"""Recorded physics on disk: what is saved is loaded, damage is found, an interrupted save loses nothing."""

import dataclasses
import json
import os
import shutil
import threading
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklam_envs import Trajectories
from masklam_envs.data import store
from tests.helpers import made_up_trajectories

FIELDS = [field.name for field in dataclasses.fields(Trajectories) if field.name != "meta"]
DTYPES = {
    "qpos": np.float64,
    "qvel": np.float32,
    "actions": np.float32,
    "labels": np.float32,
    "rewards": np.float32,
    "lengths": np.int64,
    "terminated": np.bool_,
    "reset_seeds": np.int64,
    "distractor_seeds": np.int64,
}
FILES = {
    **{name: f"{name}.bin" for name in ("qpos", "qvel", "rewards")},
    **{name: f"{name}.zz" for name in ("actions", "labels")},
}
lengths = st.lists(st.integers(0, 6), max_size=5)


def assert_equal(first, second):
    assert first.meta == second.meta
    for name in FIELDS:
        a, b = getattr(first, name), getattr(second, name)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), name


@pytest.fixture
def saved(tmp_path):
    made_up_trajectories([3, 2]).save(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder for Hypothesis, whose examples share one."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def untouched(scratch):
    """A dataset that a test leaves as it was."""
    made_up_trajectories([3, 2]).save(scratch / "untouched")
    return scratch / "untouched"


# ------------------------------------------------------------------------------------------------------ save and load


@given(lengths=lengths, seed=st.integers(0, 99))
def test_what_is_saved_is_loaded(scratch, lengths, seed):
    trajectories = made_up_trajectories(lengths, seed)
    trajectories.save(scratch / "data")
    assert_equal(Trajectories.load(scratch / "data"), trajectories)


def test_the_folder_holds_a_file_a_field_the_records_and_a_manifest(saved):
    assert {path.name for path in saved.iterdir()} == {"manifest.json", "episodes.bin", *FILES.values()}


def test_the_manifest_says_what_the_files_are(saved):
    manifest = json.loads((saved / "manifest.json").read_text())
    assert (manifest["format"], manifest["format_version"]) == ("masklam-trajectories", 2)
    assert manifest["fields"]["qpos"] == {"dtype": "<f8", "per": "frame", "packed": False, "shape": [3]}


def test_fields_are_stored_in_their_documented_dtypes(saved):
    loaded = Trajectories.load(saved)
    assert {name: getattr(loaded, name).dtype for name in FIELDS} == DTYPES


def test_saving_makes_the_parent_folders(tmp_path):
    made_up_trajectories([2]).save(tmp_path / "a" / "b")
    assert len(Trajectories.load(tmp_path / "a" / "b")) == 2


def test_saving_again_replaces_the_dataset_and_leaves_nothing_else(saved):
    new = made_up_trajectories([4], seed=1)
    new.save(saved)
    assert_equal(Trajectories.load(saved), new)
    assert [path.name for path in saved.parent.iterdir()] == ["data"]


def test_a_folder_that_is_no_dataset_is_not_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("months of work")
    with pytest.raises(FileExistsError, match="exists and is no dataset"):
        made_up_trajectories([2]).save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "months of work"


def test_a_file_of_that_name_is_not_replaced(tmp_path):
    (tmp_path / "data").write_text("text")
    with pytest.raises(FileExistsError, match="exists and is no dataset"):
        made_up_trajectories([2]).save(tmp_path / "data")
    assert (tmp_path / "data").read_text() == "text"


# --------------------------------------------------------------------------------------------------- interrupted saves


def fail_at(monkeypatch, target, name, call, error):
    """Let the ``call``-th call of a function, counted from 1, raise."""
    real, count = getattr(target, name), 0

    def failing(*args, **kwargs):
        nonlocal count
        count += 1
        if count == call:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(target, name, failing)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize(("target", "name", "call"), [(store, "_write_all", 4), (os, "replace", 2), (os, "replace", 3)])
def test_an_interrupted_save_leaves_the_old_dataset_whole(saved, monkeypatch, target, name, call, error):
    fail_at(monkeypatch, target, name, call, error)
    with pytest.raises(type(error)):
        made_up_trajectories([4], seed=1).save(saved)
    assert_equal(Trajectories.load(saved), made_up_trajectories([3, 2]))
    assert [path.name for path in saved.parent.iterdir()] == ["data"]


def test_a_first_save_that_is_interrupted_leaves_no_dataset(tmp_path, monkeypatch):
    fail_at(monkeypatch, store, "_write_all", 4, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        made_up_trajectories([3]).save(tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_save_left_does_not_disturb_the_next(saved):
    for end in ("part", "old"):
        shutil.copytree(saved, saved.with_name(f".data.{os.getpid()}-{threading.get_native_id()}.{end}"))
    made_up_trajectories([4], seed=1).save(saved)
    assert_equal(Trajectories.load(saved), made_up_trajectories([4], seed=1))
    assert [path.name for path in saved.parent.iterdir()] == ["data"]


# -------------------------------------------------------------------------------------------------------------- damage


def test_a_missing_folder_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no dataset .*make one with `masklam collect`"):
        Trajectories.load(tmp_path / "nothing")


def test_a_folder_without_a_manifest_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no dataset"):
        Trajectories.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "manifest.json is damaged"),
        ("{", "manifest.json is damaged"),
        ("[]", "manifest.json is damaged"),
        ("3", "manifest.json is damaged"),
        ("{}", "manifest.json is damaged .'format'"),
        ('{"format": "other", "format_version": 1, "meta": {}, "fields": {}}', "is no masklam-trajectories manifest"),
        ('{"format": "masklam-trajectories", "format_version": 1, "meta": [], "fields": {}}', "is no masklam"),
        ('{"format": "masklam-trajectories", "format_version": 1, "meta": {}, "fields": []}', "is no masklam"),
        ('{"format": "masklam-trajectories", "format_version": 3, "meta": {}, "fields": {}}', "version 3.*update"),
    ],
)
def test_a_damaged_manifest_is_named(saved, text, message):
    (saved / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        Trajectories.load(saved)


def test_a_manifest_that_is_no_text_is_named(saved):
    (saved / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        Trajectories.load(saved)


@pytest.mark.parametrize("entry", [None, 3, {}, {"dtype": "<f8"}, {"shape": [3]}, {"shape": ["a"], "dtype": "<f8"}])
@pytest.mark.parametrize("name", FILES)
def test_a_wrong_entry_of_the_manifest_is_named(saved, name, entry):
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["fields"][name] = entry
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=f"manifest.json says .* of {name}"):
        Trajectories.load(saved)


@pytest.mark.parametrize("name", [*FILES.values(), "episodes.bin"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing; collect the dataset again"):
        Trajectories.load(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named_with_its_episode(saved, name):
    path = saved / FILES[name]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{path.name} is cut short in episode 1 of 2 .*keeps the episodes before it"):
        Trajectories.load(saved)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{path.name} is cut short in episode 0 of 2"):
        Trajectories.load(saved)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("place", "episode"), [(0, 0), (-1, 1)])
def test_a_flipped_byte_is_found_and_its_episode_named(saved, name, place, episode):
    path = saved / FILES[name]
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{path.name}: episode {episode} is damaged"):
        Trajectories.load(saved)


def test_a_large_dataset_is_only_verified_when_asked(saved, monkeypatch):
    path = saved / "qpos.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(store, "VERIFY_BELOW", 10)
    assert len(Trajectories.load(saved)) == 5
    with pytest.raises(ValueError, match=r"qpos.bin: episode 1 is damaged"):
        Trajectories.load(saved, verify=True)


def test_a_flipped_byte_of_a_record_is_found(saved):
    path = saved / "episodes.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"episodes.bin: the record of episode 1 is damaged"):
        Trajectories.load(saved)


@settings(max_examples=300)
@given(name=st.sampled_from([*FILES.values(), "episodes.bin"]), place=st.integers(0, 2**16), flip=st.integers(1, 255))
def test_no_byte_of_a_file_can_change_unnoticed(untouched, name, place, flip):
    path = untouched / name
    whole = path.read_bytes()
    data = bytearray(whole)
    data[place % len(data)] ^= flip
    path.write_bytes(data)
    try:
        with pytest.raises(ValueError, match=path.name):
            Trajectories.load(untouched)
    finally:
        path.write_bytes(whole)


def test_a_file_of_another_dataset_is_found(saved, tmp_path):
    made_up_trajectories([3, 2], seed=1).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "rewards.bin", saved)
    with pytest.raises(ValueError, match=r"rewards.bin: episode 0 is damaged"):
        Trajectories.load(saved)


# --------------------------------------------------------------------------------------------------- format version 1


def save_version_1(trajectories, folder):
    """A dataset as the package wrote it before episodes could be appended."""
    folder.mkdir()
    fields = {}
    for name in FIELDS:
        array = getattr(trajectories, name)
        np.save(folder / f"{name}.npy", array)
        fields[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "crc32": zlib.crc32(array.tobytes())}
    manifest = {"format": "masklam-trajectories", "format_version": 1, "meta": trajectories.meta, "fields": fields}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_format_version_1_is_still_read(tmp_path):
    save_version_1(made_up_trajectories([3, 2]), tmp_path / "old")
    assert_equal(Trajectories.load(tmp_path / "old"), made_up_trajectories([3, 2]))


@pytest.mark.parametrize("name", FIELDS)
def test_damage_of_a_version_1_file_is_named(tmp_path, name):
    save_version_1(made_up_trajectories([3, 2]), tmp_path / "old")
    path = tmp_path / "old" / f"{name}.npy"
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-1])
    with pytest.raises(ValueError, match=f"{name}.npy is damaged or missing"):
        Trajectories.load(tmp_path / "old")
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{name}.npy is not the array its manifest records"):
        Trajectories.load(tmp_path / "old")


class Trap:
    """Unpickling it writes a file."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    save_version_1(made_up_trajectories([3, 2]), tmp_path / "old")
    np.save(tmp_path / "old" / "qpos.npy", np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"qpos.npy is damaged or missing .*allow_pickle=False"):
        Trajectories.load(tmp_path / "old")
    assert not (tmp_path / "sprung").exists()


# ----------------------------------------------------------------------------------------------------------- in memory


def test_counts_and_offsets():
    trajectories = made_up_trajectories([3, 0, 2])
    assert (len(trajectories), trajectories.episodes) == (5, 3)
    assert trajectories.first_step.tolist() == [0, 3, 3, 5]
    assert trajectories.first_frame.tolist() == [0, 4, 5, 8]


def test_returns_are_sums_of_rewards():
    trajectories = made_up_trajectories([3, 2])
    want = [trajectories.rewards[:3].astype(np.float64).sum(), trajectories.rewards[3:].astype(np.float64).sum()]
    assert trajectories.returns.tolist() == want


def test_an_episode_s_states_and_actions():
    trajectories = made_up_trajectories([3, 2])
    states = trajectories.states(1)
    assert (states.dtype, states.shape) == (np.float32, (3, 5))
    assert np.array_equal(states[:, :3], trajectories.qpos[4:].astype(np.float32))
    assert np.array_equal(states[:, 3:], trajectories.qvel[4:])
    assert np.array_equal(trajectories.episode_actions(1), trajectories.actions[3:])


@given(data=st.data(), lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_selected_episodes_are_those_episodes(data, lengths):
    trajectories = made_up_trajectories(lengths)
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=6))
    part = trajectories.select(chosen)
    assert part.lengths.tolist() == [lengths[e] for e in chosen]
    assert part.distractor_seeds.tolist() == trajectories.distractor_seeds[chosen].tolist()
    for i, e in enumerate(chosen):
        assert np.array_equal(part.states(i), trajectories.states(e))
        assert np.array_equal(part.episode_actions(i), trajectories.episode_actions(e))
        assert part.returns[i] == trajectories.returns[e]


def test_a_selection_can_be_saved(tmp_path):
    part = made_up_trajectories([3, 2, 4]).select(range(2, -1, -1))
    part.save(tmp_path / "part")
    assert_equal(Trajectories.load(tmp_path / "part"), part)


@pytest.mark.parametrize("chosen", [[2], [-1], [0, 5]])
def test_selecting_an_episode_that_is_not_there_is_an_index_error(chosen):
    with pytest.raises(IndexError, match=r"episodes must be in \[0, 2\)"):
        made_up_trajectories([3, 2]).select(chosen)


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "lengths"])
def test_fields_that_do_not_fit_each_other_are_refused(name):
    trajectories = made_up_trajectories([3, 2])
    with pytest.raises(ValueError, match=f"{name} has .* rows, its 2 episodes of 5 steps in all need"):
        dataclasses.replace(trajectories, **{name: getattr(trajectories, name)[:-1]})
