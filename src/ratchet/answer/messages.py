"""From a candidate and an example to the exact request that is sent: nothing is added anywhere else."""

import json
from collections.abc import Mapping

from ratchet.answer.template import Template
from ratchet.core import Candidate, Decoding, Example, Json, Task
from ratchet.core.errors import CandidateError
from ratchet.models import ChatRequest

__all__ = ["Prompt", "signature", "starting_candidate", "written_answer"]

TASK_FIELDS = ("instructions", "labels", "schema")


class Prompt:
    """A candidate's templates, parsed once and checked against the task's fields.

    Raises: TemplateError if a template does not parse or uses an unknown field; CandidateError if a demonstration lacks one.
    """

    def __init__(self, task: Task, candidate: Candidate) -> None:
        self.task, self.candidate = task, candidate
        known = {*task.input_names, *TASK_FIELDS}
        if clash := set(TASK_FIELDS) & set(task.input_names):
            raise CandidateError(
                f"task {task.name!r}: the input name {min(clash)!r} is taken by the task itself; rename the field"
            )
        self._system, self._user, instructions = (
            Template(text) for text in (candidate.system, candidate.user, task.instructions)
        )
        for template in (self._system, self._user):
            template.check(known)
        Template(candidate.decoding.repair).check({"problem"})
        instructions.check({"labels", "schema"})
        fixed = {
            "labels": list(task.answer.labels),
            "schema": signature(task.answer.json_schema or {}),
        }
        self._fixed: dict[str, Json] = {**fixed, "instructions": instructions.render(fixed)}
        self._system_is_fixed = not self._system.names & set(task.input_names)
        self._shown = self._demonstrations()
        self._head = self._messages_before()
        self._tools = [tool_definition(task)] if task.answer.kind == "tool" else None

    def request(self, example: Example) -> ChatRequest:
        """Return the request for one example."""
        values = {**self._fixed, **example.inputs}
        messages = (
            self._head if self._system_is_fixed else [*self._system_message(values), *self._shown]
        )
        decoding, answer = self.candidate.decoding, self.task.answer
        return ChatRequest(
            messages=[*messages, {"role": "user", "content": self._user.render(values)}],
            tools=self._tools,
            tool_choice=answer.tool if decoding.constrained and self._tools else None,
            json_schema=answer.json_schema
            if decoding.constrained and answer.kind == "json"
            else None,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=decoding.max_tokens,
            seed=decoding.seed,
            adapter=self.candidate.adapter,
            effort=decoding.effort,
        )

    def answered(self, example: Example) -> list[dict[str, Json]]:
        """Return the messages with the reference as the last one, as fine-tuning wants them."""
        values = {**self._fixed, **example.inputs}
        question = {"role": "user", "content": self._user.render(values)}
        return [
            *self._system_message(values),
            *self._shown,
            question,
            written_answer(self.task, example.reference, 0),
        ]

    def _messages_before(self) -> list[dict[str, Json]]:
        return [*self._system_message(self._fixed), *self._shown] if self._system_is_fixed else []

    def _system_message(self, values: Mapping[str, Json]) -> list[dict[str, Json]]:
        text = self._system.render(values)
        return [{"role": "system", "content": text}] if text else []

    def _demonstrations(self) -> list[dict[str, Json]]:
        messages: list[dict[str, Json]] = []
        for number, demonstration in enumerate(self.candidate.demonstrations, start=1):
            missing = set(self.task.input_names) - set(demonstration.inputs)
            if missing:
                raise CandidateError(
                    f"demonstration {number} has no value for the field {min(missing)!r}"
                )
            question = self._user.render({**self._fixed, **demonstration.inputs})
            said = (
                {"role": "assistant", "content": demonstration.said}
                if demonstration.said and self.task.answer.kind != "tool"
                else written_answer(self.task, demonstration.answer, number)
            )
            messages += [{"role": "user", "content": question}, said]
            if self.task.answer.kind == "tool":
                messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": ""})
        return messages


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
    """Return a JSON schema in a line: `{city: string, tags: [red|blue]}`."""
    if "enum" in schema:
        return "|".join(str(value) for value in schema["enum"])
    if schema.get("type") == "object":
        return (
            "{"
            + ", ".join(
                f"{name}: {signature(part)}" for name, part in schema.get("properties", {}).items()
            )
            + "}"
        )
    if schema.get("type") == "array":
        return f"[{signature(schema.get('items', {}))}]"
    return str(schema.get("type", "any"))


def starting_candidate(task: Task, model: str | None = None) -> Candidate:
    """Return the plainest candidate: the instructions, and the inputs under their names."""
    names = task.input_names
    user = (
        f"{{{{{names[0]}}}}}"
        if len(names) == 1
        else "\n".join(f"{name}: {{{{{name}}}}}" for name in names)
    )
    labels = (
        "\nLabels: {{#each labels}}{{this}}{{#unless @last}}, {{/unless}}{{/each}}"
        if task.answer.kind == "label"
        else ""
    )
    return Candidate(
        decoding=Decoding(max_tokens=task.answer.max_tokens),
        model=model or task.models.student,
        system="{{instructions}}" + labels,
        user=user,
        note="the task's instructions",
    )
