"""A promptfoo configuration as a task: prompts become candidates, providers models, tests examples, and assertions their references.

What has no equal here is named and left out: assertions that a model or code decides, prompts that are code, and templates with
more of Nunjucks than fields.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import yaml
from pydantic import ValidationError

from ratchet.core import (
    AnswerForm,
    Candidate,
    Decoding,
    Demonstration,
    Example,
    InputField,
    Json,
    MetricSpec,
    Roles,
    Task,
)
from ratchet.core.errors import DataError
from ratchet.metrics.assertions import KINDS

__all__ = ["Suite", "read_suite"]

FIELD = re.compile(r"\{\{-?\s*([^{}]*?)\s*-?\}\}")
NAME = re.compile(r"[A-Za-z_]\w*")
CELL = re.compile(r"^([a-z][a-z-]*)(?:\(([\d.]+)\))?(?::(.*))?$", re.DOTALL)
OTHERS = ("fn", "javascript", "python", "webhook", "grade", "llm-rubric", "similar", "factuality", "model-graded-closedqa", "model-graded-factuality", "answer-relevance", "context-recall", "context-relevance", "context-faithfulness", "cost", "latency", "perplexity", "rouge-n", "bleu", "classifier", "moderation", "is-valid-openai-tools-call", "is-sql", "contains-sql", "is-xml", "contains-xml", "g-eval", "select-best")  # fmt: skip
"""Assertions of promptfoo's that have no equal here."""
MOST = 100_000
"""Tests that lists of values may be spread into."""
PLATFORMS = {"openai": "openai", "azureopenai": "azure", "azure": "azure", "anthropic": "anthropic", "ollama": "ollama", "mistral": "mistral"}  # fmt: skip
CODE = (".js", ".cjs", ".mjs", ".ts", ".py")
KINDS_OF_CALL = ("chat", "completion", "messages", "responses")


@dataclass
class Suite:
    """What a configuration holds."""

    task: Task
    examples: list[Example]
    candidates: list[Candidate]
    """One a prompt, on the first provider."""
    models: list[str]
    """All providers, as `<endpoint>/<model>`."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What has no equal here, and how often it stands there."""


def read_suite(path: Path, name: str) -> Suite:
    """Return the suite of a `promptfooconfig.yaml`.

    Args:
        path: The file; `file://` in it is meant from its folder.
        name: What the task is called.
    Raises: DataError if it cannot be read, or holds no prompt or no test.
    """
    body = loaded(path)
    if not isinstance(body, dict) or "prompts" not in body:
        raise DataError(f"{path} is no promptfoo configuration: it has no prompts")
    try:
        return suite_of(body, path, name)
    except (TypeError, AttributeError, ValidationError) as error:
        raise DataError(
            f"{path} has a part that cannot be read: {str(error).splitlines()[0]}"
        ) from error


