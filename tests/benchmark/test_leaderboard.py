"""One table of what many people sent."""

import dataclasses
import json

import pytest

from masklam_agents.benchmark.leaderboard import make_boards, write_leaderboard
from masklam_agents.benchmark.result_files import write_result
from masklam_agents.benchmark.results import Machine, to_json
from tests.benchmark.helpers import make_result, make_results, write_results
from tests.test_cli import masklam


def lines(path, results):
    path.write_text("".join(json.dumps(to_json(result)) + "\n" for result in results))
    return path


@pytest.fixture
def sent(tmp_path):
    ours = write_results(tmp_path / "ours", make_results(seeds=3), pictures=False)
    theirs = [*make_results({"new": (0.3, 0.6)}, seeds=2), make_result(method="new", seed=7, status="failed")]
    part = make_results({"part": (0.1, 0.9)}, tasks=("MaskCheetah-v0",), seeds=3)
    return [ours, lines(tmp_path / "anna.jsonl", theirs), lines(tmp_path / "bob.jsonl", part)]


def test_entries_are_ranked_over_all_places(sent):
    (board,) = make_boards(sent)
    assert (board.suite, board.version, board.places) == ("synthetic", "1", 4)
    assert [(entry.rank, entry.method, entry.sender) for entry in board.entries] == [
        (1, "new", "anna"),
        (2, "masklam", "ours"),
        (3, "bc-labels", "ours"),
        (4, "laom", "ours"),
        (5, "lapo", "ours"),
        (None, "part", "bob"),  # best of all, in half of the places
    ]
    new = board.entries[0]
    assert (new.places, new.seeds, new.failed) == (4, (2, 2), 1)
    assert new.scores["nmse"].low <= new.scores["nmse"].estimate <= new.scores["nmse"].high
    assert board.entries[2].scores["nmse"] is None


def test_a_measure_ranks_in_its_own_direction(sent):
    (board,) = make_boards(sent, by="nmse")
    assert [entry.method for entry in board.entries if entry.rank] == ["new", "masklam", "laom", "lapo"]
    assert {entry.method for entry in board.entries if not entry.rank} == {"bc-labels", "part"}


def test_versions_have_tables_of_their_own(sent, tmp_path):
    other = lines(tmp_path / "old.jsonl", [make_result(suite_version="0")])
    assert [(board.version, board.places) for board in make_boards([*sent, other])] == [("0", 1), ("1", 4)]


def test_the_same_results_count_once_and_a_repetition_is_its_own_entry(tmp_path):
    results = make_results({"lapo": (0.8, 0.1)}, seeds=2)
    first, copy = lines(tmp_path / "a.jsonl", results), lines(tmp_path / "b.jsonl", results)
    again = lines(tmp_path / "c.jsonl", [make_result(0.7, seed=0, machine=Machine("Another", 8))])
    (board,) = make_boards([first, copy, again])
    assert [(entry.sender, entry.places) for entry in board.entries] == [("a", 4), ("c", 1)]


def test_what_an_entry_had_otherwise_is_told(tmp_path):
    training = make_result().training
    more = dataclasses.replace(training, labels=9, samples={"pretrain": 1})
    runs = [make_result(method=method) for method in ("lapo", "laom")] + [make_result(method="new", training=more)]
    entries = make_boards([lines(tmp_path / "a.jsonl", runs)])[0].entries
    unlike = {entry.method: entry.unlike for entry in entries}
    assert unlike == {"lapo": (), "laom": (), "new": ("number of labels", "samples of pretrain")}
    (board,) = make_boards([lines(tmp_path / "b.jsonl", runs[1:])])
    assert all(entry.unlike == unlike["new"] for entry in board.entries)  # of two, none is the usual one


def test_names_can_be_said(sent, tmp_path):
    (board,) = make_boards([f"Group A={sent[1]}", f"Group A={sent[2]}"])
    assert {entry.sender for entry in board.entries} == {"Group A"}
    odd = lines(tmp_path / "x=y.jsonl", [make_result()])
    assert make_boards([odd])[0].entries[0].sender == "x=y"


@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_tables_are_written(sent, tmp_path, suffix):
    hostile = f"a|b<script>alert(1)</script>={sent[1]}"
    path = tmp_path / f"board{suffix}"
    write_leaderboard([sent[0], hostile], path)
    text = path.read_text()
    assert "<script>alert" not in text
    assert "masklam" in text
    if suffix == ".md":
        table = [line for line in text.splitlines() if line.startswith("|")]
        assert len(table) == 2 + 5
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_the_command(sent, tmp_path):
    done = masklam("leaderboard", *sent, "--out", tmp_path / "board.md")
    assert done.exit_code == 0, done.output
    assert "synthetic 1, 6 entries, 4 places" in done.output
    assert "unknown measure 'retrun'" in masklam("leaderboard", *sent, "--out", "x.md", "--by", "retrun").output
    assert "unknown kind of leaderboard '.pdf'" in masklam("leaderboard", *sent, "--out", "x.pdf").output
    (tmp_path / "bad.json").write_text("__import__('os')")
    done = masklam("leaderboard", tmp_path / "bad.json", "--out", "x.md")
    assert done.exit_code == 2
    assert "no JSON" in done.output


def test_files_that_are_called_alike_need_names(tmp_path):
    """Every report's file is called results.jsonl; two groups' must not become one entry."""
    for group in ("one", "two"):
        write_result(tmp_path / group / "runs", make_result(seed=int(group == "two")))
    paths = [str(tmp_path / group / "runs") for group in ("one", "two")]
    with pytest.raises(ValueError, match=r"would both be of 'runs': say whose they are by NAME=PATH"):
        make_boards(paths)
    assert len(make_boards([paths[0], paths[0]])[0].entries) == 1  # the same path twice
    [board] = make_boards([f"A={paths[0]}", f"B={paths[1]}"])
    assert {entry.sender for entry in board.entries} == {"A", "B"}
    [together] = make_boards([f"A={path}" for path in paths])
    assert {entry.sender for entry in together.entries} == {"A"}


def test_many_runs_of_an_easy_task_do_not_make_up_for_a_hard_one(tmp_path):
    def sent(name, returns, counts):
        for (task, value), count in zip(returns.items(), counts, strict=True):
            for seed in range(count):
                result = make_result(returns=(value,), task=task, seed=seed, method=name)
                write_result(tmp_path / name / f"{task}-{seed}", result)
        return str(tmp_path / name)

    even = sent("even", {"MaskCheetah-v0": 70.0, "MaskHopper-v0": 20.0}, (5, 5))
    worse = sent("worse", {"MaskCheetah-v0": 60.0, "MaskHopper-v0": 15.0}, (20, 1))
    [board] = make_boards([even, worse])
    assert [entry.method for entry in board.entries] == ["even", "worse"]
