"""YAML 1.2's core schema."""

import math

import pytest

from ratchet.data.yaml12 import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1:30:45", "1:30:45"),
        ("2024-05-12", "2024-05-12"),
        ("2024-05-12T10:00:00Z", "2024-05-12T10:00:00Z"),
        ("1_000", "1_000"),
        ("=", "="),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("014", 14),
        ("0o14", 12),
        ("0x1F", 31),
        ("-5", -5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("1.10", 1.1),
        ("'1'", "1"),
        ("!!str 5", "5"),
        ("{1: a, true: b, null: c}", {"1": "a", "true": "b", "null": "c"}),
        ("- &a [x]\n- *a", [["x"], ["x"]]),
        ("a: &d {b: 1}\nc: {<<: *d, e: 2}", {"a": {"b": 1}, "c": {"b": 1, "e": 2}}),
    ],
)
def test_scalars_are_those_of_the_core_schema(text, value):
    """Words, times and dates are texts; numbers have no octal zero and no underscores."""
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: b: c",
        "!!python/object:os.system {}",
        "[" * 5000,
        "\x00",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n"
            for p, c in zip("abcdefgh", "bcdefghi", strict=True)
        ),
    ],
)
def test_what_is_no_document_is_refused(text):
    """Also one that would fill any memory or stack."""
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)


def test_aliases_may_be_refused():
    """Where a stranger wrote the text."""
    with pytest.raises(ValueError, match="an alias"):
        parse_yaml("[&a x, *a]", aliases=False)
