"""Runs that differ in the distractor's name alone are done once."""

import dataclasses

import pytest

from masklam_agents.benchmark import execute as execute_module
from masklam_agents.benchmark.execute import finished, run_folder
from masklam_agents.benchmark.known import take_over
from masklam_agents.benchmark.plan import make_runs
from masklam_agents.benchmark.result_files import OUTDATED, ResultError, to_json, write_result
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


def test_known_results_of_twins_are_used_when_the_run_s_turn_comes(tmp_path, measured):
    runs = make_runs(suite("[lapo-clean, lapo]"))
    video, ghosts = ([run for run in runs if run.config["distractor"] == name] for name in ("video", "ghost"))
    do(video, tmp_path / "there")
    measured.clear()
    assert take_over([tmp_path / "there"], ghosts, tmp_path / "here") == (1, 1)
    assert take_over([tmp_path / "there"], ghosts, tmp_path / "here") == (0, 1)
    # Before: a report would hold places in which nothing but the twin has runs.
    assert not any(run_folder(tmp_path / "here", run).exists() for run in ghosts)
    assert do(ghosts, tmp_path / "here", distractors=NAMES).done == 2
    assert [run.config["method"] for run in measured] == ["lapo"]
    clean = finished(tmp_path / "here", ghosts[0])
    assert clean.metrics == finished(tmp_path / "there", video[0]).metrics
    assert result_for(ghosts[0], clean) is clean


def test_known_results_are_of_this_version_and_replace_failures(tmp_path):
    [run] = make_runs(tiny(methods="[lapo]"))
    do([run], tmp_path / "there")
    known, folder = finished(tmp_path / "there", run), run_folder(tmp_path / "here", run)
    write_result(folder, dataclasses.replace(known, status="failed", error="no memory", metrics=None))
    assert take_over([tmp_path / "there"], [run], tmp_path / "here") == (1, 0)
    assert finished(tmp_path / "here", run) == known
    versions = {**known.versions, "masklam": "0.0.0"}
    write_result(run_folder(tmp_path / "old", run), dataclasses.replace(known, versions=versions))
    with pytest.raises(ResultError, match=r"result.json: of masklam 0.0.0, this is .*leave it out of --known"):
        take_over([tmp_path / "old"], [run], tmp_path / "new")
