"""Doubts: which answers of a release a committee does not stand by, so that a person looks at these first.

Query by committee (Seung, Opper and Sompolinsky 1992): what the members answer is scored against what was served, by the task's own
metric. The served candidate is a member too, at a temperature: where it contradicts itself it is not sure.
"""

from collections.abc import Sequence

from ratchet.answer import Prompt, starting_candidate
from ratchet.core import Candidate, Example, Step
from ratchet.ladder.wheel import Passed
from ratchet.levers import Evidence
from ratchet.measure import evaluate
from ratchet.models import ChatReply, ToolCall
from ratchet.store import find_candidate

__all__ = ["committee_of", "doubts_of"]

TEMPERATURE = 0.8


def committee_of(evidence: Evidence, served: Candidate, steps: Sequence[Step]) -> list[Candidate]:
    """Return who is asked: the served candidate at a temperature, the best of the ladder that is another, and the teacher.

    Args:
        evidence: The task, and where candidates are kept.
        served: Whose answers are in doubt.
        steps: The ladder.
    """
    engine, teacher = evidence.bench.engine, evidence.task.models.teacher
    heat = evidence.pool.sampling_temperature(served.model, TEMPERATURE)
    unsure = served.changed(
        decoding=served.decoding.model_copy(update={"temperature": heat}),
        note="the served one, at a temperature",
    )
    found = [] if served.decoding.temperature else [unsure]
    others = [step.candidate_id for step in sorted(steps, key=lambda one: -one.score)]
    other = next((name for name in others if name not in (served.id, unsure.id)), None)
    if other and engine is not None:
        found.append(find_candidate(engine, other))
    if teacher and teacher != served.model:
        temperature = evidence.pool.start_temperature(teacher)
        found.append(starting_candidate(evidence.task, teacher, temperature=temperature))
    return found


async def doubts_of(
    evidence: Evidence,
    served: Candidate,
    passed: Sequence[Passed],
    committee: Sequence[Candidate],
) -> dict[str, float]:
    """Return how far the committee is from each served answer: 0 where all agree, 1 where none does; by the request's id.

    A reply that is no answer in the task's form is in doubt without asking. Answers are kept, and none is paid for twice; where the
    budget ends, those that came count.
    """
    prompt = Prompt(evidence.task, served)
    examples: dict[str, Example] = {}
    doubts: dict[str, float] = {}
    for one in passed:
        example = served_as(prompt, one)
        if example is None:
            doubts[one.id] = 1.0
        else:
            examples[one.id] = example
    scores: dict[str, list[float]] = {}
    for member in committee:
        evidence.say(f"curate: asking {member.note or member.id} ({len(examples)} requests)")
        measured = await evaluate(
            evidence.bench, member, evidence.pool.model(member.model), list(examples.values())
        )
        for example_id, value in measured.by_example().items():
            scores.setdefault(example_id, []).append(value)
        if measured.stopped:
            evidence.say(f"curate: {measured.stopped}; what came counts")
            break
    for name, example in examples.items():
        if example.id in scores:
            doubts[name] = 1 - sum(scores[example.id]) / len(scores[example.id])
    return doubts


def served_as(prompt: Prompt, passed: Passed) -> Example | None:
    """Return a request with what was served as the reference; None where that is no answer."""
    form = prompt.task.answer
    if form.kind == "tool":
        call = ToolCall(name=str(form.tool), arguments=passed.reply)
        answer, failure = prompt.read(ChatReply(text="", tool_calls=(call,)))
    else:
        answer, failure = prompt.read(ChatReply(text=passed.reply))
    return None if failure else Example(inputs=passed.inputs, reference=answer)
