"""The tests of a configuration: from itself and from files, with its defaults and scenarios, lists of values spread out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.exchange.losses import Losses
from ratchet.exchange.promptfoo.cells import csv_tests
from ratchet.exchange.promptfoo.files import CODE, find_files, json_lines, load_structure, read_text
from ratchet.exchange.promptfoo.nunjucks import fill_fields, has_more_than_fields, plain_value
from ratchet.metrics.ecmascript import text_of_value

__all__ = ["SuiteTest", "object_of", "read_tests"]

_MAX_TESTS = 100_000
"""Tests that lists of values may be spread into."""
_MAX_FILLS = 5
_OPTIONS = ("prefix", "suffix", "disableVarExpansion", "disableDefaultAsserts", "provider")
_PARTS = ("vars", "assert", "description", "options", "threshold")
_REMOTE = ("http://", "https://", "huggingface://", "az://")
Placed = tuple[str, dict[str, Json], Path]
"""Where a test stands, the test, and the folder that its files are looked for from."""


@dataclass(frozen=True)
class SuiteTest:
    """One test, its values chosen."""

    where: str
    description: str
    values: dict[str, Json]
    assertions: list[Json]
    """As they stand in the file, not yet filled in."""
    prefix: str
    suffix: str
    grader: Json
    """The provider that grades, where the test names one."""


def read_tests(body: dict[str, Json], folder: Path, losses: Losses) -> list[SuiteTest]:
    """Return the tests of a configuration; what cannot be read is noted.

    Args:
        body: The configuration.
        folder: Where its files are looked for.
        losses: Takes what is not kept.
    Raises: DataError if lists of values give too many tests.
    """
    defaults = _object_or_loss(body.get("defaultTest"), folder, losses, "defaultTest")
    _note_parts(defaults, "defaultTest", losses)
    tests: list[SuiteTest] = []
    placed = [
        *_placed_tests(body.get("tests"), folder, losses, "test"),
        *_scenario_tests(body.get("scenarios"), folder, losses),
    ]
    for where, test, base in placed:
        try:
            merged = _merged(test, base, defaults, folder)
        except (DataError, TypeError, ValueError) as error:
            losses.add(f"test: {error}", where)
            continue
        _note_parts(test, where, losses)
        tests += _spread(merged, where, folder, losses)
        if len(tests) > _MAX_TESTS:
            raise DataError(
                f"the lists of values give more than {_MAX_TESTS:,} tests; give them fewer values"
            )
    return tests


def object_of(given: Json, folder: Path) -> dict[str, Json]:
    """Return an object that may stand in a file, or in several.

    Raises: DataError if it is none.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        merged: dict[str, Json] = {}
        for path in find_files(folder, given):
            merged |= object_of(load_structure(path), path.parent)
        return merged
    if isinstance(given, list):
        merged = {}
        for part in given:
            merged |= object_of(part, folder)
        return merged
    if not isinstance(given, dict):
        raise DataError(f"an object is wanted, and {given!r} stands here")
    return given


def _object_or_loss(given: Json, folder: Path, losses: Losses, where: str) -> dict[str, Json]:
    try:
        return object_of(given, folder)
    except DataError as error:
        losses.add(f"{where}: {error}")
        return {}


def _placed_tests(given: Json, folder: Path, losses: Losses, name: str) -> Iterator[Placed]:
    """Yield the tests of a list, a file or a pattern of files."""
    if isinstance(given, dict) and isinstance(given.get("path"), str):
        given = given["path"]
    entries = given if isinstance(given, list) else [] if given is None else [given]
    for number, entry in enumerate(entries, start=1):
        where = f"{name} {number}"
        if isinstance(entry, dict) and set(entry) == {"path"}:
            entry = entry["path"]
        if isinstance(entry, dict):
            yield where, entry, folder
        elif isinstance(entry, str):
            try:
                yield from _file_tests(entry, folder, losses)
            except DataError as error:
                losses.add(f"tests of {entry}: {error}")
        else:
            losses.add(f"test: it is no object, but {entry!r}"[:200], where)


def _file_tests(entry: str, folder: Path, losses: Losses) -> Iterator[Placed]:
    """Yield the tests of the files that an entry names.

    Raises: DataError if they cannot be read.
    """
    if entry.startswith(_REMOTE):
        raise DataError("they are elsewhere; fetch them into a file first")
    name = entry.removeprefix("file://")
    stem = name.rpartition(":")[0] if Path(name.rpartition(":")[0]).suffix in CODE else name
    if Path(stem).suffix in CODE:
        raise DataError("they are made by code; write what it makes into a JSONL file")
    if Path(stem.partition("#")[0]).suffix in (".xlsx", ".xls"):
        raise DataError("they are in a workbook; save it as CSV")
    for path in find_files(folder, stem):
        if path.suffix == ".csv":
            for where, test in csv_tests(path, losses):
                yield where, test, path.parent
        elif path.suffix == ".jsonl":
            for number, value in json_lines(path):
                yield from _checked(f"{path.name}:{number}", value, path.parent, losses)
        elif path.suffix in (".yaml", ".yml", ".json"):
            content = load_structure(path)
            if isinstance(content, str) or (
                isinstance(content, list) and any(isinstance(part, str) for part in content)
            ):
                yield from _placed_tests(content, path.parent, losses, f"{path.name}:")
                continue
            for number, value in enumerate(
                content if isinstance(content, list) else [content], start=1
            ):
                yield from _checked(f"{path.name}:{number}", value, path.parent, losses)
        else:
            losses.add(f"tests in {path.name}: a file of this kind is not read")


