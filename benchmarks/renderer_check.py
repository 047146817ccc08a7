"""Compare the ray caster with MuJoCo itself.

Prints, per task and seen through the task's own camera, in how many pixels of random poses the ray caster shows another
geom than ``mj_multiRay`` finds through their centres; in how many of these ``mj_ray``, which finds some geoms that
``mj_multiRay`` leaves out, finds another too; and the largest depth error where both agree.  Shares are of all pixels;
"on bodies" are those that show a body.  Then the fastest times of a 64x64 frame.  ``--suites`` adds the tasks of
dm_control, without times and without the dog, whose meshes the ray caster does not draw.

    python benchmarks/renderer_check.py --poses 20 --suites > docs/results/renderer_check.txt

Where OpenGL works (``MUJOCO_GL=egl``) it also writes a picture of both renderers side by side:

    MUJOCO_GL=egl python benchmarks/renderer_check.py --picture docs/pictures/renderer_comparison.png
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import masklam_envs  # noqa: F401 - registers the environments
from masklam_envs.rendering import RaycastRenderer
from masklam_envs.rendering.look import Look, Plate
from masklam_envs.rendering.rays import PixelRays
from masklam_envs.suites.catalog import DMC_TASKS
from masklam_envs.tasks import TASKS

PICTURED = ("HalfCheetah", "Ant", "Humanoid", "Pusher")
HEADINGS = ("ray caster, 256", "ray caster, 64 (enlarged)", "mujoco.Renderer, 256")
LABEL_HEIGHT = 18
SUITE_TASKS = [f"MaskDMC/{name}-v0" for name in DMC_TASKS if not name.startswith("dog")]


def random_pose(model: mujoco.MjModel, rng: np.random.Generator, noise: float = 0.3) -> NDArray[np.float64]:
    """The initial pose with Gaussian noise of ``noise`` in every coordinate (radians, metres)."""
    velocity = rng.normal(0, noise, model.nv)
    qpos = model.qpos0.copy()
    mujoco.mj_integratePos(model, qpos, velocity, 1.0)
    return qpos


@dataclasses.dataclass
class Count:
    """Pixels of all poses; the largest error in metres."""

    different: int = 0
    wrong: int = 0
    on_bodies: int = 0
    depth_error: float = 0.0


def disagreement(renderer: RaycastRenderer, poses: int) -> Count:
    """Where the ray caster shows another geom than MuJoCo's rays find in random poses."""
    model, rng, count = renderer.model, np.random.default_rng(0), Count()
    for _ in range(poses):
        qpos = random_pose(model, rng)
        layers, rays = renderer.inspect(qpos), PixelRays(renderer, qpos)
        ids, depth = rays.trace()
        other = layers.ids != ids
        count.different += int(other.sum())
        count.wrong += int((layers.ids[other] != rays.trace_singly(other).ids).sum())
        count.on_bodies += int((model.geom_bodyid[ids[ids >= 0]] > 0).sum())
        both = ~other & (ids >= 0) & (depth < 100)
        count.depth_error = max(count.depth_error, float(np.abs(layers.depth[both] - depth[both]).max(initial=0)))
    return count


def fastest(function: Callable[[], object], repeats: int = 2000) -> float:
    """Microseconds of the fastest of ``repeats`` calls."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def moving_pose(env: Any, steps: int = 20) -> NDArray[np.float64]:
    """A pose that the task itself reaches, by seeded random actions."""
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
        env: Any = gymnasium.make(f"{name}-v5").unwrapped
        model, qpos = env.model, moving_pose(env)
        large, small = RaycastRenderer(model, size), RaycastRenderer(model, 64)
        enlarged = Image.fromarray(small.draw(qpos)[0]).resize((size, size), Image.Resampling.NEAREST)
        frames = (Image.fromarray(large.draw(qpos)[0]), enlarged, Image.fromarray(opengl(large, qpos, size)))
        top = row * (size + LABEL_HEIGHT)
        for column, (heading, frame) in enumerate(zip(HEADINGS, frames, strict=True)):
            pen.text((column * size + 4, top + 3), f"{name}: {heading}", fill="black")
            sheet.paste(frame, (column * size, top + LABEL_HEIGHT))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def times(name: str, renderer: RaycastRenderer) -> tuple[float, float]:
    """Microseconds of a frame on a plate, and of one with the scene's own ground and sky."""
    env: Any = gymnasium.make(TASKS[name].base).unwrapped
    qpos, look = moving_pose(env), Look(Plate(np.zeros((64, 64, 3), np.uint8)))
    return fastest(lambda: renderer.draw(qpos, look)), fastest(lambda: renderer.draw(qpos))


def print_row(name: str, poses: int) -> None:
    view: Any = gymnasium.make(name).unwrapped
    renderer = view.view.renderer
    count, pixels = disagreement(renderer, poses), poses * renderer.image_size**2
    shares = f"{count.different / pixels:9.4%} {count.wrong / pixels:9.4%} {count.on_bodies / pixels:9.2%}"
    speed = "".join(f"{fast:8.1f} us" for fast in times(name, renderer)) if name in TASKS else ""
    print(f"{name:36s} {shares} {count.depth_error:8.1e} m{speed}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poses", type=int, default=3, help="random poses per model")
    parser.add_argument("--suites", action="store_true", help="dm_control's tasks too; needs the extra dmc")
    parser.add_argument("--picture", type=Path, help="where to write the comparison; needs OpenGL")
    arguments = parser.parse_args()
    mujoco.set_mju_user_warning(lambda message: None)  # "settotalmass is deprecated"
    print(f"MuJoCo {mujoco.__version__}, {arguments.poses} random poses a task, 64 x 64; pixels with another geom than")
    heading = (
        f"{'task':36s} {'multiRay':>9s} {'both':>9s} {'on bodies':>9s} {'depth':>10s}{'plate':>11s}{'ground':>11s}"
    )
    print(heading)
    for name in [*TASKS, *(SUITE_TASKS if arguments.suites else ())]:
        print_row(name, arguments.poses)
    if arguments.picture:
        write_picture(arguments.picture)


if __name__ == "__main__":
    main()
