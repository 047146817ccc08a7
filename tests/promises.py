"""What every environment promises under every distractor: asserted here, asked for by the tests of each suite."""

from __future__ import annotations

import functools
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from masklam_envs import collect, render_frames
from masklam_envs.env import KEYS
from masklam_envs.masks.target import TARGETS
from masklam_envs.rendering.look import Look
from masklam_envs.rendering.rays import PixelRays
from tests.helpers import assert_same, random_actions, rollout

SIZE, SEED = 36, 7
STEPS = 6  # more than the lag of the ghost in `everything`
RAYS_DIFFER = 0.001  # share of pixels in which rounding may decide which of two geoms is in front
CHANGE_THE_MASK = {"camera", "occluders"}


def make(env_id: str, distractor: Any = "action-0.9", **kwargs: Any) -> Any:
    return gym.make(env_id, distractor=distractor, **{"image_size": SIZE, "observation": KEYS, **kwargs})


@functools.cache
def quiet_rollout(env_id: str) -> Any:
    return rollout(make(env_id, "none"), SEED, STEPS)


def assert_reproducible(env_id: str, distractor: Any) -> None:
    """A seed fixes every byte, through JSON and pickle too, and the distractor is seen."""
    env = make(env_id, distractor)
    observations, rewards = rollout(env, SEED, STEPS)
    for observation in observations:
        assert observation in env.observation_space
        assert set(np.unique(observation["mask"])) <= {0, 255}
    assert distractor == "none" or any((seen["pixels"] != seen["clean"]).any() for seen in observations)

    again = pickle.loads(pickle.dumps(gym.make(EnvSpec.from_json(env.spec.to_json()))))
    assert again.spec.to_json() == env.spec.to_json()
    repeated, repeated_rewards = rollout(again, SEED, STEPS)
    assert_same(observations, repeated)
    assert rewards == repeated_rewards


def assert_physics_untouched(env_id: str, distractor: Any) -> None:
    """States, rewards and frames without distractor are those of `none`; so are masks where nothing moves them."""
    env = make(env_id, distractor)
    (observations, rewards), (quiet, quiet_rewards) = rollout(env, SEED, STEPS), quiet_rollout(env_id)
    kept = ["state", "clean"]
    if not CHANGE_THE_MASK & {part["name"] for part in env.unwrapped.view.distractor.config}:
        kept.append("mask")
    assert_same(*([{key: seen[key] for key in kept} for seen in run] for run in (observations, quiet)))
    assert rewards == quiet_rewards


def assert_replayed(env_id: str, distractor: Any) -> None:
    """Recorded physics drawn again has the bytes that were seen live."""
    env = make(env_id, distractor)
    recorded = collect(env, 1, seed=SEED, max_steps=STEPS)
    live = [env.reset(seed=int(recorded.reset_seeds[0]))[0], *(env.step(action)[0] for action in recorded.actions)]
    for observation, rgbm in zip(live, render_frames(recorded, env).rgbm, strict=True):
        np.testing.assert_array_equal(np.concatenate([observation["pixels"], observation["mask"]], axis=2), rgbm)


def assert_mask_is_the_geoms(env_id: str, distractor: Any) -> None:
    """A mask shows its target's geoms by MuJoCo's own rays, less what overlays hide, and knows nothing of the rest."""
    env = make(env_id, distractor).unwrapped
    views = [view for target in TARGETS if (view := view_of(env, target))]
    env.reset(seed=SEED)
    different = 0
    for action in random_actions(env, STEPS):
        env.step(action)
        qpos, row = env.physics.data.qpos, env.track.row
        look = env.view.distractor.look(row, qpos)
        rays = PixelRays(env.view.renderer, qpos, look.camera)
        ids, seen = rays.trace().ids, uncovered(look)
        for view in views:
            mask = view.frame(qpos, row)[1]
            geoms = np.flatnonzero(np.isin(view.model.geom_bodyid, view.mask_bodies))
            doubtful = seen & (np.isin(ids, geoms) != (mask[..., 0] == 255))
            exact = np.isin(rays.trace_singly(doubtful).ids, geoms)
            different += int((exact != (mask[doubtful][..., 0] == 255)).sum())
            assert not mask[~seen].any()
            alone = Look(camera=look.camera, overlays=look.overlays)
            np.testing.assert_array_equal(view.renderer.draw(qpos, alone)[1], mask)
    assert different <= RAYS_DIFFER * STEPS * len(views) * SIZE**2


def view_of(env: Any, target: str) -> Any:
    """The environment's view with the mask of a target; None where there is no object."""
    try:
        return env.view.again(mask_target=target)
    except ValueError as error:
        assert target == "object" and "shows nothing" in str(error)
        return None


def uncovered(look: Look) -> np.ndarray:
    """Where (H, W) no overlay is opaque enough to hide what is behind it."""
    return np.all([overlay[..., 3] < 128 for overlay in look.overlays], axis=0) & np.ones((SIZE, SIZE), bool)


def assert_gymnasium_s_checker_is_clean(env_id: str, distractor: Any) -> None:
    env = make(env_id, distractor, observation=("pixels", "mask"), render_mode="rgb_array").unwrapped
    assert warned(env, lambda: check_env(env)) == []


def assert_sb3_s_checker_is_clean(env_id: str, distractor: Any) -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    for keys in (("pixels", "mask"), KEYS):
        env = make(env_id, distractor, observation=keys)
        assert warned(env, lambda env=env: checker.check_env(env, warn=True)) == []


def warned(env: Any, check: Any) -> list[str]:
    """What a check warns of, without the advice on the range of actions, which are the base environment's."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check()
    texts = [str(warning.message) for warning in seen]
    normalized = np.abs(env.action_space.high).max() == 1
    return [text for text in texts if normalized or "symmetric and normalized" not in text]
