"""Checks of a text against what promptfoo 0.121.20 and 0.123.1 said of the same text: `tests/exchange/promptfoo_assertions.json`."""

import json
from pathlib import Path

import pytest

from ratchet.core import Example
from ratchet.core.errors import MetricError
from ratchet.metrics.assertions import Assertions
from ratchet.metrics.ecmascript import compile_pattern, text_of_value
from ratchet.metrics.text_checks import CHECKS

TABLE = Path(__file__).parents[1] / "exchange" / "promptfoo_assertions.json"
ROWS = json.loads(TABLE.read_text("utf-8"))
REFUSED = (
    {"type": "equals"},  # a test of nothing: there it never passes
    {"type": "regex", "value": "["},
    {"type": "regex", "value": "(?<=a+)b"},  # Python looks back over a fixed width alone
)
"""What is refused here, and named when a suite is imported, though promptfoo scores it."""
KNOWN = (
    {"type": "regex", "value": "(?i)paris"},  # no pattern in JavaScript; here as Python means it
    *({"type": kind, "value": {"typ": "object"}} for kind in ("is-json", "contains-json")),
    *(  # refused there; here the draft that a schema names is read
        {
            "type": kind,
            "value": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
            },
        }
        for kind in ("is-json", "contains-json")
    ),
    *(  # Ajv divides floats
        {"type": kind, "value": {"type": "number", "multipleOf": 0.01}}
        for kind in ("is-json", "contains-json")
    ),
    {"type": "bleu", "value": "a b c d"},  # smoothed in another way
)
"""Where the two differ on purpose."""


def readable(row):
    """Tell whether both programs try this assertion."""
    return (
        row["assertion"]["type"].removeprefix("not-") in CHECKS
        and row["assertion"] not in KNOWN
        and row["assertion"] not in REFUSED
    )


def test_each_text_is_scored_as_there():
    """All that is tried by both gets the same score, and what ends in an error there is refused here."""
    differing = []
    tried = [row for row in ROWS if readable(row)]
    for row in tried:
        example = Example(inputs={}, reference=[row["assertion"]])
        try:
            score = Assertions().score(example, row["output"]).value
        except MetricError:
            score = None
        wanted = None if row.get("error") else pytest.approx(row["score"])
        if score != wanted:
            differing.append((row, score))

    assert len(tried) > 450
    assert not differing


@pytest.mark.parametrize("assertion", REFUSED)
def test_what_can_never_be_tried_is_refused(assertion):
    """With the reason."""
    with pytest.raises(MetricError, match=r"has no value|cannot be read"):
        Assertions().score(Example(inputs={}, reference=[assertion]), "x")


@pytest.mark.parametrize(
    ("pattern", "text", "unicode", "matches"),
    [
        (r"^\p{Lu}\p{Ll}+$", "Ærø", True, True),
        (r"^[\p{L}\d]+$", "é1", True, True),
        (r"^\P{L}+$", "12", True, True),
        (r"\u{1F600}", "😀", True, True),
        (r"[\b]", "\b", False, True),
        (r"[a&&b]", "&", False, True),
        (r"\bfoo\b", "éfoo", False, True),
        (r"\d", "٣", False, False),
        (r"(a)\1", "aa", False, True),
        ("^a$", "a\n", False, False),
        ("x{2,3}", "xx", False, True),
        (r"\.", "a", False, False),
    ],
)
def test_patterns_are_those_of_javascript(pattern, text, unicode, matches):
    """Classes are ASCII's, `$` is the end alone, and properties have a meaning with the flag u."""
    assert bool(compile_pattern(pattern, unicode=unicode).search(text)) is matches


@pytest.mark.parametrize("pattern", ["(", "[a", "a\\", r"\p{Nonsense}", "(?<=a+)b"])
def test_a_pattern_without_an_equal_is_refused(pattern):
    """By its text."""
    with pytest.raises(ValueError, match="pattern"):
        compile_pattern(pattern, unicode=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (1.10, "1.1"),
        (1e21, "1e+21"),
        (1e-7, "1e-7"),
        (0.000001, "0.000001"),
        (12345678901234567890, "12345678901234567000"),
        (True, "true"),
        (None, "null"),
        ([1, None, [2, "x"]], "1,,2,x"),
        (-0.0, "0"),
        (1.5e300, "1.5e+300"),
    ],
)
def test_values_are_written_as_javascript_writes_them(value, text):
    """Numbers without a decimal point where they are whole, lists with commas."""
    assert text_of_value(value) == text


