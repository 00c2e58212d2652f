"""One candidate answers one example: request, replies, parsed answer, trial.

A candidate may draw several samples and take the answer that they agree on (self-consistency: Wang et al. 2023), and may hand an
answer that fails back to the model with what is wrong. What all of it takes counts as the candidate's own.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ratchet.answer.aides import Helpers
from ratchet.answer.checks import Check
from ratchet.answer.forms import problem_with
from ratchet.answer.gathering import Gathered, gather
from ratchet.answer.guard import Guarded, guarded
from ratchet.answer.messages import CITATION, Prompt
from ratchet.answer.sql import database_of, result_text
from ratchet.answer.template import Template
from ratchet.core import Example, FailureKind, Json, Passage, Trial, total
from ratchet.core.errors import ReplyError
from ratchet.core.records import comparable
from ratchet.models import ChatModel, ChatReply, ChatRequest, ModelPool

__all__ = ["Drawn", "agreed", "answer_example", "draw", "told", "whole"]

CITED = {"title", "section", "date"}
"""What is told of a passage where its answer goes, beside its file's name: folders are nobody's business."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """An answer, and what it took."""

    reply: ChatReply
    """The reply that it stands in, with the tokens and cost of all calls, and the seconds until it was chosen."""
    answer: Json
    failure: FailureKind | None
    problem: str | None = None
    """What is wrong with it, in words for the model; None where nothing is, or nobody looked."""
    calls: int = 1
    """Those that gave no reply too."""
    guarded: Guarded | None = None
    """What the candidate's guard found."""
    held_back: str | None = None
    """The reply that it held back."""


async def answer_example(
    prompt: Prompt,
    model: ChatModel,
    example: Example,
    *,
    repeat: int = 0,
    pool: ModelPool | None = None,
) -> Trial:
    """Return the trial, not scored yet.

    Args:
        prompt: Of the candidate that answers.
        model: Its model.
        example: What is asked.
        repeat: Which answer of several this is.
        pool: Where a candidate finds what else it needs: who tells which demonstrations are nearest, and the folder of checks.
    Raises: ReplyError if the model gave no reply; then there is no trial.
    """
    gathered = await gather(prompt, example, pool, model)
    drawn = await whole(prompt, model, gathered, example.inputs, pool)
    reply = drawn.reply
    written = reply.tool_calls[0].arguments if reply.tool_calls and not reply.text else reply.text
    output = written if drawn.held_back is None else drawn.held_back
    return Trial(
        candidate_id=prompt.candidate.id,
        task_id=prompt.task.asking_id,
        example_id=example.id,
        repeat=repeat,
        output=output,
        answer=drawn.answer,
        failure=drawn.failure,
        usage=reply.usage,
        latency_s=reply.latency_s,
        passages=tuple(one.id for one in gathered.passages),
        seen=gathered.passages,
        sent=reply.sent,
        probabilities=reply.probabilities or {},
        calls=drawn.calls,
    )


async def whole(
    prompt: Prompt,
    model: ChatModel,
    gathered: Gathered,
    inputs: dict[str, Json],
    pool: ModelPool | None,
) -> Drawn:
    """Return the answer to what was gathered, as it goes out: drawn, guarded, and with what all who were asked took.

    Raises: as `draw`.
    """
    if gathered.helpers is None:
        return await draw(prompt, model, gathered.request, inputs, pool)
    helpers, found = gathered.helpers.again(), None
    with helpers.counted():
        drawn = await draw(prompt, model, gathered.request, inputs, pool)
    if drawn.failure is None:
        try:
            found = await guarded(prompt, drawn.answer, gathered, inputs, helpers)
        except ReplyError as error:
            error.spent.append(drawn.reply)  # paid for, though nobody sees it
            raise
    said = drawn.reply
    if found and found.is_blocked:
        said = replace(said, text=found.guard.says, finish_reason="content_filter", logprobs=None)
    return replace(
        drawn,
        reply=told(said, gathered.passages, helpers, found),
        answer=found.guard.says if found and found.is_blocked else drawn.answer,
        guarded=found,
        held_back=drawn.reply.text if found and found.is_blocked else None,
        calls=drawn.calls + len(helpers.replies),
    )


def told(
    reply: ChatReply,
    passages: Sequence[Passage],
    helpers: Helpers,
    guard: Guarded | None = None,
) -> ChatReply:
    """Return a reply with what all who were asked took, and with notes: its passages by number, and what the guard found."""
    notes: dict[str, Json] = dict(reply.notes)
    if passages:
        named = {
            int(n) for marks in CITATION.findall(reply.text) for n in re.findall(r"\d+", marks)
        }
        notes["passages"] = [
            {
                "number": number,
                **one.model_dump(mode="json", include=CITED, exclude_defaults=True),
                "source": Path(one.source).name,
                "cited": number in named,
            }
            for number, one in enumerate(passages, start=1)
        ]
    if guard:
        notes["guard"] = guard.plain()
    return replace(
        reply,
        usage=total([reply.usage, *(one.usage for one in helpers.replies)]),
        latency_s=reply.latency_s + sum(one.latency_s for one in helpers.replies),
        notes=notes,
    )


