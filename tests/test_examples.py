import json
import subprocess
import sys

import numpy as np
import pytest

from masklam_agents import LAPO, MaskLAM
from masklam_envs.experts.policy import Expert

pytestmark = pytest.mark.slow


def run(repo, script, *arguments):
    command = [sys.executable, str(repo / "examples" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=1200).stdout


def test_train_agent_writes_scores_pictures_and_agents_and_goes_on_when_repeated(repo, tmp_path):
    out = tmp_path / "run"
    sizes = ("--episodes", 2, "--pretrain", 1920, "--clone", 2560, "--decode", 1920)
    arguments = ("--out", out, *sizes, "--evaluation-episodes", 1)
    printed = run(repo, "train_agent.py", *arguments)
    assert "MaskLAM" in printed and "LAPO" in printed
    scores = json.loads((out / "scores.json").read_text())
    assert set(scores) == {"MaskLAM", "LAPO"}
    for row in scores.values():
        assert {"nmse", "r2", "return", "normalized_return"} <= set(row)
    for name in ("predictions.png", "rollout.gif", "masklam/agent.safetensors", "lapo/progress.csv"):
        assert (out / name).stat().st_size > 0
    agent = (out / "masklam" / "agent.safetensors").read_bytes()
    (out / "scores.json").unlink()
    run(repo, "train_agent.py", *arguments)
    assert json.loads((out / "scores.json").read_text()) == scores
    assert (out / "masklam" / "agent.safetensors").read_bytes() == agent
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(repo, "train_agent.py", *arguments, "--correlation", 0.5)
    assert "was made with --correlation 0.9, not 0.5: give another --out" in refused.value.stderr


def test_train_expert_writes_an_expert(repo, tmp_path):
    out = tmp_path / "expert.safetensors"
    run(repo, "train_expert.py", "--total-timesteps", 4096, "--eval-every", 2048, "--eval-episodes", 1, "--out", out)
    info = Expert.load(out).info
    assert info.algorithm == "PPO"
    assert info.return_episodes == 50
    assert "--total-timesteps 4096" in info.command


def test_train_expert_searches_for_a_linear_policy(repo, tmp_path):
    out = tmp_path / "swimmer.safetensors"
    sizes = ("--total-timesteps", 4000, "--eval-every", 2000, "--eval-episodes", 1)
    run(repo, "train_expert.py", "--task", "MaskSwimmer-v0", *sizes, "--out", out)
    expert = Expert.load(out)
    assert expert.info.algorithm == "ARS"
    assert [weight.shape for weight, _ in expert.layers] == [(2, 8)]
    assert expert.info.return_mean > expert.info.random_return


def test_train_expert_goes_on_from_an_expert_under_observation_noise(repo, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    sizes = ("--total-timesteps", 4096, "--eval-every", 4096, "--eval-episodes", 1)
    run(repo, "train_expert.py", *sizes, "--out", first)
    noisy = ("--observation-noise", 0.2, "--start", first)
    run(repo, "train_expert.py", *sizes, *noisy, "--warm-up", 10_000, "--out", second)
    start, held = Expert.load(first), Expert.load(second)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(start.layers, held.layers, strict=True))
    run(repo, "train_expert.py", *sizes, *noisy, "--warm-up", 2048, "--out", second)
    moved = Expert.load(second)
    assert not any(np.array_equal(a, b) for (a, _), (b, _) in zip(start.layers, moved.layers, strict=True))


def test_finetune_writes_curves_from_every_start_and_goes_on(repo, tmp_path):
    agents, out = tmp_path / "agents", tmp_path / "out"
    for method in (LAPO, MaskLAM):
        method(env="MaskCheetah-v0").save(agents / method.__name__.lower() / "agent")
    arguments = ("--agents", agents, "--out", out, "--envs", 2, "--rollout", 64, "--evaluation-episodes", 1)
    run(repo, "finetune.py", *arguments, "--steps", 128, "--every", 128)
    printed = run(repo, "finetune.py", *arguments, "--steps", 256, "--every", 128)
    assert all(start in printed for start in ("scratch", "LAPO", "MaskLAM"))
    for line in (out / "curves.jsonl").read_text().splitlines():
        curve = json.loads(line)["curve"]
        assert [row["steps"] for row in curve] == [0, 128, 256]
        assert np.isfinite([row["return"] for row in curve]).all()
    assert (out / "curves.png").stat().st_size > 0
    again = run(repo, "finetune.py", *arguments, "--steps", 256, "--every", 128)
    assert again == printed
