"""What tests of protocols share: a client that sends what a protocol writes, and hands it back what comes."""

from typing import NamedTuple

import aiohttp
import orjson

from ratchet.models.anthropic.messages import Messages
from ratchet.models.chat import CallPart, ChatReply, ChatRequest, ToolCall
from ratchet.models.openai.chat_completions import ChatCompletions
from ratchet.models.openai.responses import Responses
from ratchet.models.protocol import WireOptions, WireProtocol
from ratchet.models.sse import EventReader
from ratchet.testing import ProviderServer

PROTOCOLS: list[WireProtocol] = [ChatCompletions(), Responses(), Messages()]
DEFAULTS = WireOptions()


class Streamed(NamedTuple):
    """A streamed reply: its pieces as they came, and the whole."""

    pieces: list[str | CallPart]
    reply: ChatReply

    @property
    def text(self) -> str:
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        parts = [piece for piece in self.pieces if isinstance(piece, CallPart)]
        places = range(1 + max((part.place for part in parts), default=-1))
        return tuple(
            ToolCall(
                name="".join(part.name for part in parts if part.place == place),
                arguments="".join(part.arguments for part in parts if part.place == place),
            )
            for place in places
        )


async def post(
    protocol: WireProtocol, server: ProviderServer, body: dict[str, object]
) -> tuple[int, bytes]:
    """Return the status and the content that answer a body."""
    base, _, query = server.url.partition("?")
    path = protocol.path(ChatRequest(messages=[]))
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{base}{path}?{query}", json=body, headers=protocol.headers("key")
        ) as response,
    ):
        return response.status, await response.read()


async def ask(
    protocol: WireProtocol,
    server: ProviderServer,
    request: ChatRequest,
    options: WireOptions = DEFAULTS,
) -> ChatReply:
    """Return the reply to a request, which must not be refused."""
    body = protocol.encode("m", request, options, stream=False)
    status, content = await post(protocol, server, body)
    assert status == 200, content
    return protocol.parse(orjson.loads(content))


async def ask_streamed(
    protocol: WireProtocol,
    server: ProviderServer,
    request: ChatRequest,
    options: WireOptions = DEFAULTS,
) -> Streamed:
    """Return the streamed reply to a request, which must not be refused."""
    body = protocol.encode("m", request, options, stream=True)
    status, content = await post(protocol, server, body)
    assert status == 200, content
    return read_stream(protocol, content)


def read_stream(protocol: WireProtocol, content: bytes, *, size: int = 7) -> Streamed:
    """Return the reply that a stream holds, fed in pieces of a few bytes."""
    reader, parser = EventReader(), protocol.stream_parser()
    pieces: list[str | CallPart] = []
    for start in range(0, len(content), size):
        for event in reader.feed(content[start : start + size]):
            pieces += parser.feed(event)
    for event in reader.end():
        pieces += parser.feed(event)
    assert parser.is_complete
    return Streamed(pieces, parser.result())
