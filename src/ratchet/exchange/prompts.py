"""A candidate's prompt as other programs take it: OpenAI's messages, LangChain's, and plain text, the inputs still as fields."""

import json
import re
from collections.abc import Callable

from ratchet.answer import Prompt, starting_candidate
from ratchet.core import Candidate, Example, Json, Task
from ratchet.core.errors import CandidateError

__all__ = ["FORMATS", "field_messages", "unsaid", "written_prompt"]

OPEN, CLOSE = "\ue000", "\ue001"
"""Stand around a field's name while the rest is rendered: of the private use area, so no text has them."""
PLACE = re.compile(f"{OPEN}(\\w+){CLOSE}")
BLOCK = re.compile(r"\{\{#\w+\s+([\w.-]+)")
ROLES = {"system": "system", "user": "human", "assistant": "ai"}


def field_messages(
    task: Task, candidate: Candidate, field: Callable[[str], str], plain: Callable[[str], str] = str
) -> tuple[list[dict[str, Json]], dict[str, Json]]:
    """Return the messages of a candidate with its inputs still as fields, and the rest of the request.

    Args:
        task: What it answers.
        candidate: Its templates and demonstrations.
        field: Writes a field from its name.
        plain: Writes the text around the fields.
    Raises: CandidateError if what is sent depends on the input in another way than by its text.
    """
    inputs = set(task.input_names)
    for part, what in (("nearest", "demonstrations"), ("retrieval", "passages")):
        if getattr(candidate, part):
            raise CandidateError(
                f"candidate {candidate.id} chooses its {what} for each input, which no fixed prompt can say; export one without `{part}`"
            )
    for text in (candidate.system, candidate.user):
        blocks = {name.split(".")[0] for name in BLOCK.findall(text)}
        if blocked := sorted(blocks & inputs):
            raise CandidateError(
                f"candidate {candidate.id} has a block (#if, #unless or #each) about the input {blocked[0]!r}, which no fixed prompt can say; export one without it"
            )
    example = Example(inputs={name: f"{OPEN}{name}{CLOSE}" for name in inputs}, reference=None)
    request = Prompt(task, candidate).request(example)

    def written(text: str) -> str:
        pieces = PLACE.split(text)  # text, name, text, name, …
        return "".join(field(p) if k % 2 else plain(p) for k, p in enumerate(pieces))

    messages = [
        {**message, "content": written(str(message.get("content") or ""))}
        for message in request.messages
    ]
    rest: dict[str, Json] = {
        "model": candidate.model
        if candidate.model.startswith("local:")
        else candidate.model.partition("/")[2] or candidate.model,
        **{
            name: value
            for name in ("temperature", "top_p", "max_tokens")
            if (value := getattr(request, name)) is not None
        },
    }
    if request.tools:
        rest["tools"] = request.tools
    if request.json_schema:
        rest["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.json_schema, "strict": True},
        }
    return messages, rest


def unsaid(task: Task, candidate: Candidate, to: str) -> list[str]:
    """Return what of a candidate a prompt for another program does not say."""
    decoding = candidate.decoding
    parts = {
        f"{decoding.samples} samples that agree": decoding.samples > 1,
        f"up to {decoding.repairs} repairs": decoding.repairs > 0,
        f"that a reply holds the answer as {candidate.answer!r}": candidate.answer != "{{answer}}",
        f"the adapter {candidate.adapter}": candidate.adapter is not None,
        f"its user template {candidate.user!r}, as DSPy writes inputs in its own way": to == "dspy"
        and candidate.user != starting_candidate(task).user,
    }
    return [part for part, is_so in parts.items() if is_so]


def openai_text(task: Task, candidate: Candidate) -> str:
    """Return the body of a chat request, inputs as `{{name}}`."""
    messages, rest = field_messages(task, candidate, lambda name: f"{{{{{name}}}}}")
    return dumped({**rest, "messages": messages})


def langchain_text(task: Task, candidate: Candidate) -> str:
    """Return what `ChatPromptTemplate.from_messages` takes: role and text with inputs as `{name}`, other braces doubled.

    Raises: CandidateError if the candidate shows tool calls, which such pairs cannot hold.
    """
    messages, _ = field_messages(
        task,
        candidate,
        lambda name: f"{{{name}}}",
        lambda text: text.replace("{", "{{").replace("}", "}}"),
    )
    if any("tool_calls" in message for message in messages):
        raise CandidateError(
            f"candidate {candidate.id} shows tool calls, which LangChain's pairs of role and text cannot hold; export --to openai"
        )
    return dumped([[ROLES[str(m["role"])], m["content"]] for m in messages])


def plain_text(task: Task, candidate: Candidate) -> str:
    """Return the prompt for a person to read, inputs as `{{name}}`."""
    messages, _ = field_messages(task, candidate, lambda name: f"{{{{{name}}}}}")
    return "\n\n".join(f"[{m['role']}]\n{said(m)}" for m in messages) + "\n"


def said(message: dict[str, Json]) -> str:
    calls = [
        f"{call['function']['name']}({call['function']['arguments']})"
        for call in message.get("tool_calls", ())
    ]
    return "\n".join([text for text in (str(message["content"]), *calls) if text])


def dumped(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


FORMATS: dict[str, tuple[str, Callable[[Task, Candidate], str]]] = {
    "openai": ("openai.json", openai_text),
    "langchain": ("langchain.json", langchain_text),
    "text": ("prompt.txt", plain_text),
}
"""By name: the file, and what writes it."""


def written_prompt(form: str, task: Task, candidate: Candidate) -> tuple[str, str]:
    """Return the name and the text of the file that holds a prompt in one of `FORMATS`."""
    name, write = FORMATS[form]
    return name, write(task, candidate)
