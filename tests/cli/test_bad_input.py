"""What cannot be done ends with a sentence that says what to do, an exit code of its own, and no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.store import Workspace
from ratchet.testing import ScriptedServer


@pytest.mark.parametrize(
    ("name", "content", "more", "says"),
    [
        (
            "a.csv",
            "text,label\na,b\n",
            ["--answer", "lable"],
            "no column 'lable'; the columns are 'text', 'label'. Did you mean 'label'?",
        ),
        ("a.csv", "", [], "is empty"),
        ("a.csv", "text,label\n", [], "a header and nothing else"),
        ("a.csv", "text,label\na,b\nc,d,e\n", [], "row 2: 3 cells where the header has 2"),
        ("a.csv", 'text,label\na,b\n"c,d\n', [], "row 2: broken CSV"),
        ("a.csv", "id,text,label\n1,a,b\n1,c,d\n", [], "row 2: the id '1' was used in row 1"),
        (
            "a.jsonl",
            '{"text": "a", "price": {"a": 1}}\n{"text": "c", "price": "{no"}\n' * 9 + '{"text": 1}',
            ["--answer", "text", "--input", "text"],
            "the column 'text' is named as an input and as the answer; name another one, or --no-answer",
        ),
        ("a.jsonl", '{"text": "a\\ud800", "label": "b"}\n', [], "row 1"),
        ("a.xls", "x", [], ".xls"),
        ("b.csv", None, [], "b.csv"),
    ],
    ids=[
        "column",
        "empty",
        "header",
        "cells",
        "quote",
        "ids",
        "missing",
        "surrogate",
        "format",
        "file",
    ],
)
def test_a_file_that_cannot_be_imported_is_said_where(
    ratchet, tmp_path: Path, name: str, content: "str | None", more: list[str], says: str
) -> None:
    """The message names the file, the row and the remedy; no task file is written."""
    (tmp_path / "ratchet.toml").write_text("")
    if content is not None:
        (tmp_path / name).write_text(content)

    done = ratchet("import", name, "--task", "t", *more, code=3)

    assert says in done.words
    assert not (tmp_path / "tasks" / "t.yaml").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["measure", "ticket"], 4, "no task 'ticket'"),
        (["measure", "tickets", "--model", "nowhere/m"], 5, "unknown model 'nowhere/m'"),
        (["measure", "tickets", "--budget", "0"], 2, "a budget of 0 buys no answer"),
        (["measure", "tickets", "--max-calls", "0"], 2, "a budget of 0 buys no answer"),
        (["measure", "tickets", "--split", "test"], 2, "'test' is not one of 'train', 'dev'"),
        (["measure", "tickets", "--candidate", "c_none"], 2, "no candidate has the id 'c_none'"),
        (["measure", "tickets", "--candidate", "gone.yaml"], 4, "there is no file gone.yaml"),
        (["climb", "tickets", "--levers", "prompts"], 2, "Did you mean 'prompt'?"),
        (["trials", "tickets"], 2, "has no trials"),
        (["ladder", "tickets"], 2, "has no ladder yet"),
        (["show", "start", "--example", "nope"], 2, "no example 'nope'"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_a_command_that_names_something_unknown_is_refused(
    ratchet, workspace: Path, server: ScriptedServer, words: list[str], code: int, says: str
) -> None:
    """An unknown task, model, candidate, lever or example is named, and nothing is paid for."""
    done = ratchet(*words, code=code)

    assert says in done.words
    assert server.calls == 0


def test_outside_of_a_workspace_the_remedy_is_init(ratchet) -> None:
    """Any command in a folder without a workspace says how to make one."""
    assert "make one with: ratchet init" in ratchet("measure", "t", code=2).words


@pytest.mark.parametrize(
    ("file", "content", "code", "says"),
    [
        ("tasks/tickets.yaml", "name: tickets\ninstructions: x\n", 4, "the task has no metric"),
        ("tasks/tickets.yaml", "name: [", 4, "is no YAML"),
        ("ratchet.toml", "[endpoints", 2, "ratchet.toml"),
        ("ratchet.toml", "[modles]\n", 2, "modles: there is no field of this name"),
    ],
    ids=["metric", "yaml", "toml", "setting"],
)
def test_a_workspace_file_that_is_wrong_is_named(
    ratchet, workspace: Path, file: str, content: str, code: int, says: str
) -> None:
    """The message names the file and what is wrong in it."""
    (workspace / file).write_text(content)

    done = ratchet("measure", "tickets", "--dry-run", code=code)

    assert says in done.words
    assert Path(file).name in done.words


def test_a_dead_endpoint_and_a_wrong_key_end_with_code_5(
    ratchet, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that listens, and a key that is refused, are told apart; the key is never shown."""
    settings = workspace / "ratchet.toml"
    settings.write_text('[endpoints.mock]\nbase_url = "http://127.0.0.1:1/v1"\nretries = 0\n')
    assert "does not answer" in ratchet("measure", "tickets", code=5).words

    with ScriptedServer(lambda _body: "billing", key="right") as locked:
        settings.write_text(f'[endpoints.mock]\nbase_url = "{locked.url}"\nkey_env = "MOCK_KEY"\n')
        monkeypatch.setenv("MOCK_KEY", "sk-wrong-key")
        refused = ratchet("measure", "tickets", code=5).words
        monkeypatch.delenv("MOCK_KEY")
        missing = ratchet("measure", "tickets", code=5).words

    assert "the key in MOCK_KEY was refused" in refused
    assert "sk-wrong-key" not in refused
    assert "export MOCK_KEY=" in missing


def test_a_second_process_is_told_that_the_workspace_is_held(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """While one process pays for answers a second one ends at once, and reading goes on."""
    with Workspace(workspace).held():
        done = ratchet("measure", "tickets", code=11)
        ratchet("show", "start")

    assert "another process (process " in done.words
    assert "wait until it ends" in done.words
    assert server.calls == 0


def test_a_metric_that_fails_loses_no_answer_and_shows_its_trials(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """The error names the metric; the answers that were paid for can be listed, and are not bought again."""
    (workspace / "metric.py").write_text(
        "def score(inputs, reference, answer):\n    raise KeyError('oops')\n"
    )
    task = workspace / "tasks" / "tickets.yaml"
    task.write_text(
        task.read_text().replace(
            "name: label", "name: function\n  options: {path: 'metric.py:score'}"
        )
    )

    done = ratchet("measure", "tickets", "--candidate", "start", code=4)
    listed = ratchet("trials", "tickets")

    assert "metric 'score' failed on example" in done.words
    assert "trials" in listed.stdout


def test_a_process_of_its_own_ends_without_a_traceback(tmp_path: Path) -> None:
    """`python -m ratchet.cli` prints the message alone and ends with the error's exit code."""
    command = [sys.executable, "-m", "ratchet.cli", "measure", "t"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("Usage error: ")
    assert "Traceback" not in done.stderr
