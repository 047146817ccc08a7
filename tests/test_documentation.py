"""The environments' reference says what the environments are, and is up to date."""

import runpy

import gymnasium as gym
import pytest

from masklam_envs.documentation import WORDS, arguments, describe, table
from masklam_envs.env import MaskEnv, make_masked
from masklam_envs.tasks import TASKS


@pytest.fixture(scope="module")
def page():
    from pathlib import Path

    docs = Path(__file__).parents[1] / "docs"
    return (docs / "environments.md").read_text(), runpy.run_path(str(docs / "make_environments.py"))["document"]()


def test_the_page_is_what_its_script_writes(page):
    written, wanted = page
    assert written == wanted, "docs/environments.md is out of date: run `python docs/make_environments.py`"


def test_the_experts_page_is_what_its_script_writes(repo):
    docs = repo / "docs"
    wanted = runpy.run_path(str(docs / "make_experts.py"))["document"]()
    assert (docs / "experts.md").read_text() == wanted, "run `python docs/make_experts.py`"
    assert all(f"| {task} |" in wanted for task in TASKS)


def test_the_page_has_every_task_and_its_measured_camera(page):
    for task in TASKS.values():
        assert f"\n## {task.id}\n" in page[0]
        assert f"| {task.id} | random, 100 episodes |" in page[0]
        assert task.base in WORDS


def test_actions_have_their_joints_bounds_and_units():
    text = describe("MaskReacher-v0")
    assert "| 1 | `joint1` | -1 | 1 | torque, 200 N m |" in text
    assert "| 0 | `slider` | -3 | 3 | force, 100 N |" in describe("MaskInvertedPendulum-v0")


def test_objects_and_the_lack_of_them_are_told():
    assert 'the agent is `body0`, `body1`, `fingertip`. `mask_target="object"` shows `target`' in describe(
        "MaskReacher-v0"
    )
    assert "There is no object" in describe("MaskHopper-v0")


def test_the_state_is_told_part_by_part():
    assert "13 qpos, 14 qvel, 78 cfrc_ext (without the first 2 of qpos)" in describe("MaskAnt-v0")
    assert "7 qpos and 7 qvel of the arm" in describe("MaskPusher-v0")


def test_every_argument_is_told_with_its_default():
    text = arguments()
    names = list(MaskEnv.__init__.__kwdefaults__)
    assert [line.split("`")[1] for line in text.splitlines()[2:]] == names
    assert "| `image_size` | `64` | side of the frames, pixels |" in text
    assert ":mod:" not in text


def test_the_stated_rewards_are_those_of_the_base():
    """One step by hand for two tasks whose weights differ from Gymnasium's own text."""
    env = gym.make("Reacher-v5")
    env.reset(seed=0)
    _, reward, _, _, info = env.step([0.5, -1.0])
    assert info["reward_ctrl"] == -1.25 and reward == info["reward_dist"] + info["reward_ctrl"]
    env = gym.make("HumanoidStandup-v5").unwrapped
    env.reset(seed=0)
    *_, info = env.step(env.action_space.low)
    assert info["reward_linup"] == env.data.qpos[2] / 0.003


def test_a_bar_in_a_cell_does_not_end_it():
    assert table(("a",), [("x | y",)]).splitlines()[2] == r"| x \| y |"


def test_an_environments_docstring_ends_with_the_tables_of_its_id():
    env = gym.make("MaskReacher-v0").unwrapped
    assert env.__doc__.endswith(describe("MaskReacher-v0"))
    assert "## Observation" in env.__doc__ and "| action | joint |" not in MaskEnv.__doc__
    assert make_masked("Ant-v5").unwrapped.__doc__ == MaskEnv.__doc__
    assert MaskEnv("Reacher-v5").__doc__ == MaskEnv.__doc__
