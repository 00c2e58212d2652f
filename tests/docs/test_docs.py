"""The documents keep their word: every Python example runs, every command exists."""

import re
from pathlib import Path

import pytest
import typer

from ratchet.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    """Return the code blocks of one language."""
    return [body for kind, body in BLOCK.findall(page.read_text("utf-8")) if kind == language]


SKETCH = ROOT / "docs" / "design.md"  # its code is the shape of a protocol, not an example


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p, "python") and p != SKETCH], ids=lambda p: p.name
)
def test_python_examples_run(page, tmp_path, monkeypatch):
    """The Python blocks of a page run, in order and in one namespace, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names = {}

    for body in blocks(page, "python"):
        exec(compile(body, str(page), "exec"), names)  # our own documents


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_exist(page):
    """Each `ratchet …` line of a page names a command and options that there are."""
    commands = typer.main.get_command(app).commands
    for body in blocks(page, "sh"):
        for line in body.splitlines():
            words = line.partition("#")[0].split()
            if words[:1] != ["ratchet"]:
                continue
            command = commands[words[1]]
            if hasattr(command, "commands"):  # a group
                command = command.commands[words[2]]
            known = {name for p in command.params for name in p.opts}
            used = {word for word in words[2:] if word.startswith("--")}
            assert used <= known, line
