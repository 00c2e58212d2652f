"""A workspace with a scripted endpoint, and the command line from its arguments to its exit code.

Commands run in this process, through the same `main` that `python -m ratchet.cli` calls, because a fresh process takes most
of a second to load; an exception that `main` does not turn into an exit code fails the test.
"""

import csv
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ratchet.cli.app import main
from ratchet.testing import ScriptedServer

LABELS = ("billing", "shipping", "returns")
WORDS = [
    a + b for a in ("ka", "lo", "mi", "ne", "tu", "ra") for b in ("bel", "dor", "fin", "gus", "pol")
]
Ratchet = Callable[..., "Done"]


def command_line(*words: str) -> list[str]:
    return [sys.executable, "-m", "ratchet.cli", *words]


@dataclass(frozen=True)
class Done:
    """What a command said."""

    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        """Return the words of the error stream, line breaks and frames aside."""
        return " ".join(self.stderr.replace("│", " ").split())


@pytest.fixture
def ratchet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ratchet:
    """Give a function that runs a command in the workspace, checks its exit code, and returns what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")

    def call(*words: str, code: int = 0) -> Done:
        monkeypatch.setattr("sys.argv", ["ratchet", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = Done(*capsys.readouterr())
        assert (ended.value.code or 0) == code, f"{words}: {ended.value.code}\n{said}"
        return said

    return call


@pytest.fixture(scope="session")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a CSV file of 100 tickets; each text holds its label as a word."""
    path = tmp_path_factory.mktemp("tickets") / "tickets.csv"
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        for number in range(100):
            label = LABELS[number % 3]
            words = [*rng.sample(WORDS, 9), label]
            writer.writerow([f"row{number}", " ".join(rng.sample(words, 10)), label])
    return path


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, tickets: Path) -> Path:
    """Give a workspace that `init` and `import` made, to be copied."""
    root = tmp_path_factory.mktemp("imported")
    for words in (["init"], ["import", str(tickets), "--task", "tickets"]):
        subprocess.run(command_line(*words), cwd=root, check=True, capture_output=True)
    task = root / "tasks" / "tickets.yaml"
    task.write_text(task.read_text().replace("local:nano", "mock/m"))
    return root


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Give an endpoint that is right when told to be careful, and else always says billing; a word costs a dollar."""
    with ScriptedServer(careful) as running:
        yield running


def careful(body: dict[str, list[dict[str, str]]]) -> str:
    messages = body["messages"]
    if "carefully" not in str(messages[0]["content"]):
        return "billing"
    return next(label for label in LABELS if label in messages[-1]["content"])


@pytest.fixture
def workspace(imported: Path, tmp_path: Path, server: ScriptedServer) -> Path:
    """Give a workspace with the imported task and the scripted endpoint `mock`."""
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
    (tmp_path / "ratchet.toml").write_text(
        f'[models]\ndefault = "mock/m"\n\n[endpoints.mock]\nbase_url = "{server.url}"\nconcurrency = 4\nretries = 1\n'
        "price = { input = 0.0, output = 1000000.0 }\n"
    )
    (tmp_path / "careful.yaml").write_text('system: "Read carefully. {{instructions}}"\n')
    return tmp_path
