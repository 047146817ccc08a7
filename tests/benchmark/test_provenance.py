"""What results say of where they come from."""

import subprocess

from masklam_agents.benchmark import provenance
from tests.benchmark.helpers import make_result


def test_versions_are_those_that_a_result_needs():
    versions = make_result(versions=provenance.installed_versions()).versions
    assert versions["torch"] and versions["numba"]


def test_the_commit_is_that_of_the_code_that_was_loaded(monkeypatch):
    """A merge in the middle of a long benchmark changes the files, and not what its processes run."""
    provenance.commit.cache_clear()
    before = provenance.commit()
    assert make_result(commit=before).commit == before  # a form that results may have
    monkeypatch.setattr(subprocess, "run", None)  # asked once, at the start
    assert provenance.commit() == before
    provenance.commit.cache_clear()


def test_outside_of_a_checkout_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    provenance.commit.cache_clear()
    assert provenance.commit() == "unknown"
    provenance.commit.cache_clear()


def test_the_machine_has_a_processor_and_no_name():
    found = provenance.machine()
    assert found.cpu and found.cores >= 1
