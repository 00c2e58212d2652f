"""Does an answer stand on its passages? Faithfulness: the share of its claims that the passages support (Es et al. 2024, "Ragas").

A model takes the answer apart into claims, and says of each whether the passages support it. Both are tasks like any other, so
that a judge of faithfulness is a candidate, and the guard of a candidate asks the very same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from ratchet.answer.messages import Prompt
from ratchet.core import (
    AnswerForm,
    Candidate,
    Decoding,
    Example,
    InputField,
    Json,
    MetricSpec,
    Passage,
    Roles,
    Task,
)

__all__ = [
    "AskJson",
    "Grounding",
    "grounding",
    "grounding_prompts",
    "judge_form",
    "list_form",
    "shown_passages",
]

TEXTS = Path(__file__).with_name("grounding.yaml")
MOST = 20
"""Claims of an answer."""
LONGEST = 400
"""Letters of a claim, and of a reason."""
TOKENS = 2048
AskJson = Callable[[Prompt, Example], Awaitable[Json]]
"""Asks a prompt about an example; None where the reply has not the form."""


@dataclass(frozen=True)
class Grounding:
    """How well an answer stands on its passages."""

    score: float
    """The share of claims that are supported; 1 where nothing is claimed."""
    claims: list[dict[str, Json]]
    """Each with `claim`, `supported` and `reason`."""

    @property
    def unsupported(self) -> list[str]:
        """Return the claims that nothing supports."""
        return [str(one["claim"]) for one in self.claims if not one["supported"]]


async def grounding(
    ask: AskJson, prompts: tuple[Prompt, Prompt], question: str, answer: str, shown: str
) -> Grounding | None:
    """Return how well an answer stands on passages; None where the judge gave no reply in the form.

    Args:
        ask: Who asks.
        prompts: Of `grounding_prompts`.
        question: What was asked.
        answer: What was answered.
        shown: The passages, as `shown_passages` writes them.
    """
    claims, support = prompts
    inputs = {"question": question, "reply": answer}
    found = await ask(claims, Example(inputs=inputs, reference=None))
    if found is None:
        return None
    listed = [str(one) for one in found["claims"]][:MOST]
    if not listed:
        return Grounding(1.0, [])
    numbered = "\n".join(f"{number}. {text}" for number, text in enumerate(listed, start=1))
    said = await ask(
        support, Example(inputs={"context": shown, "claims": numbered}, reference=None)
    )
    if said is None:
        return None
    verdicts = {int(one["number"]): one for one in said["verdicts"]}
    weighed = [
        {
            "claim": text,
            "supported": bool(verdicts.get(number, {}).get("supported", False)),
            "reason": str(verdicts.get(number, {}).get("reason", "the judge did not say")),
        }
        for number, text in enumerate(listed, start=1)
    ]
    supported = [one for one in weighed if one["supported"]]
    return Grounding(len(supported) / len(weighed), weighed)


@cache
def grounding_prompts(model: str) -> tuple[Prompt, Prompt]:
    """Return what takes an answer apart, and what weighs its claims, both asked of `model`."""
    texts = yaml.safe_load(TEXTS.read_text("utf-8"))
    text = {"type": "string", "maxLength": LONGEST}
    verdict = {
        "type": "object",
        "properties": {
            "number": {"type": "integer", "minimum": 1, "maximum": MOST},
            "reason": text,
            "supported": {"type": "boolean"},
        },
        "required": ["number", "reason", "supported"],
        "additionalProperties": False,
    }
    return (
        list_form("claims", texts["claims"], ("question", "reply"), text, model=model),
        list_form(
            "support",
            texts["support"],
            ("context", "claims"),
            verdict,
            model=model,
            answer="verdicts",
        ),
    )


def list_form(
    name: str,
    instructions: str,
    inputs: Sequence[str],
    item: Json,
    *,
    model: str,
    answer: str | None = None,
) -> Prompt:
    """Return the prompt of a judge's task whose answer is an object with one list, named as the task unless `answer` says otherwise."""
    field = answer or name
    schema = {
        "type": "object",
        "properties": {field: {"type": "array", "items": item, "maxItems": MOST}},
        "required": [field],
        "additionalProperties": False,
    }
    return judge_form(name, instructions, inputs, schema, model=model)


def judge_form(
    name: str, instructions: str, inputs: Sequence[str], schema: Json, *, model: str
) -> Prompt:
    """Return the prompt of a judge's task with that schema of its answer."""
    task = Task(
        name=name,
        instructions=instructions,
        inputs=tuple(InputField(name=one) for one in inputs),
        answer=AnswerForm(kind="json", json_schema=schema, max_tokens=TOKENS),
        metric=MetricSpec(name="fields"),
        models=Roles(student=model),
    )
    user = "\n\n".join(f"<{one}>\n{{{{{one}}}}}\n</{one}>" for one in inputs)
    return Prompt(
        task,
        Candidate(
            model=model,
            system="{{instructions}}",
            user=user,
            decoding=Decoding(max_tokens=TOKENS),
            note=f"{model}: {name}",
        ),
    )


def shown_passages(passages: Sequence[Passage]) -> str:
    """Return passages as a judge reads them: numbered, each with its title."""
    return "\n\n".join(f"[{number}] {one.searched}" for number, one in enumerate(passages, start=1))
