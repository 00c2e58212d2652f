"""Synthesis: examples that a model writes. None counts before a person has taken it, and none is like an example of test."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal, get_args

import yaml

from ratchet.answer import Template, parse_answer, written_answer
from ratchet.answer.forms import loaded
from ratchet.core import Example, Json, Task
from ratchet.core.errors import BudgetError, ReplyError, UsageError
from ratchet.core.records import comparable, written
from ratchet.data import near_duplicates
from ratchet.data.splits import text_of
from ratchet.levers import Evidence
from ratchet.models import ChatReply, ChatRequest, reply_in

__all__ = ["KINDS", "Synthesis", "SynthesisKind", "synthesise"]

SynthesisKind = Literal["alike", "rare", "reverse"]
KINDS: tuple[SynthesisKind, ...] = get_args(SynthesisKind)
TEXTS = Path(__file__).with_name("synthesis.yaml")
SHOWN, LONGEST, HEAT = 5, 1024, 0.9
TRIES = 2
"""For each example that is wanted, so many replies are asked for at most."""


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What a model wrote."""

    examples: list[Example]
    refused: dict[str, int]
    """Replies that are no example, by what is wrong with them."""


async def synthesise(
    evidence: Evidence,
    known: Sequence[Example],
    *,
    kind: SynthesisKind,
    model: str,
    count: int,
    seed: int = 0,
) -> Synthesis:
    """Return new examples; each says who wrote it, how, and after which examples.

    Only train examples are shown to the model; what is nearly an example of any split, or one that it wrote before, is refused.

    Args:
        evidence: The task, its train examples, models and budget.
        known: All examples, those of test too.
        kind: Like those that there are, like those with the rarest answers, or an input for an answer that is given.
        model: Who writes.
        count: How many, at most.
        seed: Of the choice of examples.
    Raises: UnknownModelError if there is no such model; UsageError without train examples; ReplyError if no reply comes at all.
    """
    if not evidence.labelled:
        raise UsageError(
            "the train split has no example with a reference to begin from; import some first"
        )
    template = Template(str(yaml.safe_load(TEXTS.read_text("utf-8"))[kind]))
    asked, budget = evidence.pool.model(model), evidence.bench.budget
    rng, found, refused = Random(seed), list[Example](), Counter[str]()
    texts = [text_of(one) for one in known]
    errors: list[ReplyError] = []

    async def one() -> Example | str:
        shown = chosen(evidence, kind, rng)
        wanted = shown[-1] if kind == "reverse" else None
        values: dict[str, Json] = {
            "instructions": evidence.task.instructions,
            "examples": [{"text": told(evidence.task, e)} for e in (shown[:-1] if wanted else shown)],
            "form": evidence.task.answer.kind,
            "answer": "" if wanted is None else written(wanted.reference),
        }  # fmt: skip
        request = ChatRequest(
            messages=[{"role": "user", "content": template.render(values)}],
            max_tokens=LONGEST,
            temperature=HEAT,
            seed=rng.randrange(2**31),
            json_schema=schema_of(evidence.task),
            optional=frozenset(("temperature", "seed")),
        )
        if not budget.begin(1):
            raise BudgetError("the budget is spent")
        try:
            reply = await asked.chat(request)
        except ReplyError as error:
            errors.append(error)
            return "no reply"
        finally:
            budget.end(1)
        usage = reply.usage
        budget.charge(calls=1, tokens=usage.prompt_tokens + usage.completion_tokens, cost_usd=usage.cost_usd)  # fmt: skip
        source = f"synthetic: {model}, {kind}, after {', '.join(e.id for e in shown)}"
        return read(evidence.task, reply, source, wanted)

    tries = TRIES * count
    while len(found) < count and tries > 0:
        some = min(count - len(found), tries, asked.concurrency)
        tries -= some
        ended = await asyncio.gather(*(one() for _ in range(some)), return_exceptions=True)
        unforeseen = [e for e in ended if isinstance(e, BaseException) and not isinstance(e, BudgetError)]  # fmt: skip
        if unforeseen and not found:
            raise unforeseen[0]
        if unforeseen:
            evidence.say(f"synth: {unforeseen[0]}; what came is kept")
            break
        refused.update(one for one in ended if isinstance(one, str))
        fresh = [one for one in ended if isinstance(one, Example)]
        near = await asyncio.to_thread(late_twins, [*texts, *map(text_of, fresh)])
        kept = [one for place, one in enumerate(fresh, start=len(texts)) if place not in near]
        refused["nearly an example that is there"] += len(fresh) - len(kept)
        texts += map(text_of, kept)
        found += kept
        if any(isinstance(e, BudgetError) for e in ended):
            evidence.say("synth: the budget is spent; what came is kept")
            break
        evidence.say(f"synth: {len(found)} of {count}")
    if errors and not found and len(errors) == sum(refused.values()):
        raise errors[0]
    return Synthesis(examples=found[:count], refused={why: n for why, n in refused.items() if n})


def late_twins(texts: Sequence[str]) -> set[int]:
    """Return the places of texts that are nearly one before them."""
    return {late for _, late in near_duplicates(texts)}


def chosen(evidence: Evidence, kind: SynthesisKind, rng: Random) -> list[Example]:
    """Return train examples to show: at random, or those whose answers are rarest."""
    train = evidence.labelled
    if kind == "rare":
        counts = Counter(comparable(one.reference) for one in train)
        least = min(counts.values(), default=0)
        rare = [one for one in train if counts[comparable(one.reference)] <= 2 * least]
        train = rare or train
    return rng.sample(train, min(SHOWN, len(train)))


def told(task: Task, example: Example) -> str:
    """Return an example as the model is shown it."""
    return written({"inputs": {name: example.inputs[name] for name in task.input_names}, "answer": example.reference})  # fmt: skip


def schema_of(task: Task) -> Json:
    """Return the form of a reply."""
    form = task.answer
    answer: Json = {"type": "string"}
    if form.kind == "label":
        answer = {"enum": list(form.labels)}
    elif form.kind == "number":
        answer = {"type": "number"}
    elif form.kind in ("json", "tool"):
        answer = form.json_schema or {"type": "object"}
    inputs = {name: {"type": "string", "minLength": 1, "maxLength": 4000} for name in task.input_names}  # fmt: skip
    return {
        "type": "object",
        "properties": {
            "inputs": {"type": "object", "properties": inputs, "required": list(inputs), "additionalProperties": False},
            "answer": answer,
        },
        "required": ["inputs", "answer"],
        "additionalProperties": False,
    }  # fmt: skip


def read(task: Task, reply: ChatReply, source: str, wanted: Example | None) -> Example | str:
    """Return the example that a reply is, or what is wrong with it."""
    body = loaded(reply.text)
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(inputs, dict) or set(inputs) != set(task.input_names):  # fmt: skip
        return "not in the form"
    if not all(isinstance(value, str) and value.strip() for value in inputs.values()):
        return "an input is empty"
    answer = body.get("answer") if wanted is None else wanted.reference
    if answer is None:
        return "no answer"
    right, failure = parse_answer(task, reply_in(written_answer(task, answer, 1)))
    if failure:
        return "the answer has not the task's form"
    return Example(inputs=inputs, reference=right, source=source)
