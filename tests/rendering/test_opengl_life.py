"""Many renderers: they come and go, in threads, in forked and spawned processes, beside other users of OpenGL."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

import masklam_envs  # noqa: F401 - registers the environments
from masklam_envs.rendering import OpenGLRenderer, gl
from tests.rendering.scenes import robot

FRAMES = """
import numpy as np, os, sys
from masklam_envs.rendering import OpenGLRenderer, gl
from tests.rendering.scenes import robot
model = robot()
def frame(renderer=None):
    return b"".join(array.tobytes() for array in (renderer or OpenGLRenderer(model)).draw(model.qpos0))
def status(action):
    child = os.fork()
    if not child:
        try:
            action()
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]
"""


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return robot()


def frame(model: mujoco.MjModel) -> bytes:
    return b"".join(array.tobytes() for array in OpenGLRenderer(model).draw(model.qpos0))


def run(code: str, repo: Path, **environment: str) -> str:
    """What a fresh Python prints."""
    path = {**os.environ, "PYTHONPATH": str(repo), **environment}
    command = [sys.executable, "-c", FRAMES + code]
    done = subprocess.run(command, env=path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.usefixtures("needs_opengl")
def test_renderers_come_and_go_in_any_order(model: mujoco.MjModel) -> None:
    """The frames that Gymnasium's own viewers give after another one was closed are black."""
    other = robot(floor="1 1 1")
    expected, expected_other = frame(model), frame(other)
    assert expected != expected_other and any(expected) and any(expected_other)
    rng, alive = np.random.default_rng(0), []
    for _ in range(60):
        alive.append(
            (OpenGLRenderer(model), expected) if rng.random() < 0.5 else (OpenGLRenderer(other), expected_other)
        )
        if len(alive) > 4:
            del alive[int(rng.integers(len(alive)))]
        for renderer, bytes_ in alive:
            assert b"".join(array.tobytes() for array in renderer.draw(model.qpos0)) == bytes_


@pytest.mark.usefixtures("needs_opengl")
def test_equal_models_are_uploaded_once_and_dead_ones_freed() -> None:
    def uploads() -> int:
        return sum(len(context._uploads) for context in gl._process.contexts)

    gc.collect()
    gl.description()
    renderers = [OpenGLRenderer(robot(floor="2 2 1")) for _ in range(5)]
    for renderer in renderers:
        renderer.draw(renderer.model.qpos0)
    one = uploads()
    for size in range(1, 20):
        frame(robot(floor=f"{size} 1 1"))
    gc.collect()
    frame(robot(floor="3 3 1"))  # frees what nobody holds
    assert uploads() <= one + 1
    del renderer, renderers


@pytest.mark.usefixtures("needs_opengl")
def test_threads_draw_the_same(model: mujoco.MjModel) -> None:
    expected, shared, wrong = frame(model), OpenGLRenderer(model), []

    def work() -> None:
        for _ in range(10):
            wrong.append(frame(model) != expected)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 60 and not any(wrong)
    one_by_one = [threading.Thread(target=lambda: wrong.append(frame(model) != expected)) for _ in range(10)]
    for thread in one_by_one:  # a renderer may wander from thread to thread
        thread.start()
        thread.join()
        assert b"".join(array.tobytes() for array in shared.draw(model.qpos0)) == expected
    assert not any(wrong)


@pytest.mark.usefixtures("needs_opengl")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_started_processes_draw_the_same(model: mujoco.MjModel, method: str) -> None:
    expected = frame(model)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(frame, (model,)) == expected


@pytest.mark.usefixtures("needs_opengl")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_processes_draw_the_same(repo: Path) -> None:
    """Also when the parent has drawn before, with its renderer and a new one, and so do their own children."""
    if not any(name in gl.description() for name in gl.SOFTWARE):
        pytest.skip("a GPU's driver does not survive a fork")
    code = """
renderer = OpenGLRenderer(model)
expected = frame(renderer)
def child(depth):
    assert frame(renderer) == expected and frame() == expected
    assert depth == 0 or status(lambda: child(depth - 1)) == 0
print(status(lambda: child(2)), status(lambda: child(0)), frame(renderer) == expected, "LP_NUM_THREADS" in os.environ)
"""
    assert run(code, repo) == "0 0 True False"


