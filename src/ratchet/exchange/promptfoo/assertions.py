"""promptfoo's assertions as those of the metric `assertions`: filled in for a test, or noted as lost."""

import ast
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path

from ratchet.core import Json
from ratchet.core.errors import DataError
from ratchet.core.records import canonical_json
from ratchet.exchange.losses import Losses
from ratchet.exchange.promptfoo.files import CODE, find_files, load_structure, read_text
from ratchet.exchange.promptfoo.nunjucks import fill_fields, has_more_than_fields
from ratchet.metrics.assertions import explain_problem
from ratchet.metrics.ecmascript import text_of_value
from ratchet.metrics.text_checks import CHECKS

__all__ = ["AssertionReader"]

_KEPT = (*(kind for kind in CHECKS if kind not in ("bleu", "rouge-l", "fuzzy-match")),)
_RUBRICS = {
    "llm-rubric": "{}",
    "g-eval": "{}",
    "factuality": "Every fact in the answer agrees with this text by an expert, and nothing in it contradicts the text: {}",
    "model-graded-factuality": "Every fact in the answer agrees with this text by an expert, and nothing in it contradicts the text: {}",
    "model-graded-closedqa": "The answer meets this criterion: {}",
}
_SIMILAR = ("similar", "similar:cosine")
_PARTS = ("type", "value", "threshold", "weight", "metric", "provider", "assert")
_GET = "get_assert"
"""The function that is called where a file of Python is named without one."""


