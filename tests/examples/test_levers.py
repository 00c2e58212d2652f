"""The example that shows each lever: its tasks are whole, and what they are to show is there to be found."""

import re
import sys

import pytest
from examples.levers import make

from ratchet.cli.app import main

pytest.importorskip("bm25s")


def run(monkeypatch, *words):
    """Run a command."""
    monkeypatch.setattr(sys, "argv", ["ratchet", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, words


@pytest.mark.local
def test_a_handbook_helps_where_nothing_else_can(tmp_path, monkeypatch, capsys):
    """The commands of levers.sh, for the retrieval lever: nothing is right without the handbook, half of it with two passages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "argv", ["make.py", "."])
    make.main()
    run(monkeypatch, "init", ".")
    run(monkeypatch, "import", "staff.jsonl", "--task", "staff")
    run(monkeypatch, "knowledge", "add", "handbook.jsonl", "--name", "handbook")
    words = ("--levers", "retrieval", "--knowledge", "handbook", "--embedding", "")
    run(monkeypatch, "climb", "staff", *words)

    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"0 start .{0,70} 0\.0 ", said), said
    assert "better ✓ kept" in said
    assert "(retrieval): 2 passages of handbook" in said
