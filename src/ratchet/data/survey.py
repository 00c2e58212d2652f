"""What a whole file says of each of its columns, taken row by row, so that a guess holds for every row and little is kept."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from ratchet.core import Json, canonical_json
from ratchet.data.answers import is_quantity, label_text, parse_json_text, solution_number
from ratchet.data.published import UNANSWERABLE
from ratchet.data.records import Row
from ratchet.data.schema import SchemaSurvey

__all__ = ["MAX_LABELS", "NUM_COMPARED", "ColumnSurvey", "Survey", "survey_rows"]

MAX_LABELS, MAX_LABEL_LENGTH = 200, 80
NUM_PREVIEWED = 5
NUM_COMPARED = 10_000
"""Values that are looked at for repeats; behind them a column counts as what it was."""
QUERY = re.compile(r"\s*(select|with)\s.*\b(from|select)\b", re.IGNORECASE | re.DOTALL)
"""A text that begins as a query does that reads."""


class ColumnSurvey:
    """What is known of a column."""

    def __init__(self) -> None:
        self.num_values = 0
        """Rows that have a value here."""
        self.labels: Counter[str] | None = Counter()
        """How often each value stands here; None where there are too many, or too long ones, to be labels."""
        self.is_structured = self.is_quantity = self.is_solution = self.is_name = True
        """Whether every value is a list or an object; an amount; a worked solution with its number; a text or an integer."""
        self.is_query = True
        """Whether every value begins as an SQL query that reads."""
        self.num_unanswerable = 0
        self.decimals: Counter[int] = Counter()
        """How many values are written with so many decimals."""
        self.has_trailing_zero = False
        self.is_whole_float = True
        """Whether every value is an integer that is written as a float: `1.0`."""
        self.is_list = self.is_constant = True
        self.first: Json = None
        self.num_different = 0
        """Different values, among the first 10,000."""
        self._schema = SchemaSurvey()
        self._lists = SchemaSurvey()
        self._seen: set[int] = set()

    def add(self, value: Json) -> None:
        """Take the next value, which is not None."""
        if not self.num_values:
            self.first = value
        self.num_values += 1
        self.is_constant = self.is_constant and value == self.first
        self.is_name = self.is_name and isinstance(value, str | int) and not isinstance(value, bool)
        if self.num_values <= NUM_COMPARED:
            self._seen.add(hash(value if isinstance(value, str) else canonical_json(value)))
            self.num_different = len(self._seen)
        self._add_structure(value)
        self._add_number(value)
        self._add_label(value)

    def _add_structure(self, value: Json) -> None:
        if not self.is_structured:
            return
        body = parse_json_text(value)
        self.is_structured = isinstance(body, list | dict)
        if self.is_structured:
            self.is_list = self.is_list and isinstance(body, list)
            (self._lists if isinstance(body, list) else self._schema).add(body)

    def _add_number(self, value: Json) -> None:
        self.is_solution = (
            self.is_solution and isinstance(value, str) and is_quantity(solution_number(value))
        )
        self.num_unanswerable += value == UNANSWERABLE
        self.is_query = self.is_query and isinstance(value, str) and QUERY.match(value) is not None
        self.is_quantity = self.is_quantity and is_quantity(value)
        self.is_whole_float = self.is_whole_float and (
            isinstance(value, str) and re.fullmatch(r"-?\d+\.0", value.strip()) is not None
        )
        if self.is_quantity and isinstance(value, str) and "." in value:
            fraction = value.strip().rsplit(".", 1)[1].rstrip("% ")
            self.decimals[len(fraction)] += 1
            self.has_trailing_zero = self.has_trailing_zero or fraction.endswith("0")

    def _add_label(self, value: Json) -> None:
        if self.labels is None:
            return
        label = label_text(value)
        self.labels[label] += 1
        if len(self.labels) > MAX_LABELS or len(label) > MAX_LABEL_LENGTH:
            self.labels = None

    @property
    def is_amount(self) -> bool:
        """Return whether all values are amounts: decimals that end in zero are a version's, unless all have as many."""
        return self.is_quantity and not (self.has_trailing_zero and len(self.decimals) > 1)

    def schema(self, column: str) -> dict[str, Json]:
        """Return the schema of the objects here; a list stands under the name of its column."""
        schema = self._schema.schema()
        if self.is_list:
            return wrapped_schema(column, self._lists.schema())
        if self._lists.schema() != SchemaSurvey().schema():  # objects in some rows, lists in others
            both = wrapped_schema(column, self._lists.schema())
            return {"anyOf": [schema, both]}
        return schema


def wrapped_schema(column: str, schema: dict[str, Json]) -> dict[str, Json]:
    return {
        "type": "object",
        "properties": {column: schema},
        "required": [column],
        "additionalProperties": False,
    }


class Survey:
    """What is known of a file or a frame: its columns in the order in which they come, and its first rows."""

    def __init__(self) -> None:
        self.columns: dict[str, ColumnSurvey] = {}
        self.num_rows = 0
        self.preview: list[Row] = []
        self._inputs: dict[str, None] = {}
        self._has_inputs = True

    def add(self, row: Row) -> None:
        """Take the next row."""
        self.num_rows += 1
        if len(self.preview) < NUM_PREVIEWED:
            self.preview.append(row)
        self._has_inputs = self._has_inputs and bool(row.inputs)
        self._inputs.update(dict.fromkeys(row.inputs))
        for name, value in row.values.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = ColumnSurvey()
            if value is not None:
                column.add(value)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the columns that are inputs by the file's format; none where the format does not say."""
        return tuple(self._inputs) if self._has_inputs else ()


def survey_rows(rows: Iterable[Row], *, limit: int | None = None) -> Survey:
    """Return what rows say of their columns; all of them, unless there is a `limit`."""
    survey = Survey()
    for row in islice(rows, limit):
        survey.add(row)
    return survey