@pytest.mark.parametrize(
    ("kind", "text", "score"),
    [
        ("rouge-l", "the cat sat", 6 / 7),
        ("rouge-n", "the cat sat", 6 / 7),
        ("fuzzy-match", "the cat was sat", 1.0),
        ("gleu", "the cat", 3 / 10),
        ("bleu", "the cat was sat", 1.0),
        ("bleu", "", 0.0),
    ],
)
def test_likeness_by_words(kind, text, score):
    """By the definitions: F1 of the subsequence and the words, shared n-grams of all of both."""
    example = Example(inputs={}, reference=[{"type": kind, "value": "the cat was sat"}])
    assert Assertions().score(example, text).value == pytest.approx(score)


@pytest.mark.parametrize("weight", ["much", -1, [1]])
def test_a_weight_is_a_number_of_at_least_zero(weight):
    """Else the assertion that has it is named."""
    reference = [{"type": "contains", "value": "x", "weight": weight}]
    with pytest.raises(MetricError, match="weight is a number"):
        Assertions().score(Example(inputs={}, reference=reference), "x")


@pytest.mark.parametrize(
    ("text", "fits"),
    [("19.99", 1), ("0.29", 1), ("19.999", 0), ("4", 1), ("1e-3", 0), ("1e300", 1)],
)
def test_multiples_are_those_of_decimal_arithmetic(text, fits):
    """Prices in cents are multiples of a cent."""
    schema = {"type": "number", "multipleOf": 0.01}
    example = Example(inputs={}, reference=[{"type": "is-json", "value": schema}])
    assert Assertions().score(example, text).value == fits


def test_a_pass_mark_makes_a_score_yes_or_no():
    """From there on 1, below 0."""
    for limit, value in ((0.9, 0), (0.8, 1)):
        assertion = {"type": "rouge-l", "value": "the cat was sat", "pass_at": limit}
        example = Example(inputs={}, reference=[assertion])
        assert Assertions().score(example, "the cat sat").value == value


def test_a_long_text_is_compared_to_its_end():
    """What differs behind thousands of letters counts, and quickly."""
    text = "a" * 20_000
    example = Example(inputs={}, reference=[{"type": "levenshtein", "value": text, "threshold": 2}])
    assert Assertions().score(example, text[:-2] + "bb").value == 1
    assert Assertions().score(example, text[:-3] + "bbb").value == 0


def test_a_model_cannot_make_a_text_that_fills_the_memory():
    """Aliases of aliases are not followed in what a model wrote."""
    bomb = "{a: &a [x,x,x,x,x,x,x,x], b: &b [*a,*a,*a,*a,*a,*a,*a,*a], c: [*b,*b,*b,*b]}"
    example = Example(inputs={}, reference=[{"type": "contains-json"}])
    assert Assertions().score(example, bomb).value == 0


def test_sets_count_as_one_and_named_parts_are_counted(tmp_path):
    """As promptfoo weighs them; a function of a named file may be called, another may not."""
    (tmp_path / "own.py").write_text("def check(output, context):\n    return len(output) / 4\n")
    inner = [{"type": "contains", "value": "x"}, {"type": "contains", "value": "y", "weight": 3}]
    reference = [
        {"type": "assert-set", "assert": inner, "weight": 2},
        {"type": "python", "value": "own.py:check", "metric": "length"},
    ]
    metric = Assertions(functions=["own.py"], root=tmp_path)

    score = metric.score(Example(inputs={}, reference=reference), "x-")

    assert score.value == pytest.approx((2 * 0.25 + 0.5) / 3)
    assert score.parts == {"named": {"length": 0.5}}
    with pytest.raises(MetricError, match=r"in none of the files of metric\.options\.functions"):
        Assertions(root=tmp_path).score(Example(inputs={}, reference=reference), "x")
    (tmp_path / "own.py").write_text("def check(output, context):\n    return True\n")
    assert Assertions(functions=["own.py"], root=tmp_path).id != metric.id
