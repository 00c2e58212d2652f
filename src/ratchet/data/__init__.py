"""Load, split, check and version examples."""

from ratchet.data.adding import Added, add_examples
from ratchet.data.duplicates import near_duplicates, word_grams
from ratchet.data.editing import as_version, restore
from ratchet.data.files import FileImport, Parts, add_rows, similar_labels
from ratchet.data.guess import Guess, guess_columns, guess_task
from ratchet.data.importing import ImportReport, to_examples
from ratchet.data.records import BadRow, Row
from ratchet.data.rows import good_rows, read_rows
from ratchet.data.splits import Leak, find_leaks, split_examples
from ratchet.data.survey import Survey, survey_rows
from ratchet.data.tables import frame_rows

__all__ = [
    "Added",
    "BadRow",
    "FileImport",
    "Guess",
    "ImportReport",
    "Leak",
    "Parts",
    "Row",
    "Survey",
    "add_examples",
    "add_rows",
    "as_version",
    "find_leaks",
    "frame_rows",
    "good_rows",
    "guess_columns",
    "guess_task",
    "near_duplicates",
    "read_rows",
    "restore",
    "similar_labels",
    "split_examples",
    "survey_rows",
    "to_examples",
    "word_grams",
]
