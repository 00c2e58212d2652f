"""Execution accuracy, case by case as the official Spider evaluator judges it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ratchet.core import AnswerForm, Example, MetricSpec
from ratchet.core.errors import MetricError
from ratchet.metrics import make_metric

CASES = json.loads(Path(__file__).with_name("execution_cases.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the database that the cases are about."""
    root = tmp_path_factory.mktemp("workspace")
    with closing(sqlite3.connect(root / "shop.sqlite")) as connection:
        connection.executescript(CASES["setup"])
    return root


def execution(folder, **options):
    """Return the metric."""
    form = AnswerForm(kind="sql", database="{{db}}.sqlite")
    return make_metric(MetricSpec(name="execution", options=options), root=folder, form=form)


def example(gold):
    """Return an example with that reference."""
    return Example(inputs={"db": "shop"}, reference=gold)


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["answer"][:60])
def test_agrees_with_the_official_evaluator(folder, case):
    """What test-suite-sql-eval (commit 14784c3) says of each pair is what we say."""
    metric = execution(folder, keep_distinct=case["keep_distinct"])

    score = metric.score(example(case["gold"]), case["answer"])

    assert score.value == float(case["same"]), score.feedback


def test_there_are_cases_of_both_kinds():
    """The table would be worth little if all its answers were right."""
    same = [case["same"] for case in CASES["cases"]]

    assert len(same) >= 60
    assert 20 <= sum(same) <= len(same) - 20


def test_a_wrong_result_is_told_with_both_results(folder):
    """The feedback is what a model that mends its query has to go by."""
    score = execution(folder).score(example("SELECT name FROM u"), "SELECT name FROM u LIMIT 1")

    assert score.feedback.startswith("Expected one; two; distinct, got one.")


def test_a_reference_that_does_not_run_is_an_error(folder):
    """Nothing can be scored then: it is no zero for the model."""
    with pytest.raises(MetricError, match=r"reference of example .* cannot be run: no such table"):
        execution(folder).score(example("SELECT a FROM gone"), "SELECT 1")


def test_an_example_without_its_database_is_named(folder):
    """One file that is missing is that example's fault, and ends no measurement of the others."""
    lost = Example(inputs={"db": "gone"}, reference="SELECT 1")
    with pytest.raises(MetricError, match=rf"example {lost.id}: .*there is no file"):
        execution(folder).score(lost, "SELECT 1")


def test_wants_a_database():
    """It says where to name one."""
    with pytest.raises(MetricError, match=r"answer\.database"):
        make_metric(MetricSpec(name="execution"), form=AnswerForm(kind="sql"))


def test_many_columns_alike_are_compared_in_no_time(folder):
    """Twelve columns of zeros and ones have half a billion orders; few of them are looked at."""
    columns = ", ".join(f"(a * {k}) % 2" for k in range(1, 13))
    turned = ", ".join(f"(a * {k}) % 2" for k in range(12, 0, -1))
    rows = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 200)"
    gold, answer = f"{rows} SELECT {columns} FROM n", f"{rows} SELECT {turned} FROM n"

    assert execution(folder).score(example(gold), answer).value == 1.0


@pytest.mark.parametrize(
    ("gold", "answer", "value"),
    [
        (
            "SELECT a FROM t WHERE b IS DISTINCT FROM 1",
            "SELECT a FROM t WHERE b <> 1 OR b IS NULL",
            1,
        ),
        ("SELECT a FROM t WHERE b IS NOT DISTINCT FROM 1", "SELECT a FROM t WHERE b = 1", 1),
        ("SELECT a FROM t WHERE b IS DISTINCT FROM 1", "SELECT a FROM t WHERE b = 1", 0),
        ("SELECT 'a > = b'", "SELECT 'a >= b'", 0),
        ("SELECT 'YEAR(CURDATE())'", "SELECT '2020'", 0),
        ('SELECT a AS "distinct" FROM t', "SELECT a FROM t", 1),
        ("SELECT max(DISTINCT a), count(DISTINCT b) FROM t", "SELECT max(a), count(b) FROM t", 1),
        ("SELECT a FROM (SELECT DISTINCT a FROM t)", "SELECT a FROM t", 1),
        ("SELECT a /* DISTINCT */ FROM t", "SELECT a FROM t", 1),
        ("SELECT value FROM json_each('[1, 2]')", "SELECT 1 UNION ALL SELECT 2", 1),
    ],
)
def test_a_word_is_never_cut_out_of_a_text_or_a_comparison(folder, gold, answer, value):
    """`DISTINCT` goes where it makes rows distinct, and operators are joined where they are operators."""
    assert execution(folder).score(example(gold), answer).value == value
