"""LeRobot v3.0: the files and columns it expects, masks to the bit, and what is wrong is named."""

from __future__ import annotations

import importlib.util
import json

import cv2
import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import LazyFrames, Trajectories, collect
from masklam_envs.data.formats import import_dataset, lerobot
from tests.data.formats.helpers import assert_episode, blot, cut, disk_of

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def folder(drawn, tmp_path):
    lerobot.export(drawn, tmp_path / "robot")
    return tmp_path / "robot"


def test_the_files_are_lerobot_s(folder):
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
        "videos/observation.images.pixels/chunk-000/file-000.mp4",
    }


def test_rows_episodes_and_info_fit_each_other(folder, drawn):
    lengths = drawn.trajectories.lengths.tolist()
    info = json.loads((folder / "meta" / "info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"]) == ("v3.0", 3, sum(lengths))
    rows = parquet.read_table(folder / "data/chunk-000/file-000.parquet").to_pylist()
    assert [row["index"] for row in rows] == list(range(sum(lengths)))
    assert [row["frame_index"] for row in rows] == [t for length in lengths for t in range(length)]
    assert rows[3]["timestamp"] == pytest.approx(3 / 20)
    said = parquet.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["length"] for row in said] == lengths
    assert [row["dataset_to_index"] for row in said] == np.cumsum(lengths).tolist()
    assert said[1]["videos/observation.images.pixels/from_timestamp"] == pytest.approx(lengths[0] / 20)
    assert set(rows[0]) == set(info["features"]) - {"observation.images.pixels"}


def test_statistics_are_those_of_the_rows(folder, drawn):
    stats = json.loads((folder / "meta" / "stats.json").read_text())
    actions = drawn.trajectories.actions
    for key in ("min", "max", "mean", "std"):
        assert stats["action"][key] == pytest.approx(getattr(actions, key)(axis=0).tolist(), abs=1e-5)
    assert np.shape(stats["observation.images.pixels"]["mean"]) == (3, 1, 1)
    assert np.shape(stats["observation.images.mask"]["mean"]) == (1, 1, 1)
    assert stats["action"]["count"] == [len(actions)]


def test_tasks_are_a_pandas_frame_indexed_by_words(folder):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(folder / "meta" / "tasks.parquet")
    assert frame.loc["MaskHopper-v0", "task_index"] == 0


needs_lerobot = pytest.mark.skipif(importlib.util.find_spec("lerobot") is None, reason="lerobot is not installed")


@needs_lerobot
@pytest.mark.parametrize("coding", ["video", "image"])
def test_lerobot_reads_it(drawn, tmp_path, coding):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    lerobot.export(drawn, tmp_path / "robot", coding=coding, rows_per_file=14)
    theirs = LeRobotDataset("local/robot", root=tmp_path / "robot", video_backend="pyav")
    assert (theirs.num_episodes, theirs.num_frames) == (3, len(drawn.trajectories))
    rows, own = iter(theirs), drawn.trajectories
    for e, length in enumerate(own.lengths.tolist()):
        want = drawn.select([e])
        for t, row in zip(range(length), rows, strict=False):
            assert (int(row["episode_index"]), int(row["frame_index"]), row["task"]) == (e, t, "MaskHopper-v0")
            seen, mask = (np.moveaxis(row[name].numpy(), 0, -1) * 255 for name in (lerobot.PIXELS, lerobot.MASK))
            assert np.array_equal(mask.round(), want.mask[t])
            # MPEG-4 is lossy: no other frame of the episode is more alike.
            errors = np.abs(want.pixels[:length].astype(float) - seen).mean(axis=(1, 2, 3))
            assert errors[t] == errors.min() and (coding == "video" or errors[t] < 1e-3)
            assert np.array_equal(row["action"].numpy(), own.episode_actions(e)[t])
            assert np.array_equal(row["observation.state"].numpy(), own.states(e)[t])
            assert float(row["next.reward"]) == want.trajectories.rewards[t]
            assert bool(row["next.done"]) == (t + 1 == length and bool(own.terminated[e]))
    assert theirs.meta.stats["action"]["mean"] == pytest.approx(own.actions.mean(axis=0), abs=1e-5)


