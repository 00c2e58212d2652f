"""`ratchet import` takes files as people have them, says what it did with each row, and what follows works."""

import json
from pathlib import Path

import openpyxl
import pytest


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Give an empty workspace."""
    (tmp_path / "ratchet.toml").write_text("")
    return tmp_path


def lines(count: int, *columns: str) -> str:
    """Return a CSV file whose cells are patterns of their row's number."""
    header = ",".join(column.split("=")[0] for column in columns)
    rows = [",".join(column.split("=")[1].format(n=n) for column in columns) for n in range(count)]
    return "\n".join([header, *rows, ""])


def test_rows_with_blanks_come_in(ratchet, workspace: Path) -> None:
    """Blank inputs are shown as nothing; rows without an answer are set aside and named."""
    (workspace / "a.csv").write_text(
        "title,body,label\nt1,,spam\nt2,b2,ham\nt3,b3,\n" + "x{0},,spam\ny{0},b,ham\n" * 6
    )

    done = ratchet("import", "a.csv", "--task", "mail")
    shown = json.loads(ratchet("show", "start", "--task", "mail", "--json").stdout)

    assert "1 row without an answer, set aside: row 3" in done.stdout
    assert "title: " in shown["messages"][-1]["content"]
    assert "None" not in shown["messages"][-1]["content"]


def test_a_file_without_answers_is_a_task(ratchet, workspace: Path) -> None:
    """Such a task can be shown, planned and checked; what learns from references says that there are none."""
    (workspace / "posts.csv").write_text(lines(40, "post=The post of number {n} here"))

    ratchet("import", "posts.csv", "--task", "posts", "--instructions", "Summarise the post.")
    again = ratchet("import", "posts.csv", "--task", "posts")
    ratchet("show", "start", "--task", "posts")
    plan = json.loads(ratchet("measure", "posts", "--dry-run", "--json").stdout)
    check = json.loads(ratchet("check", "posts", "--json").stdout)
    refused = ratchet("tune", "data", "posts", "--out", "t.jsonl", code=2)

    assert "0 new examples, 40 in all" in again.stdout
    assert plan["judged"] == plan["calls"] == 8
    found = {one["check"]: one for one in check}
    assert found["references"]["level"] == "ok"
    assert "no example has a reference" in found["references"]["text"]
    assert "reachable answers" not in found
    assert "has a reference to learn" in refused.words


def test_answers_are_left_out_where_that_is_asked(ratchet, workspace: Path) -> None:
    """--no-answer makes a task without references of any file."""
    (workspace / "a.csv").write_text(lines(12, "text=post {n}", "label=x"))

    body = json.loads(
        ratchet("import", "a.csv", "--task", "a", "--no-answer", "--input", "text", "--json").stdout
    )

    assert body["guess"]["answer"] is None
    assert body["new"] == 12


def test_a_metric_that_compares_refuses_what_has_no_reference(ratchet, workspace: Path) -> None:
    """Nothing is asked where the metric needs references and there are none; check says it too."""
    (workspace / "a.csv").write_text(lines(12, "text=post {n}"))
    ratchet("import", "a.csv", "--task", "a")
    path = workspace / "tasks" / "a.yaml"
    text = path.read_text()
    start = text.index("metric:\n")
    path.write_text(text[:start] + "metric:\n  name: match\n" + text[text.index("models:") :])

    refused = ratchet("measure", "a", code=4)
    check = ratchet("check", "a", code=1)

    assert "3 of 3 examples of task 'a' have none" in refused.words
    assert "no example has a reference, and the metric 'match' compares with one" in " ".join(
        check.stdout.split()
    )


def test_one_example_can_be_asked_thirty_times(ratchet, workspace: Path) -> None:
    """A single example stands in dev, and what is said of it is true."""
    (workspace / "one.jsonl").write_text('{"question": "Why?", "answer": "So."}\n')

    done = ratchet("import", "one.jsonl", "--task", "one")
    plan = json.loads(ratchet("measure", "one", "--repeats", "30", "--dry-run", "--json").stdout)

    assert "0 train, 1 dev, 0 test" in done.stdout
    assert "too few different examples to divide" in done.stdout
    assert plan["calls"] == 30


