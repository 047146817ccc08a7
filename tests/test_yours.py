"""What the documentation says of things of your own: each example is short, runs, and joins the rest by its name."""

import importlib
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

from masklam_agents import methods
from masklam_agents.benchmark.result_files import read_results
from masklam_agents.cli import app
from masklam_agents.common import external
from masklam_envs import Trajectories, collect, render_frames
from masklam_envs.distractors import presets
from masklam_envs.masks import sources
from tests.benchmark.tiny import TINY

EXAMPLES = ("your_distractor.py", "your_lam.py", "your_mask_source.py")


def run(repo, script, cwd):
    """What an example prints."""
    command = [sys.executable, str(repo / "examples" / script)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=cwd).stdout


@pytest.mark.parametrize("script", EXAMPLES)
def test_an_example_has_less_than_forty_lines_and_is_linked(repo, script):
    assert len((repo / "examples" / script).read_text().splitlines()) < 40
    pages = [repo / "README.md", *(repo / "docs").glob("*.md")]
    assert sum(f"examples/{script}" in page.read_text() for page in pages) >= 2


def test_your_distractor_has_thirty_lines_and_runs(repo, tmp_path):
    assert len((repo / "examples" / "your_distractor.py").read_text().splitlines()) <= 30
    assert run(repo, "your_distractor.py", tmp_path) == "(64, 64, 3)\n"


def test_what_your_distractor_shows_live_is_drawn_again(plugin):
    importlib.import_module(plugin)
    env = gym.make("MaskCheetah-v0", distractor=["video", "shake"])
    recorded = collect(env, episodes=1, seed=0, max_steps=50)
    observation, _ = env.reset(seed=int(recorded.reset_seeds[0]))
    live = [observation["pixels"], *(env.step(action)[0]["pixels"] for action in recorded.actions)]
    frames = render_frames(recorded, env)
    assert np.array_equal(live, frames.pixels)
    assert np.abs(np.diff(frames.tracks[0][:, -2:], axis=0)).max() > 0


def test_your_mask_source_finds_the_agent(repo, tmp_path):
    printed = run(repo, "your_mask_source.py", tmp_path)
    assert "over 102 frames" in printed
    assert float(printed.split()[1]) > 0.4


@pytest.mark.slow
def test_your_method_learns_is_kept_and_acts(repo, tmp_path):
    printed = run(repo, "your_lam.py", tmp_path)
    assert float(printed.split("NMSE ")[1].split(",")[0]) < 1
    assert (tmp_path / "your_agent.safetensors").is_file()


@pytest.fixture
def plugin(repo, tmp_path, monkeypatch):
    """The name of a module that registers all three; they are gone again after the test."""
    registries = (methods.METHODS, external._LAMS, presets._PARTS, sources._KNOWN)
    before = [dict(registry) for registry in registries]
    (tmp_path / "mine.py").write_text("import your_distractor, your_lam, your_mask_source\n")
    for folder in (tmp_path, repo / "examples"):
        monkeypatch.syspath_prepend(folder)
    yield "mine"
    for registry, names in zip(registries, before, strict=True):
        registry.clear()
        registry.update(names)
    for name in ("mine", *(script.removesuffix(".py") for script in EXAMPLES)):
        sys.modules.pop(name, None)


def forget_yours():
    """As in a process that has imported no plugin."""
    del methods.METHODS["yours"], external._LAMS["yours"], presets._PARTS["shake"], sources._KNOWN["colour-key"]
    for name in ("mine", *(script.removesuffix(".py") for script in EXAMPLES)):
        del sys.modules[name]


