"""OpenGL without a window: contexts that all renderers of a process share, each lent to one drawing at a time.

A drawing borrows a context, makes it current in its thread, and gives it back; what was current before is current
again afterwards.  So any thread may draw with any renderer, renderers may come and go in any order, and other users of
OpenGL in the process are not disturbed.  There are as many contexts as there were drawings at the same time, one in a
program without threads.  What MuJoCo uploads for a model (meshes, textures, the frame buffer) is kept in the context
and shared by all renderers of equal models.

The library is the one that ``MUJOCO_GL`` names (``egl`` or ``osmesa``); without it EGL and then OSMesa on Linux, and
MuJoCo's own choice elsewhere.  It does not matter whether ``MUJOCO_GL`` was set before MuJoCo was imported.  Mesa's
software renderer is told to draw in the calling thread (``LP_NUM_THREADS=0``, unless you set it): small frames are
drawn as fast, and a process may draw, fork, and draw in the child, which with threads of the driver would never return.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import glob
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import mujoco

CURE = (
    "On Debian or Ubuntu: apt-get install libegl1 libgl1-mesa-dri (or libosmesa6, with MUJOCO_GL=osmesa). "
    "Models of capsules, spheres, boxes, cylinders, ellipsoids and planes need no OpenGL: renderer='raycast'"
)
# Constants of egl.h, eglext.h, gl.h and osmesa.h.
EGL_PLATFORM_DEVICE, EGL_OPENGL_API = 0x313F, 0x30A2
EGL_SURFACE_TYPE, EGL_PBUFFER_BIT, EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_NONE = (
    0x3033,
    0x0001,
    0x3040,
    0x0008,
    0x3038,
)
EGL_DRAW, EGL_READ = 0x3059, 0x305A
GL_RENDERER, GL_VERSION, GL_UNSIGNED_BYTE, OSMESA_RGBA = 0x1F01, 0x1F02, 0x1401, 0x1908
MAX_DEVICES = 64
SOFTWARE = ("llvmpipe", "softpipe", "swrast", "Software Rasterizer")
OFF = ("disable", "disabled", "off", "false", "0")

_pointer, _int, _uint = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint
_GetString = Callable[[int], bytes | None]


class OpenGLUnavailableError(RuntimeError):
    """There is no OpenGL here; the message says what was tried and what helps."""


class _Egl:
    """EGL without surfaces, on the first device that works or the one that ``MUJOCO_EGL_DEVICE_ID`` names."""

    name = "egl"

    def __init__(self) -> None:
        self.library = library = _load("libEGL.so.1")
        for function in ("GetCurrentDisplay", "GetCurrentContext", "GetCurrentSurface", "CreateContext"):
            getattr(library, f"egl{function}").restype = _pointer
        library.eglInitialize.argtypes = [_pointer, _pointer, _pointer]
        library.eglChooseConfig.argtypes = [_pointer, _pointer, _pointer, _int, _pointer]
        library.eglCreateContext.argtypes = [_pointer, _pointer, _pointer, _pointer]
        library.eglMakeCurrent.argtypes = [_pointer, _pointer, _pointer, _pointer]
        library.eglGetProcAddress.restype = _pointer
        self.display = self._open_display()
        self.config = self._choose_config()
        _show(library)

    def create(self) -> int:
        self.library.eglBindAPI(EGL_OPENGL_API)
        handle = self.library.eglCreateContext(self.display, self.config, None, None)
        if not handle:
            raise OpenGLUnavailableError(f"EGL cannot create an OpenGL context (error {self._error()}). {CURE}")
        return int(handle)

    def enter(self, handle: int) -> tuple[Any, ...]:
        """Make a context current; returns what was before."""
        egl = self.library
        egl.eglBindAPI(EGL_OPENGL_API)  # every thread has its own
        before = (
            egl.eglGetCurrentDisplay() or self.display,
            egl.eglGetCurrentSurface(EGL_DRAW),
            egl.eglGetCurrentSurface(EGL_READ),
            egl.eglGetCurrentContext(),
        )
        if not egl.eglMakeCurrent(self.display, None, None, handle):
            raise OpenGLUnavailableError(f"EGL cannot make its context current (error {self._error()})")
        return before

    def leave(self, before: tuple[Any, ...]) -> None:
        self.library.eglMakeCurrent(*before)

    def function(self, name: bytes) -> int | None:
        address: int | None = self.library.eglGetProcAddress(name)
        return address

    def _open_display(self) -> int:
        devices, count = (_pointer * MAX_DEVICES)(), _int(0)
        query = self._extension(b"eglQueryDevicesEXT", _uint, _int, _pointer, _pointer)
        get_display = self._extension(b"eglGetPlatformDisplayEXT", _pointer, _uint, _pointer, _pointer)
        query(MAX_DEVICES, devices, ctypes.byref(count))
        wanted = os.environ.get("MUJOCO_EGL_DEVICE_ID")
        if wanted is not None and wanted not in map(str, range(count.value)):
            raise ValueError(
                f"MUJOCO_EGL_DEVICE_ID must be the number of an EGL device, of which there are {count.value}, "
                f"counted from 0; got {wanted!r}"
            )
        for i in range(count.value) if wanted is None else [int(wanted)]:
            display = get_display(EGL_PLATFORM_DEVICE, devices[i], None)
            if display and self.library.eglInitialize(display, None, None):
                return int(display)
        raise OpenGLUnavailableError(f"none of EGL's {count.value} devices can be used. {CURE}")

    def _choose_config(self) -> int:
        wanted = (_int * 5)(EGL_SURFACE_TYPE, EGL_PBUFFER_BIT, EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_NONE)
        config, count = _pointer(), _int(0)
        self.library.eglChooseConfig(self.display, wanted, ctypes.byref(config), 1, ctypes.byref(count))
        if count.value < 1 or not config.value:
            raise OpenGLUnavailableError(f"EGL's device does not offer desktop OpenGL. {CURE}")
        return int(config.value)

    def _extension(self, name: bytes, result: Any, *arguments: Any) -> Any:
        address = self.function(name)
        if not address:
            raise OpenGLUnavailableError(f"libEGL.so.1 lacks {name.decode()}. {CURE}")
        return ctypes.CFUNCTYPE(result, *arguments)(address)

    def _error(self) -> str:
        return hex(self.library.eglGetError())


class _OsMesa:
    """Mesa's renderer without any window system."""

    name = "osmesa"

    def __init__(self) -> None:
        self.library = library = _load("libOSMesa.so.8", "libOSMesa.so.6")
        library.OSMesaCreateContextExt.restype = _pointer
        library.OSMesaCreateContextExt.argtypes = [_uint, _int, _int, _int, _pointer]
        library.OSMesaMakeCurrent.restype = ctypes.c_ubyte
        library.OSMesaMakeCurrent.argtypes = [_pointer, _pointer, _uint, _int, _int]
        library.OSMesaGetProcAddress.restype = _pointer
        # Frames are drawn in a buffer object; this one only has to exist.
        self.buffer = ctypes.create_string_buffer(4)
        _show(library)

    def create(self) -> int:
        handle = self.library.OSMesaCreateContextExt(OSMESA_RGBA, 24, 8, 0, None)
        if not handle:
            raise OpenGLUnavailableError(f"OSMesa cannot create an OpenGL context. {CURE}")
        return int(handle)

    def enter(self, handle: int) -> None:
        if not self.library.OSMesaMakeCurrent(handle, self.buffer, GL_UNSIGNED_BYTE, 1, 1):
            raise OpenGLUnavailableError("OSMesa cannot make its context current")

    def leave(self, before: None) -> None:
        self.library.OSMesaMakeCurrent(None, None, 0, 0, 0)

    def function(self, name: bytes) -> int | None:
        address: int | None = self.library.OSMesaGetProcAddress(name)
        return address


