"""Runs that differ in the distractor's name alone are done once."""

import dataclasses

import pytest

from masklam_agents.benchmark import execute as execute_module
from masklam_agents.benchmark.execute import finished, run_folder
from masklam_agents.benchmark.known import take_over
from masklam_agents.benchmark.plan import make_runs
from masklam_agents.benchmark.result_files import OUTDATED, to_json, write_result
from masklam_agents.benchmark.twins import finished_twin, result_for
from tests.benchmark.tiny import do, tiny

NAMES = ("none", "video", "ghost")
PLACE = ("distractor", "config", "config_hash", "command")


@pytest.fixture
def measured(monkeypatch):
    """The runs that are trained and measured."""
    found, real = [], execute_module._trained_and_measured
    monkeypatch.setattr(
        execute_module, "_trained_and_measured", lambda run, *rest: found.append(run) or real(run, *rest)
    )
    return found


def suite(methods="[lapo-clean]"):
    return tiny(methods=methods, distractors=f"[{', '.join(NAMES)}]")


def names_of(folder):
    return {path.name for path in folder.iterdir()}


def test_a_method_that_sees_another_scene_is_done_once_for_all_distractors(tmp_path, measured):
    runs = make_runs(suite("[lapo-clean, lapo]"))
    assert do(runs, tmp_path, distractors=NAMES, pictures=True, keep_agents=True).done == 6
    assert [run.config["method"] for run in measured].count("lapo-clean") == 1
    assert len(measured) == 1 + 3
    first, *others = [run for run in runs if run.config["method"] == "lapo-clean"]
    done = to_json(finished(tmp_path, first))
    for run in others:
        result = to_json(finished(tmp_path, run))
        assert {**result, **{name: done[name] for name in PLACE}} == done
        assert result["distractor"] == run.config["distractor"] and result["config_hash"] == run.hash
        assert result["command"] == done["command"].replace(first.hash, run.hash) != done["command"]
        assert names_of(run_folder(tmp_path, run)) == names_of(run_folder(tmp_path, first))


def test_scores_of_a_twin_are_those_of_the_run_itself(tmp_path, measured):
    first, second, _ = make_runs(suite())
    do([first], tmp_path, distractors=NAMES)
    do([second], tmp_path, distractors=NAMES)  # another call, on the same folder
    do([second], tmp_path / "alone")  # trained itself
    assert len(measured) == 2
    taken, own = (finished(folder, second) for folder in (tmp_path, tmp_path / "alone"))
    same = ("metrics", "training", "evaluation", "normalizers", "config", "config_hash", "command")
    assert all(getattr(taken, name) == getattr(own, name) for name in same)


def test_only_a_twin_that_counts_is_taken(tmp_path):
    first, second, _ = make_runs(suite())
    do([first], tmp_path)
    folder, there = tmp_path / "runs", run_folder(tmp_path, first)
    assert finished_twin(second, folder, NAMES) == there
    assert finished_twin(second, folder, NAMES, ["agent.safetensors"]) is None
    assert finished_twin(first, folder, NAMES) is None  # not itself
    lapo = make_runs(suite("[lapo]"))[1]
    assert finished_twin(lapo, folder, NAMES) is None
    (there / OUTDATED).write_text("made with other code")
    assert finished_twin(second, folder, NAMES) is None
    (there / OUTDATED).unlink()
    good = finished(tmp_path, first)
    write_result(there, dataclasses.replace(good, status="failed", error="no", metrics=None))
    assert finished_twin(second, folder, NAMES) is None
    (there / "result.json").write_text("{")
    assert finished_twin(second, folder, NAMES) is None


def test_known_results_of_twins_are_taken_over(tmp_path):
    runs = make_runs(suite("[lapo-clean, lapo]"))
    do([run for run in runs if run.config["distractor"] == "video"], tmp_path / "there")
    assert take_over([tmp_path / "there"], runs, tmp_path / "here") == (3 + 1, 0)
    assert take_over([tmp_path / "there"], runs, tmp_path / "here") == (0, 0)
    ghosts = [run for run in runs if run.config["distractor"] == "ghost"]
    assert take_over([tmp_path / "there"], ghosts, tmp_path / "other") == (1, 1)
    for run in ghosts:
        result = finished(tmp_path / "other", run)
        assert (result is None) == (run.config["method"] == "lapo")
    [video, *_] = [run for run in runs if run.config["distractor"] == "video"]
    own = finished(tmp_path / "there", video)
    assert result_for(video, own) is own
