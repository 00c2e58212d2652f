"""A Python function of the user's, named in a task's file as `file.py:name`."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratchet.core.errors import TaskError, did_you_mean

__all__ = ["load_function"]


def load_function(
    place: str, root: Path, *, setting: str, error: type[TaskError] = TaskError
) -> Callable[..., Any]:
    """Return the function at `place`, its file meant from `root`.

    Args:
        place: `file.py:name`.
        root: The workspace's folder.
        setting: What names it, for the message.
        error: What is raised.
    Raises: `error` if there is none.
    """
    file, _, name = place.partition(":")
    path = root / file
    if not name or not path.is_file():
        raise error(
            f"{setting} is file.py:function, from the workspace's folder; got {place!r} and {path} {'exists' if path.is_file() else 'does not exist'}"
        )
    spec = importlib.util.spec_from_file_location(f"ratchet_user_{path.stem}", path)
    assert spec  # a .py file always has a spec and a loader
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up there
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        raise error(f"{path} cannot be loaded: {problem!r}") from problem
    function = getattr(module, name, None)
    if not callable(function):
        raise error(f"{path} has no function {name!r}.{did_you_mean(name, vars(module))}")
    return function  # type: ignore[no-any-return]  # the user's promise, checked at each call
