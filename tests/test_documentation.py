"""The environments' reference says what the environments are, and is up to date."""

import importlib
import inspect
import itertools
import re
import runpy

import gymnasium as gym
import numpy as np
import pytest

from masklam_envs import data, wrappers
from masklam_envs.data.formats.convert import FORMATS
from masklam_envs.distractors import presets
from masklam_envs.documentation import WORDS, arguments, describe, is_described, table, words_of
from masklam_envs.documentation.states import state_numbers
from masklam_envs.documentation.words import MISSING
from masklam_envs.env import MaskEnv, make_masked
from masklam_envs.masks import faults, source_names, sources
from masklam_envs.suites.catalog import DMC_TASKS, METAWORLD_TASKS, suite_ids
from masklam_envs.tasks import TASKS
from masklam_envs.vector import MaskVectorEnv
from tests.helpers import check_reference, reference_sections, table_rows

GYMNASIUM = {task.base for task in TASKS.values()}


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


def test_the_tables_of_the_results_are_what_the_raw_scores_say(repo):
    docs = repo / "docs"
    text = (docs / "results" / "README.md").read_text()
    wanted = runpy.run_path(str(docs / "make_results.py"))["document"](text)
    assert text == wanted, "run `python docs/make_results.py`"
    assert "<!-- table: places -->\n\n| task |" in text


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


@pytest.mark.parametrize("env_id", TASKS)
def test_every_task_has_every_section_and_a_row_a_number(env_id):
    check_reference(env_id)


def test_every_registered_id_has_words_of_its_own():
    """Those whose packages are missing here too."""
    ids = [env_id for env_id in gym.registry if is_described(env_id)]
    assert set(ids) == {*TASKS, *(row.id for row in suite_ids())}
    assert len(ids) == 11 + len(DMC_TASKS) + len(METAWORLD_TASKS)
    for env_id in ids:
        words = words_of(gym.spec(env_id).kwargs["base"])
        assert words.goal and MISSING not in (words.reward, words.ends, words.start), env_id


def base_of(env_id, **kwargs):
    return gym.make(env_id, disable_env_checker=True, **kwargs)


def test_the_state_is_told_number_by_number():
    text = describe("MaskAnt-v0")
    assert "| 0 | position of `root`, z | -inf | inf |  | m |" in text
    assert "| 5 | angle of `hip_1` | -inf | inf | [-0.524, 0.524] | rad |" in text
    assert "| 27 | external torque on `torso`, x | -1 | 1 |  | N m |" in text
    assert "| 5 | velocity of `rootx` | -10 | 10 |  | m/s |" in describe("MaskHopper-v0")


def moved(env, steps=30):
    """A base environment after some random steps, and its state."""
    env.reset(seed=3)
    env.action_space.seed(3)
    for _ in range(steps):
        state = env.step(env.action_space.sample())[0]
    return env.unwrapped, state


@pytest.mark.parametrize("env_id", sorted(GYMNASIUM))
def test_what_the_rows_say_is_what_the_state_holds(env_id):
    """Every number whose words name a joint or body has the value that MuJoCo has for it."""
    env = base_of(env_id)
    base, state = moved(env)
    checked = 0
    for number, value in zip(state_numbers(env), state.tolist(), strict=True):
        assert number.low <= value <= number.high
        wanted = value_of(base, number.what)
        if wanted is not None:
            assert value == pytest.approx(np.clip(wanted, number.low, number.high), abs=1e-12), number.what
            checked += 1
    assert checked >= len(state) - 1


