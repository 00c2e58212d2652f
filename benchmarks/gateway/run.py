"""Measure what a gateway adds, side by side: straight to the stub, through the yardstick, through `ratchet serve`.

    python benchmarks/gateway/run.py                    # three rounds, rotated; medians
    python benchmarks/gateway/run.py --peers FOLDER     # and the gateways that make_peers.sh installed

Every server and the load are processes of their own. All requests are logged by the yardstick and by Ratchet.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from peers import PEERS

HERE = Path(__file__).parent
STUB = HERE.parent / "throughput" / "stub.py"
SETTINGS = ((0, 64), (50, 64), (0, 1))
"""Milliseconds that the stub takes, and requests at once."""
FEWEST, LONGEST_START_S, LONGEST_RUN_S = 200, 60, 300


class FailedError(Exception):
    """A server did not start, or gave no answer or a wrong one."""


@dataclass(frozen=True)
class Target:
    """What is asked, and how often."""

    url: str
    model: str
    requests: int
    headers: dict[str, str] = field(default_factory=dict)
    is_peer: bool = False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    words: list[str], port: int | None, **settings: object
) -> Iterator[subprocess.Popen[str]]:
    """Run a server, with all that it starts, while the block runs; wait until its port answers."""
    settings = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True} | settings
    with subprocess.Popen(words, **settings) as process:  # type: ignore[call-overload]
        try:
            if port is not None:
                wait_for(process, port)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(process: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + LONGEST_START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise FailedError(f"did not start, exit code {process.returncode}")


def own(open_: ExitStack, upstream: str, requests: int) -> dict[str, Target]:
    """Start the yardstick and Ratchet; return them behind the stub itself."""
    folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
    targets = {"straight to the stub": Target(upstream, "stub", requests)}
    port = free_port()
    where = {**os.environ, "UPSTREAM": upstream, "DATABASE": str(folder / "log.db")}
    words = [sys.executable, "-m", "uvicorn", "benchmarks.gateway.yardstick:application", "--port", str(port), "--log-level", "warning", "--no-access-log"]  # fmt: skip
    open_.enter_context(running(words, port, env=where, cwd=HERE.parents[1]))
    targets["plain ASGI, aiohttp, SQLite in batches"] = Target(
        f"http://127.0.0.1:{port}/v1", "stub", requests
    )
    (folder / "tasks").mkdir()
    (folder / "ratchet.toml").write_text(
        f'[endpoints.up]\nbase_url = "{upstream}"\nconcurrency = 256\n'
    )
    port = free_port()
    words = [sys.executable, "-m", "ratchet.cli", "serve", "--port", str(port)]
    open_.enter_context(running(words, port, cwd=folder))
    targets["ratchet serve"] = Target(f"http://127.0.0.1:{port}/v1", "up/stub", requests)
    return targets


def others(open_: ExitStack, upstream: str, requests: int, installed: Path) -> dict[str, Target]:
    """Start the peers that are installed; one that does not start is left out, and a line says so."""
    targets = {}
    for name, prepare in PEERS.items():
        if not (installed / name).exists():
            print(f"{name}: not in {installed}, left out", file=sys.stderr)
            continue
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        folder = Path(open_.enter_context(temporary))
        try:
            peer = prepare((installed / name).resolve(), folder, upstream, free_port())
            env = os.environ | {"HOME": str(folder), "NO_PROXY": "127.0.0.1"} | peer.env
            output = open_.enter_context((folder / "output").open("w"))
            server = running(peer.words, peer.port, env=env, cwd=folder, stdout=output, stderr=output)  # fmt: skip
            open_.enter_context(server)
        except (FailedError, OSError, subprocess.CalledProcessError) as error:
            print(f"{name}: {error}, left out", file=sys.stderr)
            continue
        fewer = max(min(FEWEST, requests), requests // peer.divisor)
        targets[peer.title] = Target(peer.url, peer.model, fewer, peer.headers, is_peer=True)
    return targets


def measured(target: Target, requests: int, at_once: int) -> dict[str, float]:
    words = [sys.executable, str(HERE / "load.py"), target.url, target.model, "--requests", str(requests), "--at-once", str(at_once)]  # fmt: skip
    for name, value in target.headers.items():
        words += ["--header", f"{name}: {value}"]
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=LONGEST_RUN_S)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"no end within {LONGEST_RUN_S} s") from error
    if done.returncode:
        raise FailedError((done.stderr.strip().splitlines() or ["no message"])[-1])
    found: dict[str, float] = json.loads(done.stdout)
    if found["right"] != requests:
        raise FailedError(f"{found['right']:.0f} of {requests} answers were right")
    return found


def compared(
    targets: dict[str, Target], rounds: int, at_once: int
) -> dict[str, list[dict[str, float]]]:
    """Return every run of each target, in rotated order, after one that warms up; a peer that fails is left out."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
    for round_ in range(rounds + 1):
        names = list(runs)
        turn = round_ % len(names)
        for name in names[turn:] + names[:turn]:
            target = targets[name]
            try:
                found = measured(target, target.requests if round_ else FEWEST, at_once)
            except FailedError as error:
                if not target.is_peer:
                    sys.exit(f"{name}: {error}")
                print(f"{name}: {error}, left out", file=sys.stderr)
                del runs[name]
                continue
            if round_:
                runs[name].append(found)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="The folder that make_peers.sh filled.")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    for delay, at_once in SETTINGS:
        requests = given.requests if delay == 0 and at_once > 1 else given.requests // 5
        with ExitStack() as open_:
            words = [sys.executable, str(STUB), "--delay-ms", str(delay)]
            stub = open_.enter_context(running(words, None))
            assert stub.stdout
            upstream = stub.stdout.readline().split()[-1]
            targets = own(open_, upstream, requests)
            if given.peers:
                targets |= others(open_, upstream, requests, given.peers)
            results[f"{delay} ms, {at_once} at once"] = compared(targets, given.rounds, at_once)
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
