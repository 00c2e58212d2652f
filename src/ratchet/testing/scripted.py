"""A model that says what it is told to: in-process, so that tests of a task need no network and no mocks."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from ratchet.core import Json, Usage
from ratchet.core.errors import ReplyError
from ratchet.models import ChatReply, ChatRequest, ToolCall

__all__ = ["Answer", "ScriptedModel"]

Answer = Callable[[ChatRequest], "str | dict[str, Json] | Exception"]


class ScriptedModel:
    """Answer by a function, by a mapping from the last user message, or by a list in turn.

    A text becomes the reply; a dict becomes a call of the request's first tool with these arguments; an exception is raised.

    Args:
        answers: The script.
        name: The name under which candidates ask for it.
        delay_s: How long each reply takes.
        price: Dollars a million prompt and completion tokens; a token is a word here.
    """

    concurrency = 64

    def __init__(
        self,
        answers: Answer | Mapping[str, str] | Iterable[str],
        *,
        name: str = "scripted",
        delay_s: float = 0.0,
        price: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.name, self.requests = name, list[ChatRequest]()
        self._delay_s, self._price = delay_s, price
        self._answer = scripted(answers)

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the scripted reply."""
        self.requests.append(request)
        await asyncio.sleep(self._delay_s)
        said = self._answer(request)
        if isinstance(said, Exception):
            raise said
        prompt = self.count_tokens(request)[0]
        text = said if isinstance(said, str) else json.dumps(said)
        usage = Usage(
            prompt_tokens=prompt,
            completion_tokens=len(text.split()),
            cost_usd=self.price(prompt, len(text.split())),
        )
        if isinstance(said, str):
            return ChatReply(text=said, usage=usage, latency_s=self._delay_s)
        if not request.tools:
            return ChatReply(text=text, usage=usage, latency_s=self._delay_s)
        call = ToolCall(name=request.tools[0]["function"]["name"], arguments=text)
        return ChatReply(
            tool_calls=(call,), finish_reason="tool_calls", usage=usage, latency_s=self._delay_s
        )

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | ChatReply]:
        """Yield the scripted reply word by word, then the whole."""
        reply = await self.chat(request)
        for word in re.findall(r"\s*\S+\s*$|\s*\S+", reply.text):
            yield word
        yield reply

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:
        """Return the words of the messages."""
        return sum(len(str(m.get("content") or "").split()) for m in request.messages), True

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return the cost in US dollars."""
        return (prompt_tokens * self._price[0] + completion_tokens * self._price[1]) / 1e6

    async def close(self) -> None:
        """Do nothing."""


def scripted(answers: Answer | Mapping[str, str] | Iterable[str]) -> Answer:
    if callable(answers):
        return answers
    if isinstance(answers, Mapping):
        table = dict(answers)
        return lambda request: table.get(
            request.messages[-1]["content"],
            ReplyError("the script has no answer for this message", kind="script"),
        )
    turn = iter(answers)
    return lambda _request: next(turn, ReplyError("the script is at its end", kind="script"))
