"""The thread that answers with one local model: requests wait in its queue, and none is left behind, however the thread ends.

It loads the weights with the first request, lets requests into the running batch in the order in which they came, and hands out
each reply as soon as it is whole. A load that fails is told to those who waited for it, and tried anew for who comes next.
"""

import atexit
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from ratchet.core.errors import ReplyError
from ratchet.models.engine import Engine, Waiting

__all__ = ["MAX_BATCH", "Likelihoods", "LocalWorker", "take_joining"]

MAX_BATCH = 64
"""Requests that are answered together."""
GATHER_S = 0.01
JOIN_S = 0.05
"""Who has waited so long joins the batch alone; before, only with others, as each time costs a pass through the model."""
FEW = 4
"""They join together once they are a quarter of those that are under way."""


_ENDING: "weakref.WeakSet[LocalWorker]" = weakref.WeakSet()
"""Those that were told to end, and may be at it."""
END_S = 30.0


@atexit.register
def _wait_for_ending() -> None:
    """Wait for threads that let go of weights: one that is in the middle of that while the interpreter ends would abort the process."""
    for worker in list(_ENDING):
        worker.join(END_S)


@dataclass(eq=False)
class Likelihoods:
    """Texts, and who wants to know how likely they are."""

    texts: Sequence[tuple[str, str]]
    adapter: str | None
    future: "Future[list[tuple[float, int]]]"


Item = Waiting | Likelihoods


class LocalWorker:
    """A thread with a queue.

    Args:
        name: Of the model.
        load: Returns the engine with its weights; called on the thread, and again after it has failed.
    """

    def __init__(self, name: str, load: Callable[[], Engine]) -> None:
        self._name, self._load = name, load
        self._lock = threading.Lock()
        self._is_open, self._refuses = True, False
        self._arrived: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._waiting: deque[Waiting] = deque()
        self._likelihoods: deque[Likelihoods] = deque()
        self._joining: list[Waiting] = []
        """Those who are just let in."""
        self._engine: Engine | None = None
        self._thread = threading.Thread(target=self._run, name=f"ratchet-{name}", daemon=True)
        self._thread.start()

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are there."""
        return self._engine is not None

    def put(self, item: Item) -> bool:
        """Let a request in; return False where the thread takes none any more, as it was stopped or has died."""
        with self._lock:  # so that nothing arrives behind the word that ends the thread
            if self._is_open:
                self._arrived.put(item)
            return self._is_open

    def stop(self, *, refuse_waiting: bool = False) -> None:
        """Let the thread end once what has arrived has its replies, without waiting for it; weights are let go of then.

        Args:
            refuse_waiting: What is not under way yet is told that the model was closed.
        """
        with self._lock:
            self._refuses = self._refuses or refuse_waiting
            if self._is_open:
                self._is_open = False
                _ENDING.add(self)
                self._arrived.put(None)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        error = ReplyError(f"{self._name} was closed before it answered", kind="closed")
        try:
            self._serve()
        except BaseException as unforeseen:  # noqa: BLE001 - whoever waits would wait for ever
            error = ReplyError(
                f"{self._name} failed while it answered ({type(unforeseen).__name__}: {unforeseen}); ask again, which loads it anew",
                kind="crashed",
            )
        self._end(error)

    def _end(self, error: ReplyError) -> None:
        """Tell all who still wait that there will be no reply."""
        with self._lock:
            self._is_open = False
        left: list[Item] = [*self._joining, *self._waiting, *self._likelihoods]
        while not self._arrived.empty():
            if (item := self._arrived.get()) is not None:
                left.append(item)
        refuse(left, error)
        if self._engine is not None:
            self._engine.fail(error)
            self._engine = None

    def _serve(self) -> None:
        is_closed = False
        while True:
            is_idle = self._engine is None or not len(self._engine)
            is_closed = is_closed or self._gather(is_idle=is_idle)
            if is_closed and self._refuses:
                self._refuse_all(
                    ReplyError(f"{self._name} was closed before it answered", kind="closed")
                )
            if not self._load_where_needed():
                continue
            if self._engine is not None:
                while self._likelihoods:
                    tell_likelihoods(self._engine, self._likelihoods[0])
                    self._likelihoods.popleft()
                self._joining = take_joining(self._waiting, self._engine)
                self._engine.admit(self._joining)
                self._joining = []
                self._engine.step()
            is_busy = self._engine is not None and len(self._engine) > 0
            if is_closed and not (is_busy or self._waiting):
                return

    def _load_where_needed(self) -> bool:
        """Load the weights where somebody waits for them; return False where that failed, and those who waited were told so."""
        if self._engine is not None or not (self._waiting or self._likelihoods):
            return True
        try:
            self._engine = self._load()
        except Exception as error:  # noqa: BLE001 - handed to those who wait
            self._refuse_all(error)
            return False
        return True

    def _refuse_all(self, error: Exception) -> None:
        refuse([*self._waiting, *self._likelihoods], error)
        self._waiting.clear()
        self._likelihoods.clear()

    def _gather(self, *, is_idle: bool) -> bool:
        """Move what has arrived to where it waits, and wait for it where there is nothing else to do; return whether the thread is to end."""
        until = None
        while True:
            try:
                if (self._waiting or self._likelihoods) and is_idle:
                    until = until or time.monotonic() + GATHER_S
                    item = self._arrived.get(timeout=max(0.0, until - time.monotonic()))
                else:
                    item = self._arrived.get(block=is_idle)
            except queue.Empty:
                return False
            if item is None:
                return True
            if isinstance(item, Likelihoods):
                self._likelihoods.append(item)
            else:
                self._waiting.append(item)


def refuse(items: Sequence[Item], error: Exception) -> None:
    """Tell those who wait that there will be no reply."""
    for item in items:
        is_told = item.future.done()
        if not is_told and (item.future.running() or item.future.set_running_or_notify_cancel()):
            item.future.set_exception(error)


def tell_likelihoods(engine: Engine, asked: Likelihoods) -> None:
    """Answer how likely texts are."""
    if not asked.future.set_running_or_notify_cancel():
        return
    try:
        asked.future.set_result(engine.likelihoods(asked.texts, asked.adapter))
    except Exception as error:  # noqa: BLE001 - handed to who asked
        asked.future.set_exception(error)


def take_joining(waiting: deque[Waiting], engine: Engine | None) -> list[Waiting]:
    """Return, and take out, who is let in now: those that came first, a few at a time, or alone once they have waited."""
    running = len(engine) if engine else 0
    if not waiting or (engine and running and not engine.can_join):
        return []
    is_patient = time.perf_counter() - waiting[0].since < JOIN_S
    if running and is_patient and len(waiting) < running // FEW:
        return []
    return [waiting.popleft() for _ in range(min(len(waiting), MAX_BATCH - running))]