def test_a_spreadsheet_is_read_by_sheet(ratchet, workspace: Path) -> None:
    """The first sheet is imported, or the one that is named."""
    book = openpyxl.Workbook()
    for title, label in (("One", "a"), ("Two", "b")):
        sheet = book.create_sheet(title)
        sheet.append(["text", "answer"])
        for n in range(9):
            sheet.append([f"text {n} of {title}", f"{label}{n}"])
    book.remove(book.worksheets[0])
    book.save(workspace / "book.xlsx")

    ratchet("import", "book.xlsx", "--task", "two", "--sheet", "Two")
    shown = ratchet("show", "start", "--task", "two").stdout
    refused = ratchet("import", "book.xlsx", "--task", "three", "--sheet", "Three", code=3)

    assert "of Two" in shown
    assert "its sheets are 'One', 'Two'" in refused.words


def test_a_second_file_is_judged_by_the_labels_of_the_task(ratchet, workspace: Path) -> None:
    """A label that the task does not know is named with its row; left out, the lost class is said."""
    (workspace / "a.csv").write_text(lines(30, "text=text {n} a", "label=x") + lines(30, "t=u{n}", "l=y").split("\n", 1)[1])  # fmt: skip
    (workspace / "b.csv").write_text("text,label\nnew,x\nother,z\nmore,z\n")
    ratchet("import", "a.csv", "--task", "t")

    refused = ratchet("import", "b.csv", "--task", "t", code=3)
    done = ratchet("import", "b.csv", "--task", "t", "--skip-bad")

    assert "b.csv, row 2: column 'label': 'z' is none of the 2 labels of task 't'" in refused.words
    assert "add it to answer.labels in the task's file" in refused.words
    assert "the rows of 1 classes are left out, as the task does not know them: 'z' (2 rows)" in (
        " ".join(done.stdout.split())
    )


def test_a_corrected_row_replaces_the_one_before(ratchet, workspace: Path) -> None:
    """The same id and inputs with another answer is a correction; other inputs under an id are another example."""
    (workspace / "a.csv").write_text(lines(12, "id=r{n}", "text=text {n}", "answer=a{n}"))
    (workspace / "b.csv").write_text("id,text,answer\nr3,text 3,new\nr4,other text,b\n")
    ratchet("import", "a.csv", "--task", "t")

    done = ratchet("import", "b.csv", "--task", "t")

    assert "1 example replaced: the same id and inputs came with another answer" in done.stdout
    assert "1 id that stood in the task before with other inputs: both examples stay" in done.stdout
    assert "2 new examples, 13 in all" in done.stdout


def test_labels_that_are_nearly_the_same_are_named(ratchet, workspace: Path) -> None:
    """Import and check warn of labels that differ in capitals or spaces alone."""
    labels = ["Spam", "spam", "ham", "Ham", "eggs"]
    rows = "\n".join(f"text {n},{labels[n % 5]}" for n in range(40))
    (workspace / "a.csv").write_text(f"text,label\n{rows}\n")

    done = ratchet("import", "a.csv", "--task", "t")
    check = json.loads(ratchet("check", "t", "--json").stdout)

    says = "labels that differ in capitals or spaces alone: 'Ham' and 'ham'; 'Spam' and 'spam'"
    assert says in " ".join(done.stdout.split())
    (warning,) = [one for one in check if one["check"] == "label names"]
    assert (warning["level"], warning["text"].startswith(says)) == ("warning", True)


def test_renamed_columns_are_found_again(ratchet, workspace: Path) -> None:
    """A second file with the same odd names joins the task, and its row is the same example."""
    (workspace / "a.csv").write_text(
        lines(12, "labels=l{n}", "Question 1=q{n}", "Question-1=p{n}", "answer=a{n}")
    )

    first = ratchet("import", "a.csv", "--task", "t")
    second = ratchet("import", "a.csv", "--task", "t")
    ratchet("measure", "t", "--dry-run")

    assert "the column 'labels' is the input 'input_labels' in the task" in first.stdout
    assert "0 new examples, 12 in all" in second.stdout
