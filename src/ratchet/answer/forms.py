"""Read a model's reply as an answer in the task's form; a reply that is none is a typed failure, never an exception."""

import math
import re
from collections.abc import Iterator

from jsonschema.exceptions import best_match

from ratchet.answer.json_values import (
    MAX_DEPTH,
    depth,
    json_candidates,
    parse_json,
    schema_validator,
)
from ratchet.answer.labels import read_label
from ratchet.answer.queries import QueryError, check_reads, query_in
from ratchet.answer.reasoning import visible_part
from ratchet.core import FailureKind, Json, Task
from ratchet.core.numerals import last_number
from ratchet.core.records import canonical_json
from ratchet.models import ChatReply

__all__ = ["Outcome", "embedded", "loaded", "parse_answer", "problem_with", "validator"]

Outcome = tuple[Json, FailureKind | None]

validator = schema_validator


def parse_answer(task: Task, reply: ChatReply) -> Outcome:
    """Return the answer and None, or None and how it failed.

    What a model thought before it answered is not read. Every candidate that stands in the reply is tried, and the first that fits
    the form is the answer.
    """
    answer, failure = FORMS[task.answer.kind](task, reply)
    if failure and reply.finish_reason == "length":
        has_begun = bool(visible_part(reply.text).strip())
        return None, "cut off thinking" if is_thinking(reply) and not has_begun else "cut off"
    if (failure or not reply.text.strip()) and (
        reply.finish_reason == "content_filter" or reply.refusal
    ):
        return None, "refused"
    return answer, failure


def is_thinking(reply: ChatReply) -> bool:
    """Return whether a model thought before its reply, by the tokens that it counts or by a thought in its text."""
    return reply.usage.reasoning_tokens > 0 or visible_part(reply.text) != reply.text


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
        return query_fault(query_in(visible_part(reply.text))) or "it is no query"
    call = next((call for call in reply.tool_calls if call.name == form.tool), None)
    if form.kind == "tool" and call is None:
        return f"the tool {form.tool} must be called"
    return value_fault(task, call.arguments if call else reply.text)


def value_fault(task: Task, text: str) -> str:
    """Return what is wrong with the likeliest JSON value of a text."""
    value = next(iter(_values(text)), None)
    if value is None:
        return "it is not valid JSON"
    if depth(value) > MAX_DEPTH:
        return "it is nested too deeply"
    checker = validator(canonical_json(task.answer.json_schema))
    try:
        fault = best_match(checker.iter_errors(value))
    except RecursionError:
        return "it is nested too deeply"
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
    text = visible_part(reply.text, keeps_lone_tag=True).strip()
    absent = task.answer.absent
    if absent is not None and bare(text) == bare(absent):
        return absent, None
    return (text, None) if text else (None, "empty")


def bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def label_answer(task: Task, reply: ChatReply) -> Outcome:
    """Take the one label that the reply is or names; see `read_label`."""
    whole = reply.text.strip()
    if whole in task.answer.labels:  # also one that looks like a mark of thinking
        return whole, None
    text = visible_part(whole).strip()
    if not text.strip("\"'`.* \n"):
        return None, "empty"
    label = read_label(text, task.answer.labels)
    return (None, "wrong form") if label is None else (label, None)


def number_answer(_task: Task, reply: ChatReply) -> Outcome:
    """Take the number that the reply gives, by the grammar of `ratchet.core.numerals`."""
    text = visible_part(reply.text)
    if not text.strip():
        return None, "empty"
    value = last_number(text)
    return (None, "wrong form") if value is None or not math.isfinite(value) else (value, None)


def sql_answer(_task: Task, reply: ChatReply) -> Outcome:
    """Take the first query of the reply that parses, and reads alone; see `query_in`."""
    query = query_in(visible_part(reply.text))
    if not query:
        return None, "empty"
    return (None, "wrong form") if query_fault(query) else (query, None)


def json_answer(task: Task, reply: ChatReply) -> Outcome:
    return checked(task, reply.text) if reply.text.strip() else (None, "empty")


def tool_answer(task: Task, reply: ChatReply) -> Outcome:
    """Take the first call of the task's tool whose arguments fit."""
    calls = [call for call in reply.tool_calls if call.name == task.answer.tool]
    if not calls:
        said = visible_part(reply.text).strip() or reply.tool_calls
        return None, "wrong form" if said else "empty"
    outcomes = [checked(task, call.arguments) for call in calls]
    return next((outcome for outcome in outcomes if outcome[1] is None), outcomes[0])


def checked(task: Task, text: str) -> Outcome:
    """Return the first value of a text that fits the task's schema."""
    failure: FailureKind = "unparsable"
    checker = validator(canonical_json(task.answer.json_schema))
    for value in _values(text):
        failure = "wrong form"
        if isinstance(value, dict | list) and depth(value) <= MAX_DEPTH:
            try:
                if checker.is_valid(value):
                    return value, None
            except RecursionError:  # a schema that follows the value down
                continue
    if failure == "unparsable" and not visible_part(text).strip() and text.strip():
        return None, "empty"
    return None, failure


def _values(text: str) -> Iterator[Json]:
    """Yield the JSON values of a reply: a reply that is JSON is never cut, whatever marks stand in its texts."""
    try:
        yield parse_json(text)
    except ValueError:
        yield from json_candidates(visible_part(text))


def loaded(text: str) -> Json:
    """Return JSON, also an object or array that stands inside other text; None where there is none."""
    return next(iter(_values(text)), None)


def embedded(text: str) -> Json:
    """Return the first JSON object that stands inside other text, or None."""
    return next((value for value in _values(text) if isinstance(value, dict)), None)


FORMS = {
    "text": text_answer,
    "label": label_answer,
    "number": number_answer,
    "json": json_answer,
    "tool": tool_answer,
    "sql": sql_answer,
}
