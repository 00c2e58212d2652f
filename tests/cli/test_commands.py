"""The commands, as a user runs them one after another, against a real endpoint."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import yaml

from ratchet.testing import ScriptedServer


def test_init_and_import_make_a_workspace_and_show_the_guess(
    ratchet, tickets: Path, tmp_path: Path
) -> None:
    """An empty folder and a CSV file become a task whose guessed file can be read and edited."""
    ratchet("init")

    said = ratchet("import", str(tickets), "--task", "tickets").stdout

    assert "inputs text; answer label (label); metric label" in said
    assert "100 new examples, 100 in all; 60 train, 20 dev, 20 test" in said
    assert "leaks between splits: none" in said
    task = yaml.safe_load((tmp_path / "tasks" / "tickets.yaml").read_text())
    assert task["answer"] == {"kind": "label", "labels": ["billing", "returns", "shipping"]}
    assert (tmp_path / ".gitignore").read_text() == ".ratchet/\n"
    again = json.loads(ratchet("import", str(tickets), "--task", "tickets", "--json").stdout)
    assert (again["version"], again["new"], again["rows"]) == (1, 0, 100)


def test_measure_plans_buys_and_then_buys_nothing(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """The plan costs nothing, --max-calls stops to the call, a rerun buys the rest, and a third run nothing."""
    planned = json.loads(ratchet("measure", "tickets", "--dry-run", "--json").stdout)
    assert (planned["calls"], planned["kept"], server.calls) == (20, 0, 0)

    stopped = json.loads(ratchet("measure", "tickets", "--json", "--max-calls", "5").stdout)
    assert (stopped["bought"], stopped["stopped"], server.calls) == (5, "the budget is spent", 5)

    whole = json.loads(ratchet("measure", "tickets", "--json").stdout)
    assert (whole["n"], whole["bought"], whole["cost_usd"], server.calls) == (20, 15, 20.0, 20)
    assert whole["low"] < whole["score"] < whole["high"]

    shown = ratchet("measure", "tickets").stdout
    assert "on 20 examples of dev" in shown
    assert "0 trials now, 20 were there" in shown
    assert server.calls == 20


def test_a_budget_in_dollars_stops_and_says_so(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """A dollar a call and three dollars: at most what was in flight comes on top, and the remedy is told."""
    done = ratchet("measure", "tickets", "--budget", "3")

    assert 3 <= server.calls <= 3 + 3
    assert "run the same command again to go on" in " ".join(done.stderr.split())


def test_ab_gives_a_verdict_and_the_examples_behind_it(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """Two candidates are compared on the same examples, as text and as JSON, without paying twice."""
    words = ("ab", "tickets", "--a", "start", "--b", "careful.yaml")

    said = json.loads(ratchet(*words, "--json").stdout)
    shown = ratchet(*words).stdout

    assert (said["decision"], said["n"], said["losses"]) == ("better", 20, 0)
    assert said["b_wins"]
    assert said["a_wins"] == []
    assert said["sentence"] in " ".join(shown.split())
    assert "B wins" in shown
    assert server.calls == 40


def test_show_and_export_print_what_is_sent(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """The messages that show prints and export writes are those that the endpoint gets."""
    shown = json.loads(ratchet("show", "careful.yaml", "--json").stdout)
    assert "Read carefully." in ratchet("show", "careful.yaml").stdout
    ratchet("export", "careful.yaml", "--out", "out")
    ratchet("measure", "tickets", "--candidate", "out/candidate.yaml")

    assert shown["messages"] in [body["messages"] for body in server.bodies]
    assert (
        json.loads((workspace / "out" / "messages.json").read_text())["messages"]
        == shown["messages"]
    )
    again = json.loads(ratchet("show", "out/candidate.yaml", "--json").stdout)
    assert again["id"] == shown["id"]


def test_trials_are_written_in_each_format(ratchet, workspace: Path) -> None:
    """Parquet, CSV and JSON lines hold the same rows; another ending is refused."""
    ratchet("measure", "tickets", "--candidate", "start")
    for ending in ("parquet", "csv", "jsonl"):
        ratchet("trials", "tickets", "--export", f"trials.{ending}")

    rows = [
        pl.read_parquet(workspace / "trials.parquet")["score"].to_list(),
        pl.read_csv(workspace / "trials.csv")["score"].to_list(),
        pl.read_ndjson(workspace / "trials.jsonl")["score"].to_list(),
    ]
    assert rows[0] == rows[1] == rows[2]
    assert len(rows[0]) == 20
    failed = json.loads(ratchet("trials", "tickets", "--failed", "--json").stdout)
    assert len(failed) == rows[0].count(0)
    assert (
        ".parquet, .csv or .jsonl"
        in ratchet("trials", "tickets", "--export", "x.xls", code=2).stderr
    )


def test_climb_keeps_what_is_better_and_reports_it(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """The careful prompt is kept, demonstrations that add nothing are not, and the report shows each rung."""
    folder = workspace / "tasks" / "tickets"
    folder.mkdir()
    (workspace / "careful.yaml").rename(folder / "careful.yaml")

    steps = json.loads(ratchet("climb", "tickets", "--levers", "prompt,demos", "--json").stdout)

    assert [(s["lever"], s["kept"]) for s in steps] == [
        ("start", True),
        ("prompt", True),
        ("demos", False),
    ]
    assert steps[1]["verdict"]["decision"] == "better"
    calls = server.calls
    said = ratchet("ladder", "tickets", "--report", "report.html").stdout
    assert "champion" in said
    report = (workspace / "report.html").read_text()
    assert report.lower().startswith("<!doctype html>")
    assert "prompt" in report
    ratchet("climb", "tickets", "--levers", "prompt,demos")
    assert server.calls == calls


def test_a_climb_whose_budget_ends_keeps_its_rungs_and_goes_on(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """A budget that is used up exactly by the start ends cleanly; the same command with more adds the other rungs."""
    folder = workspace / "tasks" / "tickets"
    folder.mkdir()
    for name in ("careful", "plain"):
        (folder / f"{name}.yaml").write_text(f'system: "{name} carefully {{{{instructions}}}}"\n')
    words = ("climb", "tickets", "--levers", "prompt", "--json")

    first = json.loads(ratchet(*words, "--max-calls", "40").stdout)
    assert [s["lever"] for s in first] == ["start", "prompt"]
    assert server.calls == 40

    ratchet(*words, "--again")
    assert server.calls == 60


def test_ctrl_c_keeps_what_was_bought(ratchet, workspace: Path) -> None:
    """SIGINT in the middle of a measurement ends with 130, and what came back is in the database."""
    reached = threading.Event()
    calls: list[object] = []

    def answer(body: dict[str, object]) -> str:
        calls.append(body)
        if len(calls) == 10:
            reached.set()
        return "billing"

    with ScriptedServer(answer, delay_s=0.1) as slow:
        settings = workspace / "ratchet.toml"
        settings.write_text(f'[endpoints.mock]\nbase_url = "{slow.url}"\nconcurrency = 2\n')
        running = subprocess.Popen(
            [sys.executable, "-m", "ratchet.cli", "measure", "tickets"],
            cwd=workspace,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert reached.wait(timeout=60)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)

    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert "every answer that came back is kept" in said
    with sqlite3.connect(workspace / ".ratchet" / "ratchet.db") as database:
        (kept,) = database.execute("select count(*) from trials").fetchone()
    database.close()
    assert 8 <= kept < 20
