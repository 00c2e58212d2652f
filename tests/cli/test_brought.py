"""What one already has: answers, choices and grades that were collected elsewhere, from the command line."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from ratchet.testing import ScriptedServer


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


@pytest.fixture
def rows(tickets: Path) -> list[dict[str, str]]:
    """Give the rows of the tickets, as they were imported."""
    with tickets.open(newline="") as file:
        return list(csv.DictReader(file))


def bring(ratchet, workspace: Path, rows: list[dict[str, str]], name: str = "old-bot") -> dict:
    """Bring right answers to all tickets, and return what the command says."""
    write_csv(workspace / f"{name}.csv", ["id", "reply"], [(r["id"], r["label"]) for r in rows])
    words = ("import-answers", f"{name}.csv", "--task", "tickets", "--candidate", name, "--json")
    return json.loads(ratchet(*words).stdout)


def test_brought_answers_are_measured_and_compared_without_a_call(
    ratchet, workspace: Path, server: ScriptedServer, rows: list[dict[str, str]]
) -> None:
    """They are scored, compared, ranked and on the front like any candidate's, by their name; the endpoint is asked for the other alone."""
    made = bring(ratchet, workspace, rows)
    calls_before = server.calls
    measured = json.loads(
        ratchet("measure", "tickets", "--candidate", "brought:old-bot", "--json").stdout
    )
    planned = json.loads(
        ratchet("measure", "tickets", "--candidate", "old-bot", "--dry-run", "--json").stdout
    )
    calls_after = server.calls
    verdict = json.loads(
        ratchet("ab", "tickets", "--a", "start", "--b", "old-bot", "--json").stdout
    )
    front = json.loads(ratchet("front", "tickets", "--json").stdout)
    ranked = ratchet("rank", "tickets", "--candidate", "start", "--candidate", "old-bot").stdout

    assert made["answers"] == made["new"] == 100
    assert made["splits"]["dev"] == {"answered": 20, "examples": 20}
    assert made["measured"]["score"] == measured["score"] == 1
    assert measured["model"] == "brought:old-bot"
    assert measured["bought"] == planned["calls"] == 0
    assert measured["prompt_tokens"] is None
    assert measured["latency_p50_s"] is None
    assert calls_before == calls_after == 0
    assert server.calls == 20
    assert json.dumps(verdict).count('"better"') == 1
    assert {one["model"] for one in front["standings"]} == {"mock/m", "brought:old-bot"}
    assert all(one["dominated_by"] is None for one in front["standings"])
    assert "old-bot" in ranked
    assert "n/a" in ratchet("front", "tickets").stdout


