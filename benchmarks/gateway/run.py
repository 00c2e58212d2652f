"""Measure what a gateway adds, side by side: straight to the stub, through the yardstick, through `ratchet serve`.

    python benchmarks/gateway/run.py            # three rounds, rotated; medians

Every server and the load are processes of their own. All requests are logged by both gateways.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
STUB = HERE.parent / "throughput" / "stub.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    words: list[str], port: int | None, **settings: object
) -> Iterator[subprocess.Popen[str]]:
    """Run a server while the block runs; wait until its port answers."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **settings) as process:  # type: ignore[call-overload]
        try:
            while port is not None:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait()


def measured(url: str, model: str, requests: int, at_once: int) -> dict[str, float]:
    words = [sys.executable, str(HERE / "load.py"), url, model, "--requests", str(requests), "--at-once", str(at_once)]  # fmt: skip
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said)
    if found["right"] != requests:
        sys.exit(f"{url}: {found['right']:.0f} of {requests} answers were right")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    for delay, at_once in ((0, 64), (50, 64), (0, 1)):
        requests = given.requests if delay == 0 and at_once > 1 else given.requests // 5
        with ExitStack() as open_:
            stub = open_.enter_context(
                running([sys.executable, str(STUB), "--delay-ms", str(delay)], None)
            )
            assert stub.stdout
            upstream = stub.stdout.readline().split()[-1]
            targets = {"straight to the stub": (upstream, "stub")}
            folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
            port = free_port()
            where = {**os.environ, "UPSTREAM": upstream, "DATABASE": str(folder / "log.db")}
            words = [sys.executable, "-m", "uvicorn", "benchmarks.gateway.yardstick:application", "--port", str(port), "--log-level", "warning", "--no-access-log"]  # fmt: skip
            open_.enter_context(running(words, port, env=where, cwd=HERE.parents[1]))
            targets["plain ASGI, aiohttp, SQLite in batches"] = (
                f"http://127.0.0.1:{port}/v1",
                "stub",
            )
            (folder / "tasks").mkdir()
            (folder / "ratchet.toml").write_text(
                f'[endpoints.up]\nbase_url = "{upstream}"\nconcurrency = 256\n'
            )
            port = free_port()
            words = [sys.executable, "-m", "ratchet.cli", "serve", "--port", str(port)]
            open_.enter_context(running(words, port, cwd=folder))
            targets["ratchet serve"] = (f"http://127.0.0.1:{port}/v1", "up/stub")
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
            for url, model in targets.values():  # warm up
                measured(url, model, 200, at_once)
            for round_ in range(given.rounds):
                names = list(targets)
                for name in names[round_ % 3 :] + names[: round_ % 3]:
                    runs[name].append(measured(*targets[name], requests, at_once))
            results[f"{delay} ms, {at_once} at once"] = runs
    for setting, runs in results.items():
        print(f"\n{setting}\n| | requests a second | p50 ms | p99 ms |\n|---|---|---|---|")
        for name, found in runs.items():
            rate, half, most = (
                median(one[k] for one in found) for k in ("requests_a_second", "p50_ms", "p99_ms")
            )
            print(f"| {name} | {rate:,.0f} | {half:.2f} | {most:.1f} |")
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
