"""Prompts that a model proposes: it is shown the task, the failures with the metric's feedback, and what was tried before.

What it is asked stands in `proposer.yaml`. A proposal is text from a model: it is read as two templates and nothing else, and left
out where it breaks them, repeats an earlier one, or holds an example of the train split.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import orjson
import yaml

from ratchet.answer import Prompt, Template, signature
from ratchet.answer.forms import embedded
from ratchet.answer.messages import TASK_FIELDS
from ratchet.core import Budget, Candidate, Json, Task
from ratchet.core.errors import (
    BudgetError,
    CandidateError,
    ReplyError,
    TemplateError,
    UsageError,
)
from ratchet.levers.kept import KeptReplies
from ratchet.levers.leaks import leak_in, telling
from ratchet.levers.lever import Evidence
from ratchet.measure import check_priced, evaluate
from ratchet.models import ChatReply, ChatRequest
from ratchet.store import find_candidate

__all__ = ["Proposer"]

ASKED = Path(__file__).parent / "proposer.yaml"
SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("idea", "system", "user")},
    "required": ["idea", "system", "user"],
    "additionalProperties": False,
}
SCREEN, FAILURES, SHOWN, TRIED = 32, 8, 3, 5
"""Train examples that the champion is measured on; failures, good examples and earlier prompts that the proposer is shown."""
LONG = 300
"""Characters of an input or an answer that it is shown."""
HEAT, LONGEST = 0.8, 2000
HOPELESS = 3
"""So many replies that are no proposal, one after another, end it."""


class Proposer:
    """Ask a model for prompts.

    Args:
        model: Its name; left out, the task's teacher.
        count: How many to ask for.
        seed: Of what it is shown, and of its sampling.
    """

    def __init__(self, model: str | None = None, *, count: int = 6, seed: int = 0) -> None:
        self._model, self.count, self._seed = model, count, seed

    def name(self, task: Task) -> str:
        """Return who proposes.

        Raises: UsageError if nobody is named.
        """
        name = self._model or task.models.teacher
        if name is None:
            raise UsageError(
                f"nobody is named who proposes prompts: set models.teacher in the file of task {task.name!r}, or name a model with --proposer"
            )
        return name

    async def propose(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> list[Candidate]:
        """Return what the model proposes and is worth trying; what was left out is counted, and told.

        Raises: ReplyError if it gives no reply; BudgetError if its price is unknown, and the budget is in dollars.
        """
        asked = yaml.safe_load(ASKED.read_text("utf-8"))
        model = evidence.pool.model(self.name(evidence.task))
        check_priced(budget, model, f"{model.name}, which proposes,")
        values = await self._known(champion, evidence, budget)
        texts = telling(evidence.train)
        kept = KeptReplies(evidence.files / "proposals.jsonl")
        found: dict[str, Candidate] = {}
        out: Counter[str] = Counter()
        hopeless, gone = 0, None
        for number in range(self.count):
            kind = list(asked["kinds"])[number % len(asked["kinds"])]
            if hopeless == HOPELESS:
                break
            known = {**values, "kind": asked["kinds"][kind]}
            request = ChatRequest(
                messages=[
                    {"role": role, "content": Template(asked[role]).render(known)}
                    for role in ("system", "user")
                ],
                json_schema=SCHEMA,
                temperature=HEAT,
                max_tokens=LONGEST,
                seed=self._seed + number,
                optional=frozenset(("temperature", "seed")),
            )
            try:
                said = proposal_in(await kept.ask(budget, model, request))
            except ReplyError as error:
                said, gone = None, error
            except BudgetError:
                break
            hopeless = hopeless + 1 if said is None else 0
            if said is None:
                out["no proposal"] += 1
                continue
            challenger, problem = read(said, champion, evidence, kind, texts)
            if challenger is None or challenger.id in found:
                out[problem or "repeated"] += 1
            else:
                found[challenger.id] = challenger
        if gone and not found:
            raise gone
        left = "".join(f", {count} {why}" for why, count in out.items())
        evidence.say(
            f"prompt: {model.name} proposes {len(found)} of {self.count} that are new{left}"
        )
        return list(found.values())

    async def _known(
        self, champion: Candidate, evidence: Evidence, budget: Budget
    ) -> dict[str, Json]:
        """Return what the proposer is told, after the champion was measured on some train examples."""
        rng, task = Random(self._seed), evidence.task
        pool = evidence.train[:]
        rng.shuffle(pool)
        screen = pool[:SCREEN]
        evidence.say(f"prompt: measuring the champion on {len(screen)} train examples")
        bench = replace(evidence.bench, budget=budget)
        measured = await evaluate(
            bench, champion, evidence.pool.model(champion.model), screen, split="train"
        )
        examples = {example.id: example for example in screen}
        wrong = sorted(
            (t for t in measured.first_trials().values() if t.score and t.score.value < 1),
            key=lambda t: (t.score.value if t.score else 0, t.example_id),
        )
        failures = [
            f"- input: {cut(examples[t.example_id].inputs)}\n  answer: {cut(t.output)}\n"
            + (
                f"  right: {cut(examples[t.example_id].reference)}\n"
                if task.is_labelled(examples[t.example_id])
                else ""
            )
            + f"  why: {t.score.feedback if t.score and t.score.feedback else t.failure or 'wrong'}"
            for t in wrong[:FAILURES]
        ]
        return {
            "fields": ", ".join(f"{{{{{name}}}}}" for name in (*task.input_names, *TASK_FIELDS)),
            "instructions": task.instructions,
            "form": form_of(task),
            "data": "\n".join(
                f"- {cut(e.inputs)}" + (f" → {cut(e.reference)}" if task.is_labelled(e) else "")
                for e in pool[SCREEN:][:SHOWN] or pool[:SHOWN]
            ),
            "system": champion.system,
            "user": champion.user,
            "score": f"{100 * measured.score:.0f}",
            "failures": "\n".join(failures),
            "tried": "\n".join(earlier(champion, evidence)),
        }  # fmt: skip


def proposal_in(reply: ChatReply) -> dict[str, Json] | None:
    """Return the object that a reply holds; None where it is no proposal."""
    said = embedded(reply.text)
    is_whole = isinstance(said, dict) and all(
        isinstance(said.get(name), str) for name in SCHEMA["properties"]
    )
    return said if is_whole else None


def read(
    said: dict[str, Json], champion: Candidate, evidence: Evidence, kind: str, texts: set[str]
) -> tuple[Candidate | None, str | None]:
    """Return the candidate of a proposal, or None and why it is left out."""
    try:
        challenger = champion.changed(
            system=said["system"].strip(),
            user=said["user"].strip(),
            note=f"{kind}: {said['idea'].strip()[:150]}",
        )
        Prompt(evidence.task, challenger)
    except (TemplateError, CandidateError):
        return None, "with a broken template"
    inputs = set(evidence.task.input_names)
    before, after = (
        (Template(c.system).names | Template(c.user).names) & inputs for c in (champion, challenger)
    )
    if before - after:
        return None, "without an input"
    if challenger.id == champion.id or challenger.id in evidence.tried:
        return None, "repeated"
    if leak_in(champion, challenger, texts):
        return None, "with an example of the data in it"
    return challenger, None


def earlier(champion: Candidate, evidence: Evidence) -> list[str]:
    """Return prompts that were on the ladder before, and are not the champion's."""
    if evidence.bench.engine is None:
        return []
    tried = [find_candidate(evidence.bench.engine, name) for name in sorted(evidence.tried)]
    prompts = {one.system for one in tried if one.system != champion.system}
    return [f"<<<\n{cut(text)}\n>>>" for text in sorted(prompts)[:TRIED]]


def form_of(task: Task) -> str:
    """Return the form of an answer in a few words."""
    form = task.answer
    if form.kind == "label":
        return f"one of the labels {', '.join(form.labels)}"
    if form.json_schema:
        return f"{form.kind}: {signature(form.json_schema)}"
    return form.kind


def cut(value: Json) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= LONG else text[: LONG - 1] + "…"
