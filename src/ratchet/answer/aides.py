"""Calls on the way to an answer: a model rewrites the query, chooses, orders or shortens. What they took counts as the candidate's."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ratchet.answer.forms import loaded
from ratchet.answer.template import Template
from ratchet.core import Json
from ratchet.core.errors import ReplyError
from ratchet.models import ChatModel, ChatReply, ChatRequest, ModelPool

__all__ = ["Helpers"]

LONGEST_NAME = 64
REMEMBERED = 5000
"""Lists of texts whose vectors are kept."""


class Helpers:
    """Who is asked on the way to one answer.

    Args:
        pool: The models.
        own: The candidate's model, asked where no other is named; or its name, and it is opened when it is asked.
    """

    def __init__(self, pool: ModelPool, own: ChatModel | str) -> None:
        self.pool, self._own = pool, own
        self.replies: list[ChatReply] = []
        """All that came, in the order of their coming."""

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Put what came so far on the account of an error: it is paid for."""
        try:
            yield
        except ReplyError as error:
            error.spent = list(self.replies)
            raise

    def afresh(self) -> "Helpers":
        """Return the same for one more answer to the same request, on whose account nothing stands yet."""
        return Helpers(self.pool, self._own)

    def again(self) -> "Helpers":
        """Return the same for another answer to the same request: what came so far, and what comes then its own."""
        other = Helpers(self.pool, self._own)
        other.replies = list(self.replies)
        return other

    async def ask(
        self,
        template: str,
        values: Mapping[str, Json],
        *,
        model: str | None = None,
        max_tokens: int = 128,
        json_schema: Json = None,
    ) -> str:
        """Return the reply to a template, filled in.

        Raises: ReplyError if none came; TemplateError if the template uses what is not there.
        """
        request = ChatRequest(
            messages=[{"role": "user", "content": Template(template).render(values)}],
            max_tokens=max_tokens,
            json_schema=json_schema,
        )
        return (await self.send(request, model)).text.strip()

    async def send(self, request: ChatRequest, model: str | None = None) -> ChatReply:
        """Return the reply to a request, by default of the candidate's model.

        Raises: ReplyError if none came.
        """
        who = model or self._own
        with self.counted():
            reply = await (self.pool.model(who) if isinstance(who, str) else who).chat(request)
        self.replies.append(reply)
        return reply

    async def choice(
        self, template: str, query: str, choices: Mapping[str, str], *, model: str | None = None
    ) -> str | None:
        """Return the name of the choice that a model takes; None where its reply names none, or several."""
        listed = [{"name": name, "text": text} for name, text in choices.items()]
        schema = {
            "type": "object",
            "properties": {"choice": {"enum": list(choices)}},
            "required": ["choice"],
            "additionalProperties": False,
        }
        said = await self.ask(
            template,
            {"query": query, "choices": listed},
            model=model,
            max_tokens=LONGEST_NAME,
            json_schema=schema,
        )
        found = loaded(said)
        named_one = found.get("choice") if isinstance(found, dict) else None
        if isinstance(named_one, str) and named_one in choices:
            return named_one
        named = [name for name in choices if name.casefold() in said.casefold()]
        return named[0] if len(named) == 1 else None

    async def nearest(
        self, query: str, choices: Mapping[str, Sequence[str]], *, embedding: str
    ) -> str:
        """Return the name of the choice one of whose texts is nearest to the query."""
        names = [name for name, texts in choices.items() for _ in texts]
        rows = await self.vectors([text for texts in choices.values() for text in texts], embedding)
        (vector,), _ = await self.pool.embedder(embedding).embed([query])
        return names[int(np.argmax(rows @ vector))]

    async def order(
        self, template: str, query: str, texts: Sequence[str], *, model: str | None = None
    ) -> list[int]:
        """Return the places of texts in a model's order; those that it does not name follow as they were."""
        listed = [{"number": number, "text": text} for number, text in enumerate(texts, start=1)]
        schema = {
            "type": "object",
            "properties": {
                "order": {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1, "maximum": len(texts)},
                    "maxItems": len(texts),
                }
            },
            "required": ["order"],
            "additionalProperties": False,
        }
        said = await self.ask(
            template,
            {"query": query, "passages": listed},
            model=model,
            max_tokens=16 + 6 * len(texts),
            json_schema=schema,
        )
        found = loaded(said)
        named = found.get("order") if isinstance(found, dict) else None
        numbers = [n for n in named if isinstance(n, int)] if isinstance(named, list) else []
        first = [n - 1 for n in dict.fromkeys(numbers) if 1 <= n <= len(texts)]
        return [*first, *(place for place in range(len(texts)) if place not in first)]

    async def vectors(self, texts: list[str], embedding: str) -> NDArray[np.float32]:
        """Return the vectors of texts that many queries are compared with: embedded once."""
        known: OrderedDict[tuple[str, ...], asyncio.Future[NDArray[np.float32]]]
        known = self.pool.kept.setdefault("choices", OrderedDict())
        while len(known) > REMEMBERED:
            known.popitem(last=False)
        key = (embedding, *texts)
        if key not in known:
            known[key] = asyncio.ensure_future(self._embedded(texts, embedding))
        try:
            return await asyncio.shield(known[key])
        except Exception:
            known.pop(key, None)
            raise

    async def _embedded(self, texts: list[str], embedding: str) -> NDArray[np.float32]:
        rows, _ = await self.pool.embedder(embedding).embed(texts)
        return rows
