"""Execution accuracy of SQL: answer and reference are run, and their results compared as the official Spider evaluator compares them.

The rules (Zhong, Yu and Klein 2020, and their test-suite evaluation): columns may stand in another order; rows count with their
number, and in order only where the reference says `ORDER BY`; `DISTINCT` is left out of both queries; bytes that are no UTF-8 are
left out; two empty results are the same. tests/metrics/test_execution.py has cases with what the official code says of each.
"""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.answer.queries import join_operators, replace_outside_texts
from ratchet.answer.sql import QueryError, Rows, database_of, run_query
from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError, TaskError
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

__all__ = ["ExecutionAccuracy", "same_result"]

YEAR = re.compile(r"\bYEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)
SHOWN = 5
LONGEST = 200


class ExecutionAccuracy:
    """1 where the answer's result is the reference's.

    Args:
        database: Where the queries are run, as the task's `answer.database`: a SQLite file, which may name input fields, or a URL.
        root: The folder that a file is meant from.
        keep_distinct: Compare with `DISTINCT` as it stands.
        timeout_s: The longest a query may take.
    """

    aggregates: tuple[Aggregate, ...] = ()
    takes_time = True

    def __init__(
        self, database: str, *, root: Path, keep_distinct: bool = False, timeout_s: float = 30.0
    ) -> None:
        self._database, self._root = database, root
        self._keep_distinct, self._timeout_s = keep_distinct, timeout_s
        self._known: dict[tuple[str, str], Rows] = {}
        self.id = metric_id("execution", 2, {"database": database, "keep_distinct": keep_distinct})

    def score(self, example: Example, answer: Json) -> Score:
        """Run both queries and compare.

        Raises: MetricError if the reference cannot be run: then nothing can be scored.
        """
        expected = self._expected(example)
        try:
            found = self._rows(example, str(answer))
        except QueryError as error:
            return Score(
                value=0.0, parts={"error": str(error)}, feedback=f"The query fails: {error}"
            )
        if same_result(expected, found, order_matters="order by" in str(example.reference).lower()):
            return Score(value=1.0, feedback="Right.")
        return Score(
            value=0.0,
            parts={"expected_rows": len(expected), "rows": len(found)},
            feedback=f"Expected {shown(expected)}, got {shown(found)}. A right query is: {example.reference}",
        )

    def failed(self, example: Example, failure: FailureKind) -> Score:
        """Score 0."""
        return Score(
            value=0.0,
            feedback=f"{failure_sentence(failure)} A right query is: {str(example.reference)[:LONGEST]}",
        )

    def _expected(self, example: Example) -> Rows:
        try:
            place = str(database_of(self._database, example.inputs, self._root))
        except TaskError as error:
            raise MetricError(f"metric 'execution', example {example.id}: {error}") from error
        key = (place, str(example.reference))
        if key not in self._known:
            try:
                self._known[key] = self._rows(example, key[1])
            except QueryError as error:
                raise MetricError(
                    f"metric 'execution': the reference of example {example.id} cannot be run: {error}; it is {key[1][:LONGEST]!r}"
                ) from error
        return self._known[key]

    def _rows(self, example: Example, query: str) -> Rows:
        place = database_of(self._database, example.inputs, self._root)
        dialect = "postgres" if isinstance(place, str) else "sqlite"
        return run_query(
            place, prepared(query, dialect, self._keep_distinct), timeout_s=self._timeout_s
        )


def prepared(query: str, dialect: str, keep_distinct: bool) -> str:
    """Return a query as the evaluator runs it: without `DISTINCT`, operators without a space inside, the year that Spider means.

    Texts, quoted names and comments stay as they are.
    """
    query = replace_outside_texts(join_operators(query), YEAR, "2020")
    return query if keep_distinct else without_distinct(query, dialect)


def without_distinct(query: str, dialect: str) -> str:
    """Return a query without its words DISTINCT, those of `SELECT` and of `count(DISTINCT …)`; `IS DISTINCT FROM` compares, and stays.

    The words are taken out where the tokens say that they stand, and the outcome must parse to the tree without them; where it does
    not, the tree is written anew.
    """
    import sqlglot  # takes a moment, and most tasks have no SQL
    from sqlglot.errors import SqlglotError
    from sqlglot.tokens import TokenType  # type: ignore[attr-defined]  # it is re-exported from the compiled part

    try:
        tree = sqlglot.parse_one(query, read=dialect)
        tokens = sqlglot.tokenize(query, read=dialect)
    except (SqlglotError, RecursionError):
        return query  # it does not parse, and whoever runs it says so
    wanted = _tree_without_distinct(tree)
    shorter = query
    for before, token in reversed(list(zip([None, *tokens], tokens, strict=False))):
        is_comparison = before is not None and before.token_type in (TokenType.IS, TokenType.NOT)
        if token.token_type == TokenType.DISTINCT and not is_comparison:
            shorter = shorter[: token.start] + shorter[token.end + 1 :]
    try:
        is_so = sqlglot.parse_one(shorter, read=dialect) == wanted
    except (SqlglotError, RecursionError):
        is_so = False
    return shorter if is_so else wanted.sql(dialect)


def _tree_without_distinct(tree: "Expr") -> "Expr":
    """Return a query's tree in which nothing is made distinct."""
    from sqlglot import exp

    wanted = tree.copy()
    for select in list(wanted.find_all(exp.Select)):
        select.set("distinct", None)
    for distinct in list(wanted.find_all(exp.Distinct)):
        if len(distinct.expressions) == 1 and distinct.parent is not None:
            distinct.replace(distinct.expressions[0])
    return wanted


def same_result(expected: Rows, found: Rows, *, order_matters: bool) -> bool:
    """Return whether two results are the same but for the order of columns, and of rows unless that matters.

    Args:
        expected: The reference's rows.
        found: The answer's.
        order_matters: Whether rows must stand in the same order.
    """
    if not expected and not found:
        return True
    if len(expected) != len(found) or len(expected[0]) != len(found[0]):
        return False
    ours, theirs = ([in_any_order(row) for row in rows] for rows in (expected, found))
    if ours != theirs if order_matters else set(ours) != set(theirs):
        return False
    return some_order_fits(expected, found, order_matters=order_matters)


def in_any_order(row: tuple[object, ...]) -> tuple[object, ...]:
    """Return a row's values sorted as the official evaluator sorts them: 1 and 1.0 are equal, and may sort apart."""
    return tuple(sorted(row, key=lambda value: str(value) + str(type(value))))


def some_order_fits(expected: Rows, found: Rows, *, order_matters: bool) -> bool:
    """Return whether the columns of `found` can be put so that its rows are the expected ones.

    Columns are placed one after another, and a place is given up as soon as the rows so far differ: of many columns only few orders
    are looked at.
    """
    width = len(expected[0])
    wanted = [
        prefix_of([row[: k + 1] for row in expected], order_matters=order_matters)
        for k in range(width)
    ]

    def placed(chosen: tuple[int, ...]) -> bool:
        if len(chosen) == width:
            return True
        seen: set[object] = set()
        for column in range(width):
            if column in chosen:
                continue
            rows = [tuple(row[k] for k in (*chosen, column)) for row in found]
            values = tuple(row[-1] for row in rows)
            if values in seen:  # a column like one that did not fit
                continue
            seen.add(values)
            if prefix_of(rows, order_matters=order_matters) == wanted[len(chosen)] and placed(
                (*chosen, column)
            ):
                return True
        return False

    return placed(())


def prefix_of(rows: Rows, *, order_matters: bool) -> object:
    return rows if order_matters else Counter(rows)


def shown(rows: Rows) -> str:
    """Return the first rows of a result, for reading."""
    text = "; ".join(", ".join(map(str, row)) for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN:,} rows more" if len(rows) > SHOWN else ""
    return f"{text[:LONGEST] or 'no rows'}{more}"
