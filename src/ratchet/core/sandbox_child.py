"""The process behind `sandbox.py`: takes calls from standard input one after another, and answers over a pipe of its own.

It ends with its standard input, so that it does not outlive who started it.
"""

import importlib
import os
import pickle
import queue
import resource
import signal
import sys
import threading
from typing import Any, BinaryIO

HEAD = 8


def main() -> None:
    """Answer until there are no more calls."""
    answers = os.fdopen(int(sys.argv[1]), "wb")
    memory, file_size = int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(
        signal.SIGXFSZ, signal.SIG_IGN
    )  # a file that is too large is an error of its write
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    source = os.fdopen(os.dup(0), "rb")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)  # what is called reads nothing of ours
    threading.Thread(target=_read, args=(source, calls), daemon=True).start()
    _send(answers, b"ready")
    while True:
        _send(answers, _answer(calls.get()))


def _read(source: BinaryIO, calls: "queue.SimpleQueue[bytes]") -> None:
    while len(head := source.read(HEAD)) == HEAD:
        calls.put(source.read(int.from_bytes(head, "little")))
    os._exit(0)


def _answer(call: bytes) -> bytes:
    """Return what a call comes to: its result, or the name of an exception's class and its text."""
    outcome: tuple[str, Any]
    try:
        target, arguments = pickle.loads(call)  # noqa: S301 - of who started us
        module, _, name = target.partition(":")
        outcome = "result", getattr(importlib.import_module(module), name)(*arguments)
        return pickle.dumps(outcome)
    except MemoryError:
        outcome = "error", ("MemoryError", "it needs more memory than it may have")
    except BaseException as error:  # noqa: BLE001 - told to who asked
        outcome = "error", (type(error).__name__, str(error) or repr(error))
    return pickle.dumps(outcome)


def _send(answers: BinaryIO, body: bytes) -> None:
    answers.write(len(body).to_bytes(HEAD, "little") + body)
    answers.flush()


if __name__ == "__main__":
    main()
