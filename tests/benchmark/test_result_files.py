"""Files of results: what is written comes back, and nothing else gets in."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from masklam_agents.benchmark.result_files import (
    ResultError,
    find_results,
    parse_result,
    read_result,
    read_results,
    write_result,
)
from masklam_agents.benchmark.results import to_json
from tests.benchmark.helpers import make_result


@pytest.mark.parametrize("change", [{}, {"status": "failed"}, {"variables": {"labels": 5, "rho": 0.5, "m": None}}])
def test_what_is_written_comes_back(tmp_path, change):
    result = make_result(**change)
    path = write_result(tmp_path / "run", result)
    assert read_result(path) == read_result(tmp_path / "run") == result
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["result.json"]


def test_results_of_before_the_precision_was_recorded_are_read():
    document = to_json(make_result())
    del document["training"]["precision"]
    assert parse_result(json.dumps(document), "old").training.precision is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
@pytest.mark.parametrize("key", ['"wall_seconds": 60.0', '"seed": 0'])
def test_numbers_that_are_not_finite_are_refused(number, key):
    text = json.dumps(to_json(make_result()))
    assert key in text
    with pytest.raises(ResultError, match="x.json"):
        parse_result(text.replace(key, key.split(":")[0] + ": " + number), "x.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ('{"schema": 1', "cut off"),
        ("3", "one JSON object, this is a int"),
        ("[" * 100_000, "nested too deeply"),
        ('{"schema": 1, "schema": 1}', "'schema' stands twice"),
    ],
)
def test_what_is_no_result_is_refused(text, message):
    with pytest.raises(ResultError, match=message):
        parse_result(text, "x.json")


WHOLE = json.dumps(to_json(make_result(variables={"labels": 5})))
ODD = [
    "null",
    "[]",
    "{}",
    '""',
    "-1",
    "1e999",
    "NaN",
    "true",
    "1" * 5_000,
    '"\\ud800"',
    '"\x00"',
    "[[[[",
    '{"a": 1}',
    "\ufeff",
]


@given(st.integers(0, len(WHOLE)), st.integers(0, 40), st.sampled_from(ODD) | st.text(max_size=5))
@example(0, 0, "\ufeff")
def test_a_spoilt_file_is_a_result_or_an_error_that_names_it(start, length, text):
    try:
        parse_result(WHOLE[:start] + text + WHOLE[start + length :], "x.json")
    except ResultError as error:
        assert str(error).startswith("x.json: ")


values = re.finditer(r'(?<=: )("[^"]*"|-?[0-9.]+|null|true|\[[^\]]*\])', WHOLE)


@given(st.sampled_from([match.span() for match in values]), st.sampled_from(ODD))
def test_an_odd_value_is_refused_or_read_back_alike(span, text):
    try:
        result = parse_result(WHOLE[: span[0]] + text + WHOLE[span[1] :], "x.json")
    except ResultError as error:
        assert str(error).startswith("x.json: ")
    else:
        assert parse_result(json.dumps(to_json(result)), "x.json") == result


def test_files_lists_lines_and_folders_are_read_alike(tmp_path):
    results = [make_result(seed=seed) for seed in range(3)]
    documents = [to_json(result) for result in results]
    for result in results:
        write_result(tmp_path / "runs" / str(result.seed), result)
    (tmp_path / "list.json").write_text(json.dumps(documents))
    (tmp_path / "lines.jsonl").write_text("\n\n".join(json.dumps(document) for document in documents) + "\n")
    for path in ("runs", "list.json", "lines.jsonl"):
        assert read_results([tmp_path / path]) == results
    folders = [found.folder for found in find_results([tmp_path / "runs", tmp_path / "list.json"])]
    assert folders == [*(tmp_path / "runs" / str(seed) for seed in range(3)), None, None, None]
    assert read_results([tmp_path / "runs" / "1", tmp_path / "lines.jsonl"]) == [results[1], *results]


def test_paths_without_results_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no result.json in this folder"):
        read_results([tmp_path])
    with pytest.raises(FileNotFoundError, match="nowhere.json: no such file"):
        read_results([tmp_path / "nowhere.json"])
    (tmp_path / "lines.jsonl").write_text(json.dumps(to_json(make_result())) + "\n{}\n")
    with pytest.raises(ResultError, match="lines.jsonl, line 2: schema is None"):
        read_results([tmp_path / "lines.jsonl"])
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ResultError, match="no text in UTF-8"):
        read_results([tmp_path / "picture.json"])


def test_a_failed_write_leaves_the_old_result(tmp_path, monkeypatch):
    write_result(tmp_path, make_result(seed=1))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_result(tmp_path, make_result(seed=2))
    assert read_result(tmp_path).seed == 1
    assert len(list(tmp_path.iterdir())) == 1
