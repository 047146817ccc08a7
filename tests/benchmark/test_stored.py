"""A folder's results are held against the suite before anything runs."""

import json

import pytest

from masklam_agents.benchmark.execute import run_folder
from masklam_agents.benchmark.plan import make_runs
from masklam_agents.benchmark.result_files import OUTDATED
from masklam_agents.benchmark.runner import FolderError
from masklam_agents.benchmark.stored import check_stored
from masklam_agents.benchmark.tuned import Tuned
from tests.benchmark.tiny import TINY, tiny
from tests.test_cli import masklam

TUNED = Tuned("tiny", "1", {"learning_rate": (0.5,)}, {"lapo": 1}, "by nmse", {"lapo": {"learning_rate": 0.5}})


def stored(out, suite, status="ok", **more):
    """A folder in which all runs of a suite have ended, as far as is read here."""
    runs = make_runs(suite, **more)
    for run in runs:
        folder = run_folder(out, run)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"config": run.config, "status": status}))
    return runs


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": "[lapo, masklam-fixed, lapo-paper]"},
        {"methods": "[lapo]"},
        {"tasks": "[MaskCheetah-v0, MaskHopper-v0]"},
        {"tasks": "[MaskHopper-v0]"},
        {"distractors": "[none, action]"},
        {"seeds": "3"},
        {"summary": "other words"},
        {"vary": "{labels: [8, 16, 32]}"},
    ],
)
def test_what_is_added_to_a_suite_or_taken_from_it_is_let_through(tmp_path, changes):
    before = {"vary": "{labels: [8, 16]}", "methods": "[lapo, lapo-paper]"}
    stored(tmp_path, tiny(**before))
    suite = tiny(**{**before, **changes})
    assert check_stored(suite, make_runs(suite), tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": "{steps: 90, held_out_steps: 60, max_steps: 40}"}, "data.steps was 80 and is 90"),
        ({"options": "{future_offset: 2}"}, "options.future_offset was 1 and is 2"),
        ({"method_options": "{lapo: {shift: 1}}"}, "options.shift was null and is 1"),
        ({"distractors": "{none: action}"}, 'view.distractor was "none" and is "action"'),
        ({"evaluation": "{episodes: 3, max_steps: 25, transitions: 60}"}, "evaluation.episodes was 2 and is 3"),
    ],
)
def test_an_edited_suite_is_refused_before_anything_runs(tmp_path, changes, told):
    """Also where a run is wanted that has no result yet: it would be compared with those."""
    [run] = stored(tmp_path, tiny(methods="[lapo]"))
    suite = tiny(methods="[lapo]", **changes)
    with pytest.raises(FolderError, match="holds 1 results of another definition of tiny 1, such as") as error:
        check_stored(suite, [], tmp_path)
    assert told in str(error.value) and f"rm -r {run_folder(tmp_path, run)}" in str(error.value)
    assert not (run_folder(tmp_path, run) / OUTDATED).exists()


def test_other_hyperparameters_are_another_definition(tmp_path):
    stored(tmp_path, tiny())
    with pytest.raises(FolderError, match="holds 1 results of another definition"):
        check_stored(tiny(), make_runs(tiny(), tuned=TUNED), tmp_path, TUNED)


def test_what_failed_stands_in_the_way_of_no_cure(tmp_path):
    [run] = stored(tmp_path, tiny(methods="[lapo]"), "failed")
    suite = tiny(methods="[lapo]", options="{future_offset: 2}")
    assert "failed under another definition of the suite" in check_stored(suite, make_runs(suite), tmp_path)[0]
    assert (run_folder(tmp_path, run) / OUTDATED).exists()


def test_the_command_refuses_an_edited_file_and_its_cures_work(tmp_path):
    path, out = tmp_path / "mine.yaml", tmp_path / "out"
    given = ["benchmark", path, "--method", "bc-labels", "--workers", "0", "--out"]
    path.write_text(TINY)
    assert masklam(*given, out).exit_code == 0
    path.write_text(TINY.replace("batch_size: 8", "batch_size: 4"))
    refused = masklam(*given, out)
    told = " ".join(refused.output.replace("\u2502", " ").split())
    assert refused.exit_code == 2 and "options.batch_size was 8 and is 4" in told and "another --out" in told
    assert masklam(*given, tmp_path / "other").exit_code == 0
