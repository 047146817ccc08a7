"""LAOM's HDF5: its loader reads ours, ours reads what it reads, and what is wrong is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from masklam_envs import Windows
from masklam_envs.data.formats import convert_dataset, import_dataset, laom
from tests.data.formats.helpers import assert_episode, cut

h5py = pytest.importorskip("h5py")


@pytest.fixture
def file(equal, tmp_path):
    laom.export(equal, tmp_path / "data.hdf5")
    return tmp_path / "data.hdf5"


def their_loader(path, frame_stack):
    """What LAOM's in-memory loader makes of a file: the first stack and action of every trajectory, by its rules."""
    found = []
    with h5py.File(path) as data:
        names = list(data.keys())
        assert isinstance(data.attrs["img_hw"].item(), int)
        length = data[names[0]]["obs"].shape[0]
        for name in names:
            obs, actions = data[name]["obs"][:], data[name]["actions"][:]
            for t in range(length):
                stack = obs[max(0, t - frame_stack + 1) : t + 1]
                stack = np.concatenate([np.repeat(stack[:1], frame_stack - len(stack), axis=0), stack])
                found.append((np.concatenate(list(stack), axis=-1), actions[t]))
    return found


def test_their_loader_reads_ours(file, equal):
    windows = Windows(equal, frame_stack=3, future_offset=1)
    found = their_loader(file, 3)
    assert len(found) == len(windows)
    pixels = windows.observation(windows.anchors)["pixels"]
    for (stack, action), want, anchor in zip(found, pixels, windows.anchors, strict=True):
        assert np.array_equal(stack, want)
        assert np.array_equal(action, equal.trajectories.actions[windows.step(np.array([anchor]))[0]])


def test_the_file_has_laom_s_names_types_and_attributes(file, equal):
    with h5py.File(file) as data:
        assert list(data) == ["0", "1", "2"]
        group = data["1"]
        assert (group["obs"].dtype, group["obs"].shape) == (np.uint8, (6, 36, 36, 3))
        assert (group["states"].dtype, group["states"].shape) == (np.float32, (6, 12))
        assert (group["actions"].dtype, group["actions"].shape) == (np.float32, (6, 3))
        assert group.attrs["traj_return"] == pytest.approx(equal.trajectories.returns[1])
        assert (data.attrs["domain_name"], data.attrs["task_name"], data.attrs["split"]) == (
            "Hopper-v5",
            "MaskHopper-v0",
            "train",
        )
        assert (data.attrs["img_hw"], data.attrs["dynamic"]) == (36, True)
        assert json.loads(data.attrs["difficulty"]) == "video"
        assert data.attrs["dataset_return"] == pytest.approx(equal.trajectories.returns.mean())


def test_what_is_written_is_read(file, equal, tmp_path):
    frames = import_dataset(file, tmp_path / "back")
    for e in range(3):
        assert_episode(frames, e, equal, 5)
    recorded, meta = frames.trajectories, frames.trajectories.meta
    assert recorded.reset_seeds.tolist() == equal.trajectories.reset_seeds.tolist()
    assert (meta["masks"], meta["source"]["format"]) == ("dataset", "laom")
    assert meta["source"]["recorded"]["policy"] == "random"
    assert meta["source"]["recorded"]["view"]["distractor"] == "video"
    assert meta["source"]["attributes"]["domain_name"] == "Hopper-v5"


def test_an_end_that_is_not_in_the_file_is_none(file, tmp_path):
    with h5py.File(file, "r+") as data:
        data["1"].attrs["terminated"] = True  # by the last action, which leads to a frame that the layout lacks
    assert not import_dataset(file, tmp_path / "back").trajectories.terminated.any()


@pytest.mark.parametrize("clip", [True, False])
def test_bounds_that_we_wrote_stay(file, tmp_path, clip):
    meta = import_dataset(file, tmp_path / "back", clip=clip).trajectories.meta
    assert (meta["action_low"], meta["action_high"]) == ([-1.0] * 3, [1.0] * 3)


def test_actions_beyond_the_bounds_that_we_wrote_have_their_own(file, tmp_path):
    with h5py.File(file, "r+") as data:
        data["1"]["actions"][0] = 2.5
    meta = import_dataset(file, tmp_path / "back", clip=False).trajectories.meta
    assert meta["action_high"] == [2.5] * 3


def test_unequal_lengths_must_be_cut(drawn, tmp_path):
    lengths = drawn.trajectories.lengths
    assert lengths.min() < lengths.max()
    with pytest.raises(ValueError, match=rf"these have {lengths.min()} to {lengths.max()} steps: give length"):
        laom.export(drawn, tmp_path / "data.hdf5")
    assert not list(tmp_path.iterdir())


