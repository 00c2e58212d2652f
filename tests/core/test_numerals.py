"""Numbers as people write them: one grammar for replies and references, against readings worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.core.numerals import last_number, parse_number

READINGS = [
    ("\\boxed{-\\frac{1}{2}}", -0.5),
    ("2\\frac{1}{2}", 2.5),
    ("7\u200b000", 7000),
    ("1..5", None),
    ("negative 5", -5),
    ("It is minus 5 degrees.", -5),
    ("10 minus 5 is 5", 5),
    ("5 m2", 5),
    ("7 in H2O", 7),
    ("1 000 000", 1000000.0),
    ("10-20", None),
    ("2024-05-12", None),
    ("1/2", 0.5),
    ("−5", -5),
    ("1,234.5", 1234.5),
    ("1.234,5", 1234.5),
    ("1\u202f234,5", 1234.5),
    ("1'234'567.5", 1234567.5),
    ("1’234", 1234),
    ("1,5", 1.5),
    ("1,234", 1234),
    ("0,125", 0.125),
    ("1234,567", 1234.567),
    ("1.234", 1.234),
    ("1.234.567", 1234567),
    ("1,23,4", None),
    ("12,34,567", 1234567),
    ("1.2.3", None),
    ("192.168.1.1", None),
    ("It costs $1,234.50", 1234.5),
    ("-$5", -5),
    ("$-5.20", -5.2),
    ("(−3)", -3),
    ("x = −3.5", -3.5),
    ("x = - 5", -5),
    ("45%", 45),
    ("45 %", 45),
    ("5kg", 5),
    ("5m2", 5),
    ("3f2a", None),
    ("GPT-4", None),
    ("COVID-19 had 7", 7),
    ("1 1/2", 1.5),
    ("1½", 1.5),
    ("½", 0.5),
    ("\\frac{1}{2}", 0.5),
    ("\\boxed{\\frac{3}{4}} as 5 says", 0.75),
    ("\\boxed{42} since 6 x 7", 42),
    ("1{,}234", 1234),
    ("1\\,000", 1000),
    ("5 × 10^3", 5000),
    ("5×10³", 5000),
    ("5 x 10^-3", 0.005),
    ("6.02e23", 6.02e23),
    ("10^6", 1000000.0),
    ("2^10", None),
    ("2^10 = 1024", 1024),
    ("12:30", None),
    ("12 May 2024", None),
    ("May 12, 2024", None),
    ("As of 12 May 2024 it is 7.", 7),
    ("10 – 20", None),
    ("$10-$20", None),
    ("10 to 20", None),
    ("from 10 to 20", 20),
    ("between 3 and 5", 5),
    ("12 - 5 = 7", 7),
    ("120 - 20", None),
    ("7 ± 2", 7),
    ("First 3, then 4. #### 7", 7),
    ("First 3, then 4 ####", 4),
    (".5", 0.5),
    ("-2.5e3", -2500),
    ("- 5\n- 20", 20),
    ("1. foo\n2. bar", 2),
    ("The answer is 5.\n1. foo\n2. bar", 5),
    ("**42**", 42),
    ("1e999", None),
    ("12/05/2024", None),
    ("1,000,000", 1000000.0),
    ("1_000_000", 1000000.0),
    ("٤٢", 42),
    ("４２", 42),
    ("1st", 1),
    ("Rs.500", 500),
    ("USD5", 5),
    ("5€", 5),
    ("the 3-year total is 9", 9),
    ("-1/2", -0.5),
    ("5, -3", -3),
    ("values 5 -3", -3),
    ("10−20", None),
    ("4/5", 0.8),
    ("3:2", None),
    ("0x1F", None),
    ("12,345", 12345),
    ("1,234,567.89", 1234567.89),
    ("1.234.567,89", 1234567.89),
    ("1 234 567,89", 1234567.89),
    ("in 2023 100 people", 100),
    ("123456789012345678901", 123456789012345678901),
    ("0", 0),
    ("00", 0),
    ("007", 7),
    ("1,000 to 2,000", None),
    ("2024/05/12", None),
    ("12.05.2024", None),
    ("+1-555-1234", None),
    ("$18.", 18),
    ("18 dollars.", 18),
    ("5 °C", 5),
    ("-5°C", -5),
    ("5′", 5),
    ("1e5", 100000.0),
    ("5E", 5),
    ("1,", 1),
    ("3.", 3),
    ("1/0", None),
    ("one 5/2=2.5", 2.5),
]
REFERENCES = [
    ("5 kg", None),
    ("48,982", 48982),
    ("so 3*6 #### 18", 18),
    ("$5", 5),
    ("45%", 45),
    ("1/2", 0.5),
    (True, None),
    (3, 3),
    ("-5", -5),
    ("−5", -5),
    ("5 6", None),
    ("abc", None),
    ("", None),
    ("1e400", None),
    ("10-20", None),
    ("12 000", 12000),
    ("5.", 5),
]


@pytest.mark.parametrize(("text", "number"), READINGS)
def test_a_reply_is_read_as_the_number_that_it_gives(text: str, number: float | None) -> None:
    """Marks of any locale, signs, fractions and powers are read; ranges, dates and digits of words are no numbers."""
    read = last_number(text)

    assert read == number
    assert read is None or math.isfinite(read)


@pytest.mark.parametrize(("value", "number"), REFERENCES)
def test_a_reference_is_a_number_alone(value: object, number: float | None) -> None:
    """A unit, a second number or words beside it make it none."""
    assert parse_number(value) == number


def test_what_is_no_finite_number_is_no_reference() -> None:
    """NaN and infinity are None, as is a structure."""
    assert [parse_number(v) for v in (math.nan, math.inf, [1], {"a": 1})] == [None] * 4


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_as_itself(number: float) -> None:
    """As Python writes it, in a sentence and as a reference."""
    assert last_number(f"The result is {number!r}.") == number
    assert parse_number(repr(number)) == number


@given(st.integers(-(10**30), 10**30))
def test_every_integer_is_read_exactly_however_it_is_grouped(number: int) -> None:
    """By commas, dots, thin spaces or apostrophes."""
    plain = f"{number:,}"
    wanted = number if abs(number) > 2**53 else float(number)

    for mark in (",", ".", "\u202f", "'", " "):
        written = plain.replace(",", mark)
        if mark == "." and plain.count(",") == 1:
            continue  # 1.234 is a decimal point
        assert last_number(f"It is {written}") == wanted
        assert parse_number(written) == wanted


@given(st.text("0123456789.,:/-+ e\u2212%$x^\n", max_size=40))
def test_no_text_raises(text: str) -> None:
    """Any text is a finite number or none."""
    read = last_number(text)

    assert read is None or math.isfinite(read)