def _checked(where: str, value: Json, folder: Path, losses: Losses) -> Iterator[Placed]:
    if isinstance(value, dict):
        yield where, value, folder
    else:
        losses.add(f"test: it is no object, but {value!r}"[:200], where)


def _scenario_tests(given: Json, folder: Path, losses: Losses) -> Iterator[Placed]:
    """Yield each test of each scenario, for each of its configurations."""
    for number, scenario in enumerate(given if isinstance(given, list) else [], start=1):
        where = f"scenario {number}"
        try:
            scenario_body = object_of(scenario, folder)
        except DataError as error:
            losses.add(f"{where}: {error}")
            continue
        for part in sorted(scenario_body.keys() - {"config", "tests", "description"}):
            losses.add(f"{part} of a scenario", where)
        configurations = list(
            _placed_tests(scenario_body.get("config"), folder, losses, f"{where}, configuration")
        )
        tests = list(_placed_tests(scenario_body.get("tests"), folder, losses, f"{where}, test"))
        for (place, data, base), (inner, test, _) in product(
            configurations, tests or [(where, {}, folder)]
        ):
            merged = {**data, **test}
            for name in ("vars", "options"):
                merged[name] = {
                    **object_of(data.get(name), base),
                    **object_of(test.get(name), base),
                }
            merged["assert"] = [*_listed(data.get("assert")), *_listed(test.get("assert"))]
            yield f"{inner} ({place})", merged, base


def _merged(
    test: dict[str, Json], base: Path, defaults: dict[str, Json], folder: Path
) -> dict[str, Json]:
    """Return a test with what the defaults add."""
    options = {
        **object_of(defaults.get("options"), folder),
        **object_of(test.get("options"), base),
    }
    usual = [] if options.get("disableDefaultAsserts") is True else defaults.get("assert")
    return {
        "vars": {**object_of(defaults.get("vars"), folder), **object_of(test.get("vars"), base)},
        "assert": [*_listed(usual), *_listed(test.get("assert"))],
        "options": options,
        "description": test.get("description") or "",
    }


def _note_parts(test: dict[str, Json], where: str, losses: Losses) -> None:
    """Note what of a test is not kept."""
    for part in sorted(set(test) - set(_PARTS)):
        losses.add(f"{part} of a test", where)
    if test.get("threshold") is not None:
        losses.add("threshold of a test (the score counts, not whether it passes)", where)
    options = test.get("options")
    for part in sorted(set(options) - set(_OPTIONS)) if isinstance(options, dict) else ():
        losses.add(f"option {part} of a test", where)


def _spread(
    merged: dict[str, Json], where: str, folder: Path, losses: Losses
) -> Iterator[SuiteTest]:
    """Yield a test for each choice of values: a list whose first item is a text is spread, and a pattern of files."""
    options = merged["options"]
    choices: list[list[Json]] = []
    for value in merged["vars"].values():
        spread = isinstance(value, list) and value and isinstance(value[0], str)
        choices.append(value if spread and not options.get("disableVarExpansion") else [value])
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > _MAX_TESTS:
        raise DataError(
            f"{where}: the lists of values give {count:,} tests, more than {_MAX_TESTS:,}; give them fewer values"
        )
    for number, chosen in enumerate(product(*choices), start=1):
        place = where if count == 1 else f"{where}, values {number}"
        named = dict(zip(merged["vars"], chosen, strict=True))
        try:
            values = {name: _value(value, folder) for name, value in named.items()}
        except DataError as error:
            losses.add(f"test: {error}", place)
            continue
        yield SuiteTest(
            where=place,
            description=text_of_value(merged["description"]),
            values=_filled(values, place, losses),
            assertions=merged["assert"],
            prefix=str(options.get("prefix") or ""),
            suffix=str(options.get("suffix") or ""),
            grader=options.get("provider"),
        )


def _value(value: Json, folder: Path) -> Json:
    """Return a variable's value, read from its file where it names one.

    Raises: DataError if the file is run, is no text, or is not there.
    """
    if not isinstance(value, str) or not value.startswith("file://"):
        return value
    path, *others = find_files(folder, value)
    if path.suffix in CODE:
        raise DataError(f"the value {value!r} is made by code")
    if others:
        raise DataError(f"the value {value!r} names {1 + len(others)} files; list them")
    if path.suffix in (".yaml", ".yml"):
        return json.dumps(load_structure(path), ensure_ascii=False, separators=(",", ":"))
    return read_text(path).strip()


def _filled(values: dict[str, Json], where: str, losses: Losses) -> dict[str, Json]:
    """Return values with the fields in them filled in by the others, and written as promptfoo writes them."""
    written: dict[str, Json] = {}
    for name, value in values.items():
        plain = plain_value(value)
        if isinstance(plain, str) and has_more_than_fields(plain):
            losses.add("more of Nunjucks than fields in a value", where)
        for _ in range(_MAX_FILLS):  # a value may hold one that holds another
            filled = fill_fields(plain, values, unknown=None) if isinstance(plain, str) else plain
            if filled == plain:
                break
            plain = filled
        written[name] = plain
    return written


def _listed(value: Json) -> list[Json]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
