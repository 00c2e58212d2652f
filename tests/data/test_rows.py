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
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.data import BadRow, Row, good_rows, read_rows
from ratchet.data.cells import MISSING_WORDS
from ratchet.data.json_files import ShallowJson, TooDeepError
from ratchet.data.rows import FORMATS

TABLE: list[dict[str, Json]] = [
    {"text": "Grüße 👋", "label": "a"},
    {"text": 'says "no", then\nleaves; \t| ok', "label": "b"},
    {"text": " spaces ", "label": "  "},
    {"text": "nobody said", "label": ""},
]
CELLS_OF_TABLE = [*TABLE[:2], *({**row, "label": None} for row in TABLE[2:])]
"""The cells that are read: what is blank is none."""
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


def cells_of(table: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Return what is read of a table: blank cells are none, and rows of nothing else are no rows."""
    rows = [
        {name: None if isinstance(c, str) and not c.strip() else c for name, c in row.items()}
        for row in table
    ]
    return [row for row in rows if any(cell is not None for cell in row.values())]


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
    """Quotes, separators, newlines and emoji survive in every text format, and a blank cell is none."""
    path = written(tmp_path, f"rows{ending}", WRITERS[ending.lower()](TABLE))

    rows = list(read_rows(path))

    assert rows == [Row(number, row) for number, row in enumerate(CELLS_OF_TABLE, start=1)]


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
    assume(not any(cell.strip() in MISSING_WORDS for row in cells for cell in row))
    table: list[dict[str, Json]] = [{"a": a, "b": b} for a, b in cells]
    path = written(tmp_path_factory.mktemp("csv"), "rows.csv", as_csv(table))

    assert values(path) == cells_of(table)


@settings(max_examples=30)
@given(st.lists(st.dictionaries(CELLS, CELLS | st.integers() | st.none()), min_size=1, max_size=5))
def test_any_objects_survive_jsonl(tmp_path_factory: pytest.TempPathFactory, table) -> None:
    """Whatever an object holds, JSONL brings it back."""
    path = written(tmp_path_factory.mktemp("jsonl"), "rows.jsonl", as_jsonl(table))

    assert values(path) == cells_of(table)


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be-with-mark"])
def test_a_byte_order_mark_decides(ending: str, encoding: str, tmp_path: Path) -> None:
    """A file with a byte-order mark is read in the encoding that the mark says; the mark is in no name."""
    text = WRITERS[ending](TABLE)
    data = "\ufeff" + text if encoding == "utf-16-be-with-mark" else text
    path = written(tmp_path, f"rows{ending}", data.encode(encoding.removesuffix("-with-mark")))

    assert values(path) == CELLS_OF_TABLE


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("named", ["utf-8", "UTF8"])
def test_a_mark_is_no_text_where_utf_8_is_named(ending: str, named: str, tmp_path: Path) -> None:
    """Naming UTF-8 for a file with a byte-order mark leaves the mark out too."""
    path = written(tmp_path, f"rows{ending}", WRITERS[ending](TABLE).encode("utf-8-sig"))

    assert values(path, encoding=named) == CELLS_OF_TABLE


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

    assert values(path) == CELLS_OF_TABLE


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
        ("rows.xlsx", "x", r"no spreadsheet that can be read"),
        ("rows.xls", "x", r"unknown format '\.xls'; Ratchet reads \.csv, \.tsv"),
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

RESULT = {"role": "tool", "tool_call_id": "1", "content": "9 USD"}
OLD_CALL = {
    "role": "assistant",
    "content": None,
    "function_call": {"name": "price", "arguments": '{"usd": 9}'},
}
TWO_CALLS = {"role": "assistant", "tool_calls": CALL["tool_calls"] * 2}


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
        ([ASKED, OLD_CALL], {"message": "How much?", "answer": {"usd": 9}, "tool": "price"}),
        (
            [ASKED, TWO_CALLS],
            {
                "message": "How much?",
                "answer": [{"name": "price", "arguments": {"usd": 9}}] * 2,
                "tool": "price",
            },
        ),
        ([ASKED], {"message": "How much?"}),
        (
            [{**SYSTEM, "role": "developer"}, ASKED, CALL, RESULT, SAID],
            {
                "system": "Be kind.",
                "message": "How much?",
                "steps": 'assistant: price({"usd": 9})\ntool: 9 USD',
                "answer": "Nine.",
            },
        ),
        (
            [ASKED, CALL, RESULT, SAID, ASKED, SAID],
            {
                "history": 'user: How much?\nassistant: price({"usd": 9})\ntool: 9 USD\nassistant: Nine.',
                "message": "How much?",
                "answer": "Nine.",
            },
        ),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "How"}, {"type": "text", "text": "much?"}],
                },
                SAID,
            ],
            {"message": "How\nmuch?", "answer": "Nine."},
        ),
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
        ([ASKED, CALL, RESULT], "the last of messages must be the assistant's answer"),
        ([{"role": "wizard", "content": "Hm."}, SAID], "unknown role 'wizard'"),
        (
            [{"role": "user", "content": [{"type": "image_url"}]}, SAID],
            "a part of type 'image_url'",
        ),
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


def test_what_stands_beside_a_chat_is_read_too(tmp_path: Path) -> None:
    """An id and a group beside `messages` are columns, and what the format itself calls an input is one."""
    body = {"id": 7, "thread_id": "t", "messages": [ASKED, SAID], "tools": [{"type": "function"}]}
    path = written(tmp_path, "chat.jsonl", json.dumps(body))

    (row,) = read_rows(path)

    assert isinstance(row, Row)
    assert (row.values["id"], row.values["thread_id"], row.inputs) == (7, "t", ("message",))


def test_chats_of_sharegpt_are_read(tmp_path: Path) -> None:
    """Turns that are written as `from` and `value` are the same chat."""
    turns = [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": "How much?"},
        {"from": "gpt", "value": "Nine."},
    ]
    path = written(tmp_path, "chat.json", json.dumps([{"id": "a", "conversations": turns}]))

    assert values(path) == [
        {"id": "a", "system": "Be kind.", "message": "How much?", "answer": "Nine."}
    ]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("sep=;\na;b\n1,5;x\n", [{"a": "1,5", "b": "x"}]),
        (",a,b\n0,x,y\n1,z,w\n", [{"Unnamed: 0": "0", "a": "x", "b": "y"}, {"Unnamed: 0": "1", "a": "z", "b": "w"}]),
        ("a,b,,\n1,2,,\n3,4\n,,,\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        ("a,b\nNaN,x\nNULL,y\n<NA>,z\n", [{"a": None, "b": "x"}, {"a": None, "b": "y"}, {"a": None, "b": "z"}]),
        ("a,b\nNA,x\nNone,Nan\n", [{"a": "NA", "b": "x"}, {"a": "None", "b": "Nan"}]),
        ('text\nhello, world\n"quoted" start\n"a\nb"\n', [{"text": "hello, world"}, {"text": '"quoted" start'}, {"text": "a\nb"}]),
    ],
    ids=["sep", "index", "nameless", "missing", "words", "one column"],
)  # fmt: skip
def test_csv_as_programs_write_it(text: str, rows: list[dict[str, Json]], tmp_path: Path) -> None:
    """Excel's first line, pandas' index, nameless columns at the end and missing values are read as what they are."""
    assert values(written(tmp_path, "rows.csv", text)) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a\tb\n"oh no\tx\nfine\ty\n', [{"a": '"oh no', "b": "x"}, {"a": "fine", "b": "y"}]),
        ('a\tb\n"oh\tx\nc\ty\nd\t"no\n', [{"a": '"oh', "b": "x"}, {"a": "c", "b": "y"}, {"a": "d", "b": '"no'}]),
        ('a\tb\n"oh\tx\nsaid ""\ty\n', [{"a": '"oh', "b": "x"}, {"a": 'said ""', "b": "y"}]),
        ('a\tb\n"two\nlines"\tx\n', [{"a": "two\nlines", "b": "x"}]),
        ('a\tb\nx\t"two\nlines"\ny\tz\n', [{"a": "x", "b": "two\nlines"}, {"a": "y", "b": "z"}]),
        ('a\tb\n"a ""tab""\t"\tx\n', [{"a": 'a "tab"\t', "b": "x"}]),
        ('a\tb\n"yes" he said\t"x"\n', [{"a": '"yes" he said', "b": "x"}]),
    ],
)  # fmt: skip
def test_a_quotation_mark_that_nothing_closes_is_a_letter(
    text: str, rows: list[dict[str, Json]], tmp_path: Path
) -> None:
    """In a table with tabs a cell is quoted only where a mark closes it."""
    assert values(written(tmp_path, "rows.tsv", text)) == rows


ROW = {"text": "a", "label": "x"}


@pytest.mark.parametrize(
    "body",
    [
        {"data": [ROW, ROW]},
        {"version": 1, "examples": [ROW, ROW]},
        {"anything": [ROW, ROW], "names": ["x"]},
        {"rows": [{"row_idx": 0, "row": ROW}, {"row_idx": 1, "row": ROW}]},
        {"text": {"0": "a", "1": "a"}, "label": {"0": "x", "1": "x"}},
        {"text": ["a", "a"], "label": ["x", "x"]},
        {"data": {"rows": [ROW, ROW]}},
        {"columns": ["text", "label"], "index": [0, 1], "data": [["a", "x"], ["a", "x"]]},
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_rows_inside_an_object_are_found(body: Json, encoding: str, tmp_path: Path) -> None:
    """A wrapper around the array, and a table that is written column by column, are read."""
    path = written(tmp_path, "rows.json", json.dumps(body).encode(encoding))

    assert values(path) == [ROW, ROW]


def test_splits_inside_an_object_are_all_read(tmp_path: Path) -> None:
    """A file with its splits side by side gives all rows, each with the name of its split."""
    path = written(tmp_path, "rows.json", json.dumps({"train": [ROW], "test": [ROW], "n": 2}))

    assert values(path) == [{"split": "train", **ROW}, {"split": "test", **ROW}]


def test_json_lines_under_the_other_name_are_read(tmp_path: Path) -> None:
    """A file with one object a line is read also where its name ends in .json."""
    path = written(tmp_path, "rows.json", as_jsonl([ROW, ROW]))

    assert values(path) == [ROW, ROW]


def test_squad_becomes_questions_with_their_context(tmp_path: Path) -> None:
    """Each question has its paragraph, the answer that most people gave, and "unanswerable" where there is none."""
    questions = [
        {"id": "1", "question": "Who?", "answers": [{"text": "Ann Lee"}, {"text": "Ann"}, {"text": "Ann"}]},
        {"id": "2", "question": "When?", "answers": [], "is_impossible": True},
        {"id": "3", "question": "Why?"},
    ]  # fmt: skip
    paragraph = {"context": "Ann Lee came.", "qas": questions}
    body = {"version": "2", "data": [{"title": "Lee", "paragraphs": [paragraph]}]}
    path = written(tmp_path, "dev.json", json.dumps(body))

    found = values(path)

    assert [row.get("answer") for row in found] == ["Ann", "unanswerable", None]
    assert {row["context"] for row in found} == {"Ann Lee came."}
    assert {row["document_id"] for row in found} == {"Lee, paragraph 1"}


@pytest.mark.parametrize("name", ["rows.conll", "rows.txt", "rows.tsv"])
def test_tokens_with_tags_become_texts_with_spans(name: str, tmp_path: Path) -> None:
    """A token and its tag a line, sentences apart by an empty one: each is a text with its spans."""
    lines = [
        "-DOCSTART- O",
        "",
        "Ann B-PER",
        "Lee I-PER",
        "saw O",
        "Bonn B-LOC",
        "Rome B-LOC",
        "",
        "Nobody O",
        "",
        "EU I-ORG",
    ]
    text = "\n".join(line.replace(" ", "\t" if name.endswith("tsv") else " ") for line in lines)  # fmt: skip

    found = values(written(tmp_path, name, text))

    assert found == [
        {
            "text": "Ann Lee saw Bonn Rome",
            "spans": [
                {"text": "Ann Lee", "label": "PER"},
                {"text": "Bonn", "label": "LOC"},
                {"text": "Rome", "label": "LOC"},
            ],
        },
        {"text": "Nobody", "spans": []},
        {"text": "EU", "spans": [{"text": "EU", "label": "ORG"}]},
    ]


def test_a_broken_line_between_tokens_is_named(tmp_path: Path) -> None:
    """A token without a tag is a bad row that names its line."""
    path = written(tmp_path, "rows.conll", "Ann B-PER\nLee\n\nBonn B-LOC\n")

    first, second = read_rows(path)

    assert isinstance(first, BadRow)
    assert "line 2: expected a token and its tag" in first.problem
    assert isinstance(second, Row)