@needs_lerobot
def test_what_lerobot_writes_is_read(tmp_path):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    image = {"dtype": "image", "shape": (36, 36, 3), "names": ["height", "width", "channels"]}
    numbers = {"dtype": "float32", "shape": (2,), "names": None}
    features = {"observation.images.top": image, lerobot.MASK: image, "observation.state": numbers, "action": numbers}
    writer = LeRobotDataset.create(
        "local/theirs", fps=20, features=features, root=tmp_path / "theirs", use_videos=False
    )
    rng = np.random.default_rng(0)
    for _ in range(2):
        for _ in range(5):
            pixels, mask = rng.integers(0, 256, (36, 36, 3), np.uint8), 255 * rng.integers(0, 2, (36, 36, 1), np.uint8)
            numbers = {name: rng.normal(size=2).astype(np.float32) for name in ("observation.state", "action")}
            images = {"observation.images.top": pixels, lerobot.MASK: mask.repeat(3, axis=2)}
            writer.add_frame({**images, **numbers, "task": "do it"})
        writer.save_episode()
    writer.finalize()
    frames = import_dataset(tmp_path / "theirs", tmp_path / "back")
    assert frames.trajectories.lengths.tolist() == [4, 4]
    assert np.array_equal(frames.pixels[9], pixels) and np.array_equal(frames.mask[9], mask)
    assert np.array_equal(frames.trajectories.states(1)[4], numbers["observation.state"])


def test_video_of_an_odd_size_is_refused(tmp_path):
    env = gym.make("MaskHopper-v0", image_size=35)
    frames = LazyFrames(collect(env, 1, max_steps=3), env)
    with pytest.raises(ValueError, match="no frames of an odd size, and these have 35 pixels: use coding='image'"):
        lerobot.export(frames, tmp_path / "robot")
    lerobot.export(frames, tmp_path / "robot", coding="image")
    assert import_dataset(tmp_path / "robot", tmp_path / "back").image_size == 35


def test_a_video_is_decoded_once(folder, tmp_path, monkeypatch):
    opened = []
    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda name: opened.append(name) or capture(name))
    import_dataset(folder, tmp_path / "back")
    assert len(opened) == 1


def test_episodes_of_one_row_are_told(drawn, tmp_path):
    short = LazyFrames(collect(gym.make("MaskHopper-v0"), 2, max_steps=1, seed=0), drawn.view)
    longer = LazyFrames(Trajectories.joined([drawn.trajectories, short.trajectories]), drawn.view)
    lerobot.export(longer, tmp_path / "robot")
    with pytest.warns(UserWarning, match="episode 3: its only row is left out, an episode has two or more"):
        frames = import_dataset(tmp_path / "robot", tmp_path / "back")
    assert frames.trajectories.episodes == 3


@pytest.mark.parametrize("coding", ["video", "image"])
def test_what_is_written_is_read(drawn, tmp_path, coding):
    lerobot.export(drawn, tmp_path / "robot", coding=coding, rows_per_file=14)
    frames = import_dataset(tmp_path / "robot", tmp_path / "back")
    for e in range(3):
        assert_episode(frames, e, drawn, int(drawn.trajectories.lengths[e]) - 1, exact_pixels=coding == "image")
    assert frames.trajectories.meta["source"]["recorded"]["view"]["distractor"] == "video"


def test_video_without_actions_keeps_all_frames(video_only, tmp_path):
    lerobot.export(video_only, tmp_path / "robot", coding="image")
    frames = import_dataset(tmp_path / "robot", tmp_path / "back")
    assert np.array_equal(frames.rgbm, video_only.rgbm)
    assert frames.trajectories.actions.shape == (9, 0)


@pytest.mark.parametrize("name", ["data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"])
def test_a_truncated_parquet_file_is_named(folder, tmp_path, name):
    cut(folder / name)
    with pytest.raises(ValueError, match=r"file-000.parquet is no whole parquet file .*download it again"):
        import_dataset(folder, tmp_path / "back")


DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"


def rewritten(path, change):
    parquet.write_table(change(parquet.read_table(path)), path)


def with_row(number, **values):
    def change(table):
        rows = table.to_pylist()
        rows[number].update(values)
        return pa.Table.from_pylist(rows, schema=table.schema)

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (DATA, with_row(20, action=None), r"robot, episode 1: 'action' must be numbers of shape \(\d+, 3\), got list"),
        (
            DATA,
            lambda table: table.drop_columns(["action"]),
            rf"{DATA} has no column \['action'\], which meta/ says is",
        ),
        (DATA, lambda table: table.drop_columns([lerobot.MASK]), rf"{DATA} has no column \['{lerobot.MASK}'\]"),
        (DATA, lambda table: table.drop_columns(["episode_index"]), rf"{DATA} has no column \['episode_index'\]"),
        (DATA, lambda table: table.slice(0, 20), rf"episode 1: .*{DATA} holds \d+ of its \d+ rows; download it again"),
        (EPISODES, lambda table: table.drop_columns(["length"]), rf"{EPISODES} has no column \['length'\]"),
    ],
)
def test_rows_of_another_layout_are_named(folder, tmp_path, name, change, message):
    rewritten(folder / name, change)
    with pytest.raises(ValueError, match=message):
        import_dataset(folder, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [(DATA, rf"{DATA} is missing; download"), (EPISODES, "meta/episodes holds no parquet file.*download the dataset")],
)
def test_a_missing_file_is_named(folder, tmp_path, name, message):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=message):
        import_dataset(folder, tmp_path / "back")


