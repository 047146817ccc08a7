"""Parquet rows: rewards on arrival, T + 1 rows, images to the bit, and what is wrong is named."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import LazyFrames, collect
from masklam_envs.data import split_episodes
from masklam_envs.data.formats import convert_dataset, huggingface, import_dataset
from masklam_envs.data.formats.images import decoded, png
from masklam_envs.data.mask_columns import MaskColumn, segment_dataset
from tests.data.formats.helpers import assert_episode, blot, cut, disk_of

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def folder(drawn, tmp_path):
    huggingface.export(drawn, tmp_path / "rows")
    return tmp_path / "rows"


def rows_of(folder):
    return [row for file in sorted(folder.rglob("*.parquet")) for row in parquet.read_table(file).to_pylist()]


def images_of(rows, name):
    return np.stack([decoded("", row[name], grey=True) for row in rows])


def test_reward_and_end_are_those_of_arriving(folder, drawn):
    rows, recorded = rows_of(folder), drawn.trajectories
    first = rows[: int(recorded.lengths[0]) + 1]
    assert len(rows) == len(recorded.qpos)
    assert first[0]["reward"] == 0
    assert [row["reward"] for row in first[1:]] == recorded.rewards[: len(first) - 1].tolist()
    assert not any(row["terminated"] or row["truncated"] for row in first[:-1])
    ended = bool(recorded.terminated[0])
    assert (first[-1]["terminated"], first[-1]["truncated"]) == (ended, not ended)
    assert first[-1]["action"] == [0.0] * 3
    assert first[0]["action"] == recorded.actions[0].tolist()


def test_columns_are_those_of_the_control_suite(folder):
    assert list(rows_of(folder)[0]) == [
        *("observation", "mask", "action", "state", "reward", "terminated", "truncated"),
    ]


@pytest.mark.parametrize("variant", ["dcs", "dmw"])
def test_what_is_written_is_read(drawn, tmp_path, variant):
    huggingface.export(drawn, tmp_path / "rows", variant=variant, rows_per_file=12)
    assert len(list((tmp_path / "rows" / "data").iterdir())) > 1
    frames = import_dataset(tmp_path / "rows", tmp_path / "back")
    for e in range(3):
        assert_episode(frames, e, drawn, int(drawn.trajectories.lengths[e]))
    assert frames.trajectories.terminated.tolist() == drawn.trajectories.terminated.tolist()
    assert frames.trajectories.meta["source"]["recorded"]["view"]["distractor"] == "video"


def test_files_go_on_in_the_order_of_their_numbers(drawn, tmp_path):
    huggingface.export(drawn, tmp_path / "rows")
    [file] = (tmp_path / "rows" / "data").iterdir()
    table = parquet.read_table(file)
    for number in range(12):  # episodes go from file to file, whose numbers have no zeros before them
        rows = len(table) * number // 12, len(table) * (number + 1) // 12
        parquet.write_table(table.slice(rows[0], rows[1] - rows[0]), tmp_path / f"part-{number}.parquet")
    file.unlink()
    frames = import_dataset(tmp_path, tmp_path / "back", "huggingface")
    for e in range(3):
        assert_episode(frames, e, drawn, int(drawn.trajectories.lengths[e]))


def test_the_clean_frame_stands_beside_the_distracted_one(drawn, tmp_path):
    huggingface.export(drawn, tmp_path / "rows", variant="dmw")
    row = rows_of(tmp_path / "rows")[2]
    assert np.array_equal(decoded("", row["observation"]), drawn.view.clean(drawn.trajectories.qpos[2]))
    assert np.array_equal(decoded("", row["observation_distracted"]), drawn.select([0]).pixels[2])
    clean = import_dataset(tmp_path / "rows", tmp_path / "clean", observation="observation")
    assert np.array_equal(clean.pixels[2], decoded("", row["observation"]))


@pytest.fixture
def segmented(drawn, tmp_path):
    """A dataset with masks by name: of the frames under video, and of the clean ones."""
    drawn.trajectories.save(tmp_path / "physics")
    for name, distractor in (("seen", "video"), ("clean", "none")):
        view = {"distractor": distractor, "image_size": 36}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # motion is no good source here, which does not matter
            segment_dataset(tmp_path / "physics", "motion", name=name, view=view)
    return tmp_path / "physics"


VIEW = {"distractor": "video", "image_size": 36}


def test_predicted_masks_stand_beside_the_dataset_s_own(segmented, drawn, tmp_path):
    convert_dataset(segmented, tmp_path / "rows", "huggingface", view=VIEW, pred_mask="seen")
    rows, want = rows_of(tmp_path / "rows"), MaskColumn.load(segmented, "seen").rows(np.arange(len(drawn)))
    assert list(rows[0])[:3] == ["observation", "mask", "pred_mask"]
    assert np.array_equal(images_of(rows, "pred_mask"), want)
    frames = import_dataset(tmp_path / "rows", tmp_path / "back", mask="pred_mask")
    assert np.array_equal(frames.mask[..., 0], want)
    assert np.array_equal(import_dataset(tmp_path / "rows", tmp_path / "own").mask, drawn.select(range(3)).mask)


def test_the_columns_of_meta_world_s_datasets_are_all_there(segmented, drawn, tmp_path):
    masks = {"pred_mask": "clean", "pred_mask_distracted": "seen"}
    convert_dataset(segmented, tmp_path / "rows", "huggingface", view=VIEW, variant="dmw", **masks)
    rows = rows_of(tmp_path / "rows")
    assert list(rows[0]) == [
        *("observation", "observation_distracted", "mask", "pred_mask", "pred_mask_distracted"),
        *("state", "action", "reward", "terminated", "truncated"),
    ]
    for name, column in masks.items():
        want = MaskColumn.load(segmented, column).rows(np.arange(len(rows)))
        assert np.array_equal(images_of(rows, name), want)


def test_masks_of_a_column_can_be_written_as_the_dataset_s(segmented, tmp_path):
    convert_dataset(segmented, tmp_path / "rows", "huggingface", view=VIEW, masks="seen")
    frames = import_dataset(tmp_path / "rows", tmp_path / "back")
    assert np.array_equal(frames.mask[..., 0], MaskColumn.load(segmented, "seen").rows(np.arange(len(frames))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pred_mask": "clean"}, r"masks 'clean' were made of other frames: distractor"),
        ({"pred_mask": "seen", "test": 0.3}, "test=0.3 shows backgrounds that the masks 'seen' were not made of"),
        ({"pred_mask_distracted": "seen"}, "pred_mask_distracted is of variant 'dmw'"),
        ({"pred_mask": "sen"}, "unknown mask column 'sen'. Did you mean 'seen'"),
        ({"test": 0.3, "split": "test"}, "both name the test split"),
        ({"test": 1.5}, "shares >= 0, together below 1"),
    ],
)
def test_masks_of_other_frames_and_odd_splits_are_refused(segmented, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        convert_dataset(segmented, tmp_path / "rows", "huggingface", view=VIEW, **options)
    assert not (tmp_path / "rows").exists()


def test_test_episodes_are_a_split_of_their_own_before_test_backgrounds(drawn, tmp_path):
    huggingface.export(drawn, tmp_path / "rows", test=0.3, seed=4)
    parts = split_episodes(drawn.trajectories, validation=0, test=0.3, seed=4)
    unseen = LazyFrames(drawn.trajectories, drawn.view.again(split="test"))
    for split, episodes, frames in (("train", parts.train, drawn), ("test", parts.test, unseen)):
        back = import_dataset(tmp_path / "rows", tmp_path / split, split=split)
        assert np.array_equal(back.rgbm, frames.select(episodes).rgbm)
    assert not np.array_equal(unseen.select(parts.test).pixels, drawn.select(parts.test).pixels)


def test_a_full_disk_leaves_nothing_and_is_told(drawn, tmp_path):
    with disk_of(20_000), pytest.raises(OSError, match=r"rows could not be written .*; make room and try again"):
        huggingface.export(drawn, tmp_path / "rows")
    assert not list(tmp_path.iterdir())


def test_rows_by_departure_lose_the_last_step(drawn, folder, tmp_path):
    frames = import_dataset(folder, tmp_path / "back", convention="departure")
    recorded = drawn.trajectories
    # Read so, the reward of a row belongs to its own action: one step earlier than it was written.
    assert (
        frames.trajectories.rewards[1 : recorded.lengths[0]].tolist()
        == recorded.rewards[: recorded.lengths[0] - 1].tolist()
    )
    assert not frames.trajectories.terminated.any()


def test_datasets_of_hugging_face_reads_it(folder, drawn, tmp_path):
    datasets = pytest.importorskip("datasets")
    files = [str(file) for file in sorted(folder.rglob("*.parquet"))]
    rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    want = drawn.select([0])
    assert np.array_equal(np.asarray(rows[1]["observation"]), want.pixels[1])
    assert np.array_equal(np.asarray(rows[1]["mask"]), want.mask[1, ..., 0])


def rewritten(folder, change):
    """The folder with its one file's table changed."""
    [file] = folder.rglob("*.parquet")
    parquet.write_table(change(parquet.read_table(file)), file)
    return folder


