"""Ids and depths agree with MuJoCo's own ray casting."""

from __future__ import annotations

import gymnasium
import mujoco
import numpy as np
import pytest

from masklam_envs.rendering import RaycastRenderer

MODELS = (
    "HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid", "Swimmer", "Reacher", "Pusher", "InvertedPendulum",
    "InvertedDoublePendulum",
)  # fmt: skip
VISIBLE_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)
POSES = 3
ALL_PRIMITIVES = """
<mujoco>
  <worldbody>
    <camera pos="0 -3 1.5" xyaxes="1 0.1 0 0 0.4 1"/>
    <geom type="plane" size="2 1.5 1" euler="4 -3 10"/>
    <geom type="plane" size="0 0 1" pos="0 0 -0.5"/>
    <body pos="0 0 0.6"><freejoint/><geom type="box" size="0.3 0.2 0.1" euler="20 30 40"/></body>
    <body pos="0.6 0.2 0.5"><freejoint/><geom type="cylinder" size="0.15 0.3" euler="50 10 0"/></body>
    <body pos="-0.6 0.2 0.5"><freejoint/><geom type="ellipsoid" size="0.1 0.3 0.2" euler="0 40 70"/></body>
    <body pos="0.2 0.4 1.1"><freejoint/><geom type="capsule" size="0.1 0.3" euler="0 70 20"/></body>
    <body pos="-0.3 -0.4 1"><freejoint/><geom type="sphere" size="0.2"/></body>
    <body pos="0 -0.3 0.7"><freejoint/><geom type="box" size="0.5 0.5 0.5" group="3"/></body>
    <body pos="0 -0.3 0.7"><freejoint/><geom type="box" size="0.5 0.5 0.5" rgba="1 1 1 0"/></body>
  </worldbody>
</mujoco>
"""


def load(name: str) -> mujoco.MjModel:
    if name == "all primitives":
        return mujoco.MjModel.from_xml_string(ALL_PRIMITIVES)
    mujoco.set_mju_user_warning(lambda message: None)  # "settotalmass is deprecated"
    return gymnasium.make(f"{name}-v5").unwrapped.model


def trace(renderer: RaycastRenderer, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids and depths of all pixel centres by ``mj_ray``."""
    model, size = renderer.model, renderer.image_size
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    eye, matrix, half_height = renderer.camera_pose(qpos)
    at = ((np.arange(size) + 0.5) / size * 2 - 1) * half_height
    right, down = np.meshgrid(at, at)
    rays = np.stack([right, -down, -np.ones_like(right)], axis=-1).reshape(-1, 3) @ matrix.T
    lengths = np.linalg.norm(rays, axis=1)
    ids, depth = np.full(size * size, -1, np.int32), np.zeros(size * size)
    for i, ray in enumerate(rays):
        geom = np.zeros(1, np.int32)
        distance = mujoco.mj_ray(model, data, eye, ray / lengths[i], VISIBLE_GROUPS, 1, -1, geom)
        ids[i], depth[i] = (geom[0], distance / lengths[i]) if distance >= 0 else (-1, np.inf)
    return ids.reshape(size, size), depth.reshape(size, size)


@pytest.mark.parametrize("name", [*MODELS, "all primitives"])
def test_ids_and_depths_are_those_of_mujoco(name: str) -> None:
    model, rng = load(name), np.random.default_rng(1)
    renderer = RaycastRenderer(model, zoom=1.3 if name == "Reacher" else 1.0)
    different = 0
    for _ in range(POSES):
        qpos = model.qpos0.copy()
        mujoco.mj_integratePos(model, qpos, rng.normal(0, 0.3, model.nv), 1.0)
        layers, (ids, depth) = renderer.inspect(qpos), trace(renderer, qpos)
        same = layers.ids == ids
        different += int((~same).sum())
        hit = same & (ids >= 0)
        np.testing.assert_allclose(layers.depth[hit], depth[hit], rtol=1e-6, atol=1e-4)
        assert np.isinf(layers.depth[same & (ids < 0)]).all()
    assert different < 0.003 * POSES * renderer.image_size**2
