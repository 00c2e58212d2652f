"""From rows to examples: what fits the task is taken, what does not is named with its row."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ratchet.core import Example, Json, Task
from ratchet.core.errors import DataError
from ratchet.data import Guess, ImportReport, Row, good_rows, guess_columns, guess_task, to_examples

PATH = Path("folder/rows.csv")
SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "day": {"enum": ["today", "tomorrow"]}},
    "required": ["city"],
    "additionalProperties": False,
}
SPANS: dict[str, Json] = {
    "type": "object",
    "properties": {
        "NER": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"entity": {"type": "string"}, "label": {"type": "string"}},
                "required": ["entity", "label"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["NER"],
}


def task(*inputs: str, **answer: Json) -> Task:
    return Task.model_validate(
        {
            "name": "t",
            "instructions": "Do.",
            "inputs": [{"name": name} for name in inputs or ("text",)],
            "answer": answer,
            "metric": {"name": "match"},
            "models": {"student": "local:nano"},
        }
    )


def imported(
    made: Task, rows: list[dict[str, Json]], *, report: ImportReport | None = None, **parts: Json
) -> list[Example]:
    """Import rows whose answer stands in the column `answer`."""
    numbered = [Row(number, row) for number, row in enumerate(rows, start=1)]
    guess = Guess(**{"inputs": made.input_names, "answer": "answer", **parts})
    return list(
        to_examples(
            made,
            numbered,
            guess,
            PATH,
            report=report or ImportReport(),
            skip_bad=report is not None,
        )
    )


def test_a_row_becomes_an_example_that_knows_where_it_came_from() -> None:
    """Columns become inputs and reference; file, row, id and group come along."""
    row = {"text": "hi", "answer": "yes", "id": 7, "scene": 3, "more": "left out"}

    (example,) = imported(task(), [row], identity="id", group="scene")

    assert (example.inputs, example.reference) == ({"text": "hi"}, "yes")
    assert (example.source, example.name, example.group) == ("rows.csv:1", "7", "3")


def test_columns_reach_their_fields_under_a_template_name() -> None:
    """A column whose name is no field name fills the field that was made of it."""
    (example,) = imported(
        task("Full_Text"), [{"Full Text": "hi", "answer": "x"}], inputs=("Full Text",)
    )

    assert example.inputs == {"Full_Text": "hi"}


@pytest.mark.parametrize(
    ("answer", "cell", "reference"),
    [
        ({"kind": "text"}, "x", "x"),
        ({"kind": "text"}, 3, "3"),
        ({"kind": "label", "labels": ["a", "b"]}, " a ", "a"),
        ({"kind": "label", "labels": ["0", "1"]}, 1, "1"),
        ({"kind": "label", "labels": ["0", "1"]}, 1.0, "1"),
        ({"kind": "label", "labels": ["0", "1"]}, "1.0", "1"),
        ({"kind": "label", "labels": ["true", "false"]}, True, "true"),
        ({"kind": "label", "labels": ["True", "False"]}, True, "True"),
        ({"kind": "number"}, "He has 3 + 4.\n#### 1,007", 1007),
        ({"kind": "number"}, "1,5", 1.5),
        ({"kind": "number"}, "−5", -5),
        ({"kind": "number"}, "$1,234.50", 1234.5),
        ({"kind": "number"}, 3, 3),
        ({"kind": "json", "json_schema": SCHEMA}, '{"city": "Köln"}', {"city": "Köln"}),
        ({"kind": "json", "json_schema": SCHEMA}, {"city": "Rom"}, {"city": "Rom"}),
        ({"kind": "json", "json_schema": SPANS}, "[]", {"NER": []}),
        ({"kind": "tool", "tool": "f", "json_schema": SCHEMA}, {"city": "Rom"}, {"city": "Rom"}),
    ],
)
def test_the_answer_takes_the_form_of_the_task(answer, cell: Json, reference: Json) -> None:
    """A reference is stored as the task's form wants it, however the file wrote it."""
    (example,) = imported(task(**answer), [{"text": "hi", "answer": cell}])

    assert example.reference == reference


@pytest.mark.parametrize(
    ("answer", "row", "problem"),
    [
        ({"kind": "label", "labels": ["a", "b"]}, {"text": "hi", "answer": "c"}, "'c' is none of"),
        ({"kind": "number"}, {"text": "hi", "answer": "many"}, "'many' is no number"),
        (
            {"kind": "json", "json_schema": SCHEMA},
            {"text": "hi", "answer": "{no"},
            "expected JSON, got '{no'",
        ),
        (
            {"kind": "json", "json_schema": SCHEMA},
            {"text": "hi", "answer": {"city": "Rom", "day": "never"}},
            "does not fit answer.json_schema at $.day: 'never' is not one of",
        ),
        ({}, {"text": "\ud800", "answer": "x"}, "surrogates not allowed"),
    ],
)
def test_a_row_that_does_not_fit_is_named(answer, row: dict[str, Json], problem: str) -> None:
    """A row that does not fit ends the import with its number, the reason and the remedy."""
    with pytest.raises(DataError) as caught:
        imported(task(**answer), [row])

    assert f"{PATH}, row 1: " in str(caught.value)
    assert problem in str(caught.value)
    assert "--skip-bad" in str(caught.value)


