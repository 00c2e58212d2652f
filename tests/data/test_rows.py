"""Rows come out of every format as they went in, and a row that cannot be read is named."""

import csv
import datetime as dt
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.data import BadRow, Row, good_rows, read_rows
from ratchet.data.rows import FORMATS, ShallowJson, TooDeepError

TABLE: list[dict[str, Json]] = [
    {"text": "Grüße 👋", "label": "a"},
    {"text": 'says "no", then\nleaves; \t| ok', "label": "b"},
    {"text": " spaces ", "label": ""},
]
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=12)


def as_csv(rows: list[dict[str, Json]], separator: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_jsonl(rows: list[dict[str, Json]]) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def as_json(rows: list[dict[str, Json]]) -> str:
    return json.dumps(rows, ensure_ascii=False, indent=1)


def written(folder: Path, name: str, data: "bytes | str") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def values(path: Path, encoding: str | None = None) -> list[dict[str, Json]]:
    return [row.values for row in good_rows(path, encoding=encoding)]


WRITERS: dict[str, Callable[[list[dict[str, Json]]], str]] = {
    ".csv": as_csv,
    ".tsv": lambda rows: as_csv(rows, "\t"),
    ".txt": as_csv,
    ".jsonl": as_jsonl,
    ".ndjson": as_jsonl,
    ".json": as_json,
}


@pytest.mark.parametrize("ending", [*WRITERS, ".CSV", ".Json"])
def test_text_formats_read_back(ending: str, tmp_path: Path) -> None:
    """Quotes, separators, newlines, emoji and empty cells survive in every text format."""
    path = written(tmp_path, f"rows{ending}", WRITERS[ending.lower()](TABLE))

    rows = list(read_rows(path))

    assert rows == [Row(number, row) for number, row in enumerate(TABLE, start=1)]


def test_parquet_reads_back_over_several_blocks(tmp_path: Path) -> None:
    """A Parquet file comes out in order with its types, also when it is longer than one block."""
    table = [{"n": n, "x": n / 2, "text": f"row {n}", "tags": ["a", "b"]} for n in range(12_001)]
    pl.DataFrame(table).write_parquet(tmp_path / "rows.parquet")

    rows = list(good_rows(tmp_path / "rows.parquet"))

    assert [row.values for row in rows] == table
    assert [row.number for row in rows] == list(range(1, 12_002))


def test_typed_cells_of_parquet_become_json(tmp_path: Path) -> None:
    """Dates are ISO 8601, decimals are numbers, NaN is null: whatever is read can be stored."""
    frame = pl.DataFrame(
        {
            "day": [dt.date(2024, 1, 2)],
            "moment": [dt.datetime(2024, 1, 2, 3, 4)],  # noqa: DTZ001 - Parquet has such, too
            "price": [Decimal("1.50")],
            "nan": [float("nan")],
            "inner": [{"day": dt.date(2024, 1, 2), "days": [dt.date(2024, 1, 3)]}],
            "yes": [True],
            "none": [None],
        }
    )
    frame.write_parquet(tmp_path / "rows.parquet")

    found = values(tmp_path / "rows.parquet")

    assert found == [
        {
            "day": "2024-01-02",
            "moment": "2024-01-02T03:04:00",
            "price": 1.5,
            "nan": None,
            "inner": {"day": "2024-01-02", "days": ["2024-01-03"]},
            "yes": True,
            "none": None,
        }
    ]
    json.dumps(found, allow_nan=False)


@settings(max_examples=30)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_any_cells_survive_csv(tmp_path_factory: pytest.TempPathFactory, cells) -> None:
    """Whatever text a cell holds, CSV brings it back."""
    table: list[dict[str, Json]] = [{"a": a, "b": b} for a, b in cells]
    path = written(tmp_path_factory.mktemp("csv"), "rows.csv", as_csv(table))

    assert values(path) == table


@settings(max_examples=30)
@given(st.lists(st.dictionaries(CELLS, CELLS | st.integers() | st.none()), min_size=1, max_size=5))
def test_any_objects_survive_jsonl(tmp_path_factory: pytest.TempPathFactory, table) -> None:
    """Whatever an object holds, JSONL brings it back."""
    path = written(tmp_path_factory.mktemp("jsonl"), "rows.jsonl", as_jsonl(table))

    assert values(path) == table


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be-with-mark"])
def test_a_byte_order_mark_decides(ending: str, encoding: str, tmp_path: Path) -> None:
    """A file with a byte-order mark is read in the encoding that the mark says; the mark is in no name."""
    text = WRITERS[ending](TABLE)
    data = "\ufeff" + text if encoding == "utf-16-be-with-mark" else text
    path = written(tmp_path, f"rows{ending}", data.encode(encoding.removesuffix("-with-mark")))

    assert values(path) == TABLE


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("named", ["utf-8", "UTF8"])
def test_a_mark_is_no_text_where_utf_8_is_named(ending: str, named: str, tmp_path: Path) -> None:
    """Naming UTF-8 for a file with a byte-order mark leaves the mark out too."""
    path = written(tmp_path, f"rows{ending}", WRITERS[ending](TABLE).encode("utf-8-sig"))

    assert values(path, encoding=named) == TABLE


@pytest.mark.parametrize("ending", WRITERS)
def test_another_encoding_is_read_when_it_is_named(ending: str, tmp_path: Path) -> None:
    """A file in cp1252 is read with --encoding cp1252, and without it the error says so."""
    table: list[dict[str, Json]] = [{"text": "Grüße – 5 €", "label": "a"}]
    path = written(tmp_path, f"rows{ending}", WRITERS[ending](table).encode("cp1252"))

    assert values(path, encoding="cp1252") == table
    with pytest.raises(DataError, match=r"is not text in utf-8: .*--encoding cp1252"):
        values(path)


@pytest.mark.parametrize("ending", WRITERS)
def test_an_unknown_encoding_is_named(ending: str, tmp_path: Path) -> None:
    """An encoding that does not exist is an error with names that do."""
    path = written(tmp_path, f"rows{ending}", WRITERS[ending](TABLE))

    with pytest.raises(DataError, match="unknown encoding 'nope'; try utf-8, cp1252 or utf-16"):
        values(path, encoding="nope")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_of_csv_is_seen(separator: str, tmp_path: Path) -> None:
    """A CSV with semicolons, tabs or bars is read as one."""
    path = written(tmp_path, "rows.csv", as_csv(TABLE, separator))

    assert values(path) == TABLE


def test_separators_in_quotes_are_not_counted(tmp_path: Path) -> None:
    """A quoted name that holds commas does not make a semicolon file a comma file."""
    path = written(tmp_path, "rows.csv", '"a, b, c";label\n1;2\n')

    assert values(path) == [{"a, b, c": "1", "label": "2"}]


def test_a_single_column_is_read(tmp_path: Path) -> None:
    """A file with one column and no separator at all is read whole."""
    path = written(tmp_path, "rows.txt", "text\nhello world\nagain\n")

    assert values(path) == [{"text": "hello world"}, {"text": "again"}]


BROKEN = {
    "cells": ("rows.csv", "a,b\n1,2\n1,2,3\n\n4,5\n", 2, "3 cells where the header has 2 (line 3)"),
    "few": ("rows.csv", 'a,b\n1,"x\ny"\n3\n4,5\n', 2, "1 cells where the header has 2 (line 4)"),
    "quote": ("rows.csv", 'a,b\n1,2\n"x"y,3\n4,5\n', 2, "broken CSV near line 3"),
    "line": ("rows.jsonl", '{"a": 1}\n\n{"a": \n{"a": 2}\n', 3, "no JSON"),
    "list": ("rows.jsonl", '{"a": 1}\n[1]\n{"a": 2}\n', 2, "expected an object"),
    "deep": ("rows.jsonl", '{"a": 1}\n' + "[" * 100_000 + '\n{"a": 2}\n', 2, "no JSON"),
    "item": ("rows.json", '[{"a": 1}, 3, {"a": 2}]', 2, "expected an object"),
    "chat": ("rows.jsonl", '{"a": 1}\n{"messages": [3]}\n{"a": 2}', 2, "must be an object with"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_ends_the_reading_with_its_number(case: str, tmp_path: Path) -> None:
    """Without `skip_bad` the first broken row is an error that names file, row and reason."""
    name, text, number, problem = BROKEN[case]
    path = written(tmp_path, name, text)

    with pytest.raises(DataError) as caught:
        list(good_rows(path))

    assert str(caught.value).startswith(f"{path}, row {number}: ")
    assert problem in str(caught.value)
    assert "--skip-bad" in str(caught.value)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_left_out_only_where_that_is_asked(case: str, tmp_path: Path) -> None:
    """With `skip_bad` the rows around the broken one are read, and the broken one is listed."""
    name, text, number, problem = BROKEN[case]
    path = written(tmp_path, name, text)
    skipped: list[BadRow] = []

    rows = list(good_rows(path, skip_bad=True, skipped=skipped))

    assert len(rows) == 2
    assert [bad.number for bad in skipped] == [number]
    assert problem in skipped[0].problem


def test_a_quote_that_never_closes_is_named(tmp_path: Path) -> None:
    """What an open quote swallows is one bad row, not silence."""
    path = written(tmp_path, "rows.csv", 'a,b\n1,2\n"x,3\n4,5\n')

    rows = list(read_rows(path))

    assert rows[0] == Row(1, {"a": "1", "b": "2"})
    assert isinstance(rows[1], BadRow)
    assert "unexpected end of data" in rows[1].problem


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.csv", "a,b,a\n1,2,3\n", r"the column 'a' stands twice in the header"),
        ("rows.csv", "a,,b\n1,2,3\n", r"column 2 has no name in the header"),
        ("rows.csv", "\na,b\n1,2\n", r"no header row: the first line is empty"),
        ("rows.csv", '"a"x,b\n1,2\n', r"no header row: "),
        ("rows.json", "{}", r"expected an array of objects.*\.jsonl"),
        ("rows.json", "[]", r"expected an array of objects.*\.jsonl"),
        ("rows.json", '[{"a": 1}, {"a" 2}]', r"after row 1: no JSON"),
        ("rows.parquet", "no table", r"no Parquet"),
        ("rows.xlsx", "x", r"unknown format '\.xlsx'; Ratchet reads \.csv, \.tsv"),
    ],
)
def test_a_file_that_is_no_table_is_an_error(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    """A file that cannot be read at all is an error that names it and says why."""
    path = written(tmp_path, name, text)

    with pytest.raises(DataError, match=message) as caught:
        list(read_rows(path))

    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ['[{"a": 1}', '{"a": 1}', "[" * 100_000])
def test_json_that_cannot_be_streamed_fails_the_same_way(text: str, tmp_path: Path) -> None:
    """Broken JSON in UTF-16 is a DataError as well."""
    path = written(tmp_path, "rows.json", text.encode("utf-16"))

    with pytest.raises(DataError, match=r"no JSON|expected an array"):
        list(read_rows(path))


@pytest.mark.parametrize("depth", [101, 1000, 100_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_deep_nesting_is_refused(name: str, encoding: str, depth: int, tmp_path: Path) -> None:
    """Lists inside lists beyond all reason are a DataError, however the file is read, and take no memory."""
    row = '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    text = f"[{row}]" if name == "rows.json" else row
    path = written(tmp_path, name, text.encode(encoding))

    with pytest.raises(DataError, match=r"deep inside one another|recursion depth"):
        list(good_rows(path))


@given(st.text('[{"\\\\', max_size=300), st.integers(1, 9))
def test_brackets_in_texts_are_no_nesting(text: str, size: int) -> None:
    """What stands in quotes is not counted, wherever a block of the file ends; what is nested just less deep is read."""
    body = json.dumps([{text: [[text]]}, text]).encode()
    deep = b"[" * 101 + b"]" * 101

    shallow = ShallowJson(io.BytesIO(body + deep))
    refused = ShallowJson(io.BytesIO(body + b"[" + deep))

    assert b"".join(iter(lambda: shallow.read(size), b"")) == body + deep
    with pytest.raises(TooDeepError):
        list(iter(lambda: refused.read(size), b""))


@pytest.mark.parametrize("ending", FORMATS)
def test_an_empty_file_is_an_error(ending: str, tmp_path: Path) -> None:
    """A file without a byte in it is an error, whatever its format."""
    path = written(tmp_path, f"rows{ending}", b"")

    with pytest.raises(DataError, match="is empty"):
        list(read_rows(path))


def test_a_missing_file_gets_a_hint(tmp_path: Path) -> None:
    """A misspelt file name is answered with the nearest one in its folder."""
    written(tmp_path, "messages.csv", "a\n1\n")

    with pytest.raises(DataError, match=r"there is no file .*mesages\.csv\. Did you mean"):
        list(read_rows(tmp_path / "mesages.csv"))
    with pytest.raises(DataError, match=r"there is no file .*rows\.csv\.$"):
        list(read_rows(tmp_path / "no folder" / "rows.csv"))


def chat(*messages: dict[str, Json]) -> str:
    return json.dumps({"messages": list(messages)})


SYSTEM = {"role": "system", "content": "Be kind."}
ASKED = {"role": "user", "content": "How much?"}
SAID = {"role": "assistant", "content": "Nine."}
CALL = {
    "role": "assistant",
    "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "price", "arguments": '{"usd": 9}'}}
    ],
}


@pytest.mark.parametrize(
    ("messages", "columns"),
    [
        ([ASKED, SAID], {"message": "How much?", "answer": "Nine."}),
        (
            [SYSTEM, ASKED, SAID],
            {"system": "Be kind.", "message": "How much?", "answer": "Nine."},
        ),
        (
            [SYSTEM, ASKED, SAID, {"role": "user", "content": "Sure?"}, SAID],
            {
                "system": "Be kind.",
                "history": "user: How much?\nassistant: Nine.",
                "message": "Sure?",
                "answer": "Nine.",
            },
        ),
        ([ASKED, CALL], {"message": "How much?", "answer": {"usd": 9}, "tool": "price"}),
    ],
)
def test_openai_chats_become_columns(messages, columns, tmp_path: Path) -> None:
    """A line in OpenAI's fine-tuning format becomes system, history, message, answer and tool."""
    path = written(tmp_path, "chat.jsonl", chat(*messages))

    assert values(path) == [columns]


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "the last of messages must be the assistant's answer"),
        ([ASKED], "the last of messages must be the assistant's answer"),
        ([SYSTEM, SAID], "there is no user message before the answer"),
        (["hi", SAID], "each of messages must be an object with a role"),
        ([ASKED, {"role": "assistant", "tool_calls": [{}]}], "the tool call cannot be read"),
        (
            [
                ASKED,
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": "{"}}],
                },
            ],
            "the tool call cannot be read",
        ),
    ],
)
def test_a_chat_without_an_answer_is_a_bad_row(messages, problem: str, tmp_path: Path) -> None:
    """A chat that cannot be an example is a bad row with the reason."""
    path = written(tmp_path, "chat.jsonl", chat(*messages))

    (row,) = read_rows(path)

    assert isinstance(row, BadRow)
    assert problem in row.problem


def lines_of_csv() -> Iterator[str]:
    yield "id,text,label\n"
    for number in range(60_000):
        yield f'{number},"{"lorem ipsum, " * 80}",label {number % 7}\n'


def lines_of_json() -> Iterator[str]:
    for number in range(60_000):
        body = json.dumps({"id": number, "text": "lorem ipsum, " * 80, "label": number % 7})
        yield ("[" if number == 0 else ",\n") + body
    yield "]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lines"), [("rows.csv", lines_of_csv), ("rows.json", lines_of_json)]
)
def test_a_large_file_is_read_in_constant_memory(
    name: str, lines: Callable[[], Iterator[str]], tmp_path: Path
) -> None:
    """Reading a file of 60 MB holds less than 20 MB at once: memory does not follow the file's size."""
    with (tmp_path / name).open("w", encoding="utf-8") as file:
        file.writelines(lines())
    assert (tmp_path / name).stat().st_size > 60e6

    tracemalloc.start()
    try:
        count = sum(1 for _ in good_rows(tmp_path / name))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 60_000
    assert peak < 20e6