def test_an_agent_of_your_method_is_evaluated_with_the_plugin_that_registers_it(tmp_path, plugin):
    importlib.import_module(plugin)
    collect("MaskCheetah-v0", 3, max_steps=30).save(tmp_path / "data")
    env = gym.make("MaskCheetah-v0", image_size=32)
    methods.make_agent("yours", env=env, latent_dim=8).save(tmp_path / "agent")
    forget_yours()
    given = ["evaluate", str(tmp_path / "agent"), "--data", str(tmp_path / "data")]
    unknown = CliRunner().invoke(app, given, env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"})
    assert unknown.exit_code == 2 and "--plugin with the module that does so" in unknown.output
    done = CliRunner().invoke(app, [*given, "--plugin", plugin])
    assert done.exit_code == 0 and "ExternalLAM: 8 numbers a latent" in done.output, done.output


def test_commands_take_names_of_a_plugin(tmp_path, plugin):
    """Mask sources and distractors alike, also in the processes that segment."""
    data = str(tmp_path / "data")
    collect("MaskCheetah-v0", 2, max_steps=10).save(data)
    shaken, cli = ["--view", '{"distractor": "shake", "image_size": 32}'], CliRunner()
    for command in (
        ["segment", data, "--mask-source", "colour-key", "--workers", "2", *shaken],
        ["inspect", data, *shaken],
        ["convert", data, str(tmp_path / "drawn"), "--to", "folder", *shaken],
    ):
        unknown = cli.invoke(app, command)
        assert unknown.exit_code == 2 and "unknown" in unknown.output, unknown.output
        done = cli.invoke(app, [*command, "--plugin", plugin])
        assert done.exit_code == 0, done.output
        forget_yours()


def test_processes_record_an_environment_that_a_plugin_registers(tmp_path, monkeypatch):
    """They have imported no plugin: this process tells them what its id, and the distractor's name, stand for."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(presets, "_PARTS", dict(presets._PARTS))
    (tmp_path / "arms.py").write_text(
        "import gymnasium as gym\nfrom masklam_envs import register_distractor\n"
        "from masklam_envs.distractors.video import BouncingVideo\n\n"
        "class Clips(BouncingVideo):\n    'Clips.'\n\n"
        "def make_arm(**kwargs):\n    return gym.make('Reacher-v5', **kwargs).unwrapped\n\n"
        "def register():\n"
        "    gym.register('Arm-v0', make_arm, max_episode_steps=20)\n"
        "    kwargs = {'base': 'Arm-v0', 'distractor': 'clips'}\n"
        "    gym.register('MaskArm-v0', 'masklam_envs.env:MaskEnv', kwargs=kwargs, max_episode_steps=20)\n"
        "    register_distractor('clips', Clips)\n"
    )
    (tmp_path / "registers.py").write_text("import arms\n\narms.register()\n")  # imported nowhere else
    command = ["collect", "MaskArm-v0", "--episodes", "2", "--plugin", "registers"]
    try:
        for workers in ("1", "2"):
            done = CliRunner().invoke(app, [*command, "--workers", workers, "--out", str(tmp_path / workers)])
            assert done.exit_code == 0, done.output
    finally:
        for name in ("Arm-v0", "MaskArm-v0"):
            gym.registry.pop(name, None)
        for name in ("arms", "registers"):
            sys.modules.pop(name, None)
    alone, shared = (Trajectories.load(tmp_path / workers) for workers in ("1", "2"))
    assert alone.meta == shared.meta and alone.meta["base"] == "Arm-v0"
    assert len(alone) == 40 and np.array_equal(alone.qpos, shared.qpos)


@pytest.mark.slow
def test_yours_are_benchmarked_beside_ours_without_training_ours_again(tmp_path, plugin):
    """Workers import the plugin; what needs none of it keeps its results."""
    plain, mine = tmp_path / "plain.yaml", tmp_path / "mine.yaml"
    lines = TINY.replace("[lapo, masklam-fixed]", "[lapo]") + "vary: {mask_source: {simulator: simulator}}\n"
    plain.write_text(lines)
    mine.write_text(lines.replace("[none]", "[none, shake]").replace("simulator}", "simulator, key: colour-key}"))
    out, cli = ["--out", str(tmp_path / "out"), "--workers", "1"], CliRunner()
    done = cli.invoke(app, ["benchmark", str(plain), *out])
    assert done.exit_code == 0, done.output
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("runs/*/result.json")}
    missing = cli.invoke(app, ["benchmark", str(mine), *out])
    assert missing.exit_code == 2 and "unknown distractor 'shake'" in missing.output
    both = ["--plugin", plugin, "--method", "yours", "--method", "lapo"]
    done = cli.invoke(app, ["benchmark", str(mine), *both, *out])
    assert done.exit_code == 0 and "8 done, 0 failed, 0 left" in done.output, done.output
    assert len(before) == 1 and all(path.read_bytes() == text for path, text in before.items())
    results = read_results([tmp_path / "out"])
    ours = [result for result in results if "--plugin" not in result.command]
    assert {(result.method, result.distractor) for result in ours} == {("lapo", "none")} and len(results) == 8