def test_a_row_that_does_not_fit_is_left_out_only_where_that_is_asked() -> None:
    """With `skip_bad` the other rows are imported and the bad one is listed."""
    report = ImportReport()

    examples = imported(
        task(kind="number"),
        [{"text": "a", "answer": 1}, {"text": "b", "answer": "x"}, {"text": "c", "answer": 3}],
        report=report,
    )

    assert [e.reference for e in examples] == [1, 3]
    assert [(bad.number, bad.problem) for bad in report.skipped] == [
        (2, "column 'answer': 'x' is no number")
    ]


NOTHING = ["", "  ", None, float("nan"), pd.NaT, pd.NA]


@pytest.mark.parametrize("nothing", NOTHING, ids=repr)
def test_what_is_absent_is_no_value(nothing: Json) -> None:
    """Blank, null and NaN are none: as an input, as a group, as an id; and a row without an answer is counted, not imported."""
    report = ImportReport()
    rows = [
        {"title": "a", "text": nothing, "answer": "x", "id": nothing, "group": nothing},
        {"title": "b", "text": "hi", "answer": nothing},
    ]

    (example,) = imported(task("title", "text"), rows, report=report, identity="id", group="group")

    assert example.inputs == {"title": "a", "text": None}
    assert (example.name, example.group) == (None, None)
    assert (report.unlabelled, report.unlabelled_rows, report.skipped) == (1, [2], [])


@pytest.mark.parametrize("nothing", NOTHING, ids=repr)
def test_what_is_absent_is_the_absent_answer_where_there_is_one(nothing: Json) -> None:
    """A task whose answer may be that there is none takes an empty answer for that."""
    (example,) = imported(task(absent="unknown"), [{"text": "hi", "answer": nothing}])

    assert example.reference == "unknown"


def test_examples_need_no_references() -> None:
    """Where the guess names no answer every row is an example without a reference."""
    report = ImportReport()

    examples = imported(task(), [{"text": "a"}, {"text": "b"}], report=report, answer=None)

    assert [(e.inputs["text"], e.reference) for e in examples] == [("a", None), ("b", None)]
    assert report.unlabelled == 0


def test_a_class_that_is_dropped_is_counted() -> None:
    """Rows that are left out as their label is unknown are counted by label."""
    report = ImportReport()
    labelled = task(kind="label", labels=["a", "b"])

    imported(labelled, [{"text": str(n), "answer": "abc"[n % 3]} for n in range(9)], report=report)

    assert report.lost_labels == {"c": 3}
    assert report.labels == {"a": 3, "b": 3}


def test_an_id_with_other_content_is_an_error() -> None:
    """Two rows of one id and different content are a mistake of the file, named with both rows."""
    rows = [{"id": "7", "text": "a", "answer": "x"}, {"id": "7", "text": "b", "answer": "x"}]

    with pytest.raises(DataError, match="row 2: the id '7' was used in row 1 with other content"):
        imported(task(), rows, identity="id")


def test_repeated_rows_are_counted_and_taken_once() -> None:
    """The same row twice is one example, under its id as well as without."""
    report = ImportReport()
    row = {"id": "7", "text": "a", "answer": "x"}

    examples = imported(task(), [row, row, {**row, "id": "8"}], report=report, identity="id")

    assert len(examples) == 1
    assert (report.repeated, report.skipped) == (2, [])


def test_the_malformed_record_of_a_real_file_is_named(shared: Callable[[str], Path]) -> None:
    """Of 149 records one has a span without its text: the import says which, and the others come in on demand."""
    path = shared("pii/nannigalaxy_en.json")
    rows = list(good_rows(path))
    guess = guess_columns(rows, inputs=["text"], answer="NER")
    made = task(kind="json", json_schema=SPANS)
    report = ImportReport()

    with pytest.raises(DataError, match=r"row 42: column 'NER' does not fit .* at \$\.NER\[4\]"):
        list(to_examples(made, rows, guess, path, report=ImportReport()))
    examples = list(to_examples(made, rows, guess, path, report=report, skip_bad=True))

    assert len(examples) == 148
    assert [bad.number for bad in report.skipped] == [42]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("banking77/train.csv", 10_003),
        ("gsm8k/train.jsonl", 2_000),
        ("prices/product_prices.jsonl", 1_400),
        ("chat/emmy_train.jsonl", 400),
    ],
)
def test_real_files_are_imported_whole(
    name: str, count: int, shared: Callable[[str], Path]
) -> None:
    """Every row of a real file becomes an example of the guessed task."""
    path = shared(name)
    rows = list(good_rows(path))
    guess = guess_columns(rows)
    made = guess_task("real", rows, guess, model="local:nano")
    report = ImportReport()

    examples = list(to_examples(made, rows, guess, path, report=report))

    assert len(examples) + report.repeated == count
    assert report.skipped == []
