"""A corpus of replies in the styles of many models, each with what a person reads in it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from ratchet.answer import parse_answer
from ratchet.core import AnswerForm, InputField, Json, MetricSpec, Roles, Task
from ratchet.models.chat import ChatReply

REPLIES = [
    json.loads(line)
    for line in Path(__file__).with_name("replies.jsonl").read_text("utf-8").splitlines()
]
CITY: dict[str, Json] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "n": {"type": "number", "multipleOf": 0.01},
        "id": {"type": "integer"},
    },
    "required": ["city"],
}
FORMS: dict[str, dict[str, Json]] = {
    "text": {"kind": "text"},
    "number": {"kind": "number"},
    "label:sentiment": {"kind": "label", "labels": ["positive", "negative", "neutral"]},
    "label:letters": {"kind": "label", "labels": list("ABCDEFGHIJ")},
    "label:rating": {"kind": "label", "labels": list("12345")},
    "label:intent": {
        "kind": "label",
        "labels": ["card_arrival", "card_not_working", "spam", "not spam"],
    },
    "json:city": {"kind": "json", "json_schema": CITY},
    "json:list": {
        "kind": "json",
        "json_schema": {"type": "array", "items": {"type": "string"}},
    },
    "sql": {"kind": "sql"},
}


def task_of(form: str) -> Task:
    """Return a task with a form of the corpus."""
    return Task(
        name="t",
        instructions="Do.",
        inputs=(InputField(name="q"),),
        answer=AnswerForm.model_validate(FORMS[form]),
        metric=MetricSpec(name="exact"),
        models=Roles(student="m"),
    )


@pytest.mark.parametrize("case", REPLIES, ids=lambda case: f"{case['form']} {case['reply'][:40]!r}")
def test_a_reply_is_read_as_a_person_reads_it(case: dict[str, Json]) -> None:
    """Each reply of the corpus has the answer, or the failure, that stands beside it."""
    answer, failure = parse_answer(task_of(case["form"]), ChatReply(text=case["reply"]))

    assert (answer, failure) == (case["expected"], case["failure"])
    assert isinstance(answer, bool) == isinstance(case["expected"], bool)


def test_the_corpus_is_large_and_has_failures_of_each_form() -> None:
    """Two hundred replies, of every form some that are no answer."""
    failed = Counter(case["form"] for case in REPLIES if case["failure"])

    assert len(REPLIES) >= 200
    assert len({(case["form"], case["reply"]) for case in REPLIES}) == len(REPLIES)
    assert failed.keys() == FORMS.keys()
