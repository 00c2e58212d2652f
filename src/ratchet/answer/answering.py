"""One candidate answers one example: request, reply, parsed answer, trial."""

from ratchet.answer.forms import parse_answer
from ratchet.answer.messages import Prompt
from ratchet.core import Example, Trial
from ratchet.models import ChatModel

__all__ = ["answer_example"]


async def answer_example(
    prompt: Prompt, model: ChatModel, example: Example, *, repeat: int = 0
) -> Trial:
    """Return the trial, not scored yet.

    Raises: ReplyError if the model gave no reply; then there is no trial, and nothing was paid.
    """
    reply = await model.chat(prompt.request(example))
    answer, failure = parse_answer(prompt.task, reply)
    output = reply.tool_calls[0].arguments if reply.tool_calls and not reply.text else reply.text
    return Trial(
        candidate_id=prompt.candidate.id,
        task_id=prompt.task.asking_id,
        example_id=example.id,
        repeat=repeat,
        output=output,
        answer=answer,
        failure=failure,
        usage=reply.usage,
        latency_s=reply.latency_s,
    )