class _MujocosOwn:
    """The context class of the ``mujoco`` package: a hidden GLFW window, or CGL on macOS."""

    name = "mujoco"

    def create(self) -> Any:
        if not hasattr(mujoco, "GLContext"):
            raise OpenGLUnavailableError(f"this mujoco has no OpenGL context for {sys.platform}. {CURE}")
        return mujoco.GLContext(1, 1)

    def enter(self, handle: Any) -> None:
        handle.make_current()

    def leave(self, before: None) -> None:
        pass

    def function(self, name: bytes) -> int | None:
        return None


_Library = _Egl | _OsMesa | _MujocosOwn


class Context:
    """One OpenGL context with what was uploaded to it; current only between ``enter`` and ``leave``."""

    def __init__(self, library: _Library) -> None:
        self._library = library
        self._handle: Any = library.create()
        self._uploads: dict[bytes, tuple[mujoco.MjrContext, weakref.WeakSet[Any]]] = {}

    def enter(self) -> Any:
        """Make it current in this thread; returns what :meth:`leave` needs."""
        return self._library.enter(self._handle)

    def leave(self, before: Any) -> None:
        """Make current again what was before."""
        self._library.leave(before)

    def upload(self, key: bytes, model: mujoco.MjModel, user: object) -> mujoco.MjrContext:
        """What MuJoCo needs to draw a model, uploaded unless it is here already; its frame buffer is selected.

        Args:
            key: equal for equal models.
            model: with the sizes of the frame buffer and all settings of quality.
            user: keeps the upload alive; that of the dead is freed when the next model comes.
        """
        if key not in self._uploads:
            self._free_unused()
            uploaded = self._create_upload(model)
            uploaded.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
            self._uploads[key] = uploaded, weakref.WeakSet()
        uploaded, users = self._uploads[key]
        users.add(user)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, uploaded)
        return uploaded

    def describe(self) -> str:
        """Library, device and version of OpenGL."""
        address = self._library.function(b"glGetString")
        if not address:
            return self._library.name
        get: _GetString = ctypes.CFUNCTYPE(ctypes.c_char_p, _uint)(address)
        device, version = ((get(which) or b"?").decode() for which in (GL_RENDERER, GL_VERSION))
        return f"{self._library.name}: {device}, {version}"

    def leak(self) -> None:
        """Never free the uploads: their deleters would reach whatever context is current then, or none."""
        for uploaded, _ in self._uploads.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(uploaded))

    def _create_upload(self, model: mujoco.MjModel) -> mujoco.MjrContext:
        try:
            return mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except mujoco.FatalError as error:
            name = os.environ.get("MUJOCO_GL", "")
            raise OpenGLUnavailableError(
                f"MuJoCo cannot draw with the OpenGL of {self._library.name!r} (MUJOCO_GL={name!r}): {error}. {CURE}"
            ) from error

    def _free_unused(self) -> None:
        for key in [key for key, (_, users) in self._uploads.items() if not users]:
            self._uploads.pop(key)[0].free()