def suite_of(body: dict[str, Json], path: Path, name: str) -> Suite:
    """Return the suite of a configuration's body."""
    reader = Reader(path.parent)
    prompts = list(reader.prompts(body["prompts"]))
    usual = reader.linked(body.get("defaultTest") or {})
    tests = list(reader.tests(body.get("tests") or [], usual))
    if not prompts:
        raise DataError(f"{path}: none of the prompts can be read ({reader.said()})")
    if not tests:
        raise DataError(
            f"{path}: there is no test with an assertion that can be read ({reader.said()})"
        )
    for part in ("scenarios", "transform", "extensions", "evaluateOptions"):
        if body.get(part):
            reader.left_out[part] += 1
    first = next(iter(listed(body.get("providers") or body.get("targets"))), None)
    decoding = reader.decoding(first)
    models = [
        model
        for one in listed(body.get("providers") or body.get("targets"))
        if (model := reader.provider(one))
    ]
    models = models or ["local:nano"]
    inputs = list(dict.fromkeys(name for _, messages in prompts for name in fields_in(messages)))
    for _, values, _ in tests:
        if missing := [one for one in inputs if one not in values]:
            raise DataError(
                f"{path}: a test has no value for {missing[0]!r}, which a prompt uses; its vars are {', '.join(values) or 'none'}"
            )
    inputs = (
        inputs
        or list(dict.fromkeys(name for _, values, _ in tests for name in values))
        or ["input"]
    )
    single = all(
        len(said) == 1 and said[0]["type"] == "equals" and isinstance(said[0]["value"], str)
        for _, _, said in tests
    )
    task = Task(
        name=name,
        instructions=str(body.get("description") or "Answer the message."),
        inputs=tuple(InputField(name=one) for one in inputs),
        answer=AnswerForm(),
        metric=MetricSpec(name="exact" if single else "assertions"),
        models=Roles(student=models[0]),
    )
    examples = [
        Example(
            inputs={one: values.get(one, "") for one in inputs},
            reference=said[0]["value"] if single else said,
            source=f"{path.name}:{number}",
            name=told or None,
        )
        for number, (told, values, said) in enumerate(tests, start=1)
    ]
    candidates = [
        candidate_of(label, messages, inputs, models[0], decoding) for label, messages in prompts
    ]
    return Suite(task, examples, candidates, list(dict.fromkeys(models)), reader.left_out)


Messages = list[dict[str, str]]
Test = tuple[str, dict[str, Json], list[dict[str, Json]]]