def test_tokens_cost_latency_and_repeats_are_taken(
    ratchet, workspace: Path, rows: list[dict[str, str]]
) -> None:
    """From columns by usual names or by those that are given; repeats may count from 1."""
    header = [
        "id",
        "text",
        "label",
        "reply",
        "sample",
        "input_tokens",
        "output_tokens",
        "price",
        "latency_s",
    ]
    lines = [
        (r["id"], r["text"], r["label"], r["label"] if n == 1 else "billing", n, 10, 2, 0.5, 1.5)
        for r in rows
        for n in (1, 2)
    ]
    write_csv(workspace / "a.csv", header, lines)
    words = ("--task", "tickets", "--candidate", "bot", "--repeat", "sample", "--cost", "price")

    made = json.loads(ratchet("import-answers", "a.csv", *words, "--json").stdout)

    assert made["answers"] == 200
    measured = made["measured"]
    assert (measured["n"], measured["prompt_tokens"], measured["completion_tokens"]) == (
        20,
        400,
        80,
    )
    assert measured["cost_usd"] == pytest.approx(20)
    assert measured["latency_p95_s"] == 1.5
    assert 0.5 < measured["score"] < 1


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "xlsx"])
def test_the_inputs_name_the_example_where_no_id_does(
    ratchet, workspace: Path, rows: list[dict[str, str]], ending: str
) -> None:
    """In every format that import reads; the reference's column is never taken for the reply."""
    import polars as pl

    frame = pl.DataFrame(
        [{"text": r["text"], "label": r["label"], "prediction": "billing"} for r in rows]
    )
    path = workspace / f"a.{ending}"
    if ending == "xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        book = openpyxl.Workbook()
        for line in (frame.columns, *frame.rows()):
            book.active.append(line)
        book.save(path)
    else:
        {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[
            ending
        ](path)

    said = ratchet("import-answers", path.name, "--task", "tickets", "--candidate", "b", "--json")

    made = json.loads(said.stdout)
    assert made["columns"] == {"reply": "prediction"}
    assert made["answers"] == 100
    assert made["measured"]["score"] < 0.6


def test_bad_rows_are_named_and_can_be_left_out(
    ratchet, workspace: Path, rows: list[dict[str, str]]
) -> None:
    """Unknown examples, a second answer, and cells that are no numbers; nothing is stored before all are mended or left out."""
    good = [(r["id"], r["label"], "1") for r in rows[:50]]
    bad = [
        ("row0", "returns" if rows[0]["label"] == "billing" else "billing", "1"),
        ("row999", "billing", "1"),
        ("", "billing", "1"),
        ("row60", "billing", "soon"),
    ]
    expected = ("otherwise", "no example 'row999'", "names no example", "must be a number")
    words = ("--task", "tickets", "--candidate", "bot")
    for line, problem in zip(bad, expected, strict=True):
        write_csv(workspace / "a.csv", ["id", "reply", "latency_s"], [*good, line])
        said = ratchet("import-answers", "a.csv", *words, code=3).words
        assert "row 51" in said
        assert problem in said
        assert (
            "no candidate has the name"
            in ratchet("trials", "tickets", "--candidate", "bot", code=2).words
        )

    write_csv(workspace / "a.csv", ["id", "reply", "latency_s"], [*good, *bad, good[0]])
    made = json.loads(ratchet("import-answers", "a.csv", *words, "--skip-bad", "--json").stdout)

    assert [one["number"] for one in made["skipped"]] == [52, 53, 54, 51]
    assert (made["answers"], made["repeated"]) == (50, 1)


def test_what_is_not_brought_is_missing_and_named(
    ratchet, workspace: Path, server: ScriptedServer, rows: list[dict[str, str]]
) -> None:
    """It counts neither as right nor as wrong, and no model is called for it; where nothing is there the measurement ends."""
    listed = json.loads(ratchet("trials", "tickets", "--json", code=2).stdout or "[]")
    assert listed == []
    ratchet("measure", "tickets", "--candidate", "start")
    calls = server.calls
    dev = [
        t["example"]
        for t in json.loads(ratchet("trials", "tickets", "--candidate", "start", "--json").stdout)
    ]
    write_csv(workspace / "a.csv", ["example", "reply"], [(name, "billing") for name in dev[:8]])

    said = ratchet("import-answers", "a.csv", "--task", "tickets", "--candidate", "bot")
    measured = json.loads(ratchet("measure", "tickets", "--candidate", "bot", "--json").stdout)
    told = ratchet("measure", "tickets", "--candidate", "bot").words

    assert "not all of dev is answered" in said.stdout
    assert measured["n"] == 8
    assert measured["failures"] == {"no reply (not brought)": 12}
    assert "has no answer to example e_" in told
    assert server.calls == calls
    nothing = ratchet("measure", "tickets", "--candidate", "bot", "--split", "train", code=3).words
    assert "ratchet import-answers FILE --task tickets --candidate bot" in nothing


def test_unreadable_replies_count_as_failures_and_are_named(
    ratchet, workspace: Path, rows: list[dict[str, str]]
) -> None:
    """As any candidate's do: leaving them out would flatter; a blank reply is an empty answer."""
    lines = [(r["id"], {0: "no idea", 1: ""}.get(n, r["label"])) for n, r in enumerate(rows)]
    write_csv(workspace / "a.csv", ["id", "reply"], lines)

    made = json.loads(
        ratchet("import-answers", "a.csv", "--task", "tickets", "--candidate", "b", "--json").stdout
    )

    assert [(one["number"], one["problem"].split(":")[0]) for one in made["unreadable"]] == [
        (1, "wrong form"),
        (2, "empty"),
    ]
    assert made["answers"] == 100


def test_brought_again_is_the_same_and_otherwise_refused(
    ratchet, workspace: Path, rows: list[dict[str, str]]
) -> None:
    """A stored answer is never replaced: other answers need another name."""
    bring(ratchet, workspace, rows)

    again = bring(ratchet, workspace, rows)
    other = [
        {**rows[0], "label": "billing" if rows[0]["label"] != "billing" else "returns"},
        *rows[1:],
    ]
    write_csv(workspace / "old-bot.csv", ["id", "reply"], [(r["id"], r["label"]) for r in other])
    words = ("import-answers", "old-bot.csv", "--task", "tickets", "--candidate", "old-bot")

    assert again["new"] == 0
    assert "bring these under another name" in ratchet(*words, code=3).words
    skipped = json.loads(ratchet(*words, "--skip-bad", "--json").stdout)["skipped"]
    assert [one["number"] for one in skipped] == [1]


def test_brought_answers_are_never_asked_improved_or_served(
    ratchet, workspace: Path, rows: list[dict[str, str]]
) -> None:
    """Each command that would need a model says so."""
    bring(ratchet, workspace, rows)
    for words in (
        ("show", "old-bot"),
        ("export", "old-bot"),
        ("export", "old-bot", "--to", "promptfoo"),
        ("promote", "tickets", "--candidate", "old-bot"),
        ("climb", "tickets", "--start", "old-bot"),
        ("diagnose", "tickets", "--candidate", "old-bot"),
        ("measure", "tickets", "--candidate", "old-bot", "--model", "mock/m"),
    ):
        assert "were collected elsewhere" in ratchet(*words, code=2).words, words


@pytest.mark.parametrize("name", ["champion", "start", "c_12", "a.yaml", "two words", ""])
def test_a_name_that_means_something_else_is_refused(
    ratchet, workspace: Path, rows: list[dict[str, str]], name: str
) -> None:
    """So that a name always means one candidate."""
    write_csv(workspace / "a.csv", ["id", "reply"], [(r["id"], r["label"]) for r in rows])

    said = ratchet("import-answers", "a.csv", "--task", "tickets", "--candidate", name, code=2)

    assert repr(name) in said.words


def test_columns_that_do_not_tell_are_asked_for(
    ratchet, workspace: Path, rows: list[dict[str, str]]
) -> None:
    """Which of two columns is the reply, and where no column names the example."""
    words = ("--task", "tickets", "--candidate", "b")
    write_csv(
        workspace / "a.csv", ["id", "x", "y"], [(r["id"], "billing", "returns") for r in rows]
    )
    assert (
        "x, y; name their column with --reply"
        in ratchet("import-answers", "a.csv", *words, code=3).words
    )
    assert (
        "did you mean"
        in ratchet("import-answers", "a.csv", *words, "--reply", "xx", code=3).words.casefold()
    )
    write_csv(workspace / "b.csv", ["n", "reply"], [(n, "billing") for n in range(9)])
    assert "with --example" in ratchet("import-answers", "b.csv", *words, code=3).words


@pytest.fixture
def two(ratchet, workspace: Path, rows: list[dict[str, str]]) -> Path:
    """Give the workspace with right and wrong answers that were brought under two names."""
    bring(ratchet, workspace, rows, "good")
    bring(ratchet, workspace, [{**r, "label": "billing"} for r in rows], "dull")
    return workspace


def test_choices_of_people_are_brought_and_ranked(
    ratchet, two: Path, server: ScriptedServer, rows: list[dict[str, str]]
) -> None:
    """By place or by the candidate's own name, in either order; blank is not judged; the test split stays sealed."""
    header = ["example", "first", "second", "winner", "who"]
    winners = ["first", "a", "1", "tie", "good", "second"]
    lines = []
    for number, row in enumerate(rows):
        winner = winners[number % 6]
        pair = ("dull", "good") if winner == "second" else ("good", "dull")
        lines.append((row["id"], *pair, winner, "ann" if number % 2 else "bob"))
    lines.append((rows[0]["id"], "good", "dull", "", "eve"))
    write_csv(two / "pairs.csv", header, lines)

    said = ratchet("grade", "tickets", "--pairs", "pairs.csv").stdout
    ranked = json.loads(ratchet("rank", "tickets", "--people", "--json").stdout)["ratings"]
    shown = ratchet("rank", "tickets", "--people").stdout

    assert "80 choices of 2 people kept" in said
    assert "20 rows are on the sealed test split" in said
    assert (ranked[0]["losses"], ranked[0]["wins"] + ranked[0]["ties"]) == (0, 80)
    assert ranked[0]["ties"] > 0
    assert ranked[0]["score"] == 1
    assert shown.index("good") < shown.index("dull")
    assert server.calls == 0


def test_a_later_choice_of_the_same_person_counts_and_is_named(ratchet, two: Path, rows) -> None:
    """Also where the pair stands the other way round."""
    dev = json.loads(ratchet("trials", "tickets", "--candidate", "good", "--json").stdout)[0]
    lines = [(dev["example"], "good", "dull", "first"), (dev["example"], "dull", "good", "first")]
    write_csv(two / "pairs.csv", ["example", "model_a", "model_b", "winner"], lines)

    said = ratchet("grade", "tickets", "--pairs", "pairs.csv", "--who", "ann").stdout
    ranked = json.loads(ratchet("rank", "tickets", "--people", "--json").stdout)["ratings"]

    assert "1 choices of 1 people" in said
    assert "which counts: 1" in said
    assert ranked[0]["wins"] == 1
    assert ranked[0]["score"] < 0.6  # the dull one, whom the later row prefers


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (("row999", "good", "dull", "first"), "no example 'row999'"),
        (
            ("row1", "good", "other", "first"),
            "import-answers FILE --task tickets --candidate other",
        ),
        (("row1", "good", "good", "first"), "between two candidates"),
        (("row1", "good", "brought:good", "first"), "are one candidate"),
        (("row1", "good", "dull", "third"), "must be first, second, tie"),
        (("row1", "good", "", "first"), "'second' is empty"),
    ],
)
def test_a_choice_that_means_nothing_is_named_with_its_row(
    ratchet, two: Path, rows: list[dict[str, str]], line: tuple[str, ...], problem: str
) -> None:
    """Nothing of the file is kept then."""
    dev = {
        t["example"]
        for t in json.loads(ratchet("trials", "tickets", "--candidate", "good", "--json").stdout)
    }
    good = (min(dev), "good", "dull", "first")
    line = (sorted(dev)[1] if line[0] == "row1" else line[0], *line[1:])
    write_csv(two / "pairs.csv", ["example", "first", "second", "winner"], [good, line])

    said = ratchet("grade", "tickets", "--pairs", "pairs.csv", code=3).words

    assert "row 2" in said
    assert problem in said
    assert "nobody has chosen" in ratchet("rank", "tickets", "--people", code=2).words