class _Process:
    """The contexts of this process, and those that nobody uses at the moment."""

    def __init__(self, parents_device: str = "") -> None:
        self.library: _Library | None = None
        self.survives_fork = True
        self.device = ""
        self.contexts: list[Context] = []
        self.idle: list[Context] = []
        self.parents_device = parents_device

    def lend(self) -> Context:
        try:
            return self.idle.pop()  # the last one given back, so that a single thread always has the same
        except IndexError:
            context = self._create()
            self.contexts.append(context)
            return context

    def _create(self) -> Context:
        if self.library is not None:
            return Context(self.library)
        if self.parents_device:
            raise OpenGLUnavailableError(
                f"this process was forked from one that had already drawn with {self.parents_device!r}, and neither a "
                "GPU's driver nor Mesa with threads of its own (LP_NUM_THREADS above 0, or another program part that "
                "used OpenGL first) goes on in a forked process. Start workers by 'spawn' or 'forkserver', or draw in "
                "the workers only"
            )
        with _drawing_in_the_calling_thread():
            self.library, context = _first_that_works()
            before = context.enter()
            self.device = context.describe()
            context.leave(before)
        return context


_process = _Process()


@contextlib.contextmanager
def borrowed() -> Iterator[Context]:
    """A context that is current in this thread while the block runs.

    Raises:
        OpenGLUnavailableError: there is no OpenGL library or no device.
    """
    process = _process
    context = process.lend()
    before = context.enter()
    try:
        yield context
    finally:
        context.leave(before)
        process.idle.append(context)


def description() -> str:
    """Library, device and version that frames are drawn with, e.g. ``"egl: llvmpipe (...), 4.5 ... Mesa 22.3.6"``.

    Raises:
        OpenGLUnavailableError: there is none.
    """
    with borrowed():
        return _process.device


def _first_that_works() -> tuple[_Library, Context]:
    tried = []
    for kind in _wanted_libraries():
        try:
            library = kind()
            return library, Context(library)
        except OpenGLUnavailableError as error:
            tried.append(error)
    if len(tried) == 1:
        raise tried[0]
    reasons = "; ".join(str(error).replace(CURE, "").strip(" .") for error in tried)
    raise OpenGLUnavailableError(f"no OpenGL on this machine: {reasons}. {CURE}")


def _wanted_libraries() -> list[type[_Egl] | type[_OsMesa] | type[_MujocosOwn]]:
    name = os.environ.get("MUJOCO_GL", "").lower().strip()
    if name in OFF:
        raise OpenGLUnavailableError(f"MUJOCO_GL={name} turns OpenGL off; unset it or take renderer='raycast'")
    if name in ("egl", "osmesa"):
        return [_Egl if name == "egl" else _OsMesa]
    if sys.platform.startswith("linux") and name in ("", "on", "enable", "enabled", "true", "1"):
        return [_Egl, _OsMesa]
    return [_MujocosOwn]


def _load(*names: str) -> Any:
    for name in names:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    raise OpenGLUnavailableError(f"{names[0]} is not installed. {CURE}")


def _show(library: Any) -> None:
    """MuJoCo looks for OpenGL's functions in the libraries that the whole process can see."""
    ctypes.CDLL(library._name, mode=ctypes.RTLD_GLOBAL)


@contextlib.contextmanager
def _drawing_in_the_calling_thread() -> Iterator[None]:
    """Mesa's llvmpipe reads the variable when it opens a device, with the first context."""
    if "LP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["LP_NUM_THREADS"] = "0"
    try:
        yield
    finally:
        del os.environ["LP_NUM_THREADS"]


def _leak_all() -> None:
    for context in _process.contexts:
        context.leak()


def _before_fork() -> None:
    if not _process.contexts:
        return
    device = _process.device
    _process.survives_fork = any(name in device for name in SOFTWARE) and not _driver_has_threads()


def _driver_has_threads() -> bool:
    """Whether Mesa's software renderer has started threads in this process."""
    names = []
    for path in glob.glob("/proc/self/task/*/comm"):
        with contextlib.suppress(OSError), open(path) as file:  # a thread may end meanwhile
            names.append(file.read())
    return any(name.startswith("llvmpipe") for name in names)


def _start_anew() -> None:
    """In a forked child: its parent's contexts are copies of memory whose other half is elsewhere."""
    global _process
    _leak_all()
    broken = _process.parents_device
    if _process.contexts and not _process.survives_fork:
        broken = _process.device
    _process = _Process(parents_device=broken)


atexit.register(_leak_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_start_anew)