def test_masks_that_are_missing_are_a_warning(folder, tmp_path):
    rewritten(folder, lambda table: table.drop_columns(["mask"]))
    with pytest.warns(UserWarning, match=r"parquet has no column 'mask': the dataset has no masks.*masklam segment"):
        frames = import_dataset(folder, tmp_path / "back")
    assert frames.trajectories.meta["masks"] == "none"


@pytest.mark.parametrize("missing", ["observation", "action"])
def test_a_missing_column_is_named(folder, tmp_path, missing):
    rewritten(folder, lambda table: table.drop_columns([missing]))
    with pytest.raises(ValueError, match=rf"parquet has no column \['{missing}'\], only"):
        import_dataset(folder, tmp_path / "back")


def test_masks_as_numbers_are_read_too(folder, drawn, tmp_path):
    def change(table):
        masks = [decoded("", row["mask"], grey=True).tolist() for row in table.to_pylist()]
        column = pa.array(masks, pa.list_(pa.list_(pa.uint8())))
        return table.set_column(table.schema.get_field_index("mask"), "mask", column)

    frames = import_dataset(rewritten(folder, change), tmp_path / "back")
    assert np.array_equal(frames.mask, drawn.select(range(3)).mask)


def test_a_column_that_is_no_image_is_named(folder, tmp_path):
    def change(table):
        return table.set_column(0, "observation", pa.array(["text"] * len(table)))

    with pytest.raises(ValueError, match=r"row 0: no image but str; name another column"):
        import_dataset(rewritten(folder, change), tmp_path / "back")


