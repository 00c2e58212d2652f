"""Races, judges, people's grades and rankings from the command line, against a real endpoint."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ratchet.testing import ScriptedServer

LABELS = ("billing", "shipping", "returns")


def says(body: dict[str, list[dict[str, str]]]) -> str:
    """Answer tickets, grade answers (passing all that are long enough to be a label), or choose what stands first."""
    system, user = body["messages"][0]["content"], body["messages"][-1]["content"]
    if "You grade" in system:
        right = user.split("answer: ")[1].split("\n")[0] == user.split("reference: ")[1]
        return json.dumps({"reason": "checked", "grade": "pass" if right else "fail"})
    if "You compare" in system:
        return json.dumps({"reason": "", "winner": "first"})
    if "carefully" not in system:
        return "billing"
    return next(label for label in LABELS if label in user)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Give an endpoint that answers, grades and compares."""
    with ScriptedServer(says) as running:
        yield running


@pytest.fixture
def judged(workspace: Path, ratchet) -> Path:
    """Give the workspace with its task scored by a judge."""
    words = ("judge", "tickets", "--rubric", "The label is right.", "--model", "mock/m")
    assert "tickets-judge.yaml" in ratchet(*words).stdout.replace("\n", "")
    path = workspace / "tasks" / "tickets.yaml"
    task = yaml.safe_load(path.read_text())
    task["metric"] = {"name": "judge", "options": {"task": "tickets-judge"}}
    path.write_text(yaml.safe_dump(task))
    return workspace


def test_a_race_names_its_pick_and_a_rerun_is_free(
    ratchet, workspace: Path, server: ScriptedServer
) -> None:
    """By default the candidates of the task's folder run against the champion."""
    (workspace / "tasks" / "tickets").mkdir()
    for k in range(4):
        text = "Read carefully." if k == 2 else f"Be quick {k}."
        path = workspace / "tasks" / "tickets" / f"v{k}.yaml"
        path.write_text(f'system: "{text} {{{{instructions}}}}"\n')

    shown = ratchet("race", "tickets").stdout
    calls = server.calls
    said = json.loads(ratchet("race", "tickets", "--json").stdout)

    assert "v2 is within 1.0 points of the best" in shown
    assert calls == server.calls == said["answered"] < said["grid"] == 100
    assert said["places"][0]["note"] == "v2"
    assert 0 <= said["regret"] <= 1
    one = ratchet("race", "tickets", "--candidate", "start", code=2)
    assert "at least two different candidates" in one.words


def test_a_judge_scores_and_warns_of_its_own_family(ratchet, judged: Path) -> None:
    """The judge is the grading task's candidate; it judges a model of its own family, and every figure says so."""
    said = ratchet("measure", "tickets", "--candidate", "careful.yaml")
    assert "100.0" in said.stdout
    assert "own family" in said.words
    assert "own family" in ratchet("ab", "tickets", "--a", "start", "--b", "careful.yaml").words
    asked = ("measure", "tickets", "--candidate", "other.yaml", "--dry-run")
    (judged / "other.yaml").write_text("system: Other.")
    assert "20 votes of judges" in ratchet(*asked).stdout
    again = ratchet("judge", "tickets", "--rubric", "x", "--model", "mock/m", code=2)
    assert "is there already" in again.words


def test_people_hold_a_judge_to_account(
    ratchet, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grades from a file and from the terminal; agreement, the corrected score, and examples for the grading task."""
    ratchet("measure", "tickets", "--candidate", "start")
    trials = json.loads(ratchet("trials", "tickets", "--candidate", "start", "--json").stdout)
    rows = [
        {"example": t["example"], "grade": "pass" if t["score"] else "fail", "candidate": "start"}
        for t in trials[:12]
    ]
    rows[0]["grade"] = "fail" if rows[0]["grade"] == "pass" else "pass"
    (judged / "grades.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert "12 grades kept" in ratchet("grade", "tickets", "grades.jsonl", "--who", "ann").stdout

    typed = iter(["maybe", "pass", "", "fail"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(typed))
    words = ("grade", "tickets", "--candidate", "start", "--count", "3", "--who", "bob")
    assert "'maybe' is none of fail, pass" in ratchet(*words).stdout

    shown = ratchet("calibrate", "tickets").stdout
    said = json.loads(ratchet("calibrate", "tickets", "--json").stdout)
    assert "judge and people agree" in shown
    assert said["n"] == 14
    assert said["agreement"] < 1
    assert said["scores"][0]["low"] <= said["scores"][0]["corrected"] <= said["scores"][0]["high"]

    assert "14 graded" in ratchet("grade", "tickets", "--export", "graded.jsonl").stdout
    ratchet("import", "graded.jsonl", "--task", "tickets-judge", "--answer", "graded")
    assert "bought" in ratchet("measure", "tickets-judge").stdout


def test_a_blank_grade_is_none(ratchet, judged: Path) -> None:
    """In a table of grades an empty cell means that nobody graded that answer."""
    ratchet("measure", "tickets", "--candidate", "start")
    trials = json.loads(ratchet("trials", "tickets", "--candidate", "start", "--json").stdout)
    first, second = (trial["example"] for trial in trials[:2])
    (judged / "g.csv").write_text(f"example,grade,candidate\n{first},pass,start\n{second},,start\n")

    assert "1 grades kept" in ratchet("grade", "tickets", "g.csv", "--who", "ann").stdout


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"example": "nobody", "grade": "pass"}, "has no example 'nobody'"),
        ({"example": "row1", "grade": "five"}, "'five' is none of fail, pass"),
        ({"item": "row1", "grade": "pass"}, "need the columns example and grade"),
    ],
)
def test_a_mistake_in_a_file_of_grades_is_named(
    ratchet, judged: Path, row: dict[str, str], problem: str
) -> None:
    """Unknown examples, grades off the scale, missing columns."""
    (judged / "g.jsonl").write_text(json.dumps(row))
    assert problem in ratchet("grade", "tickets", "g.jsonl", code=3).words


def test_a_ranking_by_scores_and_by_a_judge_of_pairs(ratchet, workspace: Path) -> None:
    """Scores rank the careful one first; a judge that follows the order ties all, and is found out."""
    words = ("rank", "tickets", "--candidate", "start", "--candidate", "careful.yaml")
    said = json.loads(ratchet(*words, "--json").stdout)
    assert said["ratings"][0]["score"] == 1.0
    assert said["ratings"][0]["best_rank"] == said["ratings"][0]["worst_rank"] == 1

    by_judge = ratchet(*words, "--judge", "mock/m", "--rubric", "right")
    assert "contradicted itself" in by_judge.stdout
    assert "stood first in 100 %" in by_judge.stdout
    assert "own family" in by_judge.words
    assert "rubric is empty" in ratchet(*words, "--judge", "mock/m", code=4).words
    assert "at least two" in ratchet("rank", "tickets", "--candidate", "start", code=2).words


def test_a_task_without_judges_has_none_to_calibrate(ratchet, workspace: Path) -> None:
    """Grades can be given all the same; there is nothing to hold them against."""
    said = ratchet("calibrate", "tickets", code=2)
    assert "no judges to calibrate" in said.words
