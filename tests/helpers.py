"""Small made-up data and rollouts that several tests share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from masklam_envs.data import Frames, Trajectories
from masklam_envs.documentation import SECTIONS, describe
from masklam_envs.documentation.words import MISSING


def made_up_trajectories(
    lengths: Sequence[int], seed: int = 0, actions: int = 2, positions: int = 3, velocities: int = 2
) -> Trajectories:
    """Random numbers in the shape of episodes with these lengths."""
    rng = np.random.default_rng(seed)
    steps, episodes = sum(lengths), len(lengths)
    return Trajectories(
        {"base": "Made-Up-v0", "seed": seed},
        qpos=rng.normal(size=(steps + episodes, positions)),
        qvel=rng.normal(size=(steps + episodes, velocities)).astype(np.float32),
        actions=rng.uniform(-1, 1, (steps, actions)).astype(np.float32),
        labels=rng.uniform(-1, 1, (steps, actions)).astype(np.float32),
        rewards=rng.normal(size=steps).astype(np.float32),
        lengths=np.asarray(lengths, np.int64),
        terminated=rng.random(episodes) < 0.5,
        reset_seeds=rng.integers(0, 2**31, episodes),
        distractor_seeds=rng.integers(0, 2**63 - 1, episodes),
    )


def made_up_frames(lengths: Sequence[int], seed: int = 0, size: int = 4) -> Frames:
    """The same with random frames (F, size, size, 4)."""
    trajectories = made_up_trajectories(lengths, seed)
    rgbm = np.random.default_rng(seed).integers(0, 256, (sum(lengths) + len(lengths), size, size, 4), np.uint8)
    return Frames(trajectories, rgbm, [np.zeros((n + 1, 0)) for n in lengths])


def random_actions(env: gym.Env[Any, Any], steps: int, seed: int = 0) -> np.ndarray:
    """Uniform actions (steps, A) float32 that do not touch the environment's own generators."""
    space = env.action_space
    return np.random.default_rng(seed).uniform(space.low, space.high, (steps, *space.shape)).astype(np.float32)


def random_pose(model: mujoco.MjModel, rng: np.random.Generator, noise: float = 0.3) -> np.ndarray:
    """The initial pose with Gaussian noise of that deviation in every coordinate (radians, metres)."""
    qpos = model.qpos0.copy()
    mujoco.mj_integratePos(model, qpos, rng.normal(0, noise, model.nv), 1.0)
    return qpos


def rollout(env: gym.Env[Any, Any], seed: int | None, steps: int = 4) -> tuple[list[dict[str, Any]], list[float]]:
    """Observations of one reset and random steps, and the rewards of the steps."""
    observations, rewards = [env.reset(seed=seed)[0]], []
    for action in random_actions(env, steps):
        observation, reward, *_ = env.step(action)
        observations.append(observation)
        rewards.append(reward)
    return observations, rewards


def assert_same(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> None:
    """Every array of every observation is equal to the bit."""
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert np.array_equal(a[key], b[key]), key


def write_clip(path: Any, frames: np.ndarray, fps: float = 25.0) -> None:
    """A small MPEG-4 video of frames (T, H, W, 3) uint8 RGB."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, frames.shape[2:0:-1])
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def reference_sections(text):
    """The texts of an environment's reference by their headings."""
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], [part.strip() for part in parts[2::2]], strict=True))


def table_rows(text):
    """The rows of the only table in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def check_reference(env_id):
    """Every section of a reference is there and says something, and its tables have a row a number."""
    text = describe(env_id)
    found = reference_sections(text)
    assert tuple(found) == SECTIONS
    assert all(len(words) > 10 for words in found.values()) and MISSING not in text
    env = gym.make(env_id, observation=("state",))
    for name, size in (
        ("State", env.observation_space["state"].shape[0]),
        ("Action space", env.action_space.shape[0]),
    ):
        assert [row[0] for row in table_rows(found[name])] == [str(i) for i in range(size)]
    assert all(row[1] and float(row[2]) <= float(row[3]) for row in table_rows(found["State"]))
    assert not re.search(r"\| (number|[a-z_]+) \d+ \|", found["State"]), "a number that nobody has named"
