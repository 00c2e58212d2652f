"""What people said, as rows of a file: labels of the same things by several people, and choices between two answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ratchet.core.errors import DataError, did_you_mean
from ratchet.data.answers import label_text
from ratchet.data.cells import to_cell
from ratchet.data.records import Row
from ratchet.data.rows import good_rows

__all__ = ["GivenChoice", "LabelColumns", "Rating", "read_choices", "read_ratings"]

ITEM_NAMES = ("example", "item", "example_id", "item_id", "id", "unit")
PEOPLE_NAMES = (
    "who",
    "rater",
    "annotator",
    "annotator_id",
    "worker",
    "worker_id",
    "coder",
    "judge",
)
LABEL_NAMES = ("label", "grade", "rating", "annotation", "value")
CHOICE_NAMES: dict[str, tuple[str, ...]] = {
    "example": (*ITEM_NAMES, "question_id"),
    "first": ("first", "model_a", "a"),
    "second": ("second", "model_b", "b"),
    "winner": ("winner", "choice", "preferred"),
    "who": PEOPLE_NAMES,
}
WINNERS: dict[str, float] = {
    **dict.fromkeys(("first", "1", "a", "left", "model_a"), 1.0),
    **dict.fromkeys(("second", "2", "b", "right", "model_b"), 0.0),
    **dict.fromkeys(("tie", "draw", "equal", "same", "both", "neither", "tie (bothbad)"), 0.5),
}


class Rating(NamedTuple):
    """What one person said of one thing."""

    item: str
    who: str
    label: str


@dataclass(frozen=True, kw_only=True)
class LabelColumns:
    """The columns whose part the user names; what is left out goes by usual names."""

    item: str | None = None
    who: str | None = None
    label: str | None = None
    raters: tuple[str, ...] = ()
    """Columns that hold one person's labels each, in place of `who` and `label`."""


class GivenChoice(NamedTuple):
    """What one row says of two answers to an example."""

    row: int
    example: str
    first: str
    """A candidate, as the file names it."""
    second: str
    who: str
    """Empty where the file does not say."""
    result: float
    """1 where the first is better, 0 where the second is, 0.5 for a tie."""


def read_ratings(path: Path, columns: LabelColumns) -> list[Rating]:
    """Return the labels of a file: a row a label (item, who, label), or a row an item with a column a person; blanks are not rated.

    Raises: DataError if a column is wanting, or a person labels an item twice, and otherwise.
    """
    rows = list(good_rows(path))
    names = tuple(dict.fromkeys(name for row in rows for name in row.values))
    item = choose_column(path, names, columns.item, ITEM_NAMES, "item")
    if columns.raters:
        people = {choose_column(path, names, rater, (), "rater"): rater for rater in columns.raters}
        if len(people) < 2:  # agreement takes two
            raise DataError(f"{path}: name at least two columns of labels with --rater")
        cells = [
            (row, cell_text(row, item), who, cell_text(row, column))
            for row in rows
            for column, who in people.items()
        ]
    else:
        hint = "; or name a column for each person: --rater ann --rater bob"
        who = choose_column(path, names, columns.who, PEOPLE_NAMES, "who", hint=hint)
        label = choose_column(path, names, columns.label, LABEL_NAMES, "label", hint=hint)
        cells = [
            (row, cell_text(row, item), cell_text(row, who), cell_text(row, label)) for row in rows
        ]
    return unique_ratings(path, cells)


def unique_ratings(path: Path, cells: Sequence[tuple[Row, str, str, str]]) -> list[Rating]:
    """Return the labels that are given, each person's on an item once."""
    known: dict[tuple[str, str], tuple[str, int]] = {}
    for row, item, who, label in cells:
        if not label:
            continue  # not rated
        if not item or not who:
            raise DataError(
                f"{path}, row {row.number}: a label needs {'an item' if not item else 'a person'}; mend the row"
            )
        before = known.setdefault((item, who), (label, row.number))
        if before[0] != label:
            raise DataError(
                f"{path}, row {row.number}: {who!r} labelled {item!r} {before[0]!r} in row {before[1]}, and {label!r} here; leave one of them"
            )
    return [Rating(item, who, label) for (item, who), (label, _) in known.items()]


def read_choices(path: Path) -> Iterator[GivenChoice]:
    """Yield the choices of a file with the columns example, first, second, winner, and who; rows without a winner are passed over.

    Raises: DataError if a column is wanting, or a winner is none.
    """
    rows = list(good_rows(path))
    names = tuple(dict.fromkeys(name for row in rows for name in row.values))
    columns = {
        part: choose_column(path, names, None, usual, part)
        for part, usual in CHOICE_NAMES.items()
        if part != "who"
    }
    lowered = {plain_name(name): name for name in names}
    who = next((lowered[name] for name in PEOPLE_NAMES if name in lowered), None)
    for row in rows:
        cells = {part: cell_text(row, column) for part, column in columns.items()}
        if not cells["winner"]:
            continue  # not judged
        empty = next((part for part, text in cells.items() if not text), None)
        if empty:
            raise DataError(f"{path}, row {row.number}: column {columns[empty]!r} is empty")
        if cells["first"] == cells["second"]:
            raise DataError(
                f"{path}, row {row.number}: a choice is between two candidates; both are {cells['first']!r}"
            )
        result = read_winner(path, row, cells)
        person = cell_text(row, who) if who else ""
        yield GivenChoice(
            row.number, cells["example"], cells["first"], cells["second"], person, result
        )


def read_winner(path: Path, row: Row, cells: Mapping[str, str]) -> float:
    """Return 1 for the first, 0 for the second, 0.5 for a tie: by place, or by the candidate's own name."""
    winner = cells["winner"]
    named = {cells["first"]: 1.0, cells["second"]: 0.0}.get(winner)
    placed = WINNERS.get(winner.casefold())
    if named is not None and placed is not None and named != placed:
        raise DataError(
            f"{path}, row {row.number}: winner {winner!r} is the name of one candidate and the place of the other; write first, second or tie"
        )
    result = placed if named is None else named
    if result is None:
        raise DataError(
            f"{path}, row {row.number}: winner must be first, second, tie, a, b, 1, 2 or one of the two candidates, got {winner!r}"
        )
    return result


def choose_column(
    path: Path,
    names: Sequence[str],
    named: str | None,
    usual: Sequence[str],
    part: str,
    *,
    hint: str = "",
) -> str:
    """Return the column of a part: the named one, or the first of the usual names that is there.

    Raises: DataError if it is not there.
    """
    if named is not None and named in names:
        return named
    lowered = {plain_name(name): name for name in names}
    found = None if named else next((lowered[name] for name in usual if name in lowered), None)
    if found is None:
        wanted = repr(named) if named else f"for the {part} ({', '.join(usual)})"
        near = did_you_mean(named, names) if named else ""
        raise DataError(
            f"{path}: there is no column {wanted}; the columns are {', '.join(names)}{hint}.{near}"
        )
    return found


def plain_name(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def cell_text(row: Row, column: str) -> str:
    value = to_cell(row.values.get(column))
    return "" if value is None else label_text(value)
