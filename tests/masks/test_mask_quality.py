"""The experiment behind docs/masks.md: it goes on where it was, and its figure and table are made of its rows."""

import dataclasses
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
        assert len(make_faults(fault)) == (len(fault) if isinstance(fault, list) else 1)
    assert "ghost 0.5" in experiment.conditions("ghost") and "ghost 0.5" not in experiment.conditions("action-0.9")


def test_a_line_that_was_cut_off_is_removed_and_the_others_are_known(experiment, tmp_path):
    row = {"task": "T", "distractor": "d", "condition": "c", "seed": 0, "samples": 5}
    out = tmp_path / "rows.jsonl"
    assert experiment.known(out) == set()
    out.write_text(json.dumps(row) + "\n" + '{"task": "T", "dist')
    assert experiment.known(out) == {("T", "d", "c", 0, 5, "masklam")}
    assert out.read_text() == json.dumps(row) + "\n"


MADE = {
    ("MaskCheetah-v0", "action-0.9"): {"simulator": [0.2, 0.3], "erosion 1": [0.4, 0.5, 0.9], "no mask (LAPO)": [0.8]},
    ("MaskCheetah-v0", "ghost"): {"simulator": [0.2], "erosion 1": [0.3], "ghost 0.5": [0.25, 0.27]},
    ("MaskWalker-v0", "action-0.9"): {"simulator": [0.5, 0.5, 0.8], "erosion 1": [0.9], "student": [0.55]},
}
IOU = {"simulator": 1.0, "no mask (LAPO)": 1.0, "erosion 1": 0.25, "ghost 0.5": 0.5, "student": 0.75}


@pytest.fixture
def drawing(tmp_path, monkeypatch):
    """The script that draws, with made rows: two tasks, two distractors, one to three seeds; a panel is missing."""
    made = script("docs/pictures/make_mask_quality.py")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "masks.md").write_text(f"before\n{made.BEGIN}old\n{made.END}after\n")
    monkeypatch.setattr(made, "DOCS", tmp_path)
    monkeypatch.setattr(made, "ROWS", tmp_path / "rows.jsonl")
    others = ("precision", "recall", "boundary_f", "flicker", "empty")
    rows = [
        {"task": task, "distractor": distractor, "condition": condition, "seed": seed, "samples": 9}
        | {"nmse": nmse, **dict.fromkeys(("iou_mean", *others), IOU[condition])}
        for (task, distractor), conditions in MADE.items()
        for condition, found in conditions.items()
        for seed, nmse in enumerate(found)
    ]
    made.ROWS.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


def test_the_table_has_every_task_distractor_and_number_of_seeds(drawing):
    drawing.main()
    page = (drawing.DOCS / "masks.md").read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert " | ".join(lines[0]).endswith("Cheetah, `action-0.9` | Cheetah, `ghost` | Walker, `action-0.9` |")
    rows = {row[0].removeprefix("| "): [part.strip(" |") for part in row[1:]] for row in lines[2:]}
    assert rows["simulator"] == ["1.00", "1.00", "1.00", "0.25 (0.20 - 0.30; 2)", "0.20 (1)", "0.60 (0.50 - 0.80; 3)"]
    assert rows["erosion 1"][3:] == ["0.60 (0.40 - 0.90; 3)", "0.30 (1)", "0.90 (1)"]
    assert rows["ghost 0.5"][3:] == ["", "0.26 (0.25 - 0.27; 2)", ""]
    assert rows["no mask (LAPO)"][:4] == ["-", "-", "-", "0.80 (1)"]
    # By the mean cost relative to the simulator's: 0.92, 1.3, 1.8, 3.2.
    assert list(rows) == ["student", "simulator", "ghost 0.5", "erosion 1", "no mask (LAPO)"]


def test_the_figure_has_a_panel_for_each_and_bars_over_the_seeds(drawing, monkeypatch):
    figures = []
    save = drawing.Figure.savefig
    monkeypatch.setattr(drawing.Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k))
    drawing.main()
    panels = [panel for panel in figures[0].axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == [
        "MaskCheetah-v0, action-0.9 (1 - 3 seeds)",
        "MaskCheetah-v0, ghost (1 - 2 seeds)",
        "MaskWalker-v0, action-0.9 (1 - 3 seeds)",
    ]
    spans = {tuple(line.get_ydata()) for line in panels[0].lines if list(line.get_xdata()) == [0.25, 0.25]}
    assert spans == {(0.4, 0.9)}
    points = {line.get_ydata()[0]: line.get_markerfacecolor() for line in panels[1].lines if len(line.get_xdata()) == 1}
    assert points.pop(0.3) == "none" and "none" in points.values() and len(set(points.values())) == 2
    assert (drawing.DOCS / "pictures" / "mask_quality.png").stat().st_size > 10_000


def test_rows_that_cannot_be_compared_are_refused(drawing):
    rows = drawing.ROWS.read_text()
    drawing.ROWS.write_text(rows + rows.splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="has seed 0 of 'simulator', MaskCheetah-v0, twice"):
        drawing.main()
    drawing.ROWS.write_text(rows + rows.splitlines()[0].replace('"samples": 9', '"samples": 99') + "\n")
    with pytest.raises(ValueError, match=r"mixes runs of \[9, 99\] samples"):
        drawing.main()
    assert "old" in (drawing.DOCS / "masks.md").read_text()


@pytest.mark.slow
def test_rows_are_made_once_and_drawn(experiment, tmp_path, monkeypatch):
    names = ("simulator", "no mask (LAPO)", "erosion 1", "motion, background")
    args = experiment.Args(
        out=tmp_path / "rows.jsonl", cache=tmp_path, conditions=names, seeds=(0,), samples=128, episodes=3, held_out=2,
        steps=20,
    )  # fmt: skip
    short = {name: (cls, options, min(before, 128)) for name, (cls, options, before) in experiment.METHODS.items()}
    monkeypatch.setattr(experiment, "METHODS", short)
    experiment.main(args)
    more = dataclasses.replace(
        args, out=tmp_path / "more.jsonl", distractors=("ghost",), methods=tuple(experiment.METHODS)
    )
    experiment.main(dataclasses.replace(more, conditions=names[:3]))
    rows = [json.loads(line) for line in more.out.read_text().splitlines()]
    assert {(row["condition"], row["method"]) for row in rows} == {
        *((condition, method) for condition in (names[0], names[2]) for method in experiment.METHODS),
        (names[1], "masklam"),
    }
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