def test_cut_trajectories_are_of_one_length_and_shorter_ones_are_told(drawn, tmp_path):
    lengths = drawn.trajectories.lengths
    with pytest.warns(UserWarning, match=r"[12] episodes below 12 steps are left out"):
        laom.export(drawn, tmp_path / "data.hdf5", length=12)
    with h5py.File(tmp_path / "data.hdf5") as data:
        assert {group["obs"].shape[0] for group in data.values()} == {12}
        assert len(data) == (lengths >= 12).sum()


@pytest.mark.parametrize("length", [1, 500])
def test_a_length_out_of_range_is_refused(drawn, tmp_path, length):
    with pytest.raises(ValueError, match=f"length must be from 2 to the longest episode's .* got {length}"):
        laom.export(drawn, tmp_path / "data.hdf5", length=length)


def test_video_without_actions_cannot_be_laom_s(video_only, tmp_path):
    with pytest.raises(ValueError, match="LAOM's layout needs actions, and this dataset has none"):
        laom.export(video_only, tmp_path / "data.hdf5")


def labelled(equal, path, **options):
    laom.export(equal, path, **options)
    with h5py.File(path) as data:
        return {
            int(group.attrs["original_traj_idx"]): (group["obs"][:], group["actions"][:]) for group in data.values()
        }


def test_a_file_of_labels_holds_so_many_whole_trajectories_and_says_which(equal, tmp_path):
    one, two = (labelled(equal, tmp_path / f"labelled-{count}.hdf5", labelled=count, seed=3) for count in (1, 2))
    assert (len(one), len(two)) == (1, 2) and set(one) < set(two)
    for number, (obs, actions) in two.items():
        want = equal.select([number])
        assert np.array_equal(obs, want.pixels[:6]) and np.array_equal(actions, want.trajectories.actions)
    meta = import_dataset(tmp_path / "labelled-2.hdf5", tmp_path / "back").trajectories.meta
    assert meta["source"]["original_traj_idx"] == sorted(two)


def test_labels_are_taken_from_trajectories_that_are_long_enough(drawn, tmp_path):
    length = int(np.sort(drawn.trajectories.lengths)[1])
    with pytest.warns(UserWarning, match="are left out"):
        found = labelled(drawn, tmp_path / "x.hdf5", labelled=2, length=length)
    assert sorted(found) == np.flatnonzero(drawn.trajectories.lengths >= length).tolist()
    assert {len(obs) for obs, _ in found.values()} == {length}


@pytest.mark.parametrize("count", [0, 4])
def test_more_labels_than_there_are_is_refused(equal, tmp_path, count):
    with pytest.raises(ValueError, match=f"labelled={count} trajectories were asked for and 3 are long enough"):
        laom.export(equal, tmp_path / "x.hdf5", labelled=count)
    assert not (tmp_path / "x.hdf5").exists()


