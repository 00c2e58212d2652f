"""The guess from a whole file: which column plays which part, and what form and metric fit."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from benchmarks.proof.imports import failure_of, write_file
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ratchet.answer import Prompt, starting_candidate
from ratchet.core import Example, Json, Task
from ratchet.core.errors import DataError
from ratchet.data import (
    ImportReport,
    Row,
    good_rows,
    guess_columns,
    guess_task,
    to_examples,
)
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


@pytest.mark.parametrize(
    ("rows", "inputs", "answer"),
    [
        ([{"source": "a", "target": "b"}], ("source",), "target"),
        ([{"post": "a"}], ("post",), None),
        ([{"summary": "a"}], ("summary",), None),
        ([{"id": 1, "post": "a"}], ("post",), None),
        ([{"Unnamed: 0": "0", "post": "a"}], ("post",), None),
        ([{"text": "a", "label": None}], ("text",), None),
        ([{"instruction": "a", "input": None, "output": "b"}], ("instruction", "input"), "output"),
        ([{"text": "a", "answer": "b", "split": "train"}], ("text",), "answer"),
        ([{"user_id": "a", "label": "b"}], ("user_id",), "label"),
    ],
)
def test_what_is_left_plays_the_part_that_is_open(rows, inputs, answer) -> None:
    """Bookkeeping goes in where nothing else does, and without a column for the answer there is none."""
    guess = guess_columns(rows_of(*rows))

    assert (guess.inputs, guess.answer) == (inputs, answer)


def test_no_column_is_input_and_answer() -> None:
    """Where all columns are named as inputs there is no answer; one that is named twice is an error."""
    rows = rows_of({"insight": "a", "network": "b"})

    guess = guess_columns(rows, inputs=["insight", "network"])

    assert (guess.inputs, guess.answer) == (("insight", "network"), None)
    assert "the task has no references" in guess.reasons[0]
    with pytest.raises(DataError, match="is named as an input and as the answer"):
        guess_columns(rows, inputs=["insight"], answer="insight")
    with pytest.raises(DataError, match="leave one of them out"):
        guess_columns(rows, answer="insight", no_answer=True)


def test_a_task_without_references_is_judged() -> None:
    """A judge scores it, is shown no reference, and leaves the names alone that it needs."""
    rows = rows_of({"answer": "a", "post": "b"})
    guess = guess_columns(rows, no_answer=True)

    task = guess_task("posts", rows, guess, model="m", teacher="t")

    assert task.input_names == ("input_answer", "post")
    assert task.metric.name == "judge"
    assert (task.metric.options["reference"], task.metric.options["judges"]) == (False, ["t"])


IDENTIFIERS = {
    "leading zeros": [f"{n:05}" for n in range(990, 1020)],
    "telephones": [f"+4930{n}123" for n in range(1000, 1030)],
    "18 digits": [str(10**17 + n) for n in range(30)],
    "18 digits, typed": [10**17 + n for n in range(30)],
    "versions": [f"1.{n}" for n in range(30)],
    "german": [f"{n},5" for n in range(30)],
    "ungrouped": [f"{n},12,5" for n in range(30)],
}


@pytest.mark.parametrize("kind", IDENTIFIERS)
def test_names_made_of_digits_are_text(kind: str) -> None:
    """What is written in digits is a number only where the digits are an amount."""
    task = guessed(
        rows_of(*({"text": str(n), "answer": v} for n, v in enumerate(IDENTIFIERS[kind])))
    )

    assert task.answer.kind == "text"


@pytest.mark.parametrize("column", ["zip", "order id", "phone_number", "orderNumber", "ZipCode"])
def test_a_column_that_is_named_like_a_name_holds_names(column: str) -> None:
    """Five digits are a number under `price`, and a name under `zip`."""
    digits = [{"text": str(n), column: str(10000 + n)} for n in range(30)]
    prices = [{"text": str(n), "price": str(10000 + n)} for n in range(30)]

    assert guessed(rows_of(*digits)).answer.kind == "text"
    assert guessed(rows_of(*prices)).answer.kind == "number"


AMOUNTS = {
    "integers": [str(n) for n in range(30)],
    "prices": [f"{n}.50" for n in range(30)],
    "prices with marks": [f"$1,{n:03}.00" for n in range(30)],
    "floats": [n / 8 for n in range(30)],
    "negative": [f"-{n}" for n in range(30)],
    "fractions": [f"0.{n}1" for n in range(30)],
    "percent": [f"{n} %" for n in range(30)],
    "solutions": [f"It is {n} + 1.\n#### {n + 1}" for n in range(30)],
}


@pytest.mark.parametrize("kind", AMOUNTS)
def test_amounts_are_numbers(kind: str) -> None:
    """Amounts are numbers, also behind the mark of a worked solution."""
    task = guessed(rows_of(*({"text": str(n), "answer": v} for n, v in enumerate(AMOUNTS[kind]))))

    assert (task.answer.kind, task.metric.name) == ("number", "number")


def test_labels_are_those_of_the_whole_file() -> None:
    """Classes that a sorted file brings late are labels as well."""
    labels = [f"class {n // 100:02}" for n in range(4000)]

    task = guessed(rows_of(*({"text": str(n), "category": v} for n, v in enumerate(labels))))

    assert len(task.answer.labels) == 40


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 1.0, None] * 5, ("0", "1")),
        (["0.0", "1.0", None] * 5, ("0", "1")),
        (["1.0", "2.0"] * 5, ("1.0", "2.0")),
        ([True, False] * 5, ("false", "true")),
        (["01", "02"] * 5, ("01", "02")),
    ],
)
def test_labels_are_written_as_people_write_them(values, labels) -> None:
    """A float that stands for an integer is one, and true is no Python word; text stays as it is."""
    task = guessed(rows_of(*({"text": str(n), "label": v} for n, v in enumerate(values))))

    assert task.answer.labels == labels


@pytest.mark.parametrize(
    "values",
    [
        [{"n": 1}, {"n": "one"}, {"n": None}],
        [[[0, 5, "PER"]], [[7, 9, "LOC"], [10, 12, "PER"]], []],
        [{"tags": ["a"]}, {"tags": "a"}, {"tags": {"a": 1}}],
        [{"kind": k} for k in ["a", "b", None] * 10],
        [{"a": 1}] * 3000 + [{"a": 1, "late": [1.5, None]}],
        [{f"user{n}": n} for n in range(300)],
        [[{"a": 1}], {"b": 2}],
    ],
)
def test_a_schema_fits_every_value_that_it_was_made_of(values: list[Json]) -> None:
    """Mixed types are unions, what was null may be null, and what comes late belongs to it."""
    rows = rows_of(*({"text": str(n), "output": v} for n, v in enumerate(values)))
    task = guessed(rows)

    examples = list(to_examples(task, rows, guess_columns(rows), Path("f"), report=ImportReport()))

    assert len(examples) == len(values)
    Prompt(task, starting_candidate(task)).request(examples[0])


@pytest.mark.parametrize(
    "columns",
    [
        *([name] for name in ("labels", "schema", "instructions", "this", "else", "absent", "passages")),
        ["Question 1", "Question-1"],
        ["a b", "a_b", "a-b"],
        ["labels", "input_labels"],
    ],
)  # fmt: skip
def test_columns_that_cannot_be_fields_are_renamed(columns: list[str]) -> None:
    """Names that templates keep for themselves, and names that become the same one, are renamed, which is said."""
    rows = rows_of(*({**dict.fromkeys(columns, f"cell {n}"), "answer": f"a {n}"} for n in range(4)))
    guess = guess_columns(rows)
    task = guess_task("t", rows, guess, model="m")

    examples = list(to_examples(task, rows, guess, Path("f"), report=ImportReport()))

    assert len(set(task.input_names)) == len(columns)
    assert set(examples[0].inputs.values()) == {"cell 0"}
    assert any("is the input" in reason for reason in guess.reasons)
    request = Prompt(task, starting_candidate(task)).request(examples[0])
    assert str(request.messages[-1]["content"]).count("cell 0") == len(columns)


@pytest.mark.parametrize(
    "prompt", ["Ask for {{Order Number}}.", "{{labels}}", "a \\{{x}} {{", "{{#if}}"]
)
def test_text_of_a_file_is_no_template(prompt: str) -> None:
    """A system prompt is shown as it stands in the file, whatever braces it holds; so is a column's name."""
    rows = rows_of(
        *({"system": prompt, "message": f"m{n}", "answer": f"a {n} b"} for n in range(4))
    )
    named = rows_of(*({"text": f"m{n}", prompt: f"a {n} b"} for n in range(4)))

    for task in (guessed(rows), guess_task("t", named, guess_columns(named), model="m")):
        request = Prompt(task, starting_candidate(task)).request(
            Example(inputs=dict.fromkeys(task.input_names, "x"), reference="y")
        )
        assert prompt in str(request.messages[0]["content"])