class Reader:
    """Reads the parts of a configuration, and counts what it leaves out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.left_out: Counter[str] = Counter()

    def said(self) -> str:
        """Return what was left out, in words."""
        return (
            ", ".join(f"{count} × {what}" for what, count in self.left_out.items())
            or "nothing was left out"
        )

    def prompts(self, given: Json) -> Iterator[tuple[str, Messages]]:
        """Yield each prompt's label and messages."""
        for number, one in enumerate(listed(given), start=1):
            label, raw = f"prompt {number}", one
            if isinstance(one, dict):
                raw = one.get("raw") or one.get("id") or ""
                label = str(one.get("label") or label)
            for text, name in self._texts(str(raw), label):
                messages = messages_in(text)
                try:
                    checked = [{**m, "content": ours(m["content"])} for m in messages]
                except DataError as error:
                    self.left_out[f"prompt {name!r}: {error}"] += 1
                    continue
                if checked and checked[-1]["role"] == "user":
                    yield name, checked
                else:
                    self.left_out[f"prompt {name!r}: its last message is not the user's"] += 1

    def _texts(self, raw: str, label: str) -> Iterator[tuple[str, str]]:
        plain = len(raw) < 200 and "\n" not in raw and "{{" not in raw
        is_file = raw.startswith("file://") or (
            plain and bool(list(self._folder.glob(raw or "."))) and raw not in ("", ".")
        )
        if not is_file:
            yield raw, label
            return
        pattern = raw.removeprefix("file://").split(":")[0]
        if Path(pattern).suffix in CODE:
            self.left_out[f"prompt in code ({pattern})"] += 1
            return
        paths = (
            sorted(self._folder.glob(pattern))
            if not Path(pattern).is_absolute()
            else [Path(pattern)]
        )
        if not paths:
            raise DataError(f"there is no file {self._folder / pattern}")
        for path in paths:
            if path.suffix in (".yaml", ".yml"):
                yield json.dumps(loaded(path)), path.stem
                continue
            parts = re.split(r"^---$", text_of(path), flags=re.MULTILINE)
            for number, part in enumerate(parts, start=1):
                yield part.strip(), path.stem if len(parts) == 1 else f"{path.stem} {number}"

    def provider(self, given: Json) -> str | None:
        """Return the model that a provider names; None where it is none that can be asked here."""
        if isinstance(given, dict) and "id" not in given and len(given) == 1:
            given = next(iter(given))
        name = str(given.get("id") if isinstance(given, dict) else given)
        platform, *rest = name.split(":")
        if rest and rest[0] in KINDS_OF_CALL:
            rest = rest[1:]
        if platform not in PLATFORMS or not rest:
            self.left_out[f"provider {name!r}: name its endpoint in ratchet.toml by hand"] += 1
            return None
        return f"{PLATFORMS[platform]}/{':'.join(rest)}"

    def linked(self, given: Json) -> dict[str, Json]:
        """Return an object that may stand in a file."""
        if isinstance(given, str):
            given = loaded(self._folder / given.removeprefix("file://"))
        if isinstance(given, list):
            merged: dict[str, Json] = {}
            for one in given:
                merged |= self.linked(one)
            return merged
        return dict(given or {})

    def decoding(self, given: Json) -> Decoding:
        """Return what a provider's settings say of decoding; what has no equal here is counted."""
        config = dict(given.get("config") or {}) if isinstance(given, dict) else {}
        known = {"temperature": "temperature", "max_tokens": "max_tokens", "top_p": "top_p", "seed": "seed", "max_completion_tokens": "max_tokens"}  # fmt: skip
        found = {known[name]: config[name] for name in config if name in known}
        for name in sorted(set(config) - set(known)):
            self.left_out[f"provider setting {name}"] += 1
        return Decoding.model_validate(found)

    def tests(self, given: Json, usual: dict[str, Json]) -> Iterator[Test]:
        """Yield each test's description, values and assertions; lists of values are spread out."""
        for one in self._tests(given):
            values = {**self.linked(usual.get("vars")), **self.linked(one.get("vars"))}
            for part in ("options", "threshold", "provider"):
                if one.get(part) is not None or usual.get(part) is not None:
                    self.left_out[f"{part} of a test"] += 1
            asserted = [*listed(one.get("assert")), *listed(usual.get("assert"))]
            spread = [v if isinstance(v, list) else [v] for v in values.values()]
            count = 1
            for some in spread:
                count *= len(some)
            if count > MOST:
                raise DataError(
                    f"the lists of values of a test give {count:,} tests, more than {MOST:,}"
                )
            for chosen in product(*spread):
                known = {
                    name: self._value(value) for name, value in zip(values, chosen, strict=True)
                }
                said = [filled for a in asserted if (filled := self._assertion(a, known))]
                if said:
                    yield str(one.get("description") or ""), known, said
                else:
                    self.left_out["test without an assertion that can be read"] += 1

    def _tests(self, given: Json) -> Iterator[dict[str, Json]]:
        for one in listed(given):
            if isinstance(one, dict):
                yield one
                continue
            path = self._folder / str(one).removeprefix("file://")
            if path.suffix == ".csv":
                yield from csv_tests(path)
            elif path.suffix == ".jsonl":
                yield from (json.loads(line) for line in text_of(path).splitlines() if line.strip())
            elif path.suffix in (".yaml", ".yml", ".json"):
                yield from self._tests(loaded(path))
            else:
                self.left_out[f"tests in {path.name}"] += 1

    def _value(self, value: Json) -> Json:
        if isinstance(value, str) and value.startswith("file://"):
            return text_of(self._folder / value.removeprefix("file://")).strip()
        return value

    def _assertion(self, given: Json, values: dict[str, Json]) -> dict[str, Json] | None:
        """Return an assertion with its fields filled in; None where it is none of ours."""
        if not isinstance(given, dict) or str(given.get("type")).removeprefix("not-") not in KINDS:
            kind = given.get("type") if isinstance(given, dict) else given
            self.left_out[f"assertion {kind}"] += 1
            return None
        for part in set(given) - {"type", "value", "threshold", "weight", "metric"}:
            self.left_out[f"{part} of an assertion"] += 1
        kept = {
            name: given[name] for name in ("type", "value", "threshold", "weight") if name in given
        }
        value = kept.get("value")
        if isinstance(value, str):
            kept["value"] = self._filled(str(self._value(value)), values)
        elif isinstance(value, list):
            kept["value"] = [self._filled(v, values) if isinstance(v, str) else v for v in value]
        return kept

    def _filled(self, text: str, values: dict[str, Json]) -> str:
        """Return a text with its fields filled in; more of Nunjucks than fields is counted, and stays as it stands."""
        if any(not NAME.fullmatch(name) for name in FIELD.findall(text)) or "{%" in text:
            self.left_out["assertion with more of Nunjucks than fields"] += 1
        return FIELD.sub(lambda found: str(values.get(found[1], found[0])), text)


