"""Plugins on the command line: what they give is found, and what is told can be given again as it stands."""

import shlex
import sys

import pytest

from masklam_agents.benchmark.plugin_code import code_of
from masklam_agents.benchmark.result_files import read_results
from masklam_agents.methods import METHODS
from tests.benchmark.tiny import TINY
from tests.test_cli import masklam

PLUGIN = """
from masklam_agents.methods import register_method

register_method("contrastive", "masklam_agents.bc:BC", "")
"""
SUITE = TINY.replace("[lapo, masklam-fixed]", "[bc-labels, contrastive]").replace("future_offset: 1", "")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a plugin and a suite that names its method, in which commands are given."""
    (tmp_path / "contrast.py").write_text(PLUGIN)
    (tmp_path / "mine.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    METHODS.pop("contrastive", None)
    sys.modules.pop("contrast", None)
    code_of.cache_clear()


def told(*arguments):
    """What a mistake in a command is told by."""
    ended = masklam("benchmark", *arguments)
    assert ended.exit_code == 2, ended.output
    return " ".join(ended.output.replace("\u2502", " ").split())


def test_a_suite_that_names_what_a_plugin_gives_says_so_without_it(folder):
    for arguments in (["mine.yaml"], ["quick", "--method", "contrastive"]):
        assert "unknown method 'contrastive'" in (message := told(*arguments))
        assert "if it is a plugin's, name that: --plugin MODULE" in message


def test_the_command_in_a_result_repeats_its_run(folder, monkeypatch):
    """Also that of a built-in method, whose suite cannot be read without the plugin."""
    monkeypatch.syspath_prepend(folder)
    done = masklam("benchmark", "mine.yaml", "--plugin", "contrast", "--out", "out", "--workers", "0")
    assert done.exit_code == 0 and "2 done" in done.output, done.output
    for result in read_results(["out"]):
        METHODS.pop("contrastive", None)
        sys.modules.pop("contrast", None)
        again = masklam(*shlex.split(result.command)[1:], "--out", "again", "--workers", "0")
        assert again.exit_code == 0 and "1 done, 0 failed, 0 left" in again.output, again.output
    assert {r.config_hash for r in read_results(["again"])} == {r.config_hash for r in read_results(["out"])}


def test_cures_for_a_file_name_the_file_and_its_plugins(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    tuned = "suite: tiny\nversion: '%s'\ngrid: {learning_rate: [0.1]}\ntrials: {bc-labels: 1}\nchosen_by: nmse\n"
    (folder / "tuned.yaml").write_text(tuned % "1" + "chosen: {bc-labels: {learning_rate: 0.1}}\n")
    (folder / "old.yaml").write_text(tuned % "0" + "chosen: {}\n")
    (folder / "untuned.yaml").write_text(SUITE + "tuned: nowhere.yaml\n")
    command = "masklam benchmark mine.yaml --plugin contrast"
    given = ["mine.yaml", "--plugin", "contrast", "--tuned"]
    assert f"`{command} --tuned tuned.yaml --tune --method contrastive`" in told(*given, "tuned.yaml")
    assert f"`{command} --tune` writes one" in told(*given, "nowhere.yaml")
    assert f"move it away and run `{command} --tune` again" in told(*given, "old.yaml")
    ended = masklam("benchmark", "untuned.yaml", *given[1:3], "--workers", "0", "--method", "bc-labels")
    assert "nothing is tuned (masklam benchmark untuned.yaml --plugin contrast --tune)" in ended.output