async def draw(
    prompt: Prompt,
    model: ChatModel,
    request: ChatRequest,
    inputs: dict[str, Json],
    pool: ModelPool | None,
) -> Drawn:
    """Return the answer to a request: of several samples the one that they agree on, each repaired where it fails.

    Raises: ReplyError if the model gave no reply; TaskError if the task's check is not there, or fails itself.
    """
    decoding = prompt.candidate.decoding
    check = None if decoding.is_plain or pool is None else prompt.check(pool.root)
    if decoding.samples == 1:
        return await repaired(prompt, model, request, inputs, check)
    seeds = [None if request.seed is None else request.seed + k for k in range(decoding.samples)]
    drawn = await asyncio.gather(
        *(repaired(prompt, model, replace(request, seed=s), inputs, check) for s in seeds),
        return_exceptions=True,
    )
    samples = [one for one in drawn if isinstance(one, Drawn)]
    errors = [one for one in drawn if isinstance(one, BaseException)]
    unforeseen = [error for error in errors if not isinstance(error, ReplyError)]
    if unforeseen or not samples:  # what came is paid for, and is used; nothing came
        raise (unforeseen or errors)[0]
    sound = [one for one in samples if one.problem is None]
    good = sound or [one for one in samples if one.failure is None]
    chosen = samples[0]
    if good:
        compared = [
            await asyncio.to_thread(meant_by, prompt, one.answer, inputs, pool) for one in good
        ]
        chosen = good[agreed(compared)]
    lost = [reply.usage for error in errors for reply in paid_for(error)]
    reply = replace(
        chosen.reply,
        usage=total([*(one.reply.usage for one in samples), *lost]),
        latency_s=max(one.reply.latency_s for one in samples),
    )
    return replace(chosen, reply=reply, calls=sum(one.calls for one in samples) + len(errors))


async def repaired(
    prompt: Prompt,
    model: ChatModel,
    request: ChatRequest,
    inputs: dict[str, Json],
    check: Check | None,
) -> Drawn:
    """Return an answer; one that fails is handed back with what is wrong, as often as the candidate says."""
    decoding = prompt.candidate.decoding
    replies: list[ChatReply] = []
    lost: list[ChatReply] = []
    calls = 0
    while True:
        calls += 1
        try:
            reply = await model.chat(request)
        except ReplyError as error:
            if not replies:
                raise
            lost = paid_for(error)
            break  # the answer stands as it failed: it is paid for
        replies.append(reply)
        answer, failure = prompt.read(reply)
        problem: str | None = None
        if failure:
            problem = problem_with(prompt.task, prompt.answer_part(reply), failure)
        elif check:
            problem = await asyncio.to_thread(check, inputs, answer)  # it may take its time
        if problem is None or failure == "refused" or len(replies) > decoding.repairs:
            break
        words = Template(decoding.repair).render({"problem": problem})
        request = replace(request, messages=[*request.messages, *handed_back(reply, words)])
    whole = replace(
        replies[-1],
        usage=total([one.usage for one in (*replies, *lost)]),
        latency_s=sum(one.latency_s for one in replies),
    )
    return Drawn(reply=whole, answer=answer, failure=failure, problem=problem, calls=calls)


def paid_for(error: BaseException) -> list[ChatReply]:
    """Return the replies that came with an error and are paid for."""
    spent = getattr(error, "spent", ())
    return [reply for reply in spent if isinstance(reply, ChatReply)]


def meant_by(prompt: Prompt, answer: Json, inputs: dict[str, Json], pool: ModelPool | None) -> Json:
    """Return what two answers that mean the same have in common: of a query its result, of others the answer itself."""
    database = prompt.task.answer.database
    if database is None or pool is None:
        return answer
    return result_text(database_of(database, inputs, pool.root), str(answer))


def handed_back(reply: ChatReply, told: str) -> list[dict[str, Json]]:
    """Return the messages that give a reply back with what is wrong in it."""
    if not reply.tool_calls:
        return [
            {"role": "assistant", "content": reply.text},
            {"role": "user", "content": told},
        ]
    calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(reply.tool_calls)
    ]
    answers = [{"role": "tool", "tool_call_id": call["id"], "content": told} for call in calls]
    return [{"role": "assistant", "content": reply.text, "tool_calls": calls}, *answers]


def agreed(answers: list[Json]) -> int:
    """Return the place of the answer that most others equal; where no two are equal, of the one whose words most others share."""
    keys = [comparable(answer) for answer in answers]
    counts = Counter(keys)
    most = max(counts.values())
    if most > 1 or len(answers) < 3:
        return next(place for place, key in enumerate(keys) if counts[key] == most)
    words = [Counter(key.split()) for key in keys]
    likeness = [
        sum(2 * (a & b).total() / max(1, a.total() + b.total()) for b in words) for a in words
    ]
    return likeness.index(max(likeness))