def test_a_file_that_is_damaged_in_the_middle_is_named(folder, tmp_path):
    blot(folder / DATA)
    with pytest.raises(ValueError, match=rf"{DATA} is no whole parquet file .*download it again"):
        import_dataset(folder, tmp_path / "back")


def test_damaged_statistics_are_named(folder, tmp_path):
    cut(folder / "meta" / "stats.json")
    with pytest.raises(ValueError, match=r"stats.json is damaged .*; download it again, or remove it"):
        import_dataset(folder, tmp_path / "back")
    (folder / "meta" / "stats.json").unlink()
    assert import_dataset(folder, tmp_path / "back").trajectories.episodes == 3


def test_a_truncated_video_is_named_with_its_episode(folder, tmp_path):
    cut(folder / "videos/observation.images.pixels/chunk-000/file-000.mp4")
    with pytest.raises(ValueError, match=r"file-000.mp4 ends in episode 0: .*download it again"):
        import_dataset(folder, tmp_path / "back")


def test_a_missing_video_is_named(folder, tmp_path):
    (folder / "videos/observation.images.pixels/chunk-000/file-000.mp4").unlink()
    with pytest.raises(ValueError, match=r"file-000.mp4 is missing; download the dataset again"):
        import_dataset(folder, tmp_path / "back")


@pytest.mark.parametrize(("coding", "size"), [("image", 20_000), ("video", 9_000)])
def test_a_full_disk_leaves_nothing_and_is_told(drawn, tmp_path, coding, size):
    with disk_of(size), pytest.raises(OSError, match=r"robot could not be written .*; make room and try again"):
        lerobot.export(drawn, tmp_path / "robot", coding=coding)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codebase_version": "v2.1"}, "info.json is of version 'v2.1'; v3.0 can be read"),
        ({"features": None}, "info.json is of version"),
        ({"fps": ...}, "info.json is damaged .*'fps'"),
    ],
)
def test_another_info_is_named(folder, tmp_path, change, message):
    info = json.loads((folder / "meta" / "info.json").read_text()) | change
    kept = {key: value for key, value in info.items() if value is not ...}
    (folder / "meta" / "info.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=message):
        import_dataset(folder, tmp_path / "back")


def test_masks_that_are_missing_are_a_warning(folder, tmp_path):
    with pytest.warns(UserWarning, match=r"has no feature 'observation.images.agent': the dataset has no masks"):
        frames = import_dataset(folder, tmp_path / "back", pixels=lerobot.PIXELS, mask="observation.images.agent")
    assert frames.trajectories.meta["masks"] == "none"


def test_a_feature_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match=r"has no feature 'observation.images.top'; \['action'"):
        import_dataset(folder, tmp_path / "back", pixels="observation.images.top")


def test_bounds_come_back_with_the_actions(tmp_path):
    env = gym.make("MaskHumanoid-v0", image_size=36)
    lerobot.export(LazyFrames(collect(env, 1, max_steps=4), env), tmp_path / "robot", coding="image")
    meta = import_dataset(tmp_path / "robot", tmp_path / "back").trajectories.meta
    assert np.allclose(meta["action_high"], 0.4) and np.allclose(meta["action_low"], -0.4)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"pixels": "action"}, "feature 'action' is of type 'float32', video or image can be read here"),
        ({}, {"mask": lerobot.PIXELS}, "is of type 'video', image can be read here"),
        ({"video_path": ...}, {}, "has videos and no 'video_path'"),
        ({"features.action.shape": ...}, {}, "feature 'action' has no shape"),
    ],
)
def test_features_that_cannot_be_read_are_named(folder, tmp_path, change, options, message):
    file = folder / "meta" / "info.json"
    info = json.loads(file.read_text())
    for name in change:
        *parents, last = name.split(".")
        part = info
        for parent in parents:
            part = part[parent]
        del part[last]
    file.write_text(json.dumps(info))
    with pytest.raises(ValueError, match=message):
        import_dataset(folder, tmp_path / "back", **options)