def value_of(base, what):
    """What MuJoCo has for the words of a number; None where the words are of no known form."""
    model, data = base.model, base.data
    name = re.search(r"`(\w+)`", what)
    axis = {"x": 0, "y": 1, "z": 2, "w": 0}
    last = what.rpartition(", ")[2]
    if match := re.match(r"(cosine|sine) of the angle of `(\w+)`", what):
        return {"cosine": np.cos, "sine": np.sin}[match[1]](data.joint(match[2]).qpos[0])
    if what.startswith("`fingertip` minus `target`"):
        return (data.body("fingertip").xpos - data.body("target").xpos)[axis[last]]
    joints = [model.joint(j).name for j in range(model.njnt)]
    if what.startswith(("angle of", "position of `root", "position of `slider")) and name[1] in joints:
        return data.joint(name[1]).qpos[axis[last] if ", " in what else 0]
    if what.startswith("quaternion of"):
        return data.joint(name[1]).qpos[3 + "wxyz".index(last)]
    if what.startswith("position of"):
        return data.body(name[1]).xpos[axis[last]]
    if what.startswith(("velocity of", "angular velocity of")) and name[1] in joints:
        velocity = data.joint(name[1]).qvel
        return velocity[0 if len(velocity) == 1 else axis[last[-1]] + 3 * what.startswith("angular")]
    if what.startswith(("torque at", "force at")):
        return data.qfrc_actuator[model.joint(name[1]).dofadr[0]]
    body = not what.startswith("force of") and re.search(r" (?:`(\w+)`|body (\d+))", what)
    if body:
        body = model.body(body[1]).id if body[1] else int(body[2])
        if what.startswith("inertia"):
            return data.cinert[body, ("xx", "yy", "zz", "xy", "xz", "yz").index(last)]
        if what.startswith("mass"):
            return data.cinert[body, 6 + axis[last]] if ", " in what else model.body_mass[body]
        table = data.cvel if "velocity" in what else data.cfrc_ext
        return table[body, axis[last] + 3 * ("force" in what or what.startswith("velocity"))]
    return None


@pytest.mark.parametrize("env_id", sorted(base for base, words in WORDS.items() if "{noise}" in words.start))
def test_starts_are_as_far_from_the_pose_as_is_said(env_id):
    env = base_of(env_id)
    base = env.unwrapped
    noise, starts = base._reset_noise_scale, []
    for seed in range(60):
        env.reset(seed=seed)
        starts.append((base.data.qpos - base.init_qpos, base.data.qvel.copy()))
    positions, velocities = (np.concatenate(each) for each in zip(*starts, strict=True))
    text = reference_sections(describe({task.base: task.id for task in TASKS.values()}[env_id]))["Starting state"]
    assert f"[-{noise:g}, {noise:g}]" in text
    assert 0.9 * noise < abs(positions).max() <= noise
    if "normal" in text:
        assert velocities.std() == pytest.approx(noise, rel=0.15) and abs(velocities).max() > noise
    else:
        assert 0.9 * noise < abs(velocities).max() <= noise


def test_the_arm_s_and_the_puck_s_starts_are_within_what_is_said():
    reacher, pusher = base_of("Reacher-v5"), base_of("Pusher-v5")
    for seed in range(40):
        reacher.reset(seed=seed)
        data = reacher.unwrapped.data
        assert abs(data.qpos[:2]).max() <= 0.1 and abs(data.qvel[:2]).max() <= 0.005 and not data.qvel[2:].any()
        assert np.linalg.norm(data.body("target").xpos[:2]) <= 0.2
        pusher.reset(seed=seed)
        data = pusher.unwrapped.data
        beside = (data.body("object").xpos - data.body("goal").xpos)[:2]
        assert abs(beside[0]) <= 0.2 and -0.3 <= beside[1] <= 0 and np.linalg.norm(beside) >= 0.17
        assert not data.qpos[:7].any() and abs(data.qvel[:7]).max() <= 0.005


def test_a_long_table_may_be_folded():
    text, folded = describe("MaskAnt-v0"), describe("MaskAnt-v0", fold=30)
    assert "<details>" not in text and "<details><summary>105 numbers</summary>\n\n| index |" in folded
    assert table_rows(reference_sections(folded)["State"]) == table_rows(reference_sections(text)["State"])
    assert describe("MaskHopper-v0", fold=30) == describe("MaskHopper-v0")


def test_every_argument_is_told_with_its_default():
    text = arguments()
    names = list(MaskEnv.__init__.__kwdefaults__)
    assert [line.split("`")[1] for line in text.splitlines()[2:]] == names
    assert "| `image_size` | `64` | side of the frames, pixels: a whole number in [16, 1024] |" in text
    assert "| `zoom` | `1.0` | in [0.1, 20], divides" in text
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


