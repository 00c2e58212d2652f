"""Files that a configuration names: found from its folder, and read as promptfoo reads them."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.data.yaml12 import parse_yaml
from ratchet.metrics.ecmascript import with_whole_texts

__all__ = [
    "CODE",
    "csv_rows",
    "find_files",
    "json_lines",
    "load_structure",
    "read_text",
    "resolve_references",
]

CODE = (".js", ".cjs", ".mjs", ".ts", ".cts", ".mts", ".py", ".rb", ".go", ".sh", ".exe", ".bat")
"""Endings of files that are run, and not read."""
_MAX_CELL = 64 * 1024 * 1024
_DEEPEST_REFERENCE = 50


def read_text(path: Path) -> str:
    """Return a file's text, without a byte-order mark.

    Raises: DataError if it cannot be read.
    """
    if not path.exists():
        raise DataError(f"there is no file {path}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text in UTF-8: {error}") from error


def find_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that a path or a pattern names, in order.

    Raises: DataError if there is none.
    """
    named = Path(pattern.removeprefix("file://"))
    whole = named if named.is_absolute() else folder / named
    try:
        if whole.is_file():
            return [whole]
        root = Path(whole.anchor) if named.is_absolute() else folder
        parts = str(whole.relative_to(root)) if named.is_absolute() else str(named)
        paths = sorted(path for path in root.glob(parts) if path.is_file())
    except (OSError, ValueError, NotImplementedError, IndexError):
        paths = []  # what is no name of a file names none
    if not paths:
        raise DataError(f"there is no file {whole}")
    return paths


def load_structure(path: Path) -> Json:
    """Return what a file in JSON or YAML says.

    Raises: DataError if it cannot be read.
    """
    text = read_text(path)
    try:
        return with_whole_texts(json.loads(text) if path.suffix == ".json" else parse_yaml(text))
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise DataError(f"{path} is not valid {kind}: {error}") from error


def json_lines(path: Path) -> Iterator[tuple[int, Json]]:
    """Yield the line number and the value of each line; only a line feed ends one.

    Raises: DataError if a line is not JSON.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                yield number, with_whole_texts(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}, is not valid JSON: {error}") from error


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str], int]]:
    """Yield the number, the cells by column and the count of cells beyond the header of each row.

    Raises: DataError if the file has no header, or is not CSV.
    """
    csv.field_size_limit(_MAX_CELL)
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        header = [name.strip() for name in next(reader)]
        for number, cells in enumerate((row for row in reader if row), start=1):
            padded = [*cells, *[""] * (len(header) - len(cells))]
            row = dict(zip(header, padded, strict=False))
            yield number, row, max(0, len(cells) - len(header))
    except StopIteration:
        raise DataError(f"{path} has no header row") from None
    except csv.Error as error:
        raise DataError(f"{path} is not valid CSV near line {reader.line_num}: {error}") from error


def resolve_references(value: Json, root: Json, depth: int = 0) -> Json:
    """Return a value in which `{$ref: "#/name"}` is what stands there in the whole document.

    Raises: DataError if references go round in a circle.
    """
    if depth > _DEEPEST_REFERENCE:
        raise DataError("the configuration's $ref go round in a circle, or nest too deeply")
    if isinstance(value, list):
        return [resolve_references(part, root, depth + 1) for part in value]
    if not isinstance(value, dict):
        return value
    pointer = value.get("$ref")
    if isinstance(pointer, str) and pointer.startswith("#/"):
        target = root
        for part in pointer[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or name not in target:
                return value
            target = target[name]
        return resolve_references(target, root, depth + 1)
    return {name: resolve_references(part, root, depth + 1) for name, part in value.items()}
