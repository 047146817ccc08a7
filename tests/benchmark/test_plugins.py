"""Plugins on the command line: what they give is found, and what is told can be given again as it stands."""

import os
import shlex
import subprocess
import sys

import pytest

from masklam_agents.benchmark.execute import Options, execute
from masklam_agents.benchmark.plan import Run
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


def test_a_plugin_in_the_working_directory_is_found_though_python_does_not_look_there(folder, monkeypatch):
    done = masklam("benchmark", "mine.yaml", "--plugin", "contrast", "--out", "out", "--workers", "0")
    assert done.exit_code == 0 and "2 done" in done.output, done.output
    assert sys.path[-1] == str(folder)  # behind all others: nothing here is imported in place of something installed
    [result] = [result for result in read_results(["out"]) if result.method == "contrastive"]
    monkeypatch.chdir("/")  # as a worker of Ray may be elsewhere
    monkeypatch.setattr(sys, "path", sys.path[:-1])
    METHODS.pop("contrastive"), sys.modules.pop("contrast")
    again = execute(Run(result.config), Options(str(folder / "again"), str(folder / "s"), plugin_folder=str(folder)))
    assert again.status == "ok", again.error


@pytest.mark.slow
def test_processes_of_the_installed_command_find_it_too(folder, repo):
    (folder / "bin").mkdir()
    script = folder / "bin" / "masklam"
    script.write_text("from masklam_agents.cli import app\n\nif __name__ == '__main__':\n    app()\n")
    words = [sys.executable, script, "benchmark", "mine.yaml", "--plugin", "contrast", "--workers", "1"]
    ended = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(repo)})
    assert ended.returncode == 0 and "2 done, 0 failed" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("given", "where"), [("contrast.py", ""), ("/code/contrast.py", ", with PYTHONPATH=/code"), ("./contrast", "")]
)
def test_a_file_is_no_name_of_a_module(folder, given, where):
    message = told("quick", "--plugin", given)
    assert f"{given}: name a plugin as `import` does: --plugin contrast{where} " in message


def test_a_suite_that_names_what_a_plugin_gives_says_so_without_it(folder):
    for arguments in (["mine.yaml"], ["quick", "--method", "contrastive"]):
        assert "unknown method 'contrastive'" in (message := told(*arguments))
        assert "if it is a plugin's, name that: --plugin MODULE" in message


def test_the_command_in_a_result_repeats_its_run(folder):
    """Also that of a built-in method, whose suite cannot be read without the plugin."""
    done = masklam("benchmark", "mine.yaml", "--plugin", "contrast", "--out", "out", "--workers", "0")
    assert done.exit_code == 0 and "2 done" in done.output, done.output
    for result in read_results(["out"]):
        METHODS.pop("contrastive", None)
        sys.modules.pop("contrast", None)
        again = masklam(*shlex.split(result.command)[1:], "--out", "again", "--workers", "0")
        assert again.exit_code == 0 and "1 done, 0 failed, 0 left" in again.output, again.output
    assert {r.config_hash for r in read_results(["again"])} == {r.config_hash for r in read_results(["out"])}


def test_cures_for_a_file_name_the_file_and_its_plugins(folder):
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
