"""Local models that stay open between the pools of one session of work, so that weights are loaded once."""

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from ratchet.core.running import run_sync
from ratchet.models.chat import ChatModel
from ratchet.models.pool import ModelPool

__all__ = ["ModelSession", "OpenModels"]

T = TypeVar("T")
Stamp = tuple[tuple[str, int, int], ...]


class _StoppableModel(ChatModel, Protocol):
    folder: Path

    def stop(self) -> object: ...


class OpenModels:
    """Open local models by name; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, tuple[Stamp, _StoppableModel]] = {}

    def ready(self) -> dict[str, ChatModel]:
        """Return the models whose files are still those that were loaded; others are stopped."""
        with self._lock:
            for name, (stamp, model) in list(self._models.items()):
                if stamp != _stamp_of(model.folder):
                    model.stop()
                    del self._models[name]
            return {name: model for name, (_, model) in self._models.items()}

    def keep(self, models: Mapping[str, _StoppableModel]) -> None:
        """Take models over; of two of one name the second is stopped once it has answered."""
        with self._lock:
            for name, model in models.items():
                if name in self._models:
                    model.stop()
                else:
                    self._models[name] = (_stamp_of(model.folder), model)

    def stop(self) -> None:
        """Let all of them end what they are at, and let go of their weights; nobody waits for that."""
        with self._lock:
            while self._models:
                self._models.popitem()[1][1].stop()


class ModelSession(ABC):
    """Several pieces of work, one after another or from several threads, that share the local models they open."""

    def __init__(self) -> None:
        self.open_models = OpenModels()
        # at the end of the process threads that wait need no word, and one that wakes then is in the way
        weakref.finalize(self, self.open_models.stop).atexit = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the local models; the next piece of work loads them again."""
        self.open_models.stop()

    @abstractmethod
    def pool(self) -> ModelPool:
        """Return the models, `open_models` among them, to be closed by the caller."""

    def with_pool(self, work: Callable[[ModelPool], Coroutine[Any, Any, T]]) -> T:
        """Return what `work` makes of the models; connections are closed afterwards, local models stay open for the next piece."""

        async def run() -> T:
            async with self.pool() as pool:
                try:
                    return await work(pool)
                finally:
                    self.open_models.keep(pool.release_local())

        return run_sync(run())


def _stamp_of(folder: Path) -> Stamp:
    """Return what changes where a file in the folder is written anew; nothing where there is no folder."""
    if not folder.is_dir():
        return ()
    states = ((file.name, file.stat()) for file in folder.iterdir() if file.is_file())
    return tuple(sorted((name, state.st_size, state.st_mtime_ns) for name, state in states))
