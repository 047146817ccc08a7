"""Ids and depths agree with MuJoCo's own ray casting, on random poses of every shipped model as its task sees it."""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from masklam_envs.rendering import RaycastRenderer
from masklam_envs.rendering.rays import PixelRays
from masklam_envs.suites.catalog import DMC_TASKS
from masklam_envs.tasks import TASKS
from tests.helpers import random_pose

POSES = 3
DIFFERENT = 0.01  # share of pixels in which mj_multiRay meets another geom, or none
WRONG = 0.001  # and mj_ray does too: where two geoms are equally far
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


def renderer_of(name: str) -> Any:
    """The renderer of a task, with the task's own camera."""
    if name == "all primitives":
        return RaycastRenderer(mujoco.MjModel.from_xml_string(ALL_PRIMITIVES))
    return gymnasium.make(name).unwrapped.view.renderer


def assert_agrees(renderer: RaycastRenderer) -> None:
    """The same geom at the same depth in all but a few pixels of random poses."""
    rng, different, wrong, on_bodies = np.random.default_rng(1), 0, 0, 0
    for _ in range(POSES):
        qpos = random_pose(renderer.model, rng)
        layers, rays = renderer.inspect(qpos), PixelRays(renderer, qpos)
        ids, depth = rays.trace()
        other = layers.ids != ids
        different += int(other.sum())
        wrong += int((layers.ids[other] != rays.trace_singly(other).ids).sum())
        on_bodies += int((renderer.model.geom_bodyid[ids[ids >= 0]] > 0).sum())
        hit = ~other & (ids >= 0)
        np.testing.assert_allclose(layers.depth[hit], depth[hit], rtol=1e-6, atol=1e-4)
        assert np.isinf(layers.depth[~other & (ids < 0)]).all()
    assert different <= DIFFERENT * POSES * renderer.image_size**2
    assert wrong <= WRONG * POSES * renderer.image_size**2
    assert on_bodies > 0  # the robot is in sight


@pytest.mark.parametrize("name", [*TASKS, "all primitives"])
def test_ids_and_depths_are_those_of_mujoco(name: str) -> None:
    assert_agrees(renderer_of(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in DMC_TASKS if not name.startswith("dog")])  # the dog has meshes
def test_ids_and_depths_are_those_of_mujoco_in_dm_control(name: str) -> None:
    pytest.importorskip("dm_control.suite", reason="dm_control is not installed: pip install 'masklam[dmc]'")
    assert_agrees(renderer_of(f"MaskDMC/{name}-v0"))
