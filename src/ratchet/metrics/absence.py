"""Where the knowledge does not hold an answer, saying so is the right one, and the only one."""

from ratchet.core import Example, Json, Score, Task

__all__ = ["absence"]

SEARCH = ("context-precision", "context-recall")
"""Metrics of the search, which the answer does not change."""


def absence(task: Task, example: Example, answer: Json, *, metric: str = "") -> Score | None:
    """Return the score where the reference or the answer is that there is none; None where the metric has to say.

    Args:
        task: Its `answer.absent` is what is said then.
        example: Its reference.
        answer: In the task's form.
        metric: The metric's name, where it has one.
    """
    absent = task.answer.absent
    if absent is None:
        return None
    expected, said = example.reference in (absent, "", None), answer == absent
    if metric in SEARCH:
        nothing = "There is nothing to find."
        return Score(value=1.0, parts={"absent": "right"}, feedback=nothing) if expected else None
    if expected and said:
        return Score(value=1.0, parts={"absent": "right"}, feedback="Right: there is no answer.")
    if expected:
        return Score(
            value=0.0,
            parts={"absent": "invented"},
            feedback=f"The knowledge does not hold an answer; expected {absent!r}.",
        )
    if said:
        return Score(
            value=0.0,
            parts={"absent": "missed"},
            feedback=f"There is an answer: {str(example.reference)[:200]!r}.",
        )
    return None