def tip_and_turning(data):
    x, _, z = data.site_xpos[0]
    return 0.01 * x**2 + (z - 2) ** 2 + 0.001 * data.qvel[1] ** 2 + 0.005 * data.qvel[2] ** 2


def apart(data, first, second):
    return np.linalg.norm(data.body(first).xpos - data.body(second).xpos)


# The words as formulas: of MuJoCo's data, the squared actions' sum, the speed forwards, and whether it went on.
REWARDS = {
    "HalfCheetah-v5": lambda data, squares, speed, on: speed - 0.1 * squares,
    "Hopper-v5": lambda data, squares, speed, on: on + speed - 0.001 * squares,
    "Walker2d-v5": lambda data, squares, speed, on: on + speed - 0.001 * squares,
    "Ant-v5": lambda data, squares, speed, on: (
        on + speed - 0.5 * squares - 0.0005 * (np.clip(data.cfrc_ext, -1, 1) ** 2).sum()
    ),
    "Humanoid-v5": lambda data, squares, speed, on: (
        5 * on + 1.25 * speed - 0.1 * squares - min(5e-7 * (data.cfrc_ext**2).sum(), 10)
    ),
    "HumanoidStandup-v5": lambda data, squares, speed, on: (
        data.qpos[2] / 0.003 + 1 - 0.1 * squares - min(5e-7 * (data.cfrc_ext**2).sum(), 10)
    ),
    "Swimmer-v5": lambda data, squares, speed, on: speed - 0.0001 * squares,
    "Reacher-v5": lambda data, squares, speed, on: -apart(data, "fingertip", "target") - squares,
    "Pusher-v5": lambda data, squares, speed, on: (
        -apart(data, "object", "goal") - 0.5 * apart(data, "tips_arm", "object") - 0.1 * squares
    ),
    "InvertedPendulum-v5": lambda data, squares, speed, on: on,
    "InvertedDoublePendulum-v5": lambda data, squares, speed, on: 10 * on - tip_and_turning(data),
}


@pytest.mark.parametrize("env_id", sorted(GYMNASIUM))
def test_a_reward_is_what_the_reference_says(env_id):
    env = base_of(env_id)
    env.action_space.seed(1)
    for seed in range(3):
        env.reset(seed=seed)
        for _ in range(30):
            action = env.action_space.sample()
            _, reward, terminated, _, info = env.step(action)
            squares, speed = float((action.astype(float) ** 2).sum()), info.get("x_velocity", 0.0)
            wanted = REWARDS[env_id](env.unwrapped.data, squares, speed, not terminated)
            assert reward == pytest.approx(float(wanted), rel=1e-5, abs=1e-6)
            if terminated:
                break


def test_a_bar_in_a_cell_does_not_end_it():
    assert table(("a",), [("x | y",)]).splitlines()[2] == r"| x \| y |"


def test_an_environments_docstring_ends_with_the_tables_of_its_id():
    env = gym.make("MaskReacher-v0").unwrapped
    assert env.__doc__.endswith(describe("MaskReacher-v0"))
    assert "### Starting state" in env.__doc__ and "| action | joint |" not in MaskEnv.__doc__
    assert make_masked("Ant-v5").unwrapped.__doc__ == MaskEnv.__doc__
    assert MaskEnv("Reacher-v5").__doc__ == MaskEnv.__doc__


# ------------------------------------------------------------------------------------------------ options on the pages


def told_options(page, head):
    """What a page's table with this head says: (first cell, option): (default, range, meaning)."""
    lines = page.splitlines()
    begin = lines.index(head) + 2
    told, first = {}, ""
    for line in itertools.takewhile(lambda each: each.startswith("|"), lines[begin:]):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        first = cells[0] or first
        for owner in re.findall(r"`(\w+)`", first):
            for option in re.findall(r"`(\w+)`", cells[-4]):
                told[owner, option] = tuple(cells[-3:])
    return told


def parameters_of(kind, skipped=("self", "env", "context")):
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in skipped}


