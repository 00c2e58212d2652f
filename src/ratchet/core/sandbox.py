"""Run what comes from a model or a user in processes of their own, which are ended at a limit of time and may hold so much memory.

A process is started once, answers many calls, and is replaced when it dies or is ended. What is walled: time (the process is killed
from outside, whatever it is in), memory and the size of files (limits of the operating system), the environment (no variable whose
name speaks of a key, token, secret or password), standard input and output, the import path (never the folder that it runs in). What is not
walled: the file system and the network. A user's own function is trusted not to be an attack; a model's SQL has walls of its own.

Results come back as plain values alone: the process cannot make its caller run anything.
"""

import contextlib
import io
import os
import pickle
import queue
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CallTimeoutError", "Sandbox", "SandboxError", "SandboxLimits"]

START_S = 60.0
"""How long a process may take to be ready."""
HEAD = 8
"""Bytes that say how long a message is."""
MAX_MESSAGE_BYTES = 256 * 2**20
SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
PLAIN_MODULES = ("decimal", "datetime", "uuid", "ipaddress", "zoneinfo", "psycopg.types")
"""Where the types come from that a result may hold beside Python's own plain ones."""
PLAIN_NAMES = {"builtins": {"set", "frozenset", "bytearray", "complex", "range", "slice"}}


class SandboxError(Exception):
    """The process ended, or what it said is no result; `output` is what it printed last."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class CallTimeoutError(SandboxError):
    """A call took longer than it may; its process was ended."""


@dataclass(frozen=True, kw_only=True)
class SandboxLimits:
    """Of one process."""

    memory_bytes: int
    file_bytes: int
    """Of each file that it writes."""


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values; anything that names code is refused."""

    def find_class(self, module: str, name: str) -> Any:
        is_plain = any(module == one or module.startswith(f"{one}.") for one in PLAIN_MODULES)
        if is_plain or name in PLAIN_NAMES.get(module, ()):
            return super().find_class(module, name)
        raise SandboxError(f"the result holds a {module}.{name}, which is no plain value")


class Sandbox:
    """Processes for calls of one kind; safe to use from several threads, each call in a process that nobody else uses meanwhile.

    Args:
        limits: Of each process.
        folder: What a process runs in.
        processes: At most so many at once; who comes later waits.
        errors: The exceptions that come over as themselves, by the names of their classes, made of their text.
    """

    def __init__(
        self,
        limits: SandboxLimits,
        *,
        folder: Path,
        processes: int = 2,
        errors: Mapping[str, type[Exception]] | None = None,
    ) -> None:
        self._limits, self._folder, self._errors = limits, folder, dict(errors or {})
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(None)
        self._started: weakref.WeakSet[_Process] = weakref.WeakSet()
        weakref.finalize(self, _end_all, self._started)

    def call(self, target: str, *arguments: Any, timeout_s: float) -> Any:
        """Return what a function of ours makes of plain arguments.

        Args:
            target: `module:function`.
            arguments: Its arguments.
            timeout_s: How long it may take; the start of a process is not counted.
        Raises: CallTimeoutError; SandboxError if the process ends or gives no plain value; one of `errors`; else RuntimeError with the
            function's own words.
        """
        process = self._idle.get()
        try:
            if process is None or not process.is_alive:
                process = _Process(self._limits, self._folder)
                self._started.add(process)
            kind, value = process.ask((target, arguments), timeout_s)
        except SandboxError:
            if process is not None:
                process.end()
            process = None
            raise
        finally:
            self._idle.put(process)
        if kind == "result":
            return value
        name, text = value
        raise self._errors.get(name, RuntimeError)(text)

    def close(self) -> None:
        """End the processes; a later call starts new ones."""
        _end_all(self._started)


def _end_all(processes: "weakref.WeakSet[_Process]") -> None:
    for process in list(processes):
        process.end()


class _Process:
    """One process, and the way to it and back."""

    def __init__(self, limits: SandboxLimits, folder: Path) -> None:
        read_end, write_end = os.pipe()
        command = [
            *(sys.executable, "-P", "-m", "ratchet.core.sandbox_child"),
            *(str(write_end), str(limits.memory_bytes), str(limits.file_bytes)),
        ]
        self._output = _Output()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                cwd=folder,
                env=clean_environment(),
                stdin=subprocess.PIPE,
                stdout=self._output.write_end,
                stderr=subprocess.STDOUT,
                pass_fds=(write_end,),
            )
        finally:
            os.close(write_end)
            self._output.begin()
        self._answers = os.fdopen(read_end, "rb")
        self._messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        reader = threading.Thread(target=self._read, name="ratchet-sandbox", daemon=True)
        reader.start()
        if self._next(START_S) != b"ready":
            self.end()
            raise RuntimeError(f"a process cannot be started: {self._output.text()}")

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, message: Any, timeout_s: float) -> tuple[str, Any]:
        """Return the kind of an answer, and what it is.

        Raises: CallTimeoutError; SandboxError.
        """
        body = pickle.dumps(message)
        assert self._process.stdin is not None  # a pipe
        try:
            self._process.stdin.write(len(body).to_bytes(HEAD, "little") + body)
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        answer = self._next(timeout_s)
        if answer is None:
            raise self._ended()
        try:
            kind, value = _PlainUnpickler(io.BytesIO(answer)).load()
        except SandboxError:
            raise
        except Exception as error:
            raise SandboxError(f"the process gave no result that can be read: {error}") from error
        return str(kind), value

    def end(self) -> None:
        """Kill the process."""
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(5)
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()

    def _ended(self) -> SandboxError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.returncode
        how = f"with the code {code}" if code is None or code >= 0 else f"by the signal {-code}"
        return SandboxError(f"the process ended {how}", self._output.text())

    def _next(self, timeout_s: float) -> bytes | None:
        try:
            return self._messages.get(timeout=timeout_s)
        except queue.Empty:
            raise CallTimeoutError(
                f"it takes longer than {timeout_s:g} seconds", self._output.text()
            ) from None

    def _read(self) -> None:
        """Hand on what the process says, message by message, until it ends."""
        with self._answers as answers:
            while len(head := answers.read(HEAD)) == HEAD:
                size = int.from_bytes(head, "little")
                if size > MAX_MESSAGE_BYTES:
                    break
                body = answers.read(size)
                if len(body) < size:
                    break
                self._messages.put(body)
        self._messages.put(None)


class _Output:
    """What a process prints: the last of it is kept."""

    KEPT = 4000

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        self._text = b""

    def begin(self) -> None:
        """Read, until all who write have ended."""
        os.close(self.write_end)
        threading.Thread(target=self._read, name="ratchet-sandbox-output", daemon=True).start()

    def _read(self) -> None:
        with os.fdopen(self._read_end, "rb", buffering=0) as file:
            while part := file.read(65_536):
                self._text = (self._text + part)[-self.KEPT :]

    def text(self) -> str:
        """Return the last of it."""
        return self._text.decode("utf-8", "replace").strip()


def clean_environment() -> dict[str, str]:
    """Return the environment without what sounds like a secret, in which this very package is found from any folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not any(word in name.upper() for word in SECRET_WORDS)
    }
    package = str(Path(__file__).resolve().parents[2])
    named = [
        str(Path(one).resolve()) for one in kept.get("PYTHONPATH", "").split(os.pathsep) if one
    ]
    return {**kept, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*named, package]))}
