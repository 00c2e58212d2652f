"""Read a model's reply as an answer in the task's form; a reply that is none is a typed failure, never an exception."""

import json
import math
import re
from functools import lru_cache

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ratchet.answer.sql import QueryError, check_reads, query_in
from ratchet.core import FailureKind, Json, Task
from ratchet.core.records import canonical_json
from ratchet.models import ChatReply

__all__ = ["Outcome", "embedded", "loaded", "parse_answer", "problem_with", "validator"]

NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)
DEEPEST = 100
Outcome = tuple[Json, FailureKind | None]


def parse_answer(task: Task, reply: ChatReply) -> Outcome:
    """Return the answer and None, or None and how it failed."""
    answer, failure = FORMS[task.answer.kind](task, reply)
    if failure and reply.finish_reason == "length":
        return None, "cut off" if reply.text.strip() or not is_thinking(
            reply
        ) else "cut off thinking"
    if (failure or not reply.text.strip()) and (
        reply.finish_reason == "content_filter" or reply.refusal
    ):
        return None, "refused"
    return answer, failure


def is_thinking(reply: ChatReply) -> bool:
    """Return whether a model thought before its reply, by the tokens that it counts."""
    return reply.usage.reasoning_tokens > 0


def problem_with(task: Task, reply: ChatReply, failure: FailureKind) -> str:
    """Return what is wrong with an answer, for the model that gave it."""
    form = task.answer
    if failure == "cut off":
        return "it is too long, and was cut off"
    if failure == "cut off thinking":
        return "the thinking was too long, and no answer came; think less"
    if failure == "empty":
        return "it is empty"
    if form.kind == "label":
        return f"it must be exactly one of {', '.join(form.labels)}"
    if form.kind == "number":
        return "it holds no number"
    if form.kind == "sql":
        return query_fault(query_in(reply.text)) or "it is no query"
    call = next((call for call in reply.tool_calls if call.name == form.tool), None)
    if form.kind == "tool" and call is None:
        return f"the tool {form.tool} must be called"
    value = loaded(call.arguments if call else json_text(reply))
    if value is None:
        return "it is no JSON"
    if depth(value) > DEEPEST:
        return "it is nested too deeply"
    faults = validator(canonical_json(form.json_schema)).iter_errors(value)
    fault = best_match(faults)
    return f"{fault.message[:300]} (at {fault.json_path})" if fault else "it is not in the form"


def query_fault(query: str) -> str | None:
    """Return what keeps a query from being run at all."""
    try:
        check_reads(query)
    except QueryError as error:
        return str(error)
    return None


def text_answer(task: Task, reply: ChatReply) -> Outcome:
    """Take the whole reply; one that says that there is no answer, whatever its marks and capitals, says so in the task's words."""
    text = reply.text.strip()
    absent = task.answer.absent
    if absent is not None and bare(text) == bare(absent):
        return absent, None
    return (text, None) if text else (None, "empty")


def bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def label_answer(task: Task, reply: ChatReply) -> Outcome:
    """Take the reply that is a label, case and surrounding marks aside, or names exactly one label as whole words.

    A label inside a longer one does not count: "This is not spam." names "not spam", not "spam".
    """
    whole = reply.text.strip()
    text = whole.strip("\"'`.*").strip()
    if whole in task.answer.labels:  # also one that ends in a mark, or differs in case alone
        return whole, None
    if not text:
        return None, "empty"
    by_name = {label.lower(): label for label in task.answer.labels}
    if text.lower() in by_name:
        return by_name[text.lower()], None
    places = [
        (label, found.span())
        for label in task.answer.labels
        for found in re.finditer(rf"(?<!\w){re.escape(label)}(?!\w)", text, re.IGNORECASE)
    ]
    named = {
        label
        for label, (start, end) in places
        if not any(a <= start and end <= b and b - a > end - start for _, (a, b) in places)
    }
    return (named.pop(), None) if len(named) == 1 else (None, "wrong form")


def number_answer(_task: Task, reply: ChatReply) -> Outcome:
    """Take the last number of the reply, or the one behind `####`."""
    if not reply.text.strip():
        return None, "empty"
    found = NUMBER.findall(reply.text.rsplit("####", 1)[-1]) or NUMBER.findall(reply.text)
    value = float(found[-1].replace(",", "")) if found else math.inf
    return (value, None) if math.isfinite(value) else (None, "wrong form")


def sql_answer(_task: Task, reply: ChatReply) -> Outcome:
    """Take the query in the reply's first fence, or the whole reply; it must parse, and read alone."""
    query = query_in(reply.text)
    if not query:
        return None, "empty"
    return (None, "wrong form") if query_fault(query) else (query, None)


def json_answer(task: Task, reply: ChatReply) -> Outcome:
    text = json_text(reply)
    return checked(task, text) if text else (None, "empty")


def json_text(reply: ChatReply) -> str:
    """Return where the JSON of a reply should stand: in its first fence, else all of it."""
    fenced = FENCE.search(reply.text)
    return fenced.group(1) if fenced else reply.text.strip()


def tool_answer(task: Task, reply: ChatReply) -> Outcome:
    call = next((call for call in reply.tool_calls if call.name == task.answer.tool), None)
    if call is None:
        return None, "wrong form" if reply.text.strip() or reply.tool_calls else "empty"
    return checked(task, call.arguments)


def checked(task: Task, text: str) -> Outcome:
    value = loaded(text)
    if value is None:
        return None, "unparsable"
    if not isinstance(value, dict | list) or depth(value) > DEEPEST:
        return None, "wrong form"
    return (
        (value, None)
        if validator(canonical_json(task.answer.json_schema)).is_valid(value)
        else (None, "wrong form")
    )


def loaded(text: str) -> Json:
    """Return JSON, also an object that stands inside other text; None where there is none."""
    try:
        return orjson.loads(text)  # strict: NaN, infinities and half surrogate pairs cannot be kept
    except (ValueError, RecursionError):
        return embedded(text)


def embedded(text: str) -> Json:
    """Return the first JSON object that stands inside other text, or None."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        _, length = json.JSONDecoder().raw_decode(text[start:])
        return orjson.loads(text[start : start + length])
    except (ValueError, RecursionError):
        return None


def depth(value: Json) -> int:
    level, deep = [value], 0
    while level and deep <= DEEPEST:
        level = [
            v
            for item in level
            if isinstance(item, dict | list)
            for v in (item.values() if isinstance(item, dict) else item)
        ]
        deep += 1
    return deep


@lru_cache(maxsize=64)
def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


FORMS = {
    "text": text_answer,
    "label": label_answer,
    "number": number_answer,
    "json": json_answer,
    "tool": tool_answer,
    "sql": sql_answer,
}
