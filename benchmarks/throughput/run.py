"""Measure examples a second through Ratchet's `measure`, side by side with a bare aiohttp loop and with peers.

    python benchmarks/throughput/run.py                       # ours, the yardstick and the ceiling
    python benchmarks/throughput/run.py --peers FOLDER        # and the environments that make_peers.sh made

Each client and each stub is a process of its own. Rounds are interleaved (every client once a round, in rotated order), and
the medians over the rounds are reported. A client whose count of right answers is not exactly half has failed.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
LONGEST_S = 300
OURS, YARDSTICK = "ratchet", "aiohttp"


@dataclass(frozen=True)
class Client:
    """One way to ask all questions."""

    name: str
    title: str
    python: str = sys.executable

    @property
    def script(self) -> Path:
        return HERE / "clients" / f"client_{self.name}.py"


HOME = (
    Client("sockets", "bare asyncio sockets (the ceiling)"),
    Client(YARDSTICK, "aiohttp + SQLite in batches (the yardstick)"),
    Client(OURS, "Ratchet measure"),
)
PEERS = {
    "openai": "openai SDK, asynchronous",
    "dspy": "dspy.Evaluate, a thread a call",
    "langchain": "langchain-openai batch",
    "httpx": "httpx",
}


@dataclass(frozen=True)
class Setting:
    """What is asked of a client."""

    delay_ms: int
    examples: int
    concurrency: int


@dataclass(frozen=True)
class Run:
    """What one run of one client gave."""

    client: str
    setting: Setting
    per_second: float
    cpu_ms: float
    """Processor time of the client, an example."""
    peak_mb: float
    versions: dict[str, str]


@contextmanager
def stub(delay_ms: int) -> Iterator[str]:
    """Yield the base URL of a stub that answers after `delay_ms`."""
    command = [sys.executable, str(HERE / "stub.py"), "--delay-ms", str(delay_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # piped above
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def run(client: Client, setting: Setting, url: str) -> Run | None:
    """Run a client once; None, with a line that says why, where it failed."""
    command = [client.python, str(client.script), "--url", url]
    command += ["--examples", str(setting.examples), "--concurrency", str(setting.concurrency)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{client.name}: no end within {LONGEST_S} s", file=sys.stderr)
        return None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"{client.name}: exit code {done.returncode}: {last}", file=sys.stderr)
        return None
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if found["right"] != setting.examples // 2:
        print(
            f"{client.name}: {found['right']} of {setting.examples} right, expected half",
            file=sys.stderr,
        )
        return None
    names = ("per_second", "cpu_ms", "peak_mb", "versions")
    return Run(client.name, setting, *(found[name] for name in names))


def clients_of(peers: Path | None) -> list[Client]:
    """Return the clients that can run here."""
    found = list(HOME)
    for name, title in PEERS.items() if peers else ():
        python = peers / name / "bin" / "python" if peers else Path()
        if python.exists():
            found.append(Client(name, title, str(python)))
        else:
            print(f"{name}: no environment in {peers}, left out", file=sys.stderr)
    return found


def measured(
    clients: Sequence[Client], settings: Sequence[Setting], urls: dict[int, str], rounds: int
) -> list[Run]:
    """Return every run: round by round, setting by setting, each client once, in rotated order."""
    runs = []
    for number in range(rounds):
        for setting in settings:
            turn = number % len(clients)
            for client in (*clients[turn:], *clients[:turn]):
                if outcome := run(client, setting, urls[setting.delay_ms]):
                    runs.append(outcome)
                    print(
                        f"round {number + 1}  {setting.delay_ms:3d} ms  {setting.examples:6d}  {client.name:10s}"
                        f"{outcome.per_second:10.0f}/s {outcome.cpu_ms:6.2f} ms CPU {outcome.peak_mb:6.0f} MB",
                        file=sys.stderr,
                    )
    return runs


@dataclass(frozen=True)
class Middle:
    """Medians over the rounds."""

    per_second: float
    cpu_ms: float
    peak_mb: float


def middle(runs: Sequence[Run], client: str, setting: Setting) -> Middle | None:
    """Return the medians of a client at a setting; None without a run."""
    chosen = [r for r in runs if r.client == client and r.setting == setting]
    if not chosen:
        return None
    return Middle(
        median(r.per_second for r in chosen),
        median(r.cpu_ms for r in chosen),
        median(r.peak_mb for r in chosen),
    )


def table(
    runs: Sequence[Run], clients: Sequence[Client], settings: Sequence[Setting]
) -> Iterator[str]:
    """Yield the lines of a Markdown table, fastest first at the first setting."""
    heads = [f"examples/s at {s.delay_ms} ms | share of the yardstick" for s in settings]
    yield f"| client | {' | '.join(heads)} | CPU ms an example | peak MB |"
    yield "|---|" + "---|" * (2 * len(settings) + 2)
    rows = []
    for client in clients:
        found = [middle(runs, client.name, setting) for setting in settings]
        cells = [cell_pair(runs, one, s) for one, s in zip(found, settings, strict=True)]
        first = found[0] or Middle(0.0, math.nan, math.nan)
        tail = f"{first.cpu_ms:.2f} | {first.peak_mb:.0f}"
        rows.append((first.per_second, f"| {client.title} | {' | '.join(cells)} | {tail} |"))
    yield from (line for _, line in sorted(rows, key=lambda row: -row[0]))


def cell_pair(runs: Sequence[Run], found: Middle | None, setting: Setting) -> str:
    yardstick = middle(runs, YARDSTICK, setting)
    if not found:
        return "n/a | n/a"
    share = f"{found.per_second / yardstick.per_second:.2f}" if yardstick else "n/a"
    return f"{found.per_second:,.0f} | {share}"


def growth(
    runs: Sequence[Run], clients: Sequence[Client], few: Setting, many: Setting
) -> Iterator[str]:
    """Yield the lines of a Markdown table of memory at few and at many examples."""
    yield f"| client | peak MB, {few.examples:,} examples | {many.examples:,} examples | KB an example more | examples/s at {many.examples:,} |"
    yield "|---|---|---|---|---|"
    for client in clients:
        low, high = middle(runs, client.name, few), middle(runs, client.name, many)
        if low and high:
            slope = 1024 * (high.peak_mb - low.peak_mb) / (many.examples - few.examples)
            yield f"| {client.title} | {low.peak_mb:.0f} | {high.peak_mb:.0f} | {slope:.1f} | {high.per_second:,.0f} |"


def machine() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="The folder that make_peers.sh filled.")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--many", type=int, default=10_000, help="Examples of the memory check.")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--delays", type=int, nargs="+", default=[0, 50], help="In milliseconds.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    given = parser.parse_args()
    about = machine()
    clients = clients_of(given.peers)
    settings = [Setting(delay, given.examples, given.concurrency) for delay in given.delays]
    few = settings[0]
    many = Setting(few.delay_ms, given.many, given.concurrency)
    with ExitStack() as stack:
        urls = {delay: stack.enter_context(stub(delay)) for delay in given.delays}
        runs = measured(clients, settings, urls, given.rounds)
        runs += measured(HOME[1:], [many], urls, given.rounds)
    lines = [*table(runs, clients, settings), "", *growth(runs, HOME[1:], few, many)]
    print("\n".join(lines))
    versions = {run.client: run.versions for run in runs}
    body = {"machine": about, "versions": versions, "runs": [asdict(run) for run in runs]}
    given.output.write_text(json.dumps(body, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
