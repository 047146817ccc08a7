"""The OpenGL renderer: what it shares with the ray caster, meshes and textures, exact masks."""

from __future__ import annotations

import gymnasium
import mujoco
import numpy as np
import pytest

import masklam_envs  # noqa: F401 - registers the environments
from masklam_envs.rendering import OpenGLRenderer, RaycastRenderer
from masklam_envs.rendering.look import CLEAN, CameraChange, Ghost, LightChange, Look, Plate

VISIBLE_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)


@pytest.fixture(autouse=True)
def _opengl(needs_opengl: None) -> None:
    """All tests here draw."""


def load(name: str) -> mujoco.MjModel:
    mujoco.set_mju_user_warning(lambda message: None)  # "settotalmass is deprecated"
    return gymnasium.make(f"{name}-v5").unwrapped.model


def random_pose(model: mujoco.MjModel, seed: int = 1) -> np.ndarray:
    qpos = model.qpos0.copy()
    mujoco.mj_integratePos(model, qpos, np.random.default_rng(seed).normal(0, 0.2, model.nv), 1.0)
    return qpos


def noise(size: int = 64) -> Plate:
    return Plate(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))


LOOKS = {
    "clean": CLEAN,
    "plate": Look(plate=noise()),
    "ground": Look(plate=noise(), ground_alpha=0.5),
    "camera": Look(camera=CameraChange(0.3, 0.2, 0.2, 1.2)),
    "light": Look(light=LightChange((1.0, 0.5, 0.4), 1.0, 0.5)),
    "overlay": Look(overlays=(np.full((64, 64, 4), 130, np.uint8),)),
}


@pytest.mark.parametrize("name", ["HalfCheetah", "Ant", "Humanoid", "Pusher"])
def test_primitive_models_look_as_the_ray_caster_draws_them(name: str) -> None:
    """Round geoms are polyhedra here, edges are sampled, light is computed at corners: so much and no more differs."""
    model = load(name)
    cast, drawn, qpos = RaycastRenderer(model), OpenGLRenderer(model), random_pose(model)
    colours = np.random.default_rng(0).random((model.ngeom, 3))
    looks = {**LOOKS, "colours": Look(colours=colours), "ghost": Look(noise(), ghosts=(Ghost(model.qpos0, 5, 3, 0.5),))}
    for kind, look in looks.items():
        (pixels, mask), (other_pixels, other_mask) = cast.draw(qpos, look), drawn.draw(qpos, look)
        assert (mask != other_mask).mean() < 0.01, kind
        assert np.abs(pixels.astype(int) - other_pixels).mean() < 6, kind
    layers, others = cast.inspect(qpos), drawn.inspect(qpos)
    same = layers.ids == others.ids
    assert same.mean() > 0.99
    near = same & (layers.depth < 10)
    errors = np.abs(others.depth[near] - layers.depth[near])
    assert np.median(errors) < 1e-3 and errors.max() < 0.1