class AssertionReader:
    """Reads the assertions of all tests of a suite.

    Args:
        folder: Where files are looked for.
        task: The task's name; functions are written beside it.
        losses: Takes what is not kept.
    """

    def __init__(self, folder: Path, task: str, losses: Losses) -> None:
        self._folder, self._losses = folder, losses
        self._home = f"tasks/{task}"
        self._inline: dict[str, str] = {}  # code to the name of its function
        self._copied: dict[str, str] = {}
        self.asks_judge = self.asks_embedding = False
        self.graders: list[Json] = []
        """Providers that assertions name for grading."""

    @property
    def files(self) -> dict[str, str]:
        """Return the files of functions, from the workspace's folder, with their texts."""
        files = dict(self._copied)
        if self._inline:
            functions = "\n\n\n".join(self._inline)
            header = '"""Assertions in Python of the suite that this task was made of."""\n\n\n'
            files[f"{self._home}/checks.py"] = f"{header}{functions}\n"
        return files

    def convert(self, given: Json, values: Mapping[str, Json], where: str) -> list[dict[str, Json]]:
        """Return an assertion as ours, with the test's values filled in; none where it has no equal."""
        if not isinstance(given, dict) or not isinstance(given.get("type"), str):
            self._losses.add(f"assertion without a type: {given!r}"[:200], where)
            return []
        kind = given["type"]
        for part in sorted(set(given) - set(_PARTS)):
            self._losses.add(f"{part} of an assertion", where)
        if kind == "assert-set":
            return self._convert_set(given, values, where)
        try:
            converted = self._convert_one(kind, given, values, where)
        except DataError as error:
            self._losses.add(f"assertion {kind}: {error}", where)
            return []
        if converted is None:
            self._losses.add(f"assertion {kind}", where)
            return []
        for name in ("weight", "metric"):
            if given.get(name) is not None:
                converted[name] = given[name]
        if problem := explain_problem(converted) or _explain_unkept(converted):
            self._losses.add(f"assertion {kind}: {problem}", where)
            return []
        return [converted]

    def _convert_set(
        self, given: dict[str, Json], values: Mapping[str, Json], where: str
    ) -> list[dict[str, Json]]:
        inner: list[dict[str, Json]] = []
        parts = given.get("assert")
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, dict) and part.get("type") == "assert-set":
                self._losses.add("assertion assert-set inside another", where)
                continue
            inner += self.convert(part, values, where)
        if given.get("threshold") is not None:
            self._losses.add("threshold of an assert-set (the score counts)", where)
        if not inner:
            self._losses.add("assertion assert-set without an assertion that can be read", where)
            return []
        kept = {name: given[name] for name in ("weight", "metric") if given.get(name) is not None}
        whole = {"type": "assert-set", "assert": inner, **kept}
        if problem := explain_problem({"type": "assert-set", **kept}) or _explain_unkept(whole):
            self._losses.add(f"assertion assert-set: {problem}", where)
            return []
        return [whole]

    def _convert_one(
        self, kind: str, given: dict[str, Json], values: Mapping[str, Json], where: str
    ) -> dict[str, Json] | None:
        """Return the assertion; None where it has no equal.

        Raises: DataError if it cannot be read.
        """
        plain = kind.removeprefix("not-")
        negation = kind.removesuffix(plain)
        if plain == "python":
            return {"type": kind, "value": self._function(given.get("value"), values)}
        if plain in _KEPT:
            return self._checked(kind, given, values, where)
        if plain in _RUBRICS:
            rubric = self._rubric(plain, self._filled(given.get("value"), values, where))
            self.asks_judge = True
            self._note_grading(given, where)
            return {"type": f"{negation}llm-rubric", "value": rubric}
        if plain in _SIMILAR:
            wanted = self._filled(given.get("value"), values, where)
            if isinstance(wanted, list) and len(wanted) == 1:
                wanted = wanted[0]
            if not isinstance(wanted, str) or not wanted:
                raise DataError(f"its value is one text, got {wanted!r}")
            self.asks_embedding = True
            self._note_grading(given, where)
            return {"type": f"{negation}similar", "value": wanted}
        return None

    def _note_grading(self, given: dict[str, Json], where: str) -> None:
        if given.get("provider") is not None:
            self.graders.append(given["provider"])
        if given.get("threshold") is not None:
            self._losses.add(
                f"threshold of {given['type']} (the score counts, not whether it passes)", where
            )

    def _checked(
        self, kind: str, given: dict[str, Json], values: Mapping[str, Json], where: str
    ) -> dict[str, Json]:
        """Return an assertion that is tried without a model."""
        converted: dict[str, Json] = {"type": kind}
        if "value" in given:
            converted["value"] = self._filled(given["value"], values, where)
        plain = kind.removeprefix("not-")
        if plain == "equals" and not isinstance(converted.get("value", {}), dict | list):
            converted["value"] = text_of_value(converted["value"])
        if given.get("threshold") is not None and plain == "levenshtein":
            converted["threshold"] = given["threshold"]
        elif given.get("threshold") is not None and plain in ("rouge-n", "gleu"):
            self._losses.add(
                f"threshold of {kind} (the score counts, not whether it passes)", where
            )
        return converted

    def _filled(self, value: Json, values: Mapping[str, Json], where: str) -> Json:
        """Return a value with the test's values in its fields, read from its file where it names one.

        Raises: DataError if that file is run, or is not there.
        """
        if isinstance(value, list):
            return [self._filled(part, values, where) for part in value]
        if not isinstance(value, str):
            return value
        if value.startswith("file://"):
            (path, *_) = find_files(self._folder, fill_fields(value, values))
            if path.suffix in CODE:
                raise DataError(f"{path.name} is code")
            if path.suffix in (".json", ".yaml", ".yml"):
                return load_structure(path)
            value = read_text(path).strip()
        if has_more_than_fields(value):
            raise DataError(f"more of Nunjucks than fields: {value[:80]!r}")
        return fill_fields(value, values)

    def _rubric(self, kind: str, value: Json) -> str:
        """Return what a judge is to look at.

        Raises: DataError if there is nothing.
        """
        if isinstance(value, list):
            value = "All of these:\n" + "\n".join(f"- {text_of_value(part)}" for part in value)
        text = (
            json.dumps(value, ensure_ascii=False)
            if isinstance(value, dict)
            else text_of_value("" if value is None else value).strip()
        )
        if not text:
            raise DataError("it has no value")
        return _RUBRICS[kind].format(text)

    def _function(self, value: Json, values: Mapping[str, Json]) -> str:
        """Return `file.py:name` of the function that tries an assertion in Python, from the workspace's folder.

        Raises: DataError if the code does not parse, or a file has no such function.
        """
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"its value is code, got {value!r}")
        named = value.removeprefix("file://")
        if value.startswith("file://") or (
            named.partition(":")[0].endswith(".py") and " " not in named
        ):
            return self._copy(named)
        code = fill_fields(value, values).strip()
        body = code if "\n" in code else f"return {code}"
        source = f"def {{name}}(output, context):\n{textwrap.indent(body, '    ')}"
        name = f"check_{len(self._inline) + 1}"
        key = next(
            (
                text
                for text, known in self._inline.items()
                if text == source.replace("{name}", known)
            ),
            None,
        )
        if key is None:
            key = source.replace("{name}", name)
            _parse(key, code)
            self._inline[key] = name
        return f"{self._home}/checks.py:{self._inline[key]}"

    def _copy(self, named: str) -> str:
        file, _, function = named.partition(":")
        (path, *_) = find_files(self._folder, file)
        text = read_text(path)
        tree = _parse(text, path.name)
        wanted = function or _GET
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        if wanted not in functions:
            raise DataError(f"{path.name} has no function {wanted!r}")
        target = f"{self._home}/{path.name}"
        while self._copied.get(target, text) != text or target == f"{self._home}/checks.py":
            target = f"{target.removesuffix('.py')}_.py"
        self._copied[target] = text
        return f"{target}:{wanted}"


def _explain_unkept(assertion: dict[str, Json]) -> str | None:
    """Return why an assertion cannot be stored; None where it can."""
    try:
        canonical_json(assertion)
    except ValueError as error:
        return str(error)
    return None


def _parse(source: str, shown: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"Python that does not parse ({error}): {shown[:80]!r}") from error
