"""Saying that there is no answer is right where there is none, and nowhere else."""

import pytest

from ratchet.answer import parse_answer, starting_candidate
from ratchet.core import AnswerForm, Example, InputField, MetricSpec, Roles, Task
from ratchet.metrics.absence import absence
from ratchet.models import ChatReply

ABSENT = "Not in the knowledge base."
TASK = Task(
    name="t",
    instructions="Answer.",
    inputs=(InputField(name="question"),),
    answer=AnswerForm(absent=ABSENT),
    metric=MetricSpec(name="match"),
    models=Roles(student="m"),
)


@pytest.mark.parametrize(
    ("reference", "answer", "value", "what"),
    [
        (ABSENT, ABSENT, 1.0, "right"),
        (ABSENT, "Four.", 0.0, "invented"),
        ("Four.", ABSENT, 0.0, "missed"),
        ("", ABSENT, 1.0, "right"),
        (None, "Four.", 0.0, "invented"),
    ],
)
def test_absence_is_scored(reference, answer, value, what):
    """And told apart: invented, or missed."""
    score = absence(TASK, Example(inputs={"question": "?"}, reference=reference), answer)

    assert (score.value, score.parts["absent"]) == (value, what)


def test_other_answers_are_the_metrics_business():
    """So are all of a task that has no word for it; the search is right where there is nothing to find."""
    both = Example(inputs={"question": "?"}, reference="Four.")
    nothing = Example(inputs={"question": "?"}, reference=ABSENT)

    assert absence(TASK, both, "Five.") is None
    assert absence(TASK.model_copy(update={"answer": AnswerForm()}), nothing, ABSENT) is None
    assert absence(TASK, nothing, "Five.", metric="context-recall").value == 1.0
    assert absence(TASK, both, ABSENT, metric="context-recall") is None


@pytest.mark.parametrize("said", ["not in the knowledge base", ' "Not in the knowledge base!"\n'])
def test_a_reply_says_so_whatever_its_marks(said):
    """In the task's own words then."""
    assert parse_answer(TASK, ChatReply(text=said)) == (ABSENT, None)
    assert parse_answer(TASK, ChatReply(text=f"{said}. Or is it?"))[0] != ABSENT


def test_the_plainest_candidate_is_told_of_it():
    """It could not know the words else."""
    assert "say: {{absent}}" in starting_candidate(TASK).system


def test_it_is_for_texts():
    """A label has its own labels."""
    with pytest.raises(ValueError, match=r"answer\.absent"):
        AnswerForm(kind="label", labels=("a", "b"), absent="none")
