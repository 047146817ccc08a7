"""Compiled kernels that Numba keeps on disk are never those of other sources."""

from __future__ import annotations

import importlib
import importlib.util
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numba.core.dispatcher import Dispatcher

from masklam_envs.rendering.batch_kernel import stamp_of


def kernel_modules(repo: Path) -> list[types.ModuleType]:
    files = [path for path in sorted((repo / "masklam_envs").rglob("*.py")) if "njit" in path.read_text()]
    return [importlib.import_module(".".join(path.relative_to(repo).with_suffix("").parts)) for path in files]


def is_kept(kernel: Dispatcher) -> bool:
    return type(kernel._cache).__name__ != "NullCache"


def foreign(kernel: Any, seen: set[int]) -> Iterator[str]:
    """What of other modules of ours a kernel calls or reads, by itself or through the kernels of its own module."""
    seen.add(id(kernel))
    function = kernel.py_func
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "") or ""
        if module.startswith("masklam_envs") and module != function.__module__:
            yield name
        elif isinstance(value, Dispatcher) and id(value) not in seen:
            yield from foreign(value, seen)


def test_kept_kernels_know_of_the_other_files_they_are_made_of(repo: Path) -> None:
    modules = kernel_modules(repo)
    kernels = [value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)]
    own = [kernel for kernel in kernels if is_kept(kernel)]
    assert len(own) > 20
    others = {kernel.py_func.__name__: set(foreign(kernel, set())) for kernel in own}
    assert {name: found for name, found in others.items() if found} == {"draw_frames": {"calls", "panning", "raycast"}}
    [draw_frames] = [kernel for kernel in own if kernel.py_func.__name__ == "draw_frames"]
    known = draw_frames.py_func.__globals__
    stamp = stamp_of(*(known[name] for name in sorted(others["draw_frames"])))
    assert [cell.cell_contents for cell in draw_frames.py_func.__closure__] == [stamp]


def test_the_stamp_follows_the_source(tmp_path: Path) -> None:
    path = tmp_path / "some_kernels.py"

    def stamp(source: str) -> int:
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("some_kernels", path)
        assert spec is not None
        return stamp_of(importlib.util.module_from_spec(spec))

    assert stamp("a = 1\n") == stamp("a = 1\n") != stamp("a = 2\n")
