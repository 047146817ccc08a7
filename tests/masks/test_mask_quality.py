"""The experiment behind docs/masks.md: it goes on where it was, and its figure and table are made of its rows."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from masklam_envs.masks import make_faults

ROOT = Path(__file__).parents[2]


def script(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def experiment():
    return script("experiments/mask_quality.py")


def test_every_condition_is_one_of_known_faults_and_sources(experiment):
    for fault in (experiment.FAULTS | experiment.GHOST_FAULTS).values():
        assert len(make_faults(fault)) == 1
    assert "ghost 0.5" in experiment.conditions("ghost") and "ghost 0.5" not in experiment.conditions("action-0.9")


def test_a_line_that_was_cut_off_is_removed_and_the_others_are_known(experiment, tmp_path):
    row = {"task": "T", "distractor": "d", "condition": "c", "seed": 0, "samples": 5}
    out = tmp_path / "rows.jsonl"
    assert experiment.known(out) == set()
    out.write_text(json.dumps(row) + "\n" + '{"task": "T", "dist')
    assert experiment.known(out) == {("T", "d", "c", 0, 5)}
    assert out.read_text() == json.dumps(row) + "\n"


@pytest.mark.slow
def test_rows_are_made_once_and_drawn(experiment, tmp_path, monkeypatch):
    names = ("simulator", "no mask (LAPO)", "erosion 1", "motion, background")
    args = experiment.Args(
        out=tmp_path / "rows.jsonl", cache=tmp_path, conditions=names, seeds=(0,), samples=128, episodes=3, held_out=2,
        steps=20,
    )  # fmt: skip
    experiment.main(args)
    rows = [json.loads(line) for line in args.out.read_text().splitlines()]
    assert [(row["distractor"], row["condition"]) for row in rows] == [
        (distractor, name)
        for distractor in ("action-0.9", "ghost")
        for name in (names[0], names[1], names[3], names[2])
    ]
    found = {row["condition"]: row for row in rows}
    assert found["simulator"]["iou_mean"] == 1 and 0 < found["erosion 1"]["iou_mean"] < 0.5
    assert found["erosion 1"]["precision"] == 1
    before = args.out.read_bytes()
    monkeypatch.setattr(experiment, "run", lambda *_: pytest.fail("a row is made again"))
    experiment.main(args)
    assert args.out.read_bytes() == before

    drawing = script("docs/pictures/make_mask_quality.py")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "masks.md").write_text(f"before\n{drawing.BEGIN}old\n{drawing.END}after\n")
    monkeypatch.setattr(drawing, "DOCS", tmp_path)
    monkeypatch.setattr(drawing, "ROWS", args.out)
    drawing.main()
    page = (tmp_path / "masks.md").read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    assert "| erosion 1 |" in page and (tmp_path / "pictures" / "mask_quality.png").stat().st_size > 10_000
