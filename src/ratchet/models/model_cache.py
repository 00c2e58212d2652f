"""The user's cache of models: folders that are made once, whole, and read by every process from then on.

What is made lies in a temporary sibling until it is complete, and then takes its name. A lock lets one process make a folder while
others that want the same wait for it; what a killed process left is removed by the next that holds the lock.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ratchet.store.workspace import writable

__all__ = ["cache_folder", "is_model_folder", "make_model_folder", "remove_model_folder"]


def cache_folder() -> Path:
    """Return the folder of cached models: below RATCHET_CACHE, else XDG_CACHE_HOME/ratchet, else ~/.cache/ratchet."""
    own = os.environ.get("RATCHET_CACHE")
    if own:
        return Path(own).expanduser().absolute() / "models"
    users = os.environ.get("XDG_CACHE_HOME")
    # a relative XDG path is to be ignored: XDG Base Directory Specification
    base = Path(users) if users and Path(users).is_absolute() else Path.home() / ".cache"
    return base / "ratchet" / "models"


def is_model_folder(folder: Path) -> bool:
    """Return whether a folder holds a model."""
    return (folder / "config.json").is_file()


def make_model_folder(folder: Path, fill: Callable[[Path], None]) -> bool:
    """Make a model's folder whole or not at all; return whether this call made it.

    Args:
        folder: In the cache; where it holds a model already nothing happens.
        fill: Writes the model's files into an empty folder beside it.
    Raises: StoreError if the cache cannot be written; what `fill` raises, with nothing left behind.
    """
    if is_model_folder(folder):
        return False
    with writable(folder), _lock_path(folder).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_model_folder(folder):  # another process made it meanwhile
            return False
        _remove_leftovers(folder)
        part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        part.mkdir()
        try:
            fill(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return True


def remove_model_folder(folder: Path) -> bool:
    """Remove a model's folder from the cache; return whether there was one."""
    if not folder.is_dir():
        return False
    with writable(folder), _lock_path(folder).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # renamed first: nobody sees half a folder
        part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        if folder.is_dir():
            folder.rename(part)
        _remove_leftovers(folder)
    return True


def _lock_path(folder: Path) -> Path:
    path = folder.parent / ".locks" / folder.name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left; the caller holds the lock."""
    if folder.is_dir():  # without a model in it
        shutil.rmtree(folder)
    for part in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(part)