@pytest.mark.usefixtures("needs_opengl")
@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux")
def test_a_fork_that_would_hang_is_an_error(repo: Path) -> None:
    if not any(name in gl.description() for name in gl.SOFTWARE):
        pytest.skip("a GPU's driver has its own error")
    output = run("frame(); print(status(frame))", repo, LP_NUM_THREADS="2")
    assert "OpenGLUnavailableError this process was forked" in output and "'spawn' or 'forkserver'" in output


@pytest.mark.usefixtures("needs_opengl")
def test_vector_environments_of_gymnasium_draw_the_same() -> None:
    """Its processes are forked on Linux, after this one has drawn."""
    frames = []
    for mode in ("sync", "async"):
        envs = gymnasium.make_vec("MaskHopper-v0", 2, vectorization_mode=mode, renderer="opengl", image_size=32)
        first = envs.reset(seed=0)[0]
        later = envs.step(np.zeros(envs.action_space.shape, np.float32))[0]
        frames.append(np.concatenate([first["pixels"].copy(), later["pixels"]]))
        envs.close()
    np.testing.assert_array_equal(*frames)


@pytest.mark.usefixtures("needs_opengl")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs EGL")
def test_others_contexts_stay_current(repo: Path) -> None:
    """A viewer that does not select its context again, as Gymnasium's, goes on between our frames and the other way."""
    if not gl.description().startswith("egl"):
        pytest.skip("needs EGL")
    code = """
import gymnasium
viewer = gymnasium.make("Hopper-v5", render_mode="rgb_array")
viewer.reset(seed=0)
theirs, ours = viewer.render(), frame()
assert theirs.any() and any(ours)
for _ in range(3):
    assert np.array_equal(viewer.render(), theirs) and frame() == ours
viewer.close()
print(frame() == ours)
"""
    assert run(code, repo, MUJOCO_GL="egl").endswith("True")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs EGL and OSMesa")
@pytest.mark.parametrize("library", ["egl", "osmesa"])
def test_mujoco_gl_chooses_the_library(library: str, repo: Path) -> None:
    """Also when it is set after MuJoCo was imported."""
    code = f"""
os.environ["MUJOCO_GL"] = "{library}"
try:
    print(gl.description().split(":")[0], any(frame()))
except gl.OpenGLUnavailableError as error:
    print(error)
"""
    output = run(code, repo)
    if "is not installed" in output or "devices can be used" in output:
        pytest.skip(output)
    assert output == f"{library} True"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs EGL and OSMesa")
def test_a_device_that_does_not_work_falls_back_to_osmesa(repo: Path) -> None:
    code = """
gl._Egl._open_display = lambda self: (_ for _ in ()).throw(gl.OpenGLUnavailableError("no device"))
try:
    print(gl.description().split(":")[0], any(frame()))
except gl.OpenGLUnavailableError as error:
    print(error)
"""
    output = run(code, repo)
    if "libOSMesa.so.8 is not installed" in output:
        pytest.skip(output)
    assert output == "osmesa True"


def test_without_any_library_the_error_names_the_cures_and_the_ray_caster_draws(repo: Path) -> None:
    code = """
import ctypes, sys
from unittest import mock
sys.platform = "linux"
def missing(name, *args, **kwargs):
    raise OSError(name)
with mock.patch.object(ctypes, "CDLL", missing):
    try:
        frame()
    except gl.OpenGLUnavailableError as error:
        print(error)
import gymnasium, masklam_envs
print(gymnasium.make("MaskCheetah-v0").reset(seed=0)[0]["mask"].any())
"""
    output = run(code, repo, MUJOCO_GL="")
    for part in (
        "libEGL.so.1 is not installed; libOSMesa.so.8 is not",
        "apt-get install libegl1",
        "renderer='raycast'",
    ):
        assert part in output
    assert output.endswith("True")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MUJOCO_GL", "off", "MUJOCO_GL=off turns OpenGL off; unset it or take renderer='raycast'"),
        ("MUJOCO_EGL_DEVICE_ID", "77", "MUJOCO_EGL_DEVICE_ID must be the number of an EGL device"),
    ],
)
def test_wrong_settings_are_named(name: str, value: str, message: str, repo: Path) -> None:
    code = """
try:
    frame()
except (RuntimeError, ValueError) as error:
    print(error)
"""
    output = run(code, repo, **{name: value})
    if name == "MUJOCO_EGL_DEVICE_ID" and "libEGL" in output:
        pytest.skip(output)
    assert message in output
