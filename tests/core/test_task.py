"""A task that contradicts itself is refused with a message that says what to change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ratchet.core import AnswerForm, InputField, Json, SplitSpec, Task

SMALLEST: dict[str, Json] = {
    "name": "pii",
    "instructions": "Find it.",
    "inputs": [{"name": "text"}],
    "metric": {"name": "match"},
    "models": {"student": "local:nano"},
}


def test_a_smallest_task_has_sensible_defaults() -> None:
    """A task needs a name, instructions, an input, a metric and a model; the rest has defaults."""
    task = Task.model_validate(SMALLEST)

    assert task.input_names == ("text",)
    assert task.answer.kind == "text"
    assert (task.splits.train, task.splits.dev, task.splits.test) == (0.6, 0.2, 0.2)


@pytest.mark.parametrize("missing", SMALLEST)
def test_what_a_task_needs_is_named_where_it_is_missing(missing: str) -> None:
    """A task without one of its parts is refused, and the part is named."""
    parts = {name: part for name, part in SMALLEST.items() if name != missing}

    with pytest.raises(ValidationError, match=rf"{missing}\n  Field required"):
        Task.model_validate(parts)


@pytest.mark.parametrize("name", ["My Task", "", "-x", "../x", "a/b", "ä", "UPPER", "a\n"])
def test_a_task_name_is_a_safe_file_name(name: str) -> None:
    """A task's name can never be a path; the message says the rule and the value."""
    with pytest.raises(ValidationError, match="a task name is lower-case letters") as caught:
        Task.model_validate({**SMALLEST, "name": name})

    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["1a", "", "a b", "a-b", "a.b"])
def test_a_field_name_is_one_that_a_template_can_use(name: str) -> None:
    """A field's name is letters, digits and _; the message shows the one that is not."""
    with pytest.raises(ValidationError, match="a field name is letters, digits and _") as caught:
        InputField(name=name)

    assert repr(name) in str(caught.value)


def test_a_task_has_an_input() -> None:
    """A task without inputs is refused."""
    with pytest.raises(ValidationError, match="inputs"):
        Task.model_validate({**SMALLEST, "inputs": []})


def test_two_inputs_never_share_a_name() -> None:
    """Two inputs of one name are refused, and the name is shown."""
    inputs = [{"name": "text"}, {"name": "more"}, {"name": "text"}]

    with pytest.raises(ValidationError, match="each input needs its own name; 'text' stands twice"):
        Task.model_validate({**SMALLEST, "inputs": inputs})


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "objekt"}, "at $.type: 'objekt' is not"),
        ({"properties": {"city": {"type": "strng"}}}, "at $.properties.city.type: 'strng' is not"),
        ({"properties": {"city": {"pattern": "("}}}, "at $.properties.city.pattern: '(' is not"),
        ({"required": "city"}, "at $.required: 'city' is not of type 'array'"),
    ],
)
@pytest.mark.parametrize("kind", ["json", "tool"])
def test_a_schema_that_is_none_is_refused_with_its_place(
    kind: str, schema: dict[str, Json], place: str
) -> None:
    """A mistake in answer.json_schema is found when the task is made, and named with the task and the place."""
    answer = {"kind": kind, "tool": "t", "json_schema": schema}

    with pytest.raises(ValidationError) as caught:
        Task.model_validate({**SMALLEST, "answer": answer})

    assert f"task 'pii': answer.json_schema is no JSON Schema {place}" in str(caught.value)


@pytest.mark.parametrize("margin", [-0.01, 1, 1.5])
def test_a_margin_is_a_loss_of_score(margin: float) -> None:
    """A margin lies in [0, 1)."""
    with pytest.raises(ValidationError, match="margin"):
        Task.model_validate({**SMALLEST, "margin": margin})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"kind": "label"}, "needs at least two different labels in answer.labels"),
        ({"kind": "label", "labels": ["a"]}, "needs at least two different labels"),
        ({"kind": "label", "labels": ["a", "a"]}, "needs at least two different labels"),
        ({"kind": "json"}, "an answer of kind 'json' needs answer.json_schema"),
        ({"kind": "tool", "tool": "t"}, "an answer of kind 'tool' needs answer.json_schema"),
        (
            {"kind": "tool", "json_schema": {"type": "object"}},
            "an answer of kind 'tool' needs answer.tool, the name of the tool",
        ),
        ({"kind": "poem"}, "'text', 'label', 'number', 'json', 'tool' or 'sql'"),
    ],
)
def test_an_answer_form_is_complete(parts: dict[str, Json], message: str) -> None:
    """A form that lacks what its kind needs is refused, and the message names what."""
    with pytest.raises(ValidationError) as caught:
        AnswerForm.model_validate(parts)

    assert message in str(caught.value)


def test_split_sizes_sum_to_one() -> None:
    """Shares that do not sum to one are refused, and shown."""
    with pytest.raises(ValidationError) as caught:
        SplitSpec(train=0.8, dev=0.1, test=0.2)

    assert "split sizes must sum to 1, got (0.8, 0.1, 0.2)" in str(caught.value)


def test_every_split_gets_something() -> None:
    """A share of nothing or of everything is refused."""
    with pytest.raises(ValidationError, match="test"):
        SplitSpec(train=0.5, dev=0.5, test=0)


@given(st.integers(1, 98), st.integers(1, 98))
def test_shares_in_whole_percent_are_accepted(train: int, dev: int) -> None:
    """Rounding of decimal shares never makes a right sum wrong."""
    dev = min(dev, 99 - train)

    spec = SplitSpec(train=train / 100, dev=dev / 100, test=(100 - train - dev) / 100)

    assert spec.train == train / 100


def test_types_of_other_languages_are_what_they_mean() -> None:
    """Schemas that are published with Python's names for types are read; a property that is called `type` is none."""
    schema = {
        "type": "dict",
        "properties": {
            "type": {"type": "float"},
            "pair": {"type": "tuple", "items": {"type": "any"}},
            "either": {"anyOf": [{"type": "int"}, {"type": "str"}]},
        },
    }

    form = AnswerForm(kind="json", json_schema=schema)

    assert form.json_schema == {
        "type": "object",
        "properties": {
            "type": {"type": "number"},
            "pair": {"type": "array", "items": {}},
            "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        },
    }
