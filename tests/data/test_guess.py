"""The guess from the first rows: which column plays which part, and what form and metric fit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ratchet.answer import Prompt, starting_candidate
from ratchet.core import Json, Task
from ratchet.core.errors import DataError
from ratchet.data import Row, good_rows, guess_columns, guess_task
from ratchet.data.guess import field_name
from ratchet.data.schema import infer_schema
from ratchet.metrics import make_metric

SCALARS = (st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
VALUES = st.recursive(
    st.one_of(*SCALARS, *(st.lists(scalar, max_size=3) for scalar in SCALARS)),
    lambda inner: st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=6,
)


def rows_of(*rows: dict[str, Json]) -> list[Row]:
    return [Row(number, row) for number, row in enumerate(rows, start=1)]


def guessed(rows: list[Row]) -> Task:
    return guess_task("guessed", rows, guess_columns(rows), model="local:nano")


def test_columns_are_told_by_their_names() -> None:
    """Answer, id and group are known by name, whatever their case; bookkeeping is left out."""
    rows = rows_of({"ID": 1, "text": "a", "Label": "x", "group": "g", "source": "s"})

    guess = guess_columns(rows)

    assert (guess.inputs, guess.answer) == (("text",), "Label")
    assert (guess.identity, guess.group) == ("ID", "group")
    assert guess.left_out == ("source",)


def test_what_the_caller_names_is_taken() -> None:
    """Named columns win over guesses."""
    rows = rows_of({"text": "a", "title": "b", "label": "x", "mood": "y", "form": "f"})

    guess = guess_columns(rows, inputs=["title"], answer="mood", group="text")

    assert (guess.inputs, guess.answer, guess.group) == (("title",), "mood", "text")


def test_a_last_resort_is_said() -> None:
    """Where no column is named like an answer the last one is taken, and that is said."""
    guess = guess_columns(rows_of({"one": "a", "two": "b"}))

    assert (guess.inputs, guess.answer) == (("one",), "two")
    assert guess.reasons == ("no column has the name of an answer; took the last one, 'two'",)


@pytest.mark.parametrize(
    ("rows", "named", "message"),
    [
        ([], {}, "there are no rows to guess from"),
        ([{"answer": 1}], {}, "no column is left as an input beside the answer 'answer'"),
        (
            [{"text": 1, "label": 2}],
            {"answer": "lable"},
            r"there is no column 'lable'; the columns are 'text', 'label'\. Did you mean 'label'\?",
        ),
        ([{"text": 1, "label": 2}], {"inputs": ["x"]}, "there is no column 'x'"),
        ([{"text": 1, "label": 2}], {"group": "x"}, "there is no column 'x'"),
    ],
)
def test_what_cannot_be_guessed_is_an_error(rows, named, message: str) -> None:
    """A file that does not tell is an error that says what to name."""
    with pytest.raises(DataError, match=message):
        guess_columns(rows_of(*rows), **named)


def test_few_repeated_answers_are_labels() -> None:
    """Answers that repeat are labels, in alphabetical order, scored as labels."""
    task = guessed(rows_of(*({"text": str(n), "label": "ba"[n % 2]} for n in range(12))))

    assert (task.answer.kind, task.answer.labels) == ("label", ("a", "b"))
    assert task.metric.name == "label"


def test_many_different_numbers_are_numbers() -> None:
    """Answers that are all numbers, and many, are a number task; thousands separators are no text."""
    task = guessed(rows_of(*({"text": str(n), "price": f"1,{n:03}.5"} for n in range(12))))

    assert (task.answer.kind, task.metric.name) == ("number", "number")


def test_different_texts_are_text() -> None:
    """Answers that do not repeat are free text."""
    task = guessed(rows_of(*({"question": str(n), "answer": f"because {n}"} for n in range(12))))

    assert (task.answer.kind, task.metric.name) == ("text", "match")


def test_json_in_a_cell_becomes_a_schema() -> None:
    """Objects, also as text in a CSV cell, make a schema that they fit, scored field by field."""
    bodies = [{"city": f"city {n}", "days": n} for n in range(12)]

    task = guessed(rows_of(*({"text": "x", "output": json.dumps(body)} for body in bodies)))

    assert (task.answer.kind, task.metric.name) == ("json", "fields")
    validator = Draft202012Validator(task.answer.json_schema)
    assert all(validator.is_valid(body) for body in bodies)
    assert not validator.is_valid({"city": "x"})


def test_lists_of_labelled_texts_are_spans() -> None:
    """A list of objects with a text and a class from a small set is a span task, with the names filled in."""
    rows = rows_of(
        *(
            {"text": "x", "entities": [{"value": f"v{n}", "kind": ["NAME", "IBAN"][n % 2]}]}
            for n in range(20)
        )
    )

    task = guessed(rows)

    assert task.metric.name == "spans"
    assert task.metric.options == {"list": "entities", "text": "value", "label": "kind"}


def test_one_system_message_becomes_the_instructions() -> None:
    """Chats that share a system message are told by it, and it is no input."""
    rows = rows_of(
        *({"system": "Be brief.", "message": f"m{n}", "answer": f"a {n} b"} for n in range(4))
    )

    task = guessed(rows)

    assert (task.instructions, task.input_names) == ("Be brief.", ("message",))


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("text", "text"),
        (" Full Text ", "Full_Text"),
        ("2nd", "_2nd"),
        ("a.b-c", "a_b_c"),
        ("Übersicht", "_Übersicht"),
        ("текст", "_текст"),
        ("???", "input"),
    ],
)
def test_any_column_gets_a_name_that_a_template_can_use(column: str, name: str) -> None:
    """A column of any name can be an input."""
    rows = rows_of(*({column: str(n), "answer": f"a {n} b"} for n in range(4)))

    task = guessed(rows)

    assert task.input_names == (name,)
    Prompt(task, starting_candidate(task))


@given(st.text(max_size=10))
def test_field_names_are_always_valid(column: str) -> None:
    """No column name is too odd for a task."""
    rows = rows_of({column: "x", "an answer": "y"})

    task = guess_task(
        "t", rows, guess_columns(rows, inputs=[column], answer="an answer"), model="m"
    )

    assert task.input_names == (field_name(column),)


@given(st.dictionaries(st.text("abc", max_size=3), VALUES, max_size=3))
@settings(max_examples=30)
def test_objects_fit_the_schema_that_is_inferred_from_them(body: dict[str, Json]) -> None:
    """Whatever plain object the first row holds, the guessed schema accepts it."""
    schema = infer_schema([body])

    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(body)


@pytest.mark.parametrize(
    ("name", "inputs", "answer", "kind"),
    [
        ("banking77/train.csv", ("text",), "category", "label"),
        ("gsm8k/train.jsonl", ("question",), "answer", "number"),
        ("prices/product_prices.jsonl", ("text",), "price", "number"),
        ("chat/emmy_train.jsonl", ("message",), "answer", "text"),
    ],
)
def test_real_files_are_guessed_right(
    name: str, inputs: tuple[str, ...], answer: str, kind: str, shared: Callable[[str], Path]
) -> None:
    """Files that others made are understood without a setting, down to a metric and a prompt that work."""
    rows = list(good_rows(shared(name)))

    guess = guess_columns(rows)
    task = guess_task("real", rows, guess, model="local:nano")

    assert (task.input_names, guess.answer, task.answer.kind) == (inputs, answer, kind)
    make_metric(task.metric)
    Prompt(task, starting_candidate(task))


def test_banking77_has_its_77_labels(shared: Callable[[str], Path]) -> None:
    """The guessed labels of Banking77 are the published ones."""
    rows = list(good_rows(shared("banking77/train.csv")))
    published = json.loads(shared("banking77/categories.json").read_text("utf-8"))

    task = guessed(rows)

    assert sorted(task.answer.labels) == sorted(published)


def test_the_system_message_of_a_real_chat_becomes_the_instructions(
    shared: Callable[[str], Path],
) -> None:
    """A fine-tuning file for another service brings its instructions along."""
    task = guessed(list(good_rows(shared("chat/emmy_train.jsonl"))))

    assert task.instructions.startswith("You are an ecommerce pricing assistant.")
