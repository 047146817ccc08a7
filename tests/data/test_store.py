"""Episodes that are appended: nothing that was finished is lost, whatever happens to the process or the disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import tracemalloc
import zlib

import numpy as np
import pytest

from masklam_envs import Trajectories, collect
from masklam_envs.data import store
from masklam_envs.data.store import EpisodeWriter
from tests.helpers import made_up_trajectories

META = {"base": "Made-Up-v0", "seed": 0}


def append(folder, trajectories, meta=META):
    with EpisodeWriter(folder, meta) as writer:
        trajectories.append_to(writer)


def lengths(folder):
    return Trajectories.load(folder).lengths.tolist()


def test_episodes_can_be_appended_later(tmp_path):
    append(tmp_path / "data", made_up_trajectories([3, 2]))
    append(tmp_path / "data", made_up_trajectories([4], seed=1))
    loaded = Trajectories.load(tmp_path / "data")
    assert loaded.lengths.tolist() == [3, 2, 4]
    assert np.array_equal(loaded.select([2]).qpos, made_up_trajectories([4], seed=1).qpos)
    assert np.array_equal(loaded.select([0, 1]).labels, made_up_trajectories([3, 2]).labels)


def test_a_reader_sees_what_is_finished_while_another_writes(tmp_path):
    with EpisodeWriter(tmp_path / "data", META) as writer:
        made_up_trajectories([3]).append_to(writer)
        assert lengths(tmp_path / "data") == [3]
        made_up_trajectories([2]).append_to(writer)
        assert lengths(tmp_path / "data") == [3, 2]


def test_two_writers_at_once_are_refused(tmp_path):
    with EpisodeWriter(tmp_path / "data", META) as writer:
        made_up_trajectories([3]).append_to(writer)
        with pytest.raises(BlockingIOError, match="another process is writing this dataset"):
            EpisodeWriter(tmp_path / "data", META)


def test_a_dataset_that_another_made_meanwhile_is_not_emptied(tmp_path):
    late = EpisodeWriter(tmp_path / "data", META)  # when nobody had begun
    append(tmp_path / "data", made_up_trajectories([3, 2]))
    with pytest.raises(FileExistsError, match="another process has made this dataset meanwhile"):
        made_up_trajectories([4]).append_to(late)
    assert lengths(tmp_path / "data") == [3, 2]
    append(tmp_path / "data", made_up_trajectories([4]))  # it has let go


def test_a_few_bytes_never_become_many(tmp_path):
    append(tmp_path / "data", made_up_trajectories([3]))
    path = tmp_path / "data" / "actions.zz"
    size, bomb = path.stat().st_size, zlib.compress(bytes(50_000_000))
    path.write_bytes(bomb)
    manifest, records = store.read_manifest(tmp_path / "data"), tmp_path / "data" / store.RECORDS
    fields = store.read_fields(manifest, tmp_path / "data")
    record = np.fromfile(records, store.record_type(fields))
    assert record["size_actions"].tolist() == [size]
    record["size_actions"], record["crc_actions"] = len(bomb), zlib.crc32(bomb)
    record["crc"] = [store._own_crc(each) for each in record]
    record.tofile(records)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"actions.zz: episode 0 is damaged"):
        Trajectories.load(tmp_path / "data", verify=False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 5_000_000


def test_a_dataset_made_otherwise_is_not_mixed_with(tmp_path):
    append(tmp_path / "data", made_up_trajectories([3]))
    with pytest.raises(ValueError, match=r"was made otherwise \(seed differ: \[0\] there, \[1\] now\); give another"):
        EpisodeWriter(tmp_path / "data", {**META, "seed": 1})


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("months of work")
    with pytest.raises(FileExistsError, match="exists and is no dataset"):
        EpisodeWriter(tmp_path, META)


def test_rows_of_another_shape_are_refused_and_leave_no_trace(tmp_path):
    with EpisodeWriter(tmp_path / "data", META) as writer:
        made_up_trajectories([3]).append_to(writer)
        with pytest.raises(ValueError, match=r"episode 1: actions has shape \(2, 5\), this dataset needs \(2, 2\)"):
            made_up_trajectories([2], actions=5).append_to(writer)
        made_up_trajectories([4]).append_to(writer)
    assert lengths(tmp_path / "data") == [3, 4]


def test_labels_that_are_the_actions_take_no_bytes(tmp_path):
    recorded = collect("MaskHopper-v0", 2, policy="random", max_steps=20, out=tmp_path / "data")
    assert (tmp_path / "data" / "labels.zz").stat().st_size == 0
    assert np.array_equal(recorded.labels, recorded.actions)


@pytest.mark.parametrize("name", ["qpos.bin", "actions.zz", "episodes.bin"])
def test_what_was_half_written_is_cut_off_by_the_next_writer(tmp_path, name):
    append(tmp_path / "data", made_up_trajectories([3, 2]))
    with open(tmp_path / "data" / name, "ab") as file:
        file.write(b"half an episode")
    assert lengths(tmp_path / "data") == [3, 2]
    append(tmp_path / "data", made_up_trajectories([4], seed=1))
    assert np.array_equal(Trajectories.load(tmp_path / "data").select([2]).qpos, made_up_trajectories([4], seed=1).qpos)


@pytest.mark.parametrize("name", ["qpos.bin", "actions.zz", "episodes.bin"])
def test_a_writer_keeps_what_is_before_damage(tmp_path, name):
    append(tmp_path / "data", made_up_trajectories([3, 2, 4]))
    path = tmp_path / "data" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with EpisodeWriter(tmp_path / "data", META) as writer:
        assert writer.episodes == 1
    assert lengths(tmp_path / "data") == [3]


def test_a_full_disk_keeps_the_episodes_before_and_says_what_to_do(tmp_path):
    small, large = made_up_trajectories([10, 10]), made_up_trajectories([5_000])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with EpisodeWriter(tmp_path / "data", META) as writer:
        small.append_to(writer)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            with pytest.raises(OSError, match=r"episode 2 could not be written .*the 2 before it are whole: make room"):
                large.append_to(writer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert lengths(tmp_path / "data") == [10, 10]
        large.append_to(writer)
    assert lengths(tmp_path / "data") == [10, 10, 5_000]


WRITE_FOREVER = """
import sys
from masklam_envs import Trajectories
from masklam_envs.data.store import EpisodeWriter
data = Trajectories.load(sys.argv[1])
with EpisodeWriter(sys.argv[2], data.meta) as writer:
    while True:
        data.append_to(writer)
