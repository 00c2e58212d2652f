"""What every client is given and must say: the questions, the arguments, and one line of JSON at the end.

Standard library alone: it is imported in each peer's own environment.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

SYSTEM = "You are a careful clerk. Answer with the number that stands between the marks, and nothing else."
MODEL = "stub"


def asked(count: int) -> list[tuple[str, str]]:
    """Return questions with their right answers; the stub gets exactly half of them right."""
    return [
        (
            f"File {number} of the archive was opened by the clerk on duty. Which number stands between the marks? <<{number}>>",
            str(number),
        )
        for number in range(100_000, 100_000 + count)
    ]


def arguments() -> argparse.Namespace:
    """Return the arguments that every client takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--examples", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    return parser.parse_args()


def messages(question: str) -> list[dict[str, str]]:
    """Return the chat messages of a question."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


class Clock:
    """Seconds since it was made: on the wall, and of the processor, all threads of this process together."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.seconds = self.cpu_seconds = 0.0

    def stop(self) -> "Clock":
        """Take the time."""
        self.seconds = time.perf_counter() - self._wall
        self.cpu_seconds = time.process_time() - self._cpu
        return self


async def in_turn(
    count: int, concurrency: int, one: Callable[[str], Awaitable[str]]
) -> tuple[int, Clock]:
    """Ask all questions, `concurrency` at once; return how many answers are right, and the time that it took."""
    queue = iter(asked(count))
    right = 0

    async def work() -> None:
        nonlocal right
        for question, reference in queue:
            answer = await one(
                question
            )  # not inside `right +=`, which would read `right` before it waits
            right += answer.strip() == reference

    clock = Clock()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return right, clock.stop()


def finish(count: int, right: int, clock: Clock, *packages: str) -> None:
    """Print the outcome as the one line that run.py reads."""
    line = {
        "examples": count,
        "right": right,
        "seconds": clock.seconds,
        "per_second": count / clock.seconds,
        "cpu_ms": 1000 * clock.cpu_seconds / count,
        "peak_mb": peak_mb(),
        "versions": {name: version(name) for name in packages},
    }
    print(json.dumps(line), flush=True)


def peak_mb() -> float:
    """Return the most memory that this process held, in MB (2^20 bytes); ru_maxrss would count the parent's before the start."""
    status = Path("/proc/self/status").read_text("utf-8")
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]
    return int(kilobytes) / 1024
