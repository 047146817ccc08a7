"""Speed of the OpenGL renderer beside ``mujoco.Renderer`` and the ray caster, in one run.

    python benchmarks/opengl_speed.py                  # HalfCheetah, 64x64, on one core
    python benchmarks/opengl_speed.py --image-size 128

Rows are the best of their repeats, interleaved, because shared machines only ever make things slower; on a busy one
``--clock cpu`` counts this process' time alone (of a software renderer that is everything).  ``mujoco.Renderer`` runs
in a process of its own, where the driver is set up as it sets it up.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import time
from collections.abc import Callable
from typing import Any, Literal

os.environ.setdefault("MUJOCO_GL", "egl")  # mujoco.Renderer needs it before the import

import gymnasium as gym
import mujoco
import numpy as np
import tyro

import masklam_envs  # noqa: F401 - registers the environments
from masklam_envs.rendering import OpenGLRenderer, RaycastRenderer, gl
from masklam_envs.rendering.look import Look, Plate


@dataclasses.dataclass
class Args:
    base: str = "HalfCheetah-v5"
    """a MuJoCo environment of Gymnasium"""
    task: str = "MaskCheetah-v0"
    """a registered id"""
    image_size: int = 64
    """side of the frames, pixels"""
    repeats: int = 5
    """repeats of each row"""
    number: int = 300
    """frames or steps of a repeat"""
    clock: Literal["wall", "cpu"] = "wall"
    """what is measured: time passed, or time that this process and its driver's threads computed"""
    many: int = 64
    """environments that live at the same time in the last rows"""


Row = tuple[str, Callable[[], Any], int]


def one_core() -> None:
    """Keep this process, and its driver's threads, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def load(base: str) -> mujoco.MjModel:
    mujoco.set_mju_user_warning(lambda message: None)
    return gym.make(base).unwrapped.model  # type: ignore[attr-defined]


def per_call(rows: list[Row], repeats: int, clock: str) -> dict[str, float]:
    """Best mean of each row, seconds a call; ``function`` is called ``number`` times a repeat."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    best = dict.fromkeys((name for name, _, _ in rows), np.inf)
    for repeat in range(repeats + 1):
        for name, function, number in rows:
            start = now()
            for _ in range(number):
                function()
            if repeat:  # the first compiles
                best[name] = min(best[name], (now() - start) / number)
    return best


def mujocos_renderer(base: str, size: int, repeats: int, clock: str) -> dict[str, float]:
    """``mujoco.Renderer`` with its default settings, RGB and RGB then segmentation."""
    one_core()
    model = load(base)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = "track" if "track" in [model.camera(i).name for i in range(model.ncam)] else -1
    renderer = mujoco.Renderer(model, size, size)

    def rgb() -> Any:
        renderer.update_scene(data, camera)
        return renderer.render()

    def both() -> None:
        rgb()
        renderer.enable_segmentation_rendering()
        renderer.render()
        renderer.disable_segmentation_rendering()

    rows: list[Row] = [("mujoco.Renderer, RGB", rgb, 3), ("mujoco.Renderer, RGB then segmentation", both, 3)]
    return per_call(rows, repeats, clock)


def renderer_rows(args: Args, model: mujoco.MjModel) -> list[Row]:
    """One frame of one pose, as an environment asks for it."""
    qpos, size = model.qpos0.copy(), args.image_size
    plate = Plate(np.zeros((size, size, 3), np.uint8))
    sharp, smooth = (OpenGLRenderer(model, size, samples=samples) for samples in (1, 2))
    part = OpenGLRenderer(model, size, agent_bodies=[model.nbody - 1])
    cast = RaycastRenderer(model, size)
    moving = iter(np.linspace(0, 1, 1_000_000))

    def own_scene() -> None:
        qpos[0] = next(moving)  # else the ground would be kept from the frame before
        smooth.draw(qpos)

    def draw(renderer: Any, alpha: float = 0.0) -> Callable[[], Any]:
        return lambda: renderer.draw(qpos, Look(plate, alpha))

    return [
        ("OpenGL, agent on a plate, 1 sample", draw(sharp), args.number),
        ("OpenGL, agent on a plate, 2 x 2 samples", draw(smooth), args.number),
        ("OpenGL, the same, only one body in the mask", draw(part), args.number),
        ("OpenGL, the scene's own sky and ground", own_scene, args.number),
        ("ray caster, agent on a plate", draw(cast), args.number),
    ]


def stepper(envs: list[gym.Env[Any, Any]]) -> Callable[[], None]:
    """Steps all environments once, with one drawn action."""
    for env in envs:
        env.action_space.seed(0)
        env.reset(seed=0)
    action = envs[0].action_space.sample()

    def step() -> None:
        for env in envs:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return step


def env_rows(args: Args) -> list[Row]:
    """Steps of one environment: physics alone, and drawn."""
    rows: list[Row] = [(f"{args.base}, physics alone", stepper([gym.make(args.base).unwrapped]), args.number)]
    for renderer in ("raycast", "opengl"):
        for distractor in ("none", "action"):
            env = gym.make(args.task, renderer=renderer, distractor=distractor, image_size=args.image_size)
            rows.append((f"{args.task}, {renderer}, distractor {distractor!r}", stepper([env]), args.number))
    return rows


def show(title: str, seconds: dict[str, float], reference: float) -> None:
    print(f"\n{title:60} {'per second':>11} {'us each':>10} {'ratio':>9}")
    for name, value in seconds.items():
        print(f"{name:60} {1 / value:11.0f} {value * 1e6:10.1f} {reference / value:9.2f}")


def resident() -> float:
    """This process' memory, MB (Linux)."""
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1]) / 1024


def main(args: Args) -> None:
    """Print the tables."""
    one_core()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        frames = pool.apply(mujocos_renderer, (args.base, args.image_size, args.repeats, args.clock))
    print(gl.description())
    reference = frames["mujoco.Renderer, RGB then segmentation"]
    frames |= per_call(renderer_rows(args, load(args.base)), args.repeats, args.clock)
    show(f"a frame of {args.base}, {args.image_size}x{args.image_size} (ratio: to mujoco.Renderer)", frames, reference)
    steps = per_call(env_rows(args), args.repeats, args.clock)
    show("a step (ratio: to physics alone)", steps, next(iter(steps.values())))

    before = resident()
    envs = [gym.make(args.task, renderer="opengl", image_size=args.image_size) for _ in range(args.many)]
    step = stepper(envs)
    many = per_call([("", step, max(1, args.number // args.many))], args.repeats, args.clock)[""] / args.many
    one = steps[f"{args.task}, opengl, distractor 'action'"]
    print(
        f"\n{args.many} environments in this process: {1 / many:.0f} steps per second, {one / many:.2f} of one alone's,"
    )
    print(f"{resident() - before:.0f} MB for all of them")


if __name__ == "__main__":
    main(tyro.cli(Args))
