"""Replies that a lever bought on its way: kept in a file, so that a lever that was stopped does not buy them again."""

import hashlib
import threading
from dataclasses import asdict
from pathlib import Path

import orjson

from ratchet.core import Budget, Usage
from ratchet.measure import bought
from ratchet.models import ChatModel, ChatReply, ChatRequest

__all__ = ["KeptReplies"]


class KeptReplies:
    """Replies by their request, in a file of lines.

    Args:
        path: The file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self.bought = 0
        """Replies that were not there."""
        self._known: dict[str, ChatReply] = {}
        if path.is_file():
            for line in path.read_bytes().splitlines():
                try:
                    key, text, reason, usage = orjson.loads(line)
                except ValueError:  # a line that a kill cut short
                    continue
                self._known[key] = ChatReply(text=text, finish_reason=reason, usage=Usage(**usage))

    async def ask(self, budget: Budget, model: ChatModel, request: ChatRequest) -> ChatReply:
        """Return the reply to a request; one that is kept costs nothing.

        Raises: BudgetError or ReplyError as `bought`.
        """
        key = key_of(model, request)
        if key in self._known:
            return self._known[key]
        reply = await bought(budget, model, request)
        self.bought += 1
        line = orjson.dumps([key, reply.text, reply.finish_reason, reply.usage.plain()])
        with self._lock:
            self._known[key] = reply
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(line + b"\n")
        return reply


def key_of(model: ChatModel, request: ChatRequest) -> str:
    said = orjson.dumps([model.name, asdict(request)], option=orjson.OPT_SORT_KEYS, default=sorted)
    return hashlib.sha256(said).hexdigest()[:32]
