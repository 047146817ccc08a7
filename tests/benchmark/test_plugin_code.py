"""Code of plugins that was edited is other runs, and old results are neither lost nor mixed with new ones."""

import sys

import pytest

from masklam_agents.benchmark.execute import execute, run_folder
from masklam_agents.benchmark.plan import make_runs
from masklam_agents.benchmark.plugin_code import code_of
from masklam_agents.benchmark.result_files import OUTDATED, read_results
from masklam_agents.benchmark.shared import recording
from masklam_agents.benchmark.stored import check_stored
from masklam_agents.methods import METHODS, Method
from masklam_envs.distractors import presets
from tests.benchmark.tiny import do, options, tiny

SOURCES = {
    "mine": "import numpy, torch, masklam_agents\nfrom mine_parts import nets\nENTRY = 'mine_late:LAM'",
    "mine_parts/__init__": "",
    "mine_parts/nets": "from . import layers\n\ndef build():\n    import mine_inner",
    "mine_parts/layers": "",
    "mine_late": "",
    "mine_inner": "import mine",
    "unused": "",
}
BEHIND = sorted(SOURCES.keys() - {"unused"})


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the plugin ``mine`` with some of its files replaced; its digests."""
    folder = tmp_path / "code"
    monkeypatch.syspath_prepend(folder)

    def write(**changes):
        for name, text in {**SOURCES, **changes}.items():
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
        code_of.cache_clear()
        return code_of(("mine",))

    yield write
    code_of.cache_clear()
    for name in SOURCES:
        sys.modules.pop(name.removesuffix("/__init__").replace("/", "."), None)


@pytest.fixture
def others(monkeypatch):
    """A method and a distractor that are not ours."""
    monkeypatch.setitem(METHODS, "others", Method("masklam_agents.bc:BC", ""))
    monkeypatch.setitem(presets._PARTS, "others", "others:Part")


@pytest.mark.parametrize("name", BEHIND)
def test_every_file_behind_a_plugin_counts(write, name):
    before = write()
    assert before.keys() == {"mine", "mine_parts", "mine_late", "mine_inner"}  # nothing installed, nothing of ours
    after = write(**{name: SOURCES[name] + "\n# edited"})
    top = name.partition("/")[0]
    assert {key for key in before if before[key] != after[key]} == {top}
    assert write() == before == write(unused="edited")


def test_what_plugins_give_is_trained_drawn_and_recorded_anew(write, others):
    suite = tiny(methods="[lapo, others]", distractors="[none, others]", tasks="[MaskCheetah-v0, CartPole-v1]")

    def planned():
        found = make_runs(suite, plugins=["mine"])
        return {tuple(run.config[name] for name in ("method", "distractor", "task")): run for run in found}

    write()
    before = planned()
    write(mine_late="edited = True")
    after = planned()
    same = {place for place in before if before[place].hash == after[place].hash}
    assert same == {("lapo", "none", "MaskCheetah-v0")} and all("plugin_code" not in before[p].config for p in same)
    for place in before.keys() - same:
        (_, distractor, task), was, now = place, before[place], after[place]
        assert not was.agent_keys & now.agent_keys
        # A method changes no frames, a distractor no physics.
        assert (was.frames_key != now.frames_key) == (distractor == "others" or task == "CartPole-v1")
        assert (recording(was, "train") != recording(now, "train")) == (task == "CartPole-v1")


def test_results_of_edited_code_stay_and_are_not_mixed_with_new_ones(tmp_path, write, others):
    suite, plugins = tiny(methods="[others]", options="{}", seeds="2"), ["mine"]

    def planned(count):
        runs = make_runs(suite, plugins=plugins)[:count]
        return runs, check_stored(suite, runs, tmp_path, None, plugins)

    write()
    old, told = planned(2)
    assert told == [] and do(old, tmp_path).done == 2
    write(mine="edited = True")
    new, told = planned(1)
    assert "outdated: 2 results made with other code of mine (" in told[0] and "rm -r $(dirname" in told[1]
    assert do(new, tmp_path).done == 1
    with pytest.warns(UserWarning, match="2 outdated results are left out"):
        assert [result.config_hash for result in read_results([tmp_path])] == [new[0].hash]
    assert read_results([run_folder(tmp_path, old[1])])  # asked for by name
    write()  # undone
    assert planned(2)[1][0].startswith("outdated: 1 results")
    with pytest.warns(UserWarning, match=new[0].hash):
        assert {result.config_hash for result in read_results([tmp_path])} == {run.hash for run in old}


def test_only_what_a_command_replaces_is_outdated_where_the_code_is_the_same(tmp_path, write, others):
    """As where each method of a folder has a plugin of its own."""
    suite = tiny(methods="[others]", options="{}", seeds="2")
    write()
    runs = make_runs(suite, plugins=["mine"])
    do(runs, tmp_path)
    assert check_stored(suite, [], tmp_path, None, ["mine", "unused"]) == []
    again = make_runs(suite, plugins=["mine", "unused"])
    assert "1 results made with other plugins" in check_stored(suite, again[:1], tmp_path, None, ["mine", "unused"])[0]
    assert [(run_folder(tmp_path, run) / OUTDATED).exists() for run in runs] == [True, False]


def test_a_process_that_begins_after_an_edit_trains_nothing_under_the_old_name(tmp_path, write, others):
    write()
    [run] = make_runs(tiny(methods="[others]", options="{}"), plugins=["mine"])
    write(mine_inner="edited = True")
    outcome = execute(run, options(tmp_path))
    assert outcome.status == "failed" and "the code of mine_inner has changed since" in outcome.error
