"""Assertions about an answer, each kind on what holds and on what does not."""

import pytest

from ratchet.core import Example
from ratchet.core.errors import MetricError
from ratchet.metrics.assertions import Assertions

JSON_SCHEMA = {"type": "object", "required": ["a"]}


def score(answer, *assertions):
    return Assertions().score(Example(inputs={}, reference=list(assertions)), answer)


@pytest.mark.parametrize(
    ("kind", "value", "right", "wrong"),
    [
        ("equals", "Paris", "Paris", "Paris."),
        ("equals", {"a": 1}, '{ "a": 1 }', '{"a": 2}'),
        ("equals", 3, "3", "4"),
        ("contains", "is", "this", "that"),
        ("icontains", "IS", "this", "that"),
        ("contains-all", ["a", "b"], "ab", "a"),
        ("contains-any", "x, b", "ab", "a"),
        ("contains-any", '"Paris, France", Rome', "in Paris, France", "France and Paris"),
        ("contains-any", "x,,y", "xa", "a"),
        ("contains-all", '"a, b", c', "a, b or c", "b, a or c"),
        ("equals", True, "true", "1"),
        ("equals", 1, "1", "true"),
        ("equals", 42, "42", "42.0"),
        ("equals", {"a": [1]}, '{"a": [1.0]}', '{"a": [true]}'),
        ("is-json", None, "{}", '{"a": NaN}'),
        ("contains-json", JSON_SCHEMA, 'set {x}: {"b": 1}, {"a": 1}', 'so: {"b": 1} {"c": 1}'),
        (
            "contains-json",
            {"type": "object", "properties": {"n": {"multipleOf": 0.01}}, "required": ["n"]},
            '{"n": 19.99}',
            '{"n": 19.995}',
        ),
        ("icontains-all", "A,B", "ab", "a"),
        ("icontains-any", ["X", "B"], "ab", "a"),
        ("starts-with", "Dear", "Dear you", "Oh dear"),
        ("regex", r"^\d+$", "12", "12a"),
        ("is-json", None, "[1]", "so: [1]"),
        ("is-json", JSON_SCHEMA, '{"a": 1}', '{"b": 1}'),
        ("contains-json", JSON_SCHEMA, 'so: {"a": 1}.', "so: {b}."),
        ("levenshtein", "kitten", "sitting", "something else"),
        ("word-count", 2, "two words", "one"),
        ("word-count", {"min": 2, "max": 3}, "two words", "one"),
    ],
)
def test_each_kind(kind, value, right, wrong):
    """It holds of one text and not of the other; with not- before it the other way round."""
    assert score(right, {"type": kind, "value": value}).value == 1
    assert score(wrong, {"type": kind, "value": value}).value == 0
    assert score(right, {"type": f"not-{kind}", "value": value}).value == 0
    assert score(wrong, {"type": f"not-{kind}", "value": value}).value == 1


def test_weights_make_the_share():
    """And what does not hold is said."""
    found = score(
        "ab",
        {"type": "contains", "value": "a", "weight": 3},
        {"type": "contains", "value": "c"},
    )
    assert found.value == 0.75
    assert found.feedback == 'Does not hold: contains "c".'


def test_edits_are_counted_as_levenshtein_does():
    """Kitten and sitting are three edits apart: the example of the Wikipedia article on Levenshtein distance."""
    for threshold, value in ((3, 1), (2, 0)):
        one = {"type": "levenshtein", "value": "kitten", "threshold": threshold}
        assert score("sitting", one).value == value


def test_a_column_may_hold_them_as_json():
    """As a CSV file has it."""
    example = Example(inputs={}, reference='[{"type": "contains", "value": "a"}]')
    assert Assertions().score(example, "cat").value == 1


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ([{"type": "contain", "value": "a"}], "no type 'contain'.*Did you mean 'contains'"),
        ([{"type": "regex", "value": "("}], "regex cannot be read"),
        ([{"type": "is-json", "value": {"type": 3}}], "is-json cannot be read"),
        ([{"type": "word-count", "value": "many"}], "word-count cannot be read"),
        ([{"type": "contains", "value": "a", "weight": "much"}], "weight is a number"),
        ([{"type": "is-json", "value": {"$ref": "http://x/y"}}], "is not in the schema"),
        ([{"type": "is-json", "value": "[]"}], "is-json cannot be read"),
        ("Paris", "is a list as"),
        ([1], "is a list as"),
    ],
)
def test_what_is_no_assertion_is_told(reference, message):
    """With the example and what there is."""
    with pytest.raises(MetricError, match=message):
        Assertions().score(Example(inputs={}, reference=reference), "x")


def test_assertions_are_neither_shown_nor_taught():
    """A reference that says what an answer must be like is no answer."""
    import ratchet
    from ratchet.core.errors import TuningError, UsageError
    from ratchet.levers import DemosLever, DspyLever, TuneLever
    from ratchet.testing import ScriptedModel

    task = ratchet.Task(
        name="t",
        instructions="Do.",
        inputs=(ratchet.InputField(name="q"),),
        metric=ratchet.MetricSpec(name="assertions"),
        models=ratchet.Roles(student="m"),
    )
    examples = [
        ratchet.Example(inputs={"q": f"q{n}"}, reference=[{"type": "contains", "value": "ok"}])
        for n in range(120)
    ]
    bench = ratchet.Workbench.of(task, examples, models={"m": ScriptedModel(lambda _: "it is ok")})
    bench.climb([DemosLever(nearest=())])
    assert all("contains" not in str(r.messages) for r in bench._models["m"].requests)
    assert any(
        one.check == "metric ceiling" and "not looked at" in one.text for one in bench.check()
    )
    with pytest.raises(TuningError, match="with --distil"):
        bench.climb([TuneLever()])
    pytest.importorskip("dspy")
    with pytest.raises(UsageError, match="DSPy shows them as answers"):
        bench.climb([DspyLever()])
