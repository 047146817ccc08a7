"""The format of results: contradictions and mistakes are named, and the keys are those of its version."""

import dataclasses
import json

import pytest

from masklam_agents.benchmark.result_files import ResultError, parse_result
from masklam_agents.benchmark.results import Metrics, Normalizers, Probe, Result, hash_config, to_json
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


@pytest.mark.parametrize(("spoil", "message"), MISTAKES)
def test_a_mistake_is_named_with_file_and_cure(spoil, message):
    document = to_json(make_result())
    spoil(document)
    with pytest.raises(ResultError, match=f"^somewhere.json: .*{message}"):
        parse_result(json.dumps(document), "somewhere.json")


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


# A change here that results of before do not meet is another format: raise SCHEMA, and say in docs/benchmark.md what
# changed.
def test_schema_1_has_these_keys():
    document = to_json(make_result())
    assert sorted(document) == sorted(field.name for field in dataclasses.fields(Result))
    keys = {key: " ".join(value) for key, value in document.items() if isinstance(value, dict)}
    probe = "nmse r2 mse per_dimension ridge r2_per_dimension train_nmse train_r2"
    assert keys == {
        "metrics": "action action_unseen distractor effective_rank returns return_mean normalized_return more",
        "normalizers": "expert random",
        "training": "network parameters updates samples learning_rate labels label_subset dataset tuning precision",
        "evaluation": "seeds split transitions",
        "machine": "cpu cores accelerator",
        "variables": "",
        "config": "suite suite_version method task distractor seed variables",
        "versions": "python masklam gymnasium mujoco numpy torch",
    }
    assert " ".join(document["metrics"]["action"]) == probe
    assert " ".join(document["training"]["tuning"]) == "grid trials chosen_by"
