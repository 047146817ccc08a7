"""Compare the ray caster with MuJoCo itself.

Prints, per model, how many pixels of random poses show another geom than ``mj_ray`` finds through their centres, the
largest depth error where both agree, and the fastest times of a 64x64 frame.  Where OpenGL works (``MUJOCO_GL=egl``)
it also writes a picture of both renderers side by side.

    MUJOCO_GL=egl python benchmarks/renderer_check.py --picture docs/pictures/renderer_comparison.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from masklam_envs.rendering import RaycastRenderer
from masklam_envs.rendering.look import Look, Plate

MODELS = (
    "HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid", "Swimmer", "Reacher", "Pusher", "InvertedPendulum",
    "InvertedDoublePendulum",
)  # fmt: skip
PICTURED = ("HalfCheetah", "Ant", "Humanoid", "Pusher")
HEADINGS = ("ray caster, 256", "ray caster, 64 (enlarged)", "mujoco.Renderer, 256")
LABEL_HEIGHT = 18
VISIBLE_GROUPS = np.array([1, 1, 1, 0, 0, 0], np.uint8)


def load(name: str) -> mujoco.MjModel:
    """The model of Gymnasium's ``name``-v5."""
    mujoco.set_mju_user_warning(lambda message: None)
    return gymnasium.make(f"{name}-v5").unwrapped.model


def random_pose(model: mujoco.MjModel, rng: np.random.Generator, noise: float = 0.3) -> NDArray[np.float64]:
    """The initial pose with Gaussian noise of ``noise`` in every coordinate (radians, metres)."""
    velocity = rng.normal(0, noise, model.nv)
    qpos = model.qpos0.copy()
    mujoco.mj_integratePos(model, qpos, velocity, 1.0)
    return qpos


def trace(renderer: RaycastRenderer, qpos: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Ids (H, W) and depths along the optical axis (H, W) by ``mj_ray`` through the same pixel centres."""
    model, size = renderer.model, renderer.image_size
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    eye, matrix, half_height = renderer.camera_pose(qpos)
    offsets = ((np.arange(size) + 0.5) / size * 2 - 1) * half_height
    ids, depth = np.full((size, size), -1, np.int32), np.full((size, size), np.inf)
    geom = np.zeros(1, np.int32)
    for y, down in enumerate(offsets):
        for x, right in enumerate(offsets):
            ray = matrix @ np.array([right, -down, -1.0])
            t = mujoco.mj_ray(model, data, eye, ray, VISIBLE_GROUPS, 1, -1, geom)
            if t >= 0:
                ids[y, x], depth[y, x] = geom[0], t
    return ids, depth


def disagreement(name: str, poses: int) -> tuple[float, float]:
    """Share of pixels whose ids differ over random poses, and the largest depth error (metres) of the others."""
    model, rng = load(name), np.random.default_rng(0)
    renderer = RaycastRenderer(model)
    wrong, error = 0, 0.0
    for _ in range(poses):
        qpos = random_pose(model, rng)
        layers, (ids, depth) = renderer.inspect(qpos), trace(renderer, qpos)
        same = layers.ids == ids
        wrong += int((~same).sum())
        both = same & (ids >= 0) & (depth < 100)
        error = max(error, float(np.abs(layers.depth[both] - depth[both]).max(initial=0)))
    return wrong / (poses * renderer.image_size**2), error


def fastest(function: Callable[[], object], repeats: int = 2000) -> float:
    """Microseconds of the fastest of ``repeats`` calls."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def moving_pose(name: str, steps: int = 20) -> NDArray[np.float64]:
    """A pose that the task itself reaches, by seeded random actions."""
    env = gymnasium.make(f"{name}-v5").unwrapped
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(steps):
        env.step(env.action_space.sample())
    return env.data.qpos.copy()


def opengl(renderer: RaycastRenderer, qpos: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """The same camera's frame by ``mujoco.Renderer`` with its default settings."""
    model, camera = renderer.model, mujoco.MjvCamera()
    if renderer.camera_index >= 0:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, renderer.camera_index
    else:
        mujoco.mjv_defaultFreeCamera(model, camera)
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, size, size) as gl:
        gl.update_scene(data, camera)
        return gl.render()


def write_picture(path: Path, size: int = 256) -> None:
    """Rows of tasks, columns as in ``HEADINGS``."""
    sheet = Image.new("RGB", (size * len(HEADINGS), (size + LABEL_HEIGHT) * len(PICTURED)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, name in enumerate(PICTURED):
        model, qpos = load(name), moving_pose(name)
        large, small = RaycastRenderer(model, size), RaycastRenderer(model, 64)
        enlarged = Image.fromarray(small.draw(qpos)[0]).resize((size, size), Image.Resampling.NEAREST)
        frames = (Image.fromarray(large.draw(qpos)[0]), enlarged, Image.fromarray(opengl(large, qpos, size)))
        top = row * (size + LABEL_HEIGHT)
        for column, (heading, frame) in enumerate(zip(HEADINGS, frames, strict=True)):
            pen.text((column * size + 4, top + 3), f"{name}: {heading}", fill="black")
            sheet.paste(frame, (column * size, top + LABEL_HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poses", type=int, default=3, help="random poses per model")
    parser.add_argument("--picture", type=Path, help="where to write the comparison; needs OpenGL")
    arguments = parser.parse_args()
    print(f"{'model':24s} {'other id':>9s} {'depth error':>12s} {'on a plate':>11s} {'with ground':>12s}")
    for name in MODELS:
        share, error = disagreement(name, arguments.poses)
        model = load(name)
        renderer, qpos = RaycastRenderer(model), moving_pose(name)
        look = Look(Plate(np.zeros((64, 64, 3), np.uint8)))
        times = fastest(lambda: renderer.draw(qpos, look)), fastest(lambda: renderer.draw(qpos))  # noqa: B023
        print(f"{name:24s} {share:9.4%} {error:10.1e} m {times[0]:8.1f} us {times[1]:9.1f} us", flush=True)
    if arguments.picture:
        write_picture(arguments.picture)


if __name__ == "__main__":
    main()
