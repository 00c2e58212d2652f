"""Functions of a user's files as metrics and checks: whatever they do, it is said, and the next call is answered."""

import os
import time

import pytest

import ratchet.core.user_functions as module
from ratchet import Example, MetricSpec
from ratchet.core.errors import MetricError
from ratchet.core.user_functions import UserFunction, UserFunctionError
from ratchet.metrics import make_metric

EXAMPLE = Example(inputs={"q": "x"}, reference="r", source="s")
FILE = """
import os, sys, time
import numpy as np
from decimal import Decimal
from fractions import Fraction

def score(inputs, reference, answer):
    if answer == "leave":
        print("last words", flush=True)
        os._exit(4)
    if answer == "exit":
        sys.exit(3)
    if answer == "raise":
        raise ValueError("odd answer")
    if answer == "spin":
        while True:
            pass
    if answer == "secret":
        return float("MY_API_KEY" in os.environ)
    if answer == "pid":
        return os.getpid() / 2**40
    return {
        "bool": np.True_, "float": np.float32(0.5), "int": np.int64(1), "true": True,
        "none": None, "text": "0.5", "nan": float("nan"), "two": 2,
    }[answer]
"""


@pytest.fixture
def metric(tmp_path, monkeypatch):
    """Give a metric whose function is in a user's file."""
    monkeypatch.setenv("MY_API_KEY", "secret")
    (tmp_path / "mine.py").write_text(FILE)
    return make_metric(
        MetricSpec(name="function", options={"path": "mine.py:score"}), root=tmp_path
    )


@pytest.mark.parametrize(
    ("answer", "value"), [("bool", 1.0), ("float", 0.5), ("int", 1.0), ("true", 1.0)]
)
def test_numbers_of_all_kinds_are_scores(metric, answer, value):
    """Python's, and those that numpy wraps."""
    assert metric.score(EXAMPLE, answer).value == value


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("leave", "ended with the code 4.*last words"),
        ("exit", r"SystemExit\(3\)"),
        ("raise", "ValueError.*odd answer"),
        ("none", "returned None"),
        ("text", "returned '0.5'"),
        ("nan", "returned nan"),
        ("two", "returned 2"),
    ],
)
def test_what_is_no_score_is_said(metric, answer, words):
    """Leaving, raising, texts, nothing: a sentence with the example, and the next answer is scored."""
    with pytest.raises(MetricError, match=words):
        metric.score(EXAMPLE, answer)
    assert metric.score(EXAMPLE, "true").value == 1.0


def test_a_function_that_does_not_end_is_ended(metric, monkeypatch):
    """At its limit, whatever it is in."""
    monkeypatch.setattr(module, "CALL_S", 0.5)
    started = time.monotonic()
    with pytest.raises(MetricError, match=r"longer than 0\.5 seconds"):
        metric.score(EXAMPLE, "spin")
    assert time.monotonic() - started < 10


def test_it_runs_elsewhere_and_sees_no_key(metric):
    """In another process, whose environment has no secrets."""
    assert metric.score(EXAMPLE, "secret").value == 0.0
    assert round(metric.score(EXAMPLE, "pid").value * 2**40) != os.getpid()
    assert metric.takes_time


def test_a_file_that_ends_the_process_is_a_sentence(tmp_path):
    """As it is loaded."""
    (tmp_path / "bad.py").write_text("import os\nos._exit(5)\n")
    with pytest.raises(MetricError, match="cannot be loaded: the process ended with the code 5"):
        UserFunction("bad.py:f", tmp_path, setting="metric.options.path", error=MetricError)


def test_a_module_of_a_librarys_name_changes_nothing(tmp_path):
    """A user's `statistics.py` in the workspace is not the library's."""
    (tmp_path / "statistics.py").write_text("raise SystemError('mine')\n")
    (tmp_path / "json.py").write_text("raise SystemError('mine')\n")
    (tmp_path / "f.py").write_text(
        "import statistics\ndef f(x):\n    return statistics.mean([x, 1])\n"
    )
    function = UserFunction("f.py:f", tmp_path, setting="answer.check")
    assert function(0) == 0.5


def test_old_code_is_not_run_in_new_codes_name(tmp_path):
    """A function that was named before an edit keeps its code, or says that the file has changed."""
    (tmp_path / "f.py").write_text("def f():\n    return 1\n")
    before = UserFunction("f.py:f", tmp_path, setting="answer.check")
    (tmp_path / "f.py").write_text("def f():\n    return 2\n")
    after = UserFunction("f.py:f", tmp_path, setting="answer.check")
    assert (before(), after()) == (1, 2)
    module._sandbox(tmp_path.resolve()).close()
    assert after() == 2
    with pytest.raises((UserFunctionError, Exception), match="has changed"):
        before()
