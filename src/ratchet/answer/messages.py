"""From a candidate and an example to the exact request that is sent: nothing is added anywhere else."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from ratchet.answer.checks import Check, check_of
from ratchet.answer.finding import check_retrieval
from ratchet.answer.forced import forced_form, unwrap_json
from ratchet.answer.forms import Outcome, parse_answer
from ratchet.answer.nearest import CLASSED, Neighbours
from ratchet.answer.reasoning import visible_part
from ratchet.answer.template import Template
from ratchet.core import Candidate, Decoding, Demonstration, Example, Json, Passage, Task
from ratchet.core.errors import CandidateError
from ratchet.models import ChatReply, ChatRequest

__all__ = ["Prompt", "signature", "starting_candidate", "with_model", "written_answer"]

TASK_FIELDS = ("instructions", "labels", "schema", "absent")
PASSAGES = "passages"
CITATION = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")
SAMPLING_TEMPERATURE = 0.7
"""At which a local model draws several answers, where a candidate comes to it that left this to its endpoint."""
FILLER = "word " * 120
"""As long as a passage is, about, for counting tokens ahead."""


class Prompt:
    """A candidate's templates, parsed once and checked against the task's fields: what is sent, and how a reply is read.

    Raises: TemplateError if a template does not parse or uses an unknown field; CandidateError if a demonstration lacks one.
    """

    def __init__(self, task: Task, candidate: Candidate) -> None:
        self.task, self.candidate = task, candidate
        known = {*task.input_names, *TASK_FIELDS}
        if candidate.retrieval:
            known.add(PASSAGES)
        if clash := {*TASK_FIELDS, PASSAGES} & set(task.input_names):
            raise CandidateError(
                f"task {task.name!r}: the input name {min(clash)!r} is taken by the task itself; rename the field"
            )
        self._system, self._user, instructions = (
            Template(text) for text in (candidate.system, candidate.user, task.instructions)
        )
        for template in (self._system, self._user):
            template.check(known)
        Template(candidate.decoding.repair).check({"problem"})
        searched = candidate.retrieval.query if candidate.retrieval else ""
        self._query = Template(searched) if searched else None
        if candidate.retrieval:
            check_retrieval(candidate.retrieval, task.input_names)
        instructions.check({"labels", "schema", "absent"})
        if task.answer.database:
            Template(task.answer.database).check(task.input_names)
        fixed = {
            "labels": list(task.answer.labels),
            "schema": signature(task.answer.json_schema) if task.answer.json_schema else "",
            "absent": task.answer.absent or "",
        }
        self._fixed: dict[str, Json] = {**fixed, "instructions": instructions.render(fixed)}
        self._used = self._system.names | self._user.names
        follow = {*task.input_names, PASSAGES, *(["schema"] if self.shows_tables else [])}
        self._system_is_fixed = not self._system.names & follow
        if candidate.retrieval and PASSAGES not in self._used:
            raise CandidateError(
                f"candidate {candidate.id} looks for passages, and no template shows them; write {{{{#each passages}}}}{{{{text}}}}{{{{/each}}}} into system or user"
            )
        if candidate.guard and task.answer.kind != "text":
            raise CandidateError(
                f"a guard puts its own words in place of an answer, so it is for answers of kind 'text'; this one is of kind {task.answer.kind!r}"
            )
        self._before, self._after = candidate.answer.split("{{answer}}")
        self._all = [
            self._shown_as(one, place)
            for place, one in enumerate(candidate.demonstrations, start=1)
        ]
        nearest = candidate.nearest
        if nearest and nearest.same_class and task.answer.kind not in CLASSED:
            raise CandidateError(
                f"nearest.same_class is for answers of kind {' or '.join(CLASSED)}, and this one is of kind {task.answer.kind!r}"
            )
        self.neighbours = Neighbours(task, candidate.demonstrations, nearest) if nearest else None
        """Who chooses among the demonstrations, where the input decides."""
        self._checks: dict[Path, Check | None] = {}
        self._shown = flat(self._all[-nearest.count :] if nearest else self._all)
        self._head = self._messages_before()
        self._tools = [tool_definition(task)] if task.answer.kind == "tool" else None
        self._forced_form = forced_form(
            task.answer, candidate.decoding, is_whole_reply=not self.has_reasoning
        )
        self._check_decision()

    @property
    def shows_tables(self) -> bool:
        """Return whether a template tells of the database that a query is for."""
        return self.task.answer.database is not None and "schema" in self._used

    def query(self, inputs: Mapping[str, Json]) -> str:
        """Return what is searched for these inputs; empty where the candidate does not say."""
        return self._query.render(inputs) if self._query else ""

    def request(
        self,
        example: Example,
        *,
        shown: Sequence[int] | None = None,
        passages: Sequence[Passage] | None = None,
        tables: str | None = None,
    ) -> ChatRequest:
        """Return the request for one example.

        Args:
            example: Whose inputs are put in.
            shown: The places of its demonstrations; left out, all, or as many as the nearest would be.
            passages: Its passages; left out, as many of the usual length.
            tables: What is told of its database.
        """
        values = {**self._fixed, **example.inputs, **self._knowledge(passages)}
        if tables is not None:
            values["schema"] = tables
        decoding, form = self.candidate.decoding, self._forced_form
        prior = None
        if decoding.calibration == "prior":
            prior = self._messages({**values, **dict.fromkeys(self.task.input_names, "")}, shown)
        return ChatRequest(
            messages=self._messages(values, shown),
            decide=decoding.decide,
            prior=prior,
            tools=self._tools,
            tool_choice=form.tool,
            json_schema=form.json_schema,
            choices=form.choices,
            pattern=form.pattern,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=decoding.max_tokens
            or (form.max_tokens if self.candidate.is_local else None),
            thinking_tokens=decoding.thinking_tokens,
            seed=decoding.seed,
            adapter=self.candidate.adapter,
            effort=decoding.effort,
        )

    def _messages(
        self, values: Mapping[str, Json], shown: Sequence[int] | None
    ) -> list[dict[str, Json]]:
        if self._system_is_fixed and shown is None:
            before = self._head
        else:
            some = self._shown if shown is None else flat([self._all[place] for place in shown])
            before = [*self._system_message(values), *some]
        return [*before, {"role": "user", "content": self._user.render(values)}]

    def _check_decision(self) -> None:
        """Raise CandidateError where the candidate decides what cannot be decided."""
        candidate, kind = self.candidate, self.task.answer.kind
        if not candidate.decoding.decide:
            return
        if kind != "label":
            raise CandidateError(
                f"decoding.decide is for answers of kind 'label', and this one is of kind {kind!r}; leave it out"
            )
        if self.has_reasoning:
            raise CandidateError(
                "decoding.decide takes a label and no words before it, and this candidate's answer template has words; leave one of them out"
            )
        if not candidate.is_local:
            raise CandidateError(
                f"decoding.decide needs the probabilities of a local model, and {candidate.model} is an endpoint's; leave it out"
            )

    def answered(
        self, example: Example, request: ChatRequest | None = None
    ) -> list[dict[str, Json]]:
        """Return the messages of a request with the reference as the last one, as fine-tuning wants them.

        Args:
            example: Whose reference is written.
            request: What was gathered for it; left out, the request without passages.
        """
        asked = request or self.request(example, passages=())
        return [*asked.messages, self._written(example.reference, 0)]

    def read(self, reply: ChatReply) -> Outcome:
        """Return the answer that a reply holds and None, or None and how it failed."""
        part = self.answer_part(reply)
        if self.candidate.decoding.as_json:
            part = unwrap_json(self.task.answer, part)
        if self.candidate.retrieval and self.candidate.retrieval.citations:
            part = replace(part, text=CITATION.sub("", part.text).strip())
        return parse_answer(self.task, part)

    def check(self, root: Path) -> Check | None:
        """Return what the task checks of an answer beside its form, files meant from `root`; None where it checks nothing.

        Raises: TaskError if the task's function is not there.
        """
        if root not in self._checks:
            self._checks[root] = check_of(self.task, root)
        return self._checks[root]

    @property
    def has_reasoning(self) -> bool:
        """Whether a reply may say more than its answer."""
        return bool(self._before.strip() or self._after.strip())

    def answer_part(self, reply: ChatReply) -> ChatReply:
        """Return the part of a reply that the candidate says is the answer: all of it where its words for that are not there."""
        before, after = self._before.strip(), self._after.strip()
        text = visible_part(reply.text, keeps_lone_tag=True) if before or after else reply.text
        if before:
            marks = list(re.finditer(re.escape(before), text, re.IGNORECASE))
            text = text[marks[-1].end() :] if marks else text
        if after and (end := text.casefold().find(after.casefold())) >= 0:
            text = text[:end]
        return reply if text == reply.text else replace(reply, text=text)

    def _written(self, answer: Json, number: int) -> dict[str, Json]:
        """Return the assistant's message that gives `answer` as the candidate wants replies to be."""
        message = written_answer(self.task, answer, number)
        if self.task.answer.kind == "tool":
            return message
        return {**message, "content": f"{self._before}{message['content']}{self._after}"}

    def _knowledge(self, passages: Sequence[Passage] | None) -> dict[str, Json]:
        """Return what `{{passages}}` is; where it is not known yet, as many of the usual length."""
        retrieval = self.candidate.retrieval
        if retrieval is None:
            return {}
        if passages is None:
            passages = [Passage(text=FILLER)] * retrieval.k
        return {
            PASSAGES: [
                {
                    "number": number,
                    "text": one.text,
                    "title": one.title,
                    "section": one.section,
                    "date": one.date or "",
                    "source": one.source,
                }
                for number, one in enumerate(passages, start=1)
            ]
        }

    def _messages_before(self) -> list[dict[str, Json]]:
        return [*self._system_message(self._fixed), *self._shown] if self._system_is_fixed else []

    def _system_message(self, values: Mapping[str, Json]) -> list[dict[str, Json]]:
        text = self._system.render(values)
        return [{"role": "system", "content": text}] if text else []

    def _shown_as(self, demonstration: Demonstration, number: int) -> list[dict[str, Json]]:
        """Return the messages that show a demonstration."""
        missing = set(self.task.input_names) - set(demonstration.inputs)
        if missing:
            raise CandidateError(
                f"demonstration {number} has no value for the field {min(missing)!r}"
            )
        question = demonstration.asked or self._user.render(
            {**self._fixed, **demonstration.inputs, **self._knowledge(())}
        )
        is_call = self.task.answer.kind == "tool"
        said = (
            {"role": "assistant", "content": demonstration.said}
            if demonstration.said and not is_call
            else self._written(demonstration.answer, number)
        )
        messages = [{"role": "user", "content": question}, said]
        if is_call:
            messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": ""})
        return messages


