"""Evals of OpenAI's platform as a task: items become examples, testing criteria assertions, and prompts of runs candidates.

Reads eval, run and output item objects as `client.evals.retrieve`, `.runs.retrieve` and `.runs.output_items.list` return them
(openai 3.54), one a file, a list, a page with `data`, or one a line. What has no equal is named with its place.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

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
from ratchet.exchange.evals_criteria import (
    Criteria,
    as_list,
    as_object,
    names_of_items,
    text_content,
)
from ratchet.exchange.losses import Losses
from ratchet.exchange.promptfoo.providers import Endpoint
from ratchet.exchange.promptfoo.suite import Suite
from ratchet.metrics.ecmascript import value_as_json, with_whole_texts

__all__ = ["read_evals"]

_ENDPOINT = Endpoint("https://api.openai.com/v1", "OPENAI_API_KEY")
_RESERVED = ("instructions", "labels", "schema", "absent", "passages", "this")
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "max_completion_tokens": "max_tokens",
    "max_completions_tokens": "max_tokens",
    "reasoning_effort": "effort",
}
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_MESSAGE_PARTS = ("role", "content", "type")


def read_evals(paths: Sequence[Path], name: str) -> Suite:
    """Return the suite of an eval with its runs.

    Args:
        paths: JSON or JSONL files of eval, run and output item objects, in any order.
        name: What the task is called.
    Raises: DataError if there is no eval, several, or no item that a criterion scores.
    """
    objects = [thing for path in paths for thing in _objects_of(path)]
    evals = [body for _, body in objects if body.get("object") == "eval"]
    if len(evals) != 1:
        named = ", ".join(str(body.get("name") or body.get("id")) for body in evals) or "none"
        raise DataError(
            f"{', '.join(map(str, paths))}: one eval is read at a time, and there are {len(evals)} ({named}); give the files of one, with its runs"
        )
    return _EvalReader(evals[0], objects, name).read()


def _objects_of(path: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield each object of a file with its place."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text in UTF-8: {error}") from error
    try:
        values: list[Json] = [json.loads(text)]
    except (ValueError, RecursionError) as whole:
        try:
            values = [json.loads(line) for line in text.split("\n") if line.strip()]
        except (ValueError, RecursionError):
            raise DataError(f"{path} is not valid JSON, nor JSON line by line: {whole}") from whole
    for value in map(with_whole_texts, map(value_as_json, values)):
        for part in _unpacked(value):
            if not isinstance(part, dict):
                raise DataError(f"{path} holds {str(part)[:60]!r}, and objects are wanted")
            yield path.name, part


def _unpacked(value: Json) -> list[Json]:
    """Return the objects of a value: of a list, or of a page of a listing."""
    if isinstance(value, dict) and value.get("object") == "list":
        value = value.get("data")
    if isinstance(value, list):
        return [inner for part in value for inner in _unpacked(part)]
    return [value]


class _EvalReader:
    def __init__(
        self, body: dict[str, Json], objects: list[tuple[str, dict[str, Json]]], name: str
    ) -> None:
        self._eval, self._name = body, name
        self._losses = Losses()
        own = str(body.get("id"))
        self._runs: list[dict[str, Json]] = []
        self._outputs: list[dict[str, Json]] = []
        for where, thing in objects:
            kind = thing.get("object")
            if kind == "eval":
                continue
            if thing.get("eval_id") not in (None, own):
                self._losses.add(f"{kind} of another eval ({thing.get('eval_id')})", where)
            elif kind == "eval.run":
                self._runs.append(thing)
            elif kind == "eval.run.output_item":
                self._outputs.append(thing)
            else:
                self._losses.add(f"object of type {kind!r}", where)
        self._criteria = Criteria(body.get("testing_criteria"), name, self._losses)

    def read(self) -> Suite:
        """Return the suite.

        Raises: DataError if no item is there, or no criterion can be read.
        """
        items = self._items()
        if not items:
            raise DataError(
                f"eval {self._eval.get('name')!r}: none of its runs holds items ({self._losses}); export runs whose source is file_content, or their output items"
            )
        if not self._criteria.is_readable:
            raise DataError(
                f"eval {self._eval.get('name')!r}: none of its criteria can be read ({self._losses})"
            )
        prompts = self._prompts()
        names = self._input_names(prompts, items)
        is_exact = self._criteria.is_one_equality
        examples = [
            Example(
                inputs={ours: item.get(theirs) for theirs, ours in names.items()},
                reference=reference[0]["value"] if is_exact else reference,
                source=where,
            )
            for where, item in items
            if (reference := self._criteria.reference(item, where))
        ]
        if not examples:
            raise DataError(
                f"eval {self._eval.get('name')!r}: no item has what a criterion compares with ({self._losses})"
            )
        if self._outputs:
            self._losses.add(
                "answers and results of output items (their items come in; answers from elsewhere are not stored as trials)"
            )
        candidates = [self._candidate(run, chat, names) for run, chat in prompts]
        models = list(dict.fromkeys(one.model for one in candidates)) or ["local:nano"]
        return Suite(
            task=self._task(names, models[0], is_exact=is_exact),
            examples=examples,
            candidates=_unlike(candidates),
            models=models,
            losses=self._losses,
            endpoints={"openai": _ENDPOINT} if candidates or self._criteria.graders else {},
            files=self._criteria.files,
        )

    def _task(self, names: Mapping[str, str], model: str, *, is_exact: bool) -> Task:
        metric = MetricSpec(name="exact") if is_exact else self._criteria.metric()
        title = str(self._eval.get("name") or "")
        return Task(
            name=self._name,
            instructions=(title or "Answer the message.").replace("{{", "{ {"),
            inputs=tuple(InputField(name=ours) for ours in names.values()),
            answer=AnswerForm(),
            metric=metric,
            models=Roles(student=model),
        )

    def _items(self) -> list[tuple[str, dict[str, Json]]]:
        """Return each item once, with its place."""
        items: dict[str, tuple[str, dict[str, Json]]] = {}

        def put(item: Json, where: str) -> None:
            if isinstance(item, dict):
                key = json.dumps(item, sort_keys=True)
                items.setdefault(key, (where, item))
            else:
                self._losses.add(f"an item that is no object: {item!r}"[:120], where)

        for run in self._runs:
            label = f"run {run.get('name') or run.get('id')}"
            source = as_object(as_object(run.get("data_source")).get("source"))
            if source.get("type") != "file_content":
                self._losses.add(
                    f"items in {source.get('type')} (export them as file_content, or as output items)",
                    label,
                )
                continue
            for number, row in enumerate(map(as_object, as_list(source.get("content"))), start=1):
                put(row.get("item"), f"{label}, item {number}")
                if row.get("sample"):
                    self._losses.add(
                        "a ready answer (sample) of an item", f"{label}, item {number}"
                    )
        for output in self._outputs:
            put(output.get("datasource_item"), f"output item {output.get('datasource_item_id')}")
        return list(items.values())

    def _prompts(self) -> list[tuple[dict[str, Json], list[dict[str, str]]]]:
        """Return the runs that ask a model, with their messages."""
        prompts = []
        for run in self._runs:
            where = f"run {run.get('name') or run.get('id')}"
            source = as_object(run.get("data_source"))
            if source.get("type") == "jsonl":
                continue
            messages = as_object(source.get("input_messages"))
            if messages.get("type") != "template" or not source.get("model"):
                what = (
                    "its messages stand in the items"
                    if messages.get("type") == "item_reference"
                    else "it names no messages or no model"
                )
                self._losses.add(f"prompt of a run: {what}", where)
                continue
            try:
                chat = [_message(message) for message in as_list(messages.get("template"))]
                _check_chat(chat)
            except DataError as error:
                self._losses.add(f"prompt of a run: {error}", where)
                continue
            prompts.append((run, chat))
        return prompts

    def _input_names(
        self,
        prompts: list[tuple[dict[str, Json], list[dict[str, str]]]],
        items: list[tuple[str, dict[str, Json]]],
    ) -> dict[str, str]:
        """Return our names of the item's fields that prompts use; without prompts, of those that no criterion compares with."""
        used = [name for _, chat in prompts for m in chat for name in names_of_items(m["content"])]
        if not used:
            compared = self._criteria.compared_names()
            fields = [name for _, item in items for name in item]
            used = [name for name in fields if name not in compared] or fields or ["input"]
        names: dict[str, str] = {}
        for name in dict.fromkeys(used):
            ours = re.sub(r"\W", "_", name)
            ours = ours if ours.isidentifier() else f"_{ours}"
            while ours in _RESERVED or ours in names.values():
                ours += "_"
            names[name] = ours
        return names

    def _candidate(
        self, run: dict[str, Json], chat: list[dict[str, str]], names: Mapping[str, str]
    ) -> Candidate:
        label = str(run.get("name") or run.get("id"))
        source = run["data_source"]
        texts = [{**m, "content": _our_fields(m["content"], names)} for m in chat]
        system = [m["content"] for m in texts if m["role"] == "system"]
        *turns, last = [m["content"] for m in texts if m["role"] != "system"]
        return Candidate(
            model=f"openai/{source['model']}",
            system="\n\n".join(system),
            user=last,
            demonstrations=tuple(
                Demonstration(
                    inputs=dict.fromkeys(names.values(), ""), answer=said, asked=asked, said=said
                )
                for asked, said in zip(turns[::2], turns[1::2], strict=True)
            ),
            decoding=self._decoding(as_object(source.get("sampling_params")), f"run {label}"),
            note=label,
        )

    def _decoding(self, given: dict[str, Json], where: str) -> Decoding:
        settings: dict[str, Json] = {}
        for name, value in given.items():
            if value is None:
                continue
            try:
                Decoding.model_validate({_SAMPLING[name]: value})
                settings[_SAMPLING[name]] = value
            except (KeyError, ValidationError):
                self._losses.add(f"sampling parameter {name}", where)
        return Decoding.model_validate(settings)


