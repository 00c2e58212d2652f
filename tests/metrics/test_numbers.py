"""Numbers by their distance from the reference, against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.core import Example, Json
from ratchet.core.errors import MetricError
from ratchet.measure.measurement import aggregate
from ratchet.metrics import NumberError

NUMBERS = st.floats(-1e6, 1e6)


def example(reference: Json) -> Example:
    return Example(inputs={}, reference=reference)


@pytest.mark.parametrize(
    ("options", "reference", "answer", "value"),
    [
        ({}, 72, 72.0, 1),
        ({}, 72, 72.1, 0),
        ({"tolerance": 0.5}, 72, 72.5, 1),
        ({"tolerance": 0.5}, 72, 72.6, 0),
        ({"error": "absolute", "zero_at": 10}, 100, 104, 0.6),
        ({"error": "absolute", "zero_at": 10}, 100, 96, 0.6),
        ({"error": "absolute", "zero_at": 10}, 100, 111, 0),
        ({"error": "relative"}, 200, 150, 0.75),
        ({"error": "relative", "zero_at": 0.5}, -200, -150, 0.5),
        ({"error": "relative"}, 0, 0, 1),
        ({"error": "relative"}, 0, 0.1, 0),
        ({"error": "squared log"}, math.e - 1, 0, 0),
        ({"error": "squared log", "zero_at": 4}, math.e - 1, 0, 0.75),
        ({"error": "squared log", "zero_at": 4}, math.e - 1, -50, 0.75),
    ],
)
def test_numbers_score_by_their_error(
    options, reference: float, answer: float, value: float
) -> None:
    """Each kind of error falls from 1 to 0 as its definition says."""
    score = NumberError(**options).score(example(reference), answer)

    assert score.value == pytest.approx(value)


def test_the_error_is_kept() -> None:
    """The parts hold the error and the plain difference, from which mean absolute error is made."""
    metric = NumberError(error="relative")

    score = metric.score(example(200), 150)

    assert score.parts == {"error": 0.25, "difference": 50}
    assert score.feedback == "Expected 200, got 150 (-50)."
    assert metric.aggregates == ("mean absolute error",)


def test_no_error_is_invented_for_a_failed_answer() -> None:
    """A failed answer has score 0 and no difference."""
    score = NumberError().failed(example(200), "empty")

    assert (score.value, score.parts) == (0, {})


@pytest.mark.parametrize("answer", [math.inf, -math.inf, math.nan])
def test_what_is_no_finite_number_scores_0(answer: float) -> None:
    """Infinity and NaN are wrong, not an error, and leave no part that cannot be stored."""
    score = NumberError(error="absolute").score(example(1), answer)

    assert (score.value, score.parts) == (0, {})


@given(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["absolute", "relative", "squared log"]))
def test_further_away_is_never_better(reference: float, a: float, b: float, kind) -> None:
    """On one side of the reference, a number that is further away scores no more."""
    metric = NumberError(error=kind, zero_at=1e3)
    near, far = sorted((reference + abs(a), reference + abs(b)))

    scores = [metric.score(example(reference), answer).value for answer in (near, far)]

    assert scores[0] >= scores[1]


@given(NUMBERS, NUMBERS)
def test_the_absolute_error_is_symmetric(a: float, b: float) -> None:
    """Reference and answer change places without changing the absolute error."""
    metric = NumberError(error="absolute", zero_at=1e3)

    assert metric.score(example(a), b).value == metric.score(example(b), a).value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"error": "cubic"}, "equal, absolute, relative, squared log; got 'cubic'"),
        ({"zero_at": 0}, "zero_at must be positive"),
        ({"zero_at": -1}, "zero_at must be positive"),
        ({"zero_at": math.nan}, "zero_at must be positive"),
        ({"zero_at": math.inf}, "both finite"),
        ({"tolerance": -1}, "tolerance at least 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message: str) -> None:
    """An option that makes no sense is refused with the rule and the value."""
    with pytest.raises(MetricError, match=message):
        NumberError(**options)


@pytest.mark.parametrize(
    ("reference", "answer", "value"),
    [
        ("48,982", 48982.0, 1),
        ("3 boxes of 6 make 18.\n#### 18", 18.0, 1),
        ("$5", 5, 1),
        ("1/2", 0.5, 1),
        ("−5", -5.0, 1),
        ("−5", 5.0, 0),
        (100000000000000000001, 100000000000000000001, 1),
        (100000000000000000001, 100000000000000000003, 0),
        (1, True, 0),
        (1, "one", 0),
        (1, None, 0),
    ],
)
def test_references_are_read_as_replies_are(reference: Json, answer: Json, value: float) -> None:
    """One grammar reads both; integers are exact, and what is no number is wrong."""
    assert NumberError().score(example(reference), answer).value == value


@pytest.mark.parametrize("reference", ["5 kg", "", "many", "1-2", True, None, ["5"], "5 or 6"])
def test_a_reference_that_is_no_number_is_named(reference: Json) -> None:
    """With its example, the rule and the value; an answer that failed says so too."""
    with pytest.raises(MetricError, match=r"reference of example e_.* is a number without a unit"):
        NumberError().score(example(reference), 5.0)
    with pytest.raises(MetricError, match="number without a unit"):
        NumberError().failed(example(reference), "empty")


@pytest.mark.parametrize(
    "options", [{"tolerance": "5 kg"}, {"zero_at": "10 %"}, {"tolerance": True}]
)
def test_an_option_with_a_unit_is_refused(options) -> None:
    """A tolerance is a number in the units of the references."""
    with pytest.raises(MetricError, match="is a number without a unit; got"):
        NumberError(**options)


def test_rmsle_stands_beside_the_squared_log_error() -> None:
    """The root of the mean squared log error, as Kaggle reports it, among the totals."""
    metric = NumberError(error="squared log")
    answers = [(100, 110.0), (50, 40.0), (7, 7.0)]
    parts = [metric.score(example(reference), answer).parts for reference, answer in answers]

    expected = math.sqrt(
        sum((math.log1p(answer) - math.log1p(reference)) ** 2 for reference, answer in answers) / 3
    )

    assert metric.aggregates == ("mean absolute error", "root mean squared log error")
    assert aggregate("root mean squared log error", parts) == {"rmsle": pytest.approx(expected)}
    assert math.isnan(aggregate("root mean squared log error", [])["rmsle"])