def flat(shown: Sequence[list[dict[str, Json]]]) -> list[dict[str, Json]]:
    return [message for messages in shown for message in messages]


def written_answer(task: Task, answer: Json, number: int) -> dict[str, Json]:
    """Return the assistant's message that gives `answer`; `number` tells tool calls apart."""
    if task.answer.kind != "tool":
        return {
            "role": "assistant",
            "content": answer if isinstance(answer, str) else compact(answer),
        }
    call = {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": task.answer.tool, "arguments": compact(answer)},
    }
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def compact(answer: Json) -> str:
    if isinstance(answer, float) and answer.is_integer():
        return str(int(answer))
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def tool_definition(task: Task) -> dict[str, Json]:
    function = {"name": task.answer.tool, "parameters": task.answer.json_schema}
    if task.answer.description:
        function["description"] = task.answer.description
    return {"type": "function", "function": function}


def signature(schema: Json) -> str:
    """Return a JSON schema in a line, in JSON's words: `{city: string, tags: [red|blue], end: string|null}`."""
    return _signature(schema, schema, ())


def _signature(schema: Json, whole: Json, followed: tuple[str, ...]) -> str:
    """Return a part of a schema in a line; a reference that leads back to itself is `any`."""
    if not isinstance(schema, dict):
        return "any"
    if isinstance(reference := schema.get("$ref"), str):
        is_known = reference.startswith("#") and reference not in followed
        part = _part_at(whole, reference) if is_known else None
        return "any" if part is None else _signature(part, whole, (*followed, reference))
    if "const" in schema:
        return _json_word(schema["const"])
    if "enum" in schema:
        return "|".join(map(_json_word, schema["enum"]))
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            parts = [_signature(part, whole, followed) for part in schema[keyword]]
            return "|".join(dict.fromkeys(parts))
    types = schema.get("type", "object" if "properties" in schema else "any")
    names = types if isinstance(types, list) else [types]
    return "|".join(_signature_of_type(name, schema, whole, followed) for name in names)


