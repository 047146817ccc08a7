"""Which code of plugins a run depends on: digests of source files, so that edited code is another run.

Files are read and parsed; nothing is imported.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

#: recorded by version and commit
OURS = ("masklam_agents", "masklam_envs")
_ENTRY_POINT = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*")


@functools.cache
def code_of(plugins: tuple[str, ...]) -> dict[str, str]:
    """16 hexadecimal digits of the code of plugins, by the name of each module or package.

    It is that of the plugins, of what they import, and of the modules in entry points (``"module:Class"``) that they
    register; of all this what is neither installed nor this package's.  A plugin that is installed counts itself, all
    of its package.  Asked once in a process, as it begins: files may change while a long benchmark runs, loaded code
    does not.

    :param plugins: names of modules
    """
    tops = {plugin.partition(".")[0] for plugin in plugins}
    found: dict[str, Path] = {}
    left = list(plugins)
    while left:
        name = left.pop()
        file = None if name in found else _file(name)
        if file is None or not (name.partition(".")[0] in tops or _is_local(name, file)):
            continue
        found[name] = file
        left += _used(name, file)
    parts: dict[str, list[str]] = {}
    for name, file in sorted(found.items()):
        parts.setdefault(name.partition(".")[0], []).append(f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}")
    return {top: hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] for top, lines in parts.items()}


def _file(name: str) -> Path | None:
    """The file of a module, where there is one."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ``__main__`` has none
        return None
    if spec is None:
        return None
    if not rest:
        file = Path(spec.origin or "")
        return file if file.is_file() else None
    folders = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
    files = (file for folder in folders for file in (folder / "__init__.py", folder.with_name(f"{rest[-1]}.py")))
    return next((file for file in files if file.is_file()), None)


def _is_local(name: str, file: Path) -> bool:
    """Whether a module is neither this package's, nor installed, nor Python's own."""
    if name.partition(".")[0] in OURS or file.is_relative_to(sysconfig.get_path("stdlib")):
        return False
    return not {"site-packages", "dist-packages"} & set(file.parts)


def _used(name: str, file: Path) -> Iterator[str]:
    """Modules, perhaps, that a module imports or names in an entry point; and the packages that it lies in."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    yield from _with_packages(package)
    try:
        tree = ast.parse(file.read_bytes()) if file.suffix == ".py" else ast.Module([], [])
    except (SyntaxError, ValueError):  # of a file that is never imported: it could not be
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_packages(alias.name)
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*up, *([node.module] if node.module else [])])
            yield from _with_packages(source)
            yield from (f"{source}.{alias.name}" for alias in node.names if source)
        elif isinstance(node, ast.Constant) and (entry := _ENTRY_POINT.fullmatch(str(node.value))):
            yield from _with_packages(entry[1])


def _with_packages(name: str) -> Iterator[str]:
    """``a.b.c``: ``a``, ``a.b`` and ``a.b.c``, all of which an import runs."""
    steps = name.split(".") if name else []
    yield from (".".join(steps[:count]) for count in range(1, len(steps) + 1))
