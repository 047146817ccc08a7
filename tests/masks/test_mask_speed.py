"""The table of the benchmark of mask sources."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "mask_speed.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


def test_a_row_for_each_source_with_speed_and_iou(benchmark, capsys):
    """A prompt is for those that take one."""
    args = benchmark.Args(
        distractors=("action",), splits=("test",), episodes=1, steps=12, prompt='{"box": [0, 0, 9, 9]}'
    )
    benchmark.main(args)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "MaskCheetah-v0, 1 episodes of 12 steps, seed 1000"
    rows = {line[:26].strip(): line[26:].split() for line in lines[2:]}
    assert list(rows) == [benchmark.SIMULATOR, "motion, background", "motion, difference", "motion, flow"]
    live, _, _, speed, iou, *_ = rows[benchmark.SIMULATOR]
    assert (live, iou) == ("yes", "1.000") and float(speed) > 0
    assert rows["motion, background"][0] == "no" and 0 < float(rows["motion, background"][4]) < 1