def _signature_of_type(
    name: Json, schema: dict[str, Json], whole: Json, followed: tuple[str, ...]
) -> str:
    if name == "object":
        parts = schema.get("properties", {}).items()
        return (
            "{"
            + ", ".join(f"{key}: {_signature(part, whole, followed)}" for key, part in parts)
            + "}"
        )
    if name == "array":
        if "prefixItems" in schema:
            parts = [_signature(part, whole, followed) for part in schema["prefixItems"]]
            return f"[{', '.join(parts)}]"
        return f"[{_signature(schema.get('items', {}), whole, followed)}]"
    return str(name)


def _part_at(whole: Json, reference: str) -> Json:
    """Return the part of a schema that a local reference (`#/$defs/city`) leads to; None where it leads nowhere."""
    part = whole
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, list) and name.isdigit() and int(name) < len(part):
            part = part[int(name)]
        elif isinstance(part, dict) and name in part:
            part = part[name]
        else:
            return None
    return part


def _json_word(value: Json) -> str:
    """Return a value as JSON writes it; a text without its quotation marks."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def with_model(candidate: Candidate, model: str, *, temperature: float | None = None) -> Candidate:
    """Return a candidate on another model, without its adapter; the likeliest answers are asked for as that model takes it.

    Args:
        candidate: Whose prompt it is.
        model: The other model.
        temperature: As for `starting_candidate`; a temperature above 0 that the candidate names stays.
    """
    decoding = candidate.decoding
    if decoding.samples > 1 and not decoding.temperature and model.startswith("local:"):
        decoding = decoding.model_copy(update={"temperature": SAMPLING_TEMPERATURE})
    elif not decoding.temperature and decoding.samples == 1:
        decoding = decoding.model_copy(update={"temperature": temperature})
    if not model.startswith("local:"):
        decoding = decoding.model_copy(update={"decide": False, "calibration": None})
    return candidate.changed(model=model, adapter=None, decoding=decoding)


def starting_candidate(
    task: Task, model: str | None = None, *, temperature: float | None = None
) -> Candidate:
    """Return the plainest candidate: the instructions, and the inputs under their names.

    Args:
        task: What is to be done.
        model: Who does it; left out, the task's student.
        temperature: 0 where the model is known to take one (`ModelPool.start_temperature`); else nothing is named.
    """
    names = task.input_names
    user = (
        f"{{{{{names[0]}}}}}"
        if len(names) == 1
        else "\n".join(f"{name}: {{{{{name}}}}}" for name in names)
    )
    if task.answer.database:
        user = "{{#if schema}}{{schema}}\n\n{{/if}}" + user
    labels = (
        "\nLabels: {{#each labels}}{{this}}{{#unless @last}}, {{/unless}}{{/each}}"
        if task.answer.kind == "label"
        else ""
    )
    absent = "\nIf you cannot know the answer, say: {{absent}}" if task.answer.absent else ""
    return Candidate(
        decoding=Decoding(temperature=temperature, max_tokens=task.answer.max_tokens),
        model=model or task.models.student,
        system="{{instructions}}" + labels + absent,
        user=user,
        note="the task's instructions",
    )
