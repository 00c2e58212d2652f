"""Any function as a metric: what it returns is checked, and its source is part of its id."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

from ratchet.core import Example, Json, MetricSpec, Score
from ratchet.core.errors import MetricError
from ratchet.metrics import FunctionMetric, Metric
from ratchet.metrics.metric import failed_share_of
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


SCORE = "import helpers\n\ndef score(inputs, reference, answer):\n    return helpers.value()\n"


def test_the_id_follows_what_the_file_imports(tmp_path: Path) -> None:
    """A helper of a helper that is edited makes another metric, and its new code runs."""
    written(tmp_path, SCORE)
    written(
        tmp_path, "from lib.deep import NUMBER\n\ndef value():\n    return NUMBER\n", "helpers.py"
    )
    (tmp_path / "lib").mkdir()
    written(tmp_path / "lib", "", "__init__.py")
    written(tmp_path / "lib", "NUMBER = 0.25\n", "deep.py")
    before = made("score.py:score", tmp_path)

    written(tmp_path / "lib", "NUMBER = 0.75\n", "deep.py")
    after = made("score.py:score", tmp_path)
    written(tmp_path, "unrelated = 1\n", "other.py")

    assert (before.score(EXAMPLE, "x").value, after.score(EXAMPLE, "x").value) == (0.25, 0.75)
    assert before.id != after.id
    assert made("score.py:score", tmp_path).id == after.id


def test_the_id_follows_a_constant_of_the_file(tmp_path: Path) -> None:
    """What stands beside the function in its file is part of it."""
    text = "LIMIT = {}\n\ndef score(inputs, reference, answer):\n    return LIMIT\n"
    before = made("score.py:score", written(tmp_path, text.format(0)))

    after = made("score.py:score", written(tmp_path, text.format(1)))

    assert before.id != after.id


def test_a_module_of_python_comes_before_one_of_the_workspace(tmp_path: Path) -> None:
    """A file that is called `statistics.py` hides nothing, and no folder stays on the path."""
    written(tmp_path, "raise RuntimeError('hidden')\n", "statistics.py")
    text = "import statistics\n\ndef score(inputs, reference, answer):\n    return statistics.mean([0, 1])\n"
    path = list(sys.path)

    assert made("score.py:score", written(tmp_path, text)).score(EXAMPLE, "x").value == 0.5
    assert sys.path == path


def test_a_function_of_a_notebook_has_the_id_of_all_that_it_uses() -> None:
    """It has no file: the globals that it looks up are part of it, those of functions that it calls too."""

    def made_of(limit: float) -> FunctionMetric:
        namespace: dict[str, Json] = {}
        cells = f"LIMIT = {limit}\ndef helper():\n    return LIMIT\ndef score(i, r, a):\n    return helper()\n"
        exec(compile(cells, "<cell>", "exec"), namespace)
        return FunctionMetric(namespace["score"])

    assert made_of(0.5).id == made_of(0.5).id
    assert made_of(0.5).id != made_of(1).id


def test_what_a_function_closes_over_is_part_of_its_id() -> None:
    """Two closures of one source and other values are two metrics; so are two partial calls."""
    assert returning(0.5).id == returning(0.5).id
    assert returning(0.5).id != returning(1).id
    low, high = (FunctionMetric(functools.partial(half_or, value)) for value in (0, 1))
    assert low.id != high.id


def half_or(_other: float, _inputs: Json, _reference: Json, _answer: Json) -> float:
    return 0.5


@pytest.mark.parametrize(
    ("outcome", "value"),
    [
        (np.True_, 1),
        (np.float32(0.5), 0.5),
        (np.float64(0.25), 0.25),
        (np.int64(1), 1),
        (np.array(0.5), 0.5),
    ],
)
def test_numbers_of_numpy_are_scores(outcome: Json, value: float) -> None:
    """As they come out of a library."""
    score = returning(outcome).score(EXAMPLE, "x")

    assert score == Score(value=value)
    assert type(score.value) is float


@pytest.mark.parametrize("outcome", [np.float64("nan"), np.int64(2), np.array([0.5]), np.str_("1")])
def test_what_is_no_score_of_numpy_is_named(outcome: Json) -> None:
    """Out of range, or more than one."""
    with pytest.raises(MetricError, match="return a number in"):
        returning(outcome).score(EXAMPLE, "x")


def test_a_function_that_ends_the_process_is_named(tmp_path: Path) -> None:
    """Its exit is an error of the metric, where it is called and where its file is loaded."""

    def leaving(_inputs: Json, _reference: Json, _answer: Json) -> float:
        sys.exit(3)

    with pytest.raises(MetricError, match=r"'leaving' failed on example e_.*SystemExit\(3\)"):
        FunctionMetric(leaving).score(EXAMPLE, "x")
    written(tmp_path, "import sys\nsys.exit('no key')\n")
    with pytest.raises(MetricError, match=r"cannot be loaded: SystemExit\('no key'\)"):
        made("score.py:score", tmp_path)


def test_a_file_outside_the_workspace_is_refused(tmp_path: Path) -> None:
    """By a path that leads up, a link, a name without .py, or a NUL."""
    root = tmp_path / "workspace"
    root.mkdir()
    written(tmp_path, "def score(i, r, a):\n    return 1\n", "outside.py")
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    written(root, "def score(i, r, a):\n    return 1\n", "score.txt")

    for place in ("../outside.py:score", str(tmp_path / "outside.py") + ":score", "link.py:score"):
        with pytest.raises(MetricError, match="leads out of"):
            made(place, root)
    with pytest.raises(MetricError, match=r"does not end in \.py"):
        made("score.txt:score", root)
    with pytest.raises(MetricError, match=r"file\.py:function"):
        made("a\0.py:score", root)


@pytest.mark.parametrize("share", [-0.1, 1, "0.1", True, None])
def test_the_share_of_failures_is_checked(share: Json, tmp_path: Path) -> None:
    """It is a share of the examples."""
    written(tmp_path, "def score(i, r, a):\n    return 1\n")
    options = {"path": "score.py:score", "max_failed_share": share}
    with pytest.raises(MetricError, match="max_failed_share is a share of the examples"):
        make_metric(MetricSpec(name="function", options=options), root=tmp_path)


def test_the_share_of_failures_changes_no_score(tmp_path: Path) -> None:
    """So the metric's id is the same with it and without, and any metric takes it."""
    written(tmp_path, "def score(i, r, a):\n    return 1\n")
    options = {"path": "score.py:score", "max_failed_share": 0.5}
    metric = make_metric(MetricSpec(name="function", options=options), root=tmp_path)

    assert metric.id == made("score.py:score", tmp_path).id
    assert failed_share_of(metric) == 0.5
    assert (
        failed_share_of(make_metric(MetricSpec(name="exact", options={"max_failed_share": 0}))) == 0
    )
