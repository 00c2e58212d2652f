"""Curate: what passed through the gateway, and what was said of it, as examples for the next dataset."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from ratchet.answer import Prompt, parse_answer
from ratchet.core import Example, Json, Task, Trial
from ratchet.models import ChatReply, ToolCall
from ratchet.tuning import Conversation, Message, Preference, conversations_of

__all__ = ["examples_of_logs", "preferences_of_trials"]

GOOD_SCORE = 1.0


def examples_of_logs(engine: sa.Engine, task: Task, model: str) -> Iterator[Example]:
    """Yield an example for each logged request to a release that somebody vouches for.

    The reference is the answer that feedback gives; else the reply itself, where its thumb is up or its score 1. Requests without
    either, with other fields than the task's, or whose answer has not the task's form, are left out.

    Args:
        engine: The database.
        task: The task that the examples are for.
        model: The release's name.
    """
    from ratchet.store.requests import read_requests  # needs zstandard, which is an extra

    for one in read_requests(engine, model=model, after=0.0):
        inputs = one.body.get("inputs")
        if one.status != 200 or not isinstance(inputs, dict) or not one.feedback:  # an answer
            continue
        reference = vouched(task, one.body["replies"][0], one.feedback)
        if set(inputs) == set(task.input_names) and reference is not None:
            yield Example(
                inputs=inputs, reference=reference, name=one.id, source=f"logs of {model}"
            )


def vouched(task: Task, reply: Json, feedback: tuple[dict[str, Json], ...]) -> Json:
    """Return the answer that the last word of feedback stands for; None where it stands for none."""
    for said in reversed(feedback):
        if "answer" in said:
            text = said["answer"]
            given = ChatReply(text=text) if isinstance(text, str) else None
            return text if given is None else checked(task, given)
        if said.get("thumb") == "up" or said.get("score") == GOOD_SCORE:
            calls = tuple(ToolCall(**call) for call in reply["tool_calls"])
            return checked(task, ChatReply(text=reply["text"], tool_calls=calls))
        if "thumb" in said or "score" in said:  # it was bad
            return None
    return None


def checked(task: Task, reply: ChatReply) -> Json:
    answer, failure = parse_answer(task, reply)
    return None if failure else answer


def preferences_of_trials(
    prompt: Prompt, examples: Sequence[Example], trials: Sequence[Trial]
) -> list[Preference]:
    """Return, for each example that was answered and scored below 1, the reference as the better and that answer as the worse one.

    Of several answers to one example the worst is taken. Answers without any text teach nothing, and are left out.
    """
    worst: dict[str, Trial] = {}
    for trial in trials:
        if trial.score and trial.score.value < 1 and trial.output.strip():
            known = worst.get(trial.example_id)
            if known is None or trial.score.value < (known.score.value if known.score else 1):
                worst[trial.example_id] = trial
    known_examples = [example for example in examples if example.id in worst]
    found = []
    for example, whole in zip(
        known_examples, conversations_of(prompt, known_examples), strict=True
    ):
        *asked, better = whole.messages
        worse = said(better, worst[example.id].output)
        if better != worse:
            found.append(Preference(Conversation(tuple(asked), whole.tools), (better,), (worse,)))
    return found


def said(like: Message, output: str) -> Message:
    """Return an assistant's message of the same form with another answer: as text, or as the arguments of the same call."""
    if "tool_calls" not in like:
        return {"role": "assistant", "content": output}
    (call,) = like["tool_calls"]
    return {**like, "tool_calls": [{**call, "function": {**call["function"], "arguments": output}}]}