FOUR_OBSERVERS = {
    "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    "C": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
}
"""The data of Krippendorff (2011), section C."""


@pytest.mark.parametrize("form", ["long", "wide"])
def test_agreement_of_a_file_is_that_of_the_paper(ratchet, tmp_path: Path, form: str) -> None:
    """Krippendorff's own example, as a row a label and as a column a person; without a workspace."""
    columns: tuple[str, ...] = ()
    if form == "long":
        lines = [
            (n, who, label)
            for who, labels in FOUR_OBSERVERS.items()
            for n, label in enumerate(labels)
        ]
        write_csv(tmp_path / "l.csv", ["item", "annotator", "label"], lines)
    else:
        write_csv(
            tmp_path / "l.csv",
            ["unit", *FOUR_OBSERVERS],
            [(n, *labels) for n, labels in enumerate(zip(*FOUR_OBSERVERS.values(), strict=True))],
        )
        columns = tuple(word for who in FOUR_OBSERVERS for word in ("--rater", who))
    for level, alpha in (("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)):
        found = json.loads(
            ratchet("agreement", "l.csv", *columns, "--level", level, "--json").stdout
        )
        assert found["alpha"] == pytest.approx(alpha, abs=6e-4)
        assert found["interval"]["low"] < alpha < found["interval"]["high"]
    shown = ratchet("agreement", "l.csv", *columns).stdout

    assert "alpha 0.815" in shown
    assert "level ordinal" in shown
    assert "11 items" in shown
    assert len(found["pairs"]) == 6


def test_agreement_of_two_is_cohens(ratchet, tmp_path: Path) -> None:
    """Cohen's kappa of the table 20, 5, 10, 15 is 0.4."""
    table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    labels = [pair for pair, count in table.items() for _ in range(count)]
    write_csv(
        tmp_path / "l.csv", ["id", "ann", "bob"], [(n, *pair) for n, pair in enumerate(labels)]
    )

    found = json.loads(
        ratchet("agreement", "l.csv", "--rater", "ann", "--rater", "bob", "--json").stdout
    )

    assert found["level"] == "nominal"
    assert found["pairs"][0]["kappa"] == pytest.approx(0.4)
    assert found["pairs"][0]["same"] == pytest.approx(0.7)


def test_agreement_of_a_tasks_grades(ratchet, two: Path) -> None:
    """What people graded is compared; a task without grades says how to begin."""
    assert "graded nothing yet" in ratchet("agreement", "tickets", code=2).words
    listed = json.loads(ratchet("trials", "tickets", "--candidate", "dull", "--json").stdout)
    trials = [trial for trial in listed if trial["score"] is not None]
    lines = [
        (
            t["example"],
            who,
            "pass" if t["score"] and not (who == "bob" and n == 0) else "fail",
            "dull",
        )
        for n, t in enumerate(sorted(trials, key=lambda t: -t["score"]))
        for who in ("ann", "bob")
    ]
    write_csv(two / "g.csv", ["example", "who", "grade", "candidate"], lines)
    ratchet("grade", "tickets", "g.csv")

    found = json.loads(ratchet("agreement", "tickets", "--json").stdout)

    assert found["people"] == ["ann", "bob"]
    assert found["items"] == 20
    assert found["pairs"][0]["same"] == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("header", "lines", "words", "problem"),
    [
        (["item", "who", "label"], [(1, "ann", "x"), (2, "ann", "y")], (), "at least two people"),
        (
            ["item", "who", "label"],
            [(1, "ann", "x"), (2, "bob", "y")],
            (),
            "no item was rated by two",
        ),
        (["item", "who", "label"], [(1, "ann", "x"), (1, "ann", "y")], (), "row 2"),
        (
            ["item", "who", "label"],
            [(1, "ann", "x"), (1, "bob", "y")],
            ("--level", "ordinal"),
            "must be numbers",
        ),
        (["item", "ann", "bob"], [(1, "x", "y")], (), "--rater ann --rater bob"),
        (
            ["item", "ann", "bob"],
            [(1, "x", "y")],
            ("--rater", "ann", "--rater", "bo"),
            "no column 'bo'",
        ),
        (["item", "ann", "bob"], [(1, "x", "y")], ("--rater", "ann"), "at least two columns"),
    ],
)
def test_labels_without_agreement_are_told_why(
    ratchet, tmp_path: Path, header, lines, words, problem: str
) -> None:
    """One person, no common item, two labels of one person, no order, no such column."""
    write_csv(tmp_path / "l.csv", header, lines)

    assert problem in ratchet("agreement", "l.csv", *words, code=3).words


def test_brought_answers_race_and_are_compared_all_along(
    ratchet, workspace: Path, server: ScriptedServer, rows: list[dict[str, str]]
) -> None:
    """Also where some are missing; the other candidate alone is asked."""
    bring(ratchet, workspace, rows[:80])

    race = json.loads(
        ratchet(
            "race", "tickets", "--candidate", "start", "--candidate", "old-bot", "--json"
        ).stdout
    )
    along = ratchet("ab", "tickets", "--a", "start", "--b", "old-bot", "--sequential").stdout
    gate = json.loads(ratchet("gate", "tickets", "--candidate", "old-bot", "--json", code=9).stdout)

    assert race["places"][0]["note"] == "old-bot"
    assert "better" in along
    assert server.calls <= 20
    assert "3 answers are missing" in gate["refused"][0]


def test_judges_score_brought_answers(ratchet, workspace: Path, rows: list[dict[str, str]]) -> None:
    """Importing pays for no vote; a measurement does."""

    def grade(body: dict) -> str:
        user = body["messages"][-1]["content"]
        right = user.split("answer: ")[1].split("\n")[0] == user.split("reference: ")[1]
        return json.dumps({"reason": "", "grade": "pass" if right else "fail"})

    with ScriptedServer(grade) as judge:
        (workspace / "ratchet.toml").write_text(
            f'[models]\ndefault = "mock/m"\n[endpoints.mock]\nbase_url = "{judge.url}"\n'
        )
        path = workspace / "tasks" / "tickets.yaml"
        task = yaml.safe_load(path.read_text())
        task["metric"] = {"name": "judge", "options": {"rubric": "Right.", "judges": ["mock/m"]}}
        path.write_text(yaml.safe_dump(task))

        made = bring(ratchet, workspace, rows)
        calls = judge.calls
        measured = json.loads(
            ratchet("measure", "tickets", "--candidate", "old-bot", "--json").stdout
        )

        assert made["measured"] is None
        assert calls == 0
        assert (measured["score"], measured["n"], judge.calls) == (1, 20, 20)


def test_references_are_not_taken_for_replies(
    ratchet, workspace: Path, rows: list[dict[str, str]]
) -> None:
    """The very file that was imported holds no replies: it would score 100; who means it says so."""
    header = ["id", "text", "label"]
    write_csv(workspace / "a.csv", header, [[r[name] for name in header] for r in rows])
    words = ("import-answers", "a.csv", "--task", "tickets", "--candidate", "gold")

    assert "'label' holds the references" in ratchet(*words, code=3).words
    assert json.loads(ratchet(*words, "--reply", "label", "--json").stdout)["answers"] == 100