def test_a_column_called_system_is_an_input_where_it_varies() -> None:
    """Only a prompt that all rows share is the instructions."""
    rows = rows_of(
        *({"system": f"s{n}", "message": f"m{n}", "answer": f"a {n} b"} for n in range(4))
    )

    assert guessed(rows).input_names == ("system", "message")


def test_ids_that_repeat_are_no_ids() -> None:
    """A column of a few values names no rows, whatever it is called; that is said."""
    rows = rows_of(*({"key": n % 3, "text": str(n), "label": "x"} for n in range(30)))

    guess = guess_columns(rows)

    assert guess.identity is None
    assert "the same value in many rows" in guess.reasons[0]


def test_questions_that_cannot_be_answered_have_an_answer_of_their_own() -> None:
    """Where SQuAD says that the paragraph does not hold the answer, the model may say so."""
    rows = rows_of(
        *(
            {"context": "c", "question": f"q{n}", "answer": ["unanswerable", f"a{n}"][n % 2]}
            for n in range(8)
        )
    )

    assert guessed(rows).answer.absent == "unanswerable"


def test_generated_files_come_in_whole(tmp_path: Path) -> None:
    """Whatever the guess accepts: every row is imported, can be shown, and can be planned; few files are refused."""
    random = Random(0)
    ends = [failure_of(write_file(random, tmp_path)) for _ in range(500)]

    assert [end for end in ends if end[0] not in ("", "refused")] == []
    assert sum(step == "refused" for step, _ in ends) < 60


def test_queries_are_of_kind_sql() -> None:
    """A mark or a letter in a query matters, so that a column of them is neither free text nor labels."""
    rows = rows_of(
        *(
            {"question": f"how many {n}", "sql": f"SELECT count(*) FROM t WHERE x < {n % 5}"}
            for n in range(40)
        )
    )

    task = guessed(rows)

    assert (task.answer.kind, task.metric.name) == ("sql", "exact")
    assert guessed(rows_of(*({"q": str(n), "a": f"select one, {n}"} for n in range(9)))).answer.kind == "text"  # fmt: skip
