"""How an answer is forced into its form while it is made: a tool, a schema, a choice of labels, the pattern of a number."""

from dataclasses import dataclass, replace

from ratchet.answer.forms import loaded
from ratchet.core import AnswerForm, Decoding, Json
from ratchet.core.records import canonical_json
from ratchet.models import ChatReply

__all__ = ["ForcedForm", "forced_form", "unwrap_json"]

NUMBER_PATTERN = r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?"
NUMBER_TOKENS = 24
"""The pattern's longest number has 23 characters, and no token has fewer than one."""
ANSWER = "answer"
"""The one name in the object that a label or a number is asked for in."""


@dataclass(frozen=True, kw_only=True)
class ForcedForm:
    """What a request says of the form; None where it says nothing."""

    tool: str | None = None
    json_schema: dict[str, Json] | None = None
    choices: tuple[str, ...] | None = None
    """Followed where the model's probabilities are at hand."""
    pattern: str | None = None
    """Likewise."""
    max_tokens: int | None = None
    """The tokens of the longest reply in this form; None where the form sets no bound."""


def forced_form(form: AnswerForm, decoding: Decoding, *, is_whole_reply: bool) -> ForcedForm:
    """Return how an answer is forced.

    Args:
        form: Of the task's answers.
        decoding: Of the candidate.
        is_whole_reply: Whether the reply is the answer and nothing else; one that may reason first is not forced.
    """
    if not decoding.constrained:
        return ForcedForm()
    if form.kind == "tool":
        return ForcedForm(tool=form.tool)
    if form.kind == "json":
        return ForcedForm(json_schema=form.json_schema)
    if not is_whole_reply or form.kind not in ("label", "number"):
        return ForcedForm()
    if decoding.as_json:
        return ForcedForm(json_schema=_wrapped_schema(form))
    if form.kind == "label":
        longest = max(len(label.encode()) for label in form.labels)
        return ForcedForm(choices=form.labels, max_tokens=longest + 2)
    return ForcedForm(pattern=NUMBER_PATTERN, max_tokens=NUMBER_TOKENS)


def unwrap_json(form: AnswerForm, reply: ChatReply) -> ChatReply:
    """Return a reply with the label or number that its object holds as its text; a reply that is no such object stays."""
    if form.kind not in ("label", "number"):
        return reply
    value = loaded(reply.text)
    if not isinstance(value, dict) or ANSWER not in value:
        return reply
    answer = value[ANSWER]
    return replace(reply, text=answer if isinstance(answer, str) else canonical_json(answer))


def _wrapped_schema(form: AnswerForm) -> dict[str, Json]:
    inner: dict[str, Json] = (
        {"type": "string", "enum": list(form.labels)}
        if form.kind == "label"
        else {"type": "number"}
    )
    return {
        "type": "object",
        "properties": {ANSWER: inner},
        "required": [ANSWER],
        "additionalProperties": False,
    }
