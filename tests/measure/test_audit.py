"""The audit of training answers: each fault that it knows is found, and good answers pass."""

import pytest

import ratchet
from ratchet.answer import Prompt, starting_candidate
from ratchet.measure import audit, audit_sentence
from ratchet.tuning import Conversation, conversations_of

pytest.importorskip("py3langid")

TASK = ratchet.Task(
    name="replies",
    instructions="Write a reply.",
    inputs=(ratchet.InputField(name="message"),),
    metric=ratchet.MetricSpec(name="exact"),
    models=ratchet.Roles(student="m"),
)
TOPICS = ["invoice", "delivery", "refund", "password", "contract", "meeting", "printer", "holiday"]


def reference(place: int) -> str:
    """Return a good reply."""
    topic = TOPICS[place % 8]
    return f"Thank you for asking about the {topic}. Your {topic} number {place} was checked and is ready for you."


def examples(split: str, first: int, count: int) -> list[ratchet.Example]:
    """Return examples of the task."""
    return [
        ratchet.Example(
            inputs={
                "message": f"What about case {k} of my {TOPICS[k % 8]}, from {k * 7919 % 10007}?"
            },
            reference=reference(k),
            split=split,
        )
        for k in range(first, first + count)
    ]


DEV = examples("dev", 1000, 60)


def rows(answers: list[str], first: int = 0) -> list[Conversation]:
    """Return training rows with these answers."""
    shown = examples("train", first, len(answers))
    prompt = Prompt(TASK, starting_candidate(TASK))
    changed = [e.model_copy(update={"reference": a}) for e, a in zip(shown, answers, strict=True)]
    return conversations_of(prompt, changed)


def faults(found: list[ratchet.measure.Finding]) -> dict[str, str]:
    """Return what is wrong, by check."""
    return {one.check: one.level for one in found if one.level != "ok"}


def test_answers_like_the_references_pass():
    """Rows that look like the references have no faults, and the sentence says so."""
    found = audit(TASK, rows([reference(k) for k in range(100)]), DEV)

    assert faults(found) == {}
    assert audit_sentence(found) == "the answers look like those that the task wants"


def test_chatter_is_found():
    """The Slack story: answers that promise instead of doing, short and without a full stop, are named with their rows."""
    chatter = ["sure, I'll do it in the morning", "on it!", "ok, will do", "let me check 👍"] * 25

    found = {one.check: one for one in audit(TASK, rows(chatter), DEV)}

    assert {name for name, one in found.items() if one.level != "ok"} >= {"length", "style"}
    assert "promise instead of doing" in found["style"].text
    assert "end in a full stop" in found["style"].text
    assert found["style"].examples[0] == "row 1"
    assert audit_sentence(list(found.values())).startswith("look at this first: length, style")


def test_another_language_is_found():
    """German answers to a task whose references are English."""
    german = [
        f"Vielen Dank für Ihre Frage zum Vorgang {k}. Wir haben ihn geprüft und er ist fertig."
        for k in range(80)
    ]

    found = {one.check: one for one in audit(TASK, rows(german), DEV)}

    assert found["language"].level == "warning"
    assert "the references are in 'en'" in found["language"].text


def test_one_answer_for_all_is_found():
    """Rows that nearly all say the same."""
    same = [reference(3)] * 70 + [reference(k) for k in range(30)]

    found = {one.check: one for one in audit(TASK, rows(same), DEV)}

    assert found["sameness"].text.startswith("71 % of the rows answer")


def test_leaks_and_conflicts_are_found():
    """A question of dev in the rows, and one question with two answers."""
    leaked = conversations_of(Prompt(TASK, starting_candidate(TASK)), DEV[:2])
    good = rows([reference(k) for k in range(40)])
    twice = rows(
        ["Another answer, as long as the others are, about the case that was asked for here."]
    )

    found = {one.check: one for one in audit(TASK, [*good, *leaked, *twice], DEV)}

    assert found["leakage"].examples == ("row 41", "row 42")
    assert found["leakage"].level == "error"
    assert found["label conflicts"].examples == ("row 1", "row 43")
    assert audit_sentence(list(found.values())).startswith("do not train on this yet: leakage")


def test_answers_of_another_form_are_found():
    """Labels that the task does not have."""
    task = TASK.model_copy(
        update={"answer": ratchet.AnswerForm(kind="label", labels=("billing", "technical"))}
    )
    dev = [e.model_copy(update={"reference": "billing"}) for e in DEV]
    given = rows(["billing", "technical", "sales"])

    found = {one.check: one for one in audit(task, given, dev)}

    assert found["form"].level == "error"
    assert found["form"].examples == ("row 3",)