def _message(message: Json) -> dict[str, str]:
    """Return a message of a template as role and text.

    Raises: DataError if it is not by system, user or assistant, or has more than text.
    """
    role = _ROLES.get(str(message.get("role"))) if isinstance(message, dict) else None
    if role is None:
        raise DataError(
            f"a message of {message.get('role') if isinstance(message, dict) else message!r} has no equal"
        )
    return {"role": role, "content": text_content(message.get("content"))}


def _check_chat(chat: list[dict[str, str]]) -> None:
    turns = [m for m in chat if m["role"] != "system"]
    if not turns or turns[-1]["role"] != "user":
        raise DataError("its last message is not the user's")
    before = turns[:-1]
    if [m["role"] for m in before] != ["user", "assistant"] * (len(before) // 2) or any(
        "{{" in m["content"] for m in before
    ):
        raise DataError(
            "turns before the last must be the user's and the assistant's in turn, without fields"
        )
    for message in chat:
        if "{{" in re.sub(r"\{\{.*?\}\}", "", message["content"]):
            raise DataError("it has {{ that no }} closes")
        for field in re.findall(r"\{\{(.*?)\}\}", message["content"]):
            if not re.fullmatch(r"\s*item\.\w+(\.\w+)*\s*", field):
                raise DataError(f"{{{{{field}}}}} is no field of the item")


def _our_fields(text: str, names: Mapping[str, str]) -> str:
    """Return a template of items as ours."""

    def rewrite(match: re.Match[str]) -> str:
        root, dot, rest = match[1].partition(".")
        return f"{{{{{names[root]}{dot}{rest}}}}}"

    return re.sub(r"\{\{\s*item\.(\w+(?:\.\w+)*)\s*\}\}", rewrite, text)


def _unlike(candidates: list[Candidate]) -> list[Candidate]:
    """Return candidates, each content once."""
    return list({candidate.id: candidate for candidate in reversed(candidates)}.values())[::-1]
