"""What the suites promise without their packages: ids, JSON-able specs, and one line that says what to install."""

import json
import sys

import gymnasium as gym
import pytest

from masklam_envs.suites.catalog import DMC_PLACED, DMC_TASKS, METAWORLD_TASKS, suite_ids

ROWS = list(suite_ids())
MISSING = [
    ("dm_control", "DMC/cheetah-run-v0", "dm_control is not installed: pip install 'masklam[dmc]'"),
    ("metaworld", "MetaWorld/push-v3", "metaworld is not installed: pip install 'masklam[metaworld]'"),
]


def test_the_paper_s_tasks_are_registered():
    dmc = {f"MaskDMC/{name}-v0" for name in ("cheetah-run", "walker-run", "hopper-hop", "humanoid-walk")}
    mt10 = ["reach", "push", "pick-place", "door-open", "drawer-open", "drawer-close", "button-press-topdown"]
    mt10 += ["peg-insert-side", "window-open", "window-close"]
    ids = {row.id for row in ROWS}
    assert dmc <= ids
    assert {f"MaskMetaWorld/{name}-v3" for name in mt10} == {row.id for row in ROWS if "MetaWorld" in row.id}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_is_registered_with_its_base(row):
    spec, base = gym.spec(row.id), gym.spec(row.base)
    assert spec.kwargs["base"] == base.id
    assert spec.max_episode_steps == base.max_episode_steps == row.steps
    assert json.loads(base.to_json())["kwargs"] == row.base_kwargs
    assert json.loads(spec.to_json())["entry_point"] == "masklam_envs.env:MaskEnv"


def test_no_table_names_a_task_that_does_not_exist():
    assert DMC_PLACED.keys() <= set(DMC_TASKS)
    assert len(set(DMC_TASKS)) == len(DMC_TASKS)


@pytest.mark.parametrize(("package", "base", "message"), MISSING, ids=[row[0] for row in MISSING])
@pytest.mark.parametrize("masked", [False, True])
def test_without_the_package_one_line_says_what_to_install(monkeypatch, package, base, message, masked):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as error:
        gym.make(f"Mask{base}" if masked else base)
    assert str(error.value) == message


def test_an_unknown_meta_world_task_is_named_with_the_list():
    from masklam_envs.suites.metaworld import MetaWorldEnv, ScriptedExpert

    for make in (MetaWorldEnv, ScriptedExpert):
        with pytest.raises(ValueError, match=r"unknown Meta-World task 'push-v2'. Did you mean 'push-v3'\? Known"):
            make("push-v2")


def test_tables_hold_what_a_spec_can_hold():
    assert all(task.placed and task.objects for task in METAWORLD_TASKS.values())
    json.dumps([[row.base_kwargs, row.view] for row in ROWS])
