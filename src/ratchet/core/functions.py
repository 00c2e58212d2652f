"""A Python function of the user's, named in a task's file as `file.py:name`, and what its behaviour depends on in the workspace."""

import ast
import hashlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratchet.core.errors import TaskError, did_you_mean

__all__ = ["find_sources", "hash_sources", "load_function"]

_LOADING = threading.RLock()
_PREFIX = "ratchet_user_"
_LOADED: set[str] = set()
"""Names of workspace modules that a user's file has imported."""


def load_function(
    place: str, root: Path, *, setting: str, error: type[TaskError] = TaskError
) -> Callable[..., Any]:
    """Return the function at `place`, its file meant from `root`.

    The file may import modules of its own folder and of the workspace; they are loaded anew, so that an edit counts. A module that is
    installed, or Python's own, comes before one of the same name in the workspace.

    Args:
        place: `file.py:name`.
        root: The workspace's folder.
        setting: What names it, for the message.
        error: What is raised.
    Raises: `error` if there is none, or its file ends with an exception or ends the process.
    """
    path, name = _file_and_name(place, root, setting=setting, error=error)
    spec = importlib.util.spec_from_file_location(f"{_PREFIX}{path.stem}", path)
    assert spec  # a .py file always has a spec and a loader
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with _LOADING, _importable(root, path.parent):
        sys.modules[spec.name] = module  # dataclasses look their own module up there
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as problem:
            raise error(f"{path} cannot be loaded: {problem!r}") from problem
    function = getattr(module, name, None)
    if not callable(function):
        raise error(f"{path} has no function {name!r}.{did_you_mean(name, vars(module))}")
    return function  # type: ignore[no-any-return]  # the user's promise, checked at each call


def _file_and_name(
    place: str, root: Path, *, setting: str, error: type[TaskError]
) -> tuple[Path, str]:
    """Return the file of a place, which is inside the workspace, and the function's name.

    Raises: `error`.
    """
    file, _, name = place.partition(":")
    path = root / file
    rule = f"{setting} is file.py:function, from the workspace's folder"
    if "\0" in place:
        raise error(f"{rule}; got {place!r}")
    if not name or not path.is_file():
        raise error(
            f"{rule}; got {place!r} and {path} {'exists' if path.is_file() else 'does not exist'}"
        )
    if path.suffix != ".py":
        raise error(f"{rule}; got {place!r}, whose name does not end in .py")
    if not path.resolve().is_relative_to(root.resolve()):
        raise error(f"{rule}; {place!r} leads out of {root}: copy the file into the workspace")
    return path, name


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    """Let modules of these folders be imported, behind all others; those that an earlier load brought are loaded anew."""
    roots = [str(folder.resolve()) for folder in dict.fromkeys(folders)]
    for name in _LOADED:
        sys.modules.pop(name, None)
    _LOADED.clear()
    before = set(sys.modules)
    importlib.invalidate_caches()
    sys.path.extend(roots)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_bytecode
        for folder in roots:
            if folder in sys.path:
                del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]
        _LOADED.update(name for name in set(sys.modules) - before if _is_in(name, roots))


def _is_in(name: str, roots: list[str]) -> bool:
    """Return whether a module is a file of one of these folders; what is installed inside one (a `.venv`) is none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if not file or "site-packages" in file or name.startswith(_PREFIX):
        return False
    return any(Path(file).resolve().is_relative_to(root) for root in roots)


def hash_sources(path: Path, root: Path) -> str:
    """Return the SHA-256, in hexadecimal digits, of a Python file and of what it imports from the workspace, and so on.

    The same files in another folder have the same digest.

    Args:
        path: The file.
        root: The workspace's folder.
    """
    digest = hashlib.sha256()
    sources = find_sources(path, root)
    names = {source: _name_of(source, root.resolve()) for source in sources}
    for source in sorted(sources, key=lambda source: names[source]):
        body = source.read_bytes()
        digest.update(f"{names[source]}\0{len(body)}\0".encode())
        digest.update(body)
    return digest.hexdigest()


def _name_of(source: Path, root: Path) -> str:
    return source.relative_to(root).as_posix() if source.is_relative_to(root) else source.name


def find_sources(path: Path, root: Path) -> list[Path]:
    """Return a Python file and every file of the workspace that it imports, directly or not, also inside functions.

    Imports are read from the syntax, nothing is run; a module that is named only while the program runs is not seen.
    """
    roots = list(dict.fromkeys([root.resolve(), path.resolve().parent]))
    sources: list[Path] = []
    waiting = [path.resolve()]
    while waiting:
        source = waiting.pop()
        if source in sources:
            continue
        sources.append(source)
        try:
            tree = ast.parse(source.read_bytes())
        except (SyntaxError, ValueError, RecursionError):  # loading it will say so
            continue
        for names, folders in _imports(tree, source, roots):
            for folder in folders:
                waiting += _files_of(folder, names)
    return sources


def _imports(
    tree: ast.AST, source: Path, roots: list[Path]
) -> Iterator[tuple[list[str], list[Path]]]:
    """Yield the steps of each module that may be imported, with the folders that it may be in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split("."), roots
        elif isinstance(node, ast.ImportFrom):
            folders = roots
            if node.level:
                folders = [source.parents[min(node.level, len(source.parents)) - 1]]
            steps = node.module.split(".") if node.module else []
            for alias in node.names:  # a name may be a module, too
                yield [*steps, alias.name], folders


def _files_of(folder: Path, steps: list[str]) -> Iterator[Path]:
    """Yield the files that importing `a.b.c` from a folder runs: `a/__init__.py`, `a/b/__init__.py`, `a/b/c.py`."""
    for number, step in enumerate(steps):
        module = folder / f"{step}.py"
        package = folder / step
        if (package / "__init__.py").is_file():
            yield package / "__init__.py"
        elif module.is_file():
            yield module
        if not package.is_dir() or number == len(steps) - 1:
            return
        folder = package
