"""The format of results: what is written comes back, and nothing else gets in."""

import dataclasses
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from masklam_agents.benchmark.results import (
    Metrics,
    Normalizers,
    Probe,
    Result,
    ResultError,
    find_results,
    hash_config,
    installed_versions,
    parse_result,
    read_result,
    read_results,
    to_json,
    write_result,
)
from tests.benchmark.helpers import make_result

MISTAKES = [
    (lambda r: r.update(colour=1), "colour: no such key.*remove it"),
    (lambda r: r["training"].update(colour=1), "training.colour: no such key"),
    (lambda r: r.pop("seed"), "seed: missing; add it"),
    (lambda r: r["metrics"]["action"].pop("r2"), "metrics.action.r2: missing"),
    (lambda r: r.update(seed="0"), "seed: .*valid integer .got '0'"),
    (lambda r: r.update(seed=-1), "seed: .*greater than or equal to 0"),
    (lambda r: r.update(method="a|b\n"), "method: "),
    (lambda r: r.update(status="done"), "status: .*'ok' or 'failed'"),
    (lambda r: r.update(status="failed"), "a failed one has none"),
    (lambda r: r.update(error="boom"), "empty one"),
    (lambda r: r.update(schema=2), "newer masklam .schema 2.*update masklam"),
    (lambda r: r.update(schema=0), "schema is 0, this masklam reads 1: run"),
    (lambda r: r.update(schema=True), "schema is True"),
    (lambda r: r.pop("schema"), "schema is None"),
    (lambda r: r["config"].update(seed=5), "config_hash is .* one was changed"),
    (lambda r: r["metrics"].update(return_mean=999.0), "return_mean is 999.0, the mean of returns is 40.0"),
    (lambda r: r["metrics"].update(normalized_return=0.9), "normalized_return is 0.9, .* it is 0.3"),
    (lambda r: r["metrics"]["action"].update(nmse=-0.1), "metrics.action.nmse: .*greater"),
    (lambda r: r["metrics"]["action"].update(r2=1.1), "metrics.action.r2: .*less"),
    (lambda r: r["metrics"]["action"].update(per_dimension=[0.1]), "one number each for every dimension"),
    (lambda r: r["evaluation"].update(seeds=[1]), "2 returns of 1 evaluation seeds"),
    (lambda r: r["normalizers"].update(random=200.0), "expert must be above random"),
    (lambda r: r["versions"].pop("mujoco"), "versions lacks mujoco"),
    (lambda r: r.update(variables={"labels": [1]}), "variables.labels: .*must be a finite number"),
    (lambda r: r.update(commit="main"), "commit: "),
]


@pytest.mark.parametrize("change", [{}, {"status": "failed"}, {"variables": {"labels": 5, "rho": 0.5, "m": None}}])
def test_what_is_written_comes_back(tmp_path, change):
    result = make_result(**change)
    path = write_result(tmp_path / "run", result)
    assert read_result(path) == read_result(tmp_path / "run") == result
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["result.json"]


@pytest.mark.parametrize(("spoil", "message"), MISTAKES)
def test_a_mistake_is_named_with_file_and_cure(spoil, message):
    document = to_json(make_result())
    spoil(document)
    with pytest.raises(ResultError, match=f"^somewhere.json: .*{message}"):
        parse_result(json.dumps(document), "somewhere.json")


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


def test_metrics_from_measurements():
    normalizers = Normalizers(expert=110.0, random=10.0)
    metrics = Metrics.of([30.0, 50.0], normalizers)
    assert (metrics.return_mean, metrics.normalized_return) == (40.0, pytest.approx(0.3))
    assert Metrics.of([30.0]).normalized_return is None
    assert Metrics.of().return_mean is None
    with pytest.raises(ValueError, match="finite"):
        Metrics.of([float("nan")])


def test_a_probe_has_the_fields_that_the_agents_measure():
    from masklam_agents.common.probe import ProbeResult

    measured = ProbeResult(0.5, 0.4, 0.1, (0.4, 0.6), 1e-3, (0.5, 0.3), 0.45, 0.5)
    assert dataclasses.asdict(Probe.of(measured)) == dataclasses.asdict(measured)


def test_the_hash_is_of_the_content():
    assert hash_config({"a": 1, "b": [2]}) == hash_config({"b": [2], "a": 1}) != hash_config({"a": 1, "b": [3]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        hash_config({"a": float("nan")})


def test_versions_are_those_that_a_result_needs():
    assert make_result(versions=installed_versions()).versions["torch"]


# A change here is another format: raise SCHEMA, and say in docs/benchmark.md what changed.
def test_schema_1_has_these_keys():
    document = to_json(make_result())
    assert sorted(document) == sorted(field.name for field in dataclasses.fields(Result))
    keys = {key: " ".join(value) for key, value in document.items() if isinstance(value, dict)}
    probe = "nmse r2 mse per_dimension ridge r2_per_dimension train_nmse train_r2"
    assert keys == {
        "metrics": "action action_unseen distractor effective_rank returns return_mean normalized_return more",
        "normalizers": "expert random",
        "training": "network parameters updates samples learning_rate labels label_subset dataset tuning",
        "evaluation": "seeds split transitions",
        "machine": "cpu cores accelerator",
        "variables": "",
        "config": "suite suite_version method task distractor seed variables",
        "versions": "python masklam gymnasium mujoco numpy torch",
    }
    assert " ".join(document["metrics"]["action"]) == probe
    assert " ".join(document["training"]["tuning"]) == "grid trials chosen_by"