def their_file(path, lengths=(4, 4), **changes):
    """A file as LAOM writes it: no masks, no rewards."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w", track_order=True) as data:
        data.attrs.update(domain_name="cheetah", task_name="run", difficulty="hard", dynamic=True, img_hw=8)
        for i, length in enumerate(lengths):
            group = data.create_group(str(i))
            columns = {
                "obs": rng.integers(0, 256, (length, 8, 8, 3), np.uint8),
                "states": rng.normal(size=(length, 5)).astype(np.float32),
                "actions": 3 * rng.normal(size=(length, 2)).astype(np.float32),
                **(changes if i == 1 else {}),
            }
            for name, value in columns.items():
                if value is not None:
                    group[name] = value
            group.attrs["traj_return"] = 1.0
    return path


def test_their_file_is_read_without_masks_and_with_actions_cut(tmp_path):
    with pytest.warns(UserWarning, match=r"x.hdf5, trajectory 0: the dataset has no masks.*masklam segment"):
        frames = import_dataset(their_file(tmp_path / "x.hdf5"), tmp_path / "data")
    assert (frames.trajectories.lengths.tolist(), frames.trajectories.meta["masks"]) == ([3, 3], "none")
    assert np.abs(frames.trajectories.actions).max() == 1
    assert frames.trajectories.meta["source"]["actions_clipped"] is True
    assert not frames.mask.any()


def test_actions_can_be_kept_as_they_are(tmp_path):
    frames = import_dataset(their_file(tmp_path / "x.hdf5"), tmp_path / "data", clip=False)
    assert np.abs(frames.trajectories.actions).max() > 1
    assert frames.trajectories.meta["action_high"][0] >= np.abs(frames.trajectories.actions).max()


def test_eleven_trajectories_stay_in_order(tmp_path):
    frames = import_dataset(their_file(tmp_path / "x.hdf5", range(2, 14)), tmp_path / "data")
    assert frames.trajectories.lengths.tolist() == list(range(1, 13))


def test_unequal_lengths_are_a_warning_when_read(tmp_path):
    with pytest.warns(UserWarning, match=r"x.hdf5: .* 4 to 9 frames \('0' has 4, '2' 9\).*cut them for it"):
        frames = import_dataset(their_file(tmp_path / "x.hdf5", (4, 4, 9)), tmp_path / "data")
    assert frames.trajectories.lengths.tolist() == [3, 3, 8]


def test_masks_of_some_trajectories_only_are_a_warning(tmp_path):
    path = their_file(tmp_path / "x.hdf5", masks=np.zeros((4, 8, 8), np.uint8))
    with pytest.warns(UserWarning, match=r"x.hdf5, trajectory 0, which other trajectories have: the dataset has no"):
        assert import_dataset(path, tmp_path / "data").trajectories.meta["masks"] == "none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs": None}, r"trajectory 1: \['obs'\] missing; LAOM's layout has obs, states and actions"),
        ({"actions": None}, r"trajectory 1: \['actions'\] missing"),
        (
            {"obs": np.zeros((4, 3, 8, 8), np.uint8)},
            r"trajectory 1: obs must be uint8 \(T, H, W, 3\), got uint8 \(4, 3, 8",
        ),
        ({"obs": np.zeros((4, 8, 8, 3), np.float32)}, r"trajectory 1: obs must be uint8 .* got float32"),
        ({"actions": np.zeros((3, 2), np.float32)}, "trajectory 1: 3 actions do not fit 4 frames"),
        ({"actions": np.zeros((4, 2), np.int64)}, "trajectory 1: actions must be floats"),
        ({"actions": np.zeros((4, 3), np.float32)}, r"actions has shape \(3, 3\), this dataset needs \(3, 2\)"),
        (
            {"obs": np.zeros((4, 9, 9, 3), np.uint8)},
            r"rgbm has shape \(4, 9, 9, 4\), this dataset needs \(4, 8, 8, 4\)",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        import_dataset(their_file(tmp_path / "x.hdf5", **changes), tmp_path / "data")
    assert "x.hdf5" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_truncated_file_is_named(file, tmp_path):
    cut(file)
    with pytest.raises(ValueError, match=r"data.hdf5 is no whole HDF5 file .*copy or download it again"):
        import_dataset(file, tmp_path / "back")


def test_an_empty_file_is_named(tmp_path):
    h5py.File(tmp_path / "x.hdf5", "w").close()
    with pytest.raises(ValueError, match="x.hdf5 holds no trajectory"):
        import_dataset(tmp_path / "x.hdf5", tmp_path / "back")


def test_what_is_there_is_not_replaced(equal, tmp_path):
    (tmp_path / "data.hdf5").write_text("months of work")
    with pytest.raises(FileExistsError, match="exists; give another name"):
        laom.export(equal, tmp_path / "data.hdf5")
    assert (tmp_path / "data.hdf5").read_text() == "months of work"


FULL_DISK = """
import resource, sys
import numpy as np
from masklam_envs import Frames
from masklam_envs.data.formats import laom
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    laom.export(Frames.load(sys.argv[1]), __import__("pathlib").Path(sys.argv[2]))
except OSError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing_and_is_told(equal, tmp_path, repo):
    pytest.importorskip("resource")
    equal.select(range(3)).save(tmp_path / "pixels")
    # In a process of its own: HDF5 does not get over a file that it could not finish.
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "pixels"), str(tmp_path / "out" / "data.hdf5")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(repo)}, capture_output=True, text=True)
    assert "data.hdf5" in done.stdout and "could not be written" in done.stdout, done
    assert not list((tmp_path / "out").iterdir())


def test_converting_draws_recorded_physics(equal, tmp_path):
    equal.trajectories.save(tmp_path / "physics")
    view = {"distractor": "video", "image_size": 36}
    convert_dataset(tmp_path / "physics", tmp_path / "data.hdf5", "laom", view=view)
    with h5py.File(tmp_path / "data.hdf5") as data:
        assert np.array_equal(data["2"]["obs"][:], equal.select([2]).pixels[:6])
