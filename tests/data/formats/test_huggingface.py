"""Parquet rows: rewards on arrival, T + 1 rows, images to the bit, and what is wrong is named."""

from __future__ import annotations

import numpy as np
import pytest

from masklam_envs.data.formats import huggingface, import_dataset
from masklam_envs.data.formats.images import decoded
from tests.data.formats.helpers import assert_episode, cut

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def folder(drawn, tmp_path):
    huggingface.export(drawn, tmp_path / "rows")
    return tmp_path / "rows"


def rows_of(folder):
    return [row for file in sorted(folder.rglob("*.parquet")) for row in parquet.read_table(file).to_pylist()]


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


def test_the_clean_frame_stands_beside_the_distracted_one(drawn, tmp_path):
    huggingface.export(drawn, tmp_path / "rows", variant="dmw")
    row = rows_of(tmp_path / "rows")[2]
    assert np.array_equal(decoded("", row["observation"]), drawn.view.clean(drawn.trajectories.qpos[2]))
    assert np.array_equal(decoded("", row["observation_distracted"]), drawn.select([0]).pixels[2])
    clean = import_dataset(tmp_path / "rows", tmp_path / "clean", observation="observation")
    assert np.array_equal(clean.pixels[2], decoded("", row["observation"]))


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
