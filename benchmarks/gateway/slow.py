"""Good requests beside silent and slow connections: what they take, and whether the others are closed in time.

    python benchmarks/gateway/slow.py [--idle 2000] [--slow 500] [--seconds 20]

`ratchet serve` runs with a scripted endpoint (the stub of benchmarks/throughput). First good requests alone, then beside `--idle`
connections that say nothing and `--slow` ones that send a byte of their headers or of a body now and then.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from run import STUB, free_port, running  # noqa: E402 - found by the line above

BYTE_EVERY_S = 1.0
HEADERS = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What good requests took, and what became of the others."""

    good: int
    failed: int
    p50_ms: float
    p99_ms: float
    closed: int
    """Of the silent and slow connections, by the end."""
    last_closed_s: float
    """After they were opened."""


@contextmanager
def running_ratchet(folder: Path) -> Iterator[tuple[int, str]]:
    """Run `ratchet serve` before the stub; give its port, and the model's name."""
    with running([sys.executable, str(STUB), "--delay-ms", "0"], None) as stub:
        assert stub.stdout
        upstream = stub.stdout.readline().split()[-1]
        (folder / "tasks").mkdir()
        (folder / "ratchet.toml").write_text(f'[endpoints.up]\nbase_url = "{upstream}"\n')
        port = free_port()
        words = [sys.executable, "-m", "ratchet.cli", "serve", "--port", str(port)]
        with running(words, port, cwd=folder):
            yield port, "up/stub"


async def ask(port: int, body: bytes) -> bool:
    """Return whether a good request on a connection of its own gets a good answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            HEADERS + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        return (await asyncio.wait_for(reader.read(), 30)).startswith(b"HTTP/1.1 200")
    finally:
        writer.close()


async def hold(port: int, kind: str, closed: list[float]) -> None:
    """Open a connection and say nothing, or too little; note when the server ends it."""
    opened = time.monotonic()
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            if kind == "body":
                writer.write(HEADERS + b"Content-Length: 100000\r\n\r\n")
            while True:
                if kind != "idle":
                    writer.write(b"a")
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1000), BYTE_EVERY_S)
                    break
        finally:
            closed.append(time.monotonic() - opened)
            writer.close()


async def measure(port: int, body: bytes, seconds: float, *, idle: int, slow: int) -> Outcome:
    """Ask good requests, eight at a time, for some seconds, beside other connections."""
    closed: list[float] = []
    kinds = ["idle"] * idle + ["headers", "body"] * (slow // 2)
    others = [asyncio.create_task(hold(port, kind, closed)) for kind in kinds]
    await asyncio.sleep(1.0 if others else 0.0)
    took: list[float] = []
    failed = 0
    until = time.monotonic() + seconds

    async def go_on() -> None:
        nonlocal failed
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                good = await ask(port, body)
            except (OSError, TimeoutError):
                good = False
            failed += not good
            took.append(time.monotonic() - started)

    await asyncio.gather(*(go_on() for _ in range(8)))
    if others:
        await asyncio.wait(others, timeout=60)
    for task in others:
        task.cancel()
    cut = quantiles(took, n=100)
    return Outcome(
        good=len(took) - failed,
        failed=failed,
        p50_ms=round(1000 * cut[49], 2),
        p99_ms=round(1000 * cut[98], 2),
        closed=len(closed),
        last_closed_s=round(max(closed, default=0.0), 1),
    )


def main() -> None:
    """Print both rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--slow", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder, running_ratchet(Path(folder)) as (port, model):
        body = json.dumps(
            {"model": model, "messages": [{"role": "user", "content": "number <<7>>"}]}
        ).encode()
        for idle, slow in ((0, 0), (given.idle, given.slow), (0, 0)):
            outcome = asyncio.run(measure(port, body, given.seconds, idle=idle, slow=slow))
            print(f"{idle} idle, {slow} slow: {json.dumps(asdict(outcome))}", flush=True)


if __name__ == "__main__":
    main()