def test_the_page_on_wrappers_has_every_argument_with_default_and_range(repo):
    page = (repo / "docs" / "wrappers.md").read_text()
    told = told_options(page, "| wrapper | argument | default | range | meaning and source |")
    wanted = {
        (name, option): default
        for name in wrappers.__all__
        for option, default in parameters_of(getattr(wrappers, name)).items()
    }
    assert told.keys() == wanted.keys()
    for key, default in wanted.items():
        said, allowed, meaning = told[key]
        assert allowed and meaning
        assert said == "must be given" if default is inspect.Parameter.empty else str(default) in said, key


def test_the_page_on_masks_has_every_option_of_every_source(repo):
    page = (repo / "docs" / "masks.md").read_text()
    told = told_options(page, "| source | option | default | range | meaning |")
    kinds = {name: parameters_of(sources._class_of(name)) for name in source_names() if name != "none"}
    wanted = {(name, option) for name, options in kinds.items() for option in options}
    assert {key for key in told if key[0] in kinds} == wanted
    assert all(allowed for _, allowed, _ in told.values())


def test_the_page_on_faults_has_every_option_with_default_and_range(repo):
    page = (repo / "docs" / "masks.md").read_text()
    told = told_options(page, "| name | option | default | range | what happens to the mask of frame t |")
    wanted = {
        (name, option): kind.default for name, (_, options) in faults._KNOWN.items() for option, kind in options.items()
    }
    assert told.keys() == wanted.keys()
    for key, default in wanted.items():
        assert told[key][0].strip('`"') == str(default).replace("True", "true") and told[key][1], key


def test_the_page_on_vectors_has_every_option_with_default_and_range(repo):
    page = (repo / "docs" / "vector.md").read_text()
    told = told_options(page, "| option | default | range | meaning |")
    wanted = {name: default for name, default in parameters_of(MaskVectorEnv).items() if name != "kwargs"}
    assert {option for _, option in told} == wanted.keys()
    assert all(allowed and meaning for _, allowed, meaning in told.values())
    assert str(wanted["num_envs"]) in told["num_envs", "num_envs"][0]


def test_the_page_on_distractors_has_every_option_with_a_range(repo):
    told = {}
    for line in (repo / "docs" / "distractors.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) in (4, 5):
            told |= dict.fromkeys(re.findall(r"`(\w+)`", cells[-4]), cells[-2])
    parts = [name for name in presets._PARTS if not presets.is_registered_by_others(name)]
    for name in parts:
        for option in presets._options(presets._part_class(name)):
            assert told.get(option), f"{option} of {name}"


def test_the_page_on_datasets_has_every_option_with_default_and_range(repo):
    page = (repo / "docs" / "datasets.md").read_text()
    told = told_options(page, "| of | option | default | range | meaning and source |")
    functions = (data.collect, data.open_frames, data.split_frames, data.labelled_anchors, data.split_episodes)
    wanted = {}
    for made in (*functions, data.LazyFrames, data.Windows, data.WindowLoader):
        options = inspect.signature(made).parameters.values()
        given = ("env", "frames", "windows", "trajectories")
        wanted |= {(made.__name__, each.name): each.default for each in options if each.name not in given}
    assert told.keys() == wanted.keys()
    for key, default in wanted.items():
        said, allowed, _ = told[key]
        assert allowed and (str(default) in said or default is inspect.Parameter.empty), key


@pytest.mark.parametrize("layout", FORMATS[1:])
def test_the_page_on_datasets_has_every_option_of_a_layout(repo, layout):
    lines = (repo / "docs" / "datasets.md").read_text().replace("`, written", "_written`").replace("`, read", "_read`")
    told = told_options(lines, "| layout | option | default | range | meaning |")
    module = importlib.import_module(f"masklam_envs.data.formats.{layout}")
    for function, words in (("export", "written"), ("read", "read")):
        options = inspect.signature(getattr(module, function)).parameters.values()
        wanted = {each.name: each.default for each in options if each.kind is inspect.Parameter.KEYWORD_ONLY}
        found = {option: row for (owner, option), row in told.items() if owner == f"{layout}_{words}"}
        assert found.keys() == wanted.keys()
        for option, default in wanted.items():
            assert found[option][1]
            assert default is None or str(default).removesuffix(".0") in found[option][0], option
