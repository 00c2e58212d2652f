"""Spreadsheets and tables in memory: each cell is what it was, and the rows come in as those of a file do."""

import datetime as dt
import sqlite3
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import openpyxl
import pandas as pd
import polars as pl
import pytest
import sqlalchemy as sa

from ratchet import AnswerForm, InputField, MetricSpec, Roles, Task, Workbench
from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.data import BadRow, frame_rows, good_rows, read_rows


def spreadsheet(folder: Path, *rows: list[object], merged: str = "") -> Path:
    """Write a workbook whose first sheet has these rows, and whose second is named Other."""
    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(row)
    if merged:
        sheet.merge_cells(merged)
    other = book.create_sheet("Other")
    other.append(["question"])
    other.append(["why?"])
    path = folder / "book.xlsx"
    book.save(path)
    return path


def values(path: Path, sheet: str | None = None) -> list[dict[str, Json]]:
    return [row.values for row in good_rows(path, sheet=sheet)]


def test_cells_of_a_spreadsheet_keep_their_types(tmp_path: Path) -> None:
    """Text stays text, whole numbers are integers, dates are ISO 8601, and what is blank is none."""
    day, moment = dt.date(2024, 1, 2), dt.datetime(2024, 1, 2, 3, 4)  # noqa: DTZ001 - a spreadsheet's
    path = spreadsheet(
        tmp_path,
        ["zip", "count", "price", "day", "moment", "yes", "blank"],
        ["01007", 5, 5.5, day, moment, True, "  "],
        [None] * 7,
        ["x", 2**40, 0.1, None, None, False, None],
    )

    assert values(path) == [
        {
            "zip": "01007",
            "count": 5,
            "price": 5.5,
            "day": "2024-01-02",
            "moment": "2024-01-02T03:04:00",
            "yes": True,
            "blank": None,
        },
        {
            "zip": "x",
            "count": 2**40,
            "price": 0.1,
            "day": None,
            "moment": None,
            "yes": False,
            "blank": None,
        },
    ]


def test_a_merged_cell_stands_in_each_of_its_rows(tmp_path: Path) -> None:
    """A class that is written once beside several rows is the class of each."""
    rows = [["label", "text"], ["a", "one"], [None, "two"], ["b", "three"]]

    found = values(spreadsheet(tmp_path, *rows, merged="A2:A3"))

    assert [row["label"] for row in found] == ["a", "a", "b"]


def test_a_sheet_is_chosen_by_its_name(tmp_path: Path) -> None:
    """The first sheet is read unless another one is named; a name that is wrong gets a hint."""
    path = spreadsheet(tmp_path, ["a"], ["x"])

    assert values(path) == [{"a": "x"}]
    assert values(path, "Other") == [{"question": "why?"}]
    with pytest.raises(DataError, match=r"no sheet 'Othr'; its sheets are .*Did you mean 'Other'"):
        values(path, "Othr")


def test_titles_and_empty_rows_above_the_header_are_no_rows(tmp_path: Path) -> None:
    """The first row that is not empty holds the names; a cell beyond them is named with its row."""
    path = spreadsheet(tmp_path, [None, None], ["a", None], ["x", None], ["y", "stray"])

    rows = list(read_rows(path))

    assert rows[1] == BadRow(2, "'stray' stands in a column without a name; name it in the header")


def test_a_sheet_is_for_spreadsheets(tmp_path: Path) -> None:
    """Naming a sheet of a CSV file is an error that says so."""
    (tmp_path / "a.csv").write_text("a\n1\n")

    with pytest.raises(DataError, match="has no sheets"):
        list(read_rows(tmp_path / "a.csv", sheet="x"))


Named = namedtuple("Named", "text label")


@dataclass
class Record:
    text: str
    label: str | None


ROWS = [{"text": "a", "label": "x"}, {"text": "b", "label": None}]


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (text, label)")
    connection.executemany("insert into t values (:text, :label)", ROWS)
    return connection


def named_rows() -> list[sqlite3.Row]:
    connection = database()
    connection.row_factory = sqlite3.Row
    rows = connection.execute("select * from t").fetchall()
    connection.close()
    return rows


def alchemy() -> list[sa.Row]:
    with sa.create_engine("sqlite://").connect() as connection:
        return connection.execute(
            sa.text("select 'a' text, 'x' label union all select 'b', null")
        ).all()


TABLES: dict[str, Callable[[], object]] = {
    "mappings": lambda: ROWS,
    "pandas": lambda: pd.DataFrame(ROWS),
    "pandas, NA": lambda: pd.DataFrame(ROWS).convert_dtypes(),
    "polars": lambda: pl.DataFrame(ROWS),
    "polars, lazy": lambda: pl.DataFrame(ROWS).lazy(),
    "pyarrow": lambda: pl.DataFrame(ROWS).to_arrow(),
    "named tuples": lambda: [Named(**row) for row in ROWS],
    "dataclasses": lambda: [Record(**row) for row in ROWS],
    "sqlite3": named_rows,
    "SQLAlchemy": alchemy,
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_in_memory_are_read(kind: str) -> None:
    """Frames, results of queries and objects with names give the same rows."""
    rows = [row.values for row in frame_rows(TABLES[kind]())]

    assert rows == ROWS


def test_typed_cells_of_frames_become_json() -> None:
    """NaN and NaT are none, numpy's scalars and arrays and pandas' moments are JSON."""
    frame = pd.DataFrame(
        {
            "n": [1.0, float("nan")],
            "when": [pd.Timestamp("2024-01-02"), pd.NaT],
            "tags": [pd.Series([1, 2]).to_numpy(), None],
            "kind": pd.Categorical(["a", None]),
        }
    )

    rows = [row.values for row in frame_rows(frame)]

    assert rows == [
        {"n": 1.0, "when": "2024-01-02T00:00:00", "tags": [1, 2], "kind": "a"},
        {"n": None, "when": None, "tags": None, "kind": None},
    ]


@pytest.mark.parametrize("table", ["rows.csv", {"a": 1}, 3, [(1, 2)]], ids=repr)
def test_what_is_no_table_is_refused(table: object) -> None:
    """A path, a single mapping and rows without names are errors that say what is wanted."""
    with pytest.raises(DataError, match="expected"):
        list(frame_rows(table))


def bench() -> Workbench:
    task = Task(
        name="t",
        instructions="Say.",
        inputs=(InputField(name="text"),),
        answer=AnswerForm(kind="label", labels=("x", "y")),
        metric=MetricSpec(name="label"),
        models=Roles(student="m"),
    )
    return Workbench.of(task, [])


def test_a_workbench_takes_the_rows_of_a_frame() -> None:
    """The rows of a frame become examples in splits; those without an answer are counted; the same frame adds nothing."""
    frame = pd.DataFrame(
        {"text": [f"words {n} here" for n in range(30)], "label": ["x", "y", None] * 10}
    )
    made = bench()

    report = made.add(frame)
    again = made.add(frame)

    assert (report.added, report.unlabelled, again.added) == (20, 10, 0)
    assert {e.split for e in made.examples} == {"train", "dev", "test"}
    assert made.examples[0].source == "table:1"


def test_a_workbench_takes_columns_of_other_names() -> None:
    """Columns that are named are the task's inputs, whatever they are called."""
    made = bench()

    made.add([{"body": "a", "team": "x"}], inputs=["body"], answer="team")

    assert [(e.inputs, e.reference) for e in made.examples] == [({"text": "a"}, "x")]
    with pytest.raises(DataError, match="row 1: column 'team': 'z' is none of the 2 labels"):
        made.add([{"body": "b", "team": "z"}], inputs=["body"], answer="team")
