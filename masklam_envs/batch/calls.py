"""MuJoCo's own C functions called from Numba kernels, so that a whole batch is stepped without Python's lock.

``mujoco.mj_step`` gives the lock up and takes it back at every call; with a step of 25 microseconds two threads then
spend their time on passing it to and fro.  A kernel calls the same functions of the same library on the same structs
by their addresses, for several environments in one go, and computes the same bits.
"""

# Numba infers the types of the inner functions.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import copy
import ctypes
import functools
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

# Rows of `functions`: the addresses that the kernels call.
STEP, AFTER_STEP, COPY, KINEMATICS, COM_POS, CAM_LIGHT, GET_STATE, SET_STATE = range(8)
NAMES = (
    "mj_step",
    "mj_rnePostConstraint",
    "mj_copyData",
    "mj_kinematics",
    "mj_comPos",
    "mj_camlight",
    "mj_getState",
    "mj_setState",
)
# Everything that the next steps depend on.  Kernels take it as an argument: Numba keeps the values of globals in the
# code it caches, and another MuJoCo has another value.
WHOLE_STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
# Columns of `structs` (n, 6): the addresses of an environment's model, data, copy of the data (0 for none), controls,
# positions and velocities.
MODEL, DATA, SAVED, CTRL, QPOS, QVEL, STRUCT_COLUMNS = 0, 1, 2, 3, 4, 5, 6

Addresses = NDArray[np.uintp]


@intrinsic
def call2(typingctx, function, first, second):
    """``function(first, second)`` of addresses: any ``void (const mjModel*, mjData*)`` of MuJoCo."""
    return types.void(types.uintp, types.uintp, types.uintp), _caller(2)


@intrinsic
def call3(typingctx, function, first, second, third):
    """``function(first, second, third)`` of addresses, its result not used: ``mj_copyData(to, model, from)``."""
    return types.void(types.uintp, types.uintp, types.uintp, types.uintp), _caller(3)


@intrinsic
def call_state(typingctx, function, model, data, state, parts):
    """``function(model, data, state, parts)``, three addresses and an int: ``mj_getState`` and ``mj_setState``."""
    return types.void(*[types.uintp] * 4, types.int32), _caller(3, [ir.IntType(32)])


def _caller(count, others=()):
    """Generates the call of a function that takes ``count`` addresses, then ``others``."""

    def generate(context, builder, signature, arguments):
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [*[pointer] * count, *others])
        target = builder.inttoptr(arguments[0], kind.as_pointer())
        pointers = [builder.inttoptr(address, pointer) for address in arguments[1 : count + 1]]
        builder.call(target, [*pointers, *arguments[count + 1 :]])
        return context.get_dummy_value()

    return generate


@intrinsic
def doubles_at(typingctx, address):
    """An address as a pointer to float64, for ``carray``."""
    return types.CPointer(types.float64)(types.uintp), _as_pointer


@intrinsic
def bytes_at(typingctx, address):
    """An address as a pointer to uint8, for ``carray``."""
    return types.CPointer(types.uint8)(types.uintp), _as_pointer


def _as_pointer(context, builder, signature, arguments):
    return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))


@njit(cache=True, nogil=True)
def read_states(
    structs: Addresses, qpos: NDArray[np.float64], qvel: NDArray[np.float64], first: int, last: int
) -> None:
    """Copy positions and velocities of environments ``first`` to ``last`` to ``qpos`` (n, nq) and ``qvel`` (n, nv)."""
    for i in range(first, last):
        qpos[i] = carray(doubles_at(structs[i, QPOS]), qpos.shape[1])
        qvel[i] = carray(doubles_at(structs[i, QVEL]), qvel.shape[1])


@njit(cache=True, nogil=True)
def step_environments(
    functions: Addresses,
    structs: Addresses,
    moves: NDArray[np.bool_],
    actions: NDArray[np.float32],
    qpos: NDArray[np.float64],
    qvel: NDArray[np.float64],
    substeps: int,
    first: int,
    last: int,
) -> None:
    """Step environments ``first`` to ``last`` that move, as ``MujocoEnv.do_simulation`` does.

    Args:
        functions: (8,) addresses of ``NAMES``.
        structs: (n, STRUCT_COLUMNS) addresses; the data before the step is kept where SAVED is not 0.
        moves: (n,) whether an environment is stepped.
        actions: (n, nu) float32, written as the controls.
        qpos: (n, nq) positions after it, written.
        qvel: (n, nv) velocities after it, written.
        substeps: calls of ``mj_step``.
        first: first environment.
        last: one past the last environment.
    """
    for i in range(first, last):
        if not moves[i]:
            continue
        model, data = structs[i, MODEL], structs[i, DATA]
        if structs[i, SAVED]:
            call3(functions[COPY], structs[i, SAVED], model, data)
        ctrl = carray(doubles_at(structs[i, CTRL]), actions.shape[1])
        for k in range(actions.shape[1]):
            ctrl[k] = actions[i, k]
        for _ in range(substeps):
            call2(functions[STEP], model, data)
        call2(functions[AFTER_STEP], model, data)
    read_states(structs, qpos, qvel, first, last)