"""


def test_kill_9_in_the_middle_of_writing_loses_at_most_the_episode_being_written(tmp_path, repo):
    source = made_up_trajectories([3, 2_000, 50])
    source.save(tmp_path / "source")
    target, environment = tmp_path / "data", {**os.environ, "PYTHONPATH": str(repo)}
    command = [sys.executable, "-c", WRITE_FOREVER, str(tmp_path / "source"), str(target)]
    seen = 0
    for life in range(3):
        process = subprocess.Popen(command, env=environment)
        try:
            while not (target / "manifest.json").exists() or len(lengths(target)) <= seen:
                time.sleep(0.01)
                assert process.poll() is None
            time.sleep(0.05 * life)
        finally:
            process.kill()  # SIGKILL
            process.wait()
        loaded = Trajectories.load(target, verify=True)
        assert loaded.episodes > seen
        seen = loaded.episodes
    place = 0
    for e, length in enumerate(loaded.lengths.tolist()):
        # A new life begins with the source's first episode again.
        place = place if length == source.lengths[place] else 0
        assert np.array_equal(loaded.select([e]).qpos, source.select([place]).qpos)
        assert np.array_equal(loaded.select([e]).actions, source.select([place]).actions)
        place = (place + 1) % 3


def test_a_million_steps_open_at_once(tmp_path):
    """Of MaskCheetah's sizes, with labels that are not the actions; by the processor's time, whatever else runs."""
    once = made_up_trajectories([1_000] * 20, actions=6, positions=9, velocities=9)
    with EpisodeWriter(tmp_path / "data", META) as writer:
        for _ in range(50):
            once.append_to(writer)
    start = time.process_time()
    loaded = Trajectories.load(tmp_path / "data")
    assert len(loaded) == 1_000_000
    assert loaded.qpos[-1].tolist() == once.qpos[-1].tolist()
    assert loaded.labels[-1].tolist() == once.labels[-1].tolist()
    assert time.process_time() - start < 1


def test_cores_that_decode_together_find_the_same(tmp_path, monkeypatch):
    data = made_up_trajectories([3, 0, 50, 7, 1])
    data.save(tmp_path / "data")
    monkeypatch.setattr(store, "THREADS_ABOVE", 0)
    monkeypatch.setattr(store, "usable_cores", lambda: 3)
    loaded = Trajectories.load(tmp_path / "data", verify=False)
    assert np.array_equal(loaded.actions, data.actions) and np.array_equal(loaded.labels, data.labels)
    path = tmp_path / "data" / "labels.zz"
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"labels.zz: episode 4 is damaged"):
        Trajectories.load(tmp_path / "data", verify=False)