def test_a_damaged_image_is_named_with_its_row(folder, tmp_path):
    def change(table):
        rows = table.to_pylist()
        rows[7]["observation"]["bytes"] = rows[7]["observation"]["bytes"][:30]
        return pa.Table.from_pylist(rows, schema=table.schema)

    with pytest.raises(ValueError, match=r"parquet, row 7: the image is damaged \(30 bytes\)"):
        import_dataset(rewritten(folder, change), tmp_path / "back")


def with_row(number, **values):
    def change(table):
        rows = table.to_pylist()
        rows[number].update(values)
        return pa.Table.from_pylist(rows, schema=table.schema)

    return change


def with_column(name, value):
    return lambda table: table.set_column(table.schema.get_field_index(name), name, pa.array([value] * len(table)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            with_row(5, action=[0.0, 1.0]),
            r"row 5: action has shape \(2,\), in the rows before it \(3,\); .*download the",
        ),
        (
            with_row(5, action=None),
            r"row 5: 'action' must be a list of numbers, got NoneType; the file is damaged or of",
        ),
        (with_row(5, state=[1.0]), r"row 5: state has shape \(1,\), in the rows before it \(12,\)"),
        (with_row(7, observation=None), r"row 7: no image but NoneType; name another column"),
        (with_column("action", "left"), r"row 0: 'action' must be a list of numbers, got str"),
        (with_column("action", ["left"]), r"row 0: 'action' must be a list of numbers, got list"),
    ],
)
def test_rows_of_another_layout_are_named(folder, tmp_path, change, message):
    with pytest.raises(ValueError, match=rf"parquet, {message}"):
        import_dataset(rewritten(folder, change), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_file_that_is_damaged_in_the_middle_is_named(folder, tmp_path):
    [file] = folder.rglob("*.parquet")
    blot(file)
    with pytest.raises(ValueError, match=r"parquet cannot be read after row 0 .*download it again"):
        import_dataset(folder, tmp_path / "back")


def test_a_truncated_file_is_named(folder, tmp_path):
    [file] = folder.rglob("*.parquet")
    cut(file)
    with pytest.raises(ValueError, match=r"parquet is no whole parquet file .*download it again"):
        import_dataset(folder, tmp_path / "back")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convention": "arival"}, "unknown row convention 'arival'. Did you mean 'arrival'"),
        ({"split": "test"}, "holds no parquet file of split 'test'"),
        ({"observation": "image"}, r"no column \['image'\]"),
        ({"masks": "x"}, "unknown option of 'huggingface' 'masks'. Did you mean 'mask'"),
    ],
)
def test_bad_options_say_what_is_wrong(folder, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        import_dataset(folder, tmp_path / "back", **options)


def test_the_clean_frame_needs_physics(video_only, tmp_path):
    with pytest.raises(ValueError, match="drawn from physics: give LazyFrames"):
        huggingface.export(video_only, tmp_path / "rows", variant="dmw")


@pytest.fixture
def pushed(tmp_path):
    """Actions up to 3, with the policy's own beside the executed ones."""
    env = gym.make("MaskInvertedPendulum-v0", image_size=36)
    frames = LazyFrames(collect(env, 2, policy=lambda state: np.array([2.5], np.float32), noise=1.0, max_steps=9), env)
    assert np.abs(frames.trajectories.actions).max() > 1.5
    return frames


def test_actions_come_back_within_the_bounds_that_they_had(pushed, tmp_path):
    huggingface.export(pushed, tmp_path / "rows")
    back = import_dataset(tmp_path / "rows", tmp_path / "back").trajectories
    assert np.array_equal(back.actions, pushed.trajectories.actions)
    assert [back.meta[end] for end in ("action_low", "action_high")] == [[-3.0], [3.0]]


def test_actions_of_others_are_cut_unless_they_shall_not(pushed, tmp_path):
    huggingface.export(pushed, tmp_path / "rows")
    rewritten(tmp_path / "rows", lambda table: table.replace_schema_metadata({}))
    cut = import_dataset(tmp_path / "rows", tmp_path / "cut").trajectories
    kept = import_dataset(tmp_path / "rows", tmp_path / "kept", clip=False).trajectories
    assert np.array_equal(cut.actions, pushed.trajectories.actions.clip(-1, 1))
    assert np.array_equal(kept.actions, pushed.trajectories.actions)


def numbered(table):
    ends = np.asarray(table["terminated"]) | np.asarray(table["truncated"])
    return table.append_column("episode_index", [np.concatenate([[0], np.cumsum(ends)[:-1]])])


def test_episodes_are_told_apart_or_nothing_is_read(folder, drawn, tmp_path):
    rewritten(folder, numbered)
    lengths = drawn.trajectories.lengths.tolist()
    for missing in (["truncated"], ["terminated"]):
        rewritten(folder, lambda table, missing=missing: table.drop_columns(missing))
        found = import_dataset(folder, tmp_path / missing[0])
        assert found.trajectories.lengths.tolist() == lengths
    rewritten(folder, lambda table: table.drop_columns(["episode_index"]))
    with pytest.raises(
        ValueError, match=r"no column \['terminated', 'truncated'\], so that its episodes cannot be told"
    ):
        import_dataset(folder, tmp_path / "none")


def test_no_episode_goes_from_one_split_into_another(folder, drawn, tmp_path):
    [file] = folder.rglob("*.parquet")
    table = parquet.read_table(file)
    first = int(drawn.trajectories.lengths[0]) + 1
    parquet.write_table(table.slice(0, first - 2), file.with_name("atest-00000-of-00001.parquet"))  # its end is missing
    parquet.write_table(table.slice(first), file)
    found = import_dataset(folder, tmp_path / "back").trajectories
    assert found.lengths.tolist() == [first - 3, *drawn.trajectories.lengths[1:].tolist()]


def test_frames_that_are_not_square_are_cut_and_may_be_resized(folder, tmp_path):
    """As those of real robots, 480 x 640."""
    wide = [png(np.full((20, 30, 3), 9, np.uint8)), png(np.tile(np.arange(30) < 15, (20, 1)).astype(np.uint8) * 255)]

    def change(table):
        for name, data in zip(("observation", "mask"), wide, strict=True):
            column = pa.array([{"bytes": data, "path": None}] * len(table), table.schema.field(name).type)
            table = table.set_column(table.schema.get_field_index(name), name, column)
        return table

    rewritten(folder, change)
    with pytest.warns(UserWarning, match="frames of 20 x 30 pixels are cut to their central square"):
        found = import_dataset(folder, tmp_path / "square")
    assert found.rgbm.shape[1:] == (20, 20, 4) and (found.mask[0, 0, :, 0] > 0).tolist() == [True] * 10 + [False] * 10
    with pytest.warns(UserWarning, match="central square"):
        small = import_dataset(folder, tmp_path / "small", size=10)
    assert small.rgbm.shape[1:] == (10, 10, 4) and (small.mask[0, 0, :, 0] > 0).tolist() == [True] * 5 + [False] * 5
    with pytest.raises(ValueError, match="size must be a whole number of pixels from 4 on, got 0"):
        import_dataset(folder, tmp_path / "none", size=0)


def test_an_episode_may_go_on_in_the_next_file_of_its_split(folder, drawn, tmp_path):
    """As the Hub's own conversion counts them: 0000.parquet, 0001.parquet."""
    [file] = folder.rglob("*.parquet")
    table = parquet.read_table(file)
    for number, (start, length) in enumerate(((0, 3), (3, len(table)))):
        parquet.write_table(table.slice(start, length), file.with_name(f"{number:04d}.parquet"))
    file.unlink()
    found = import_dataset(folder, tmp_path / "back").trajectories
    assert found.lengths.tolist() == drawn.trajectories.lengths.tolist()