@njit(cache=True, nogil=True)
def step_states(
    functions: Addresses,
    structs: Addresses,
    bench: Addresses,
    moves: NDArray[np.bool_],
    actions: NDArray[np.float32],
    qpos: NDArray[np.float64],
    qvel: NDArray[np.float64],
    substeps: int,
    first: int,
    last: int,
) -> None:
    """As :func:`step_environments`, with one data for all, which stays in the processor's cache.

    Only the state of the environments' own data is kept up, nothing that MuJoCo derives of it.

    Args:
        functions: (8,) addresses of ``NAMES``.
        structs: (n, STRUCT_COLUMNS) addresses.
        bench: (4,) addresses of the data that does the work, of its controls, and of room for a whole state; then
            ``WHOLE_STATE``.
        moves: (n,) whether an environment is stepped.
        actions: (n, nu) float32, written as the controls.
        qpos: (n, nq) positions after it, written.
        qvel: (n, nv) velocities after it, written.
        substeps: calls of ``mj_step``.
        first: first environment.
        last: one past the last environment.
    """
    data, room, whole = bench[0], bench[2], np.int32(bench[3])
    ctrl = carray(doubles_at(bench[1]), actions.shape[1])
    for i in range(first, last):
        if not moves[i]:
            continue
        model = structs[i, MODEL]
        call_state(functions[GET_STATE], model, structs[i, DATA], room, whole)
        call_state(functions[SET_STATE], model, data, room, whole)
        for k in range(actions.shape[1]):
            ctrl[k] = actions[i, k]
        for _ in range(substeps):
            call2(functions[STEP], model, data)
        call_state(functions[GET_STATE], model, data, room, whole)
        call_state(functions[SET_STATE], model, structs[i, DATA], room, whole)
    read_states(structs, qpos, qvel, first, last)


@functools.cache
def functions() -> Addresses | None:
    """(8,) addresses of ``NAMES`` in the library that the ``mujoco`` package has loaded; None where there are none."""
    library = _library()
    try:
        return np.array([ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in NAMES], np.uintp)
    except AttributeError:
        return None


def addresses(model: Any, data: Any, saved: Any) -> tuple[int, ...]:
    """A row of ``structs``, with ``saved`` a copy of the data or None; the caller keeps the objects alive."""
    arrays = [array.ctypes.data for array in (data.ctrl, data.qpos, data.qvel)]
    return model._address, data._address, 0 if saved is None else saved._address, *arrays


def copy_data(to: Any, model: Any, source: Any) -> None:
    """``mujoco.mj_copyData``, which the Python package of MuJoCo 3.3.0 does not have; its library does."""
    if hasattr(mujoco, "mj_copyData"):
        mujoco.mj_copyData(to, model, source)
    else:
        library = _library()
        assert library is not None  # `agrees` has called it
        library.mj_copyData(*(ctypes.c_void_p(struct._address) for struct in (to, model, source)))


def agrees(model: Any, data: Any, substeps: int) -> bool:
    """Whether a step by address gives the bits of a step by MuJoCo's Python functions, tried on copies of ``data``."""
    found = functions()
    if found is None or not hasattr(model, "_address") or not hasattr(data, "_address"):
        return False
    ours, theirs, saved = copy.copy(data), copy.copy(data), copy.copy(data)
    actions = np.full((1, model.nu), 0.5, np.float32)
    structs = np.array([addresses(model, ours, saved)], np.uintp)
    qpos, qvel = np.zeros((1, model.nq)), np.zeros((1, model.nv))
    step_environments(found, structs, np.ones(1, np.bool_), actions, qpos, qvel, substeps, 0, 1)
    theirs.ctrl[:] = actions[0]
    mujoco.mj_step(model, theirs, nstep=substeps)
    mujoco.mj_rnePostConstraint(model, theirs)
    same = np.array_equal(qpos[0], theirs.qpos) and np.array_equal(qvel[0], theirs.qvel)
    return same and _state(model, ours) == _state(model, theirs) and _state(model, saved) == _state(model, data)


def has_python_callbacks() -> bool:
    """Whether a physics callback is a Python function, which must not be called without Python's lock."""
    return any(getter() is not None for getter in _CALLBACKS)


_CALLBACKS = [getattr(mujoco, name) for name in dir(mujoco) if name.startswith("get_mjcb_")]


def _state(model: Any, data: Any) -> bytes:
    state = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    return state.tobytes()


@functools.cache
def _library() -> ctypes.CDLL | None:
    """MuJoCo's library: found through the package's own extension, which is linked to it."""
    extension = Path(mujoco._functions.__file__)
    for path in (extension, extension.with_name("mujoco.dll")):
        try:
            library = ctypes.CDLL(str(path))
            library.mj_step  # noqa: B018 - raises where it is not found
        except (OSError, AttributeError):
            continue
        return library
    return None