def csv_tests(path: Path) -> Iterator[dict[str, Json]]:
    """Yield the tests of a table: columns that begin with `__expected` are assertions, as `contains: Paris`, the others values."""
    for row in csv.DictReader(text_of(path).splitlines(keepends=True)):
        asserted = []
        for name, cell in row.items():
            if name.startswith("__expected") and cell:
                asserted.append(expected(cell))
        values = {name: cell for name, cell in row.items() if not name.startswith("__")}
        yield {"vars": values, "assert": asserted, "description": row.get("__description", "")}


def expected(cell: str) -> dict[str, Json]:
    """Return the assertion of a cell: `contains: Paris`, `levenshtein(3): Paris`, `is-json`, or a text that is to be equalled."""
    found = CELL.match(cell.strip())
    kind = found[1] if found else ""
    if kind.removeprefix("not-") not in {*KINDS, *OTHERS}:
        return {"type": "equals", "value": cell}
    assert found
    body: dict[str, Json] = {"type": kind}
    if found[2]:
        body["threshold"] = float(found[2])
    if found[3] is not None and found[3].strip():
        body["value"] = found[3].strip()
    return body


def messages_in(text: str) -> Messages:
    """Return the messages of a prompt: a chat where it is one as JSON, else one message of the user."""
    if text.lstrip().startswith("["):
        try:
            chat = json.loads(text)
        except ValueError:
            chat = None
        if isinstance(chat, list) and all(
            isinstance(m, dict) and {"role", "content"} <= set(m) for m in chat
        ):
            return [{"role": str(m["role"]), "content": str(m["content"])} for m in chat]
    return [{"role": "user", "content": text}] if text.strip() else []


def ours(text: str) -> str:
    """Return a Nunjucks template as ours.

    Raises: DataError if it has more than fields.
    """
    if "{%" in text or "{#" in text:
        raise DataError("it has a block of Nunjucks; write it with #if and #each")
    odd = [name for name in FIELD.findall(text) if not NAME.fullmatch(name)]
    if odd:
        raise DataError(f"{{{{{odd[0]}}}}} is more than a field")
    return FIELD.sub(lambda found: f"{{{{{found[1]}}}}}", text)


def fields_in(messages: Messages) -> list[str]:
    return [name for m in messages for name in FIELD.findall(m["content"])]


def candidate_of(
    label: str, messages: Messages, inputs: list[str], model: str, decoding: Decoding
) -> Candidate:
    """Return the candidate that sends these messages; turns before the last are demonstrations as they were written.

    Raises: DataError if such a turn has a field, or the turns are not the user's and the assistant's in turn.
    """
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    *turns, last = [m for m in messages if m["role"] != "system"]
    roles = [m["role"] for m in turns]
    if roles != ["user", "assistant"] * (len(turns) // 2) or fields_in(turns):
        raise DataError(
            f"prompt {label!r}: turns before the last must be the user's and the assistant's in turn, without fields"
        )
    demonstrations = tuple(
        Demonstration(
            inputs=dict.fromkeys(inputs, ""),
            answer=said["content"],
            asked=asked["content"],
            said=said["content"],
        )
        for asked, said in zip(turns[::2], turns[1::2], strict=True)
    )
    return Candidate(
        model=model,
        system=system,
        user=last["content"],
        demonstrations=demonstrations,
        decoding=decoding,
        note=label,
    )


def listed(value: Json) -> list[Json]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def loaded(path: Path) -> Json:
    try:
        return yaml.safe_load(text_of(path))
    except yaml.YAMLError as error:
        raise DataError(f"{path} is no YAML: {error}") from error


def text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
