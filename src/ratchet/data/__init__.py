"""Load, split, check and version examples."""

from ratchet.data.adding import Added, add_examples
from ratchet.data.duplicates import near_duplicates, word_grams
from ratchet.data.editing import as_version, restore
from ratchet.data.guess import Guess, guess_columns, guess_task
from ratchet.data.importing import ImportReport, to_examples
from ratchet.data.rows import BadRow, Row, good_rows, read_rows
from ratchet.data.splits import Leak, find_leaks, split_examples

__all__ = [
    "Added",
    "BadRow",
    "Guess",
    "ImportReport",
    "Leak",
    "Row",
    "add_examples",
    "as_version",
    "find_leaks",
    "good_rows",
    "guess_columns",
    "guess_task",
    "near_duplicates",
    "read_rows",
    "restore",
    "split_examples",
    "to_examples",
    "word_grams",
]
