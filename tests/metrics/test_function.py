"""Any function as a metric: what it returns is checked, and its source is part of its id."""

from pathlib import Path

import pytest

from ratchet.core import Example, Json, MetricSpec, Score
from ratchet.core.errors import MetricError
from ratchet.metrics import FunctionMetric, Metric
from ratchet.metrics.registry import make_metric

EXAMPLE = Example(inputs={"text": "hi"}, reference="yes", source="a.csv:3")


def half(_inputs: Json, _reference: Json, _answer: Json) -> float:
    return 0.5


def returning(outcome: Json) -> FunctionMetric:
    return FunctionMetric(lambda _inputs, _reference, _answer: outcome)


def written(folder: Path, text: str, name: str = "score.py") -> Path:
    (folder / name).write_text(text, "utf-8")
    return folder


def test_the_function_gets_inputs_reference_and_answer() -> None:
    """The user's function sees what it needs and nothing else."""
    seen = []

    def look(inputs: Json, reference: Json, answer: Json) -> float:
        seen.append((inputs, reference, answer))
        return 1

    FunctionMetric(look).score(EXAMPLE, "no")

    assert seen == [({"text": "hi"}, "yes", "no")]


@pytest.mark.parametrize(("outcome", "value"), [(0.25, 0.25), (1, 1), (True, 1), (False, 0)])
def test_numbers_and_truths_are_scores(outcome: Json, value: float) -> None:
    """A number in [0, 1] and a bool become a score."""
    score = returning(outcome).score(EXAMPLE, "x")

    assert score == Score(value=value)


def test_a_score_is_taken_as_it_is() -> None:
    """A Score keeps its parts and its feedback."""
    full = Score(value=0.5, parts={"a": 1}, feedback="Half.")

    assert returning(full).score(EXAMPLE, "x") is full


@pytest.mark.parametrize("outcome", [None, "1", -0.1, 1.1, float("nan"), [1], 2, {"value": 1}])
def test_what_is_no_score_is_named(outcome: Json) -> None:
    """A value that is no score is shown, with the example and the rule."""
    with pytest.raises(MetricError) as caught:
        returning(outcome).score(EXAMPLE, "x")

    assert f"returned {outcome!r} for example {EXAMPLE.id}" in str(caught.value)
    assert "return a number in [0, 1] or a Score" in str(caught.value)


def test_a_function_that_fails_is_named() -> None:
    """An exception in the user's function names function, example and row."""

    def broken(inputs: Json, _reference: Json, _answer: Json) -> float:
        return float(inputs["txt"])

    with pytest.raises(
        MetricError, match=r"metric 'broken' failed on example e_\w+ \(a\.csv:3\): KeyError"
    ) as caught:
        FunctionMetric(broken).score(EXAMPLE, "x")

    assert isinstance(caught.value.__cause__, KeyError)


def test_a_failed_answer_is_not_handed_over() -> None:
    """The function is never called without an answer."""
    score = returning("would be refused").failed(EXAMPLE, "empty")

    assert (score.value, score.feedback) == (0, "The reply is empty.")


def made(place: str, root: Path) -> Metric:
    return make_metric(MetricSpec(name="function", options={"path": place}), root=root)


def test_the_id_follows_the_source(tmp_path: Path) -> None:
    """The same source has the same id from file to file; another source another one."""
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for folder, value in ((one, 0.5), (same, 0.5), (other, 0.75)):
        folder.mkdir()
        written(folder, f"def score(inputs, reference, answer):\n    return {value}\n")

    ids = [made("score.py:score", f).id for f in (one, same, other)]

    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_the_id_follows_an_edit(tmp_path: Path) -> None:
    """A function that is edited and loaded again has another id, so that old scores are not mixed in."""
    text = "def score(inputs, reference, answer):\n    return {}\n"
    before = made("m.py:score", written(tmp_path, text.format(0), "m.py"))

    after = made("m.py:score", written(tmp_path, text.format(0.5), "m.py"))

    assert (before.score(EXAMPLE, "x").value, after.score(EXAMPLE, "x").value) == (0, 0.5)
    assert before.id != after.id


def test_the_name_is_part_of_the_id() -> None:
    """Two functions of one body and different names are different metrics."""
    assert FunctionMetric(half).id == FunctionMetric(half).id
    assert FunctionMetric(half).id != returning(0.5).id


def test_a_function_without_source_is_taken_by_its_name() -> None:
    """A built-in function has no source to read and is a metric all the same."""
    metric = FunctionMetric(max)

    assert metric.id.startswith("m_")


def test_a_file_may_hold_dataclasses(tmp_path: Path) -> None:
    """A metric file is a module like any other: it may define a dataclass under postponed annotations."""
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Weight:\n    value: float = 0.5\n\n"
        "def score(inputs, reference, answer):\n    return Weight().value\n"
    )

    metric = made("dataclassy.py:score", written(tmp_path, text, "dataclassy.py"))

    assert metric.score(EXAMPLE, "x").value == 0.5


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("", r"metric\.options\.path is file\.py:function"),
        ("score.py", r"got 'score\.py' and .*score\.py exists"),
        ("gone.py:score", r"got 'gone\.py:score' and .*gone\.py does not exist"),
        ("score.py:scor", r"has no function 'scor'\. Did you mean 'score'\?"),
        ("score.py:NUMBER", r"has no function 'NUMBER'"),
        ("broken.py:score", r"broken\.py cannot be loaded: SyntaxError"),
        ("raising.py:score", r"raising\.py cannot be loaded: RuntimeError\('no'\)"),
    ],
)
def test_a_place_without_a_function_is_an_error(place: str, message: str, tmp_path: Path) -> None:
    """A path that leads nowhere is an error that says what it must look like."""
    written(tmp_path, "NUMBER = 3\ndef score(inputs, reference, answer):\n    return 1\n")
    written(tmp_path, "def score(:\n", "broken.py")
    written(tmp_path, "raise RuntimeError('no')\n", "raising.py")

    with pytest.raises(MetricError, match=message):
        made(place, tmp_path)
