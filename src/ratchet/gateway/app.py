"""The server, as a plain ASGI application: nothing stands between a request and its model but what is read here.

A name is a release, a local model, or one behind an endpoint; an unknown one is 404, never another model's answer. What passes is
logged off the path of the reply, in batches.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import ExitStack
from dataclasses import replace
from random import Random
from secrets import token_hex
from typing import Any

import orjson
import sqlalchemy as sa

from ratchet.answer import Prompt
from ratchet.core import Example, Json, Release
from ratchet.gateway.shapes import (
    Asked,
    Problem,
    chat_body,
    chunk,
    completion,
    event,
    problem_of,
    tool_calls,
    usage_of,
)
from ratchet.models import ChatModel, ChatReply, ChatRequest, ModelPool
from ratchet.store import load_releases
from ratchet.store.keys import Key, digest_of, load_keys
from ratchet.store.requests import LoggedRequest, RequestWriter, add_feedback, has_request

__all__ = ["Gateway"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST = 32 * 2**20
"""Bytes of a request's body."""
FRESH_S = 2.0
"""A promotion is served after so many seconds at most."""
THUMBS = ("up", "down")
log = logging.getLogger("ratchet.gateway")


class Gateway:
    """Serve `/v1/chat/completions`, `/v1/models`, `/v1/feedback` and `/healthz`.

    Args:
        engine: The database: releases are read from it, the log is written to it.
        make_pool: Makes the models, once the server's loop runs.
        names: Models to list beside the releases.
    """

    def __init__(
        self,
        engine: sa.Engine,
        make_pool: Callable[[], ModelPool],
        *,
        names: tuple[str, ...] = (),
    ) -> None:
        self._engine, self._make_pool, self._names = engine, make_pool, names
        self._pool: ModelPool | None = None
        self._writer: RequestWriter | None = None
        self._open = ExitStack()
        self._releases: dict[str, tuple[Release, Prompt]] = {}
        self._read_at = -FRESH_S
        self._random = Random()  # ids, not secrets
        self._keys: dict[str, Key] | None = None
        """Who may ask, by the hash of the key; None where there are no keys, and so anyone on this machine may."""
        self._keys_read_at = -FRESH_S
        self._routes = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/feedback"): self._feedback,
            ("GET", "/healthz"): self._health,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, by the rules of ASGI 3."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        try:
            route = self._routes.get((method, path))
            if route is None:
                known = {where for _, where in self._routes}
                if path in known:
                    raise Problem(405, f"{method} is not allowed on {path}")
                raise Problem(404, f"there is no {path}; there are {', '.join(sorted(known))}")
            if path != "/healthz":
                await self._check_key(scope)
            await route(scope, receive, send)
        except Problem as problem:
            await respond(send, problem.status, problem.body())
        except Exception as error:
            log.exception("request failed: %s %s", method, path)
            told = problem_of(error)
            await respond(send, told.status, told.body())

    async def _check_key(self, scope: Scope) -> None:
        """Let a request pass that has a key with the scope chat, or any where there are no keys at all.

        Raises: Problem if it has none.
        """
        if time.monotonic() - self._keys_read_at > FRESH_S:
            await self._read_keys()
        if self._keys is None:
            return
        given = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        kind, _, secret = given.decode("latin-1").partition(" ")
        key = self._keys.get(digest_of(secret.strip())) if kind.lower() == "bearer" else None
        if key is None or not key.is_good(time.time()):
            raise Problem(
                401,
                "this server wants an API key, and the one given is unknown, expired or revoked; make one with: ratchet keys add NAME",
                kind="authentication_error",
                code="invalid_api_key",
            )
        if not {"chat", "admin"} & set(key.scopes):
            raise Problem(
                403,
                f"the key {key.name!r} has the scopes {', '.join(key.scopes)}, and this takes chat",
                kind="permission_error",
                code="insufficient_scope",
            )

    async def _read_keys(self) -> None:
        found = await asyncio.to_thread(load_keys, self._engine)
        self._keys = {key.digest: key for key in found} if found else None
        self._keys_read_at = time.monotonic()  # not before they are there: nobody passes meanwhile

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def start(self) -> None:
        """Open the models and the log."""
        gc.freeze()  # what is loaded stays: garbage is looked for among the requests alone, and seldom
        gc.set_threshold(50_000, 20, 100)
        self._pool = self._make_pool()
        self._writer = self._open.enter_context(RequestWriter(self._engine))
        await self._read_keys()

    async def stop(self) -> None:
        """Write the log to its end, and let go of the models."""
        await asyncio.to_thread(self._open.close)
        if self._pool:
            await self._pool.close()

    async def _health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, 200, b'{"status":"ok"}')

    async def _models(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        served = await self._served()
        listed = [
            *({"id": name, "object": "model", "created": 0, "owned_by": "release"} for name in served),
            *({"id": name, "object": "model", "created": 0, "owned_by": "ratchet"} for name in self._names),
        ]  # fmt: skip
        await respond(send, 200, orjson.dumps({"object": "list", "data": listed}))

    async def _served(self) -> dict[str, tuple[Release, Prompt]]:
        """Return what each release's name stands for; read again every few seconds."""
        if time.monotonic() - self._read_at > FRESH_S:
            found = await asyncio.to_thread(load_releases, self._engine)
            self._releases = {one.name: (one, Prompt(one.task, one.candidate)) for one in found}
            self._read_at = time.monotonic()
        return self._releases

    async def _chat(self, _scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        asked: Asked | None = None
        entry = {"id": f"chatcmpl-{self._random.getrandbits(96):024x}", "at": time.time()}
        replies: list[ChatReply] = []
        told = Told(send)
        try:
            asked = chat_body(await body_of(receive))
            model, request, meant = await self._meant(asked)
            if asked.stream:
                await stream(told, model, request, asked, str(entry["id"]), replies)
            else:
                replies += await answered(model, request, asked.n)
                said = completion(str(entry["id"]), asked.model, replies)
                await respond(told, 200, orjson.dumps(said), request_id=str(entry["id"]))
            self._keep(entry, asked, replies, started, meant, None)
        except asyncio.CancelledError:  # the client went away
            gone = Problem(499, "the client closed the connection", kind="client_error")
            self._keep(entry, asked, replies, started, None, gone)
            raise
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:  # ours
                log.exception("request %s failed", entry["id"])
            self._keep(entry, asked, replies, started, None, problem)
            if told.begun:  # too late for a status: the error is the stream's last event
                await told.body(event(problem.body()))
                await told.body(b"", more=False)
            else:
                await respond(told, problem.status, problem.body(), request_id=str(entry["id"]))

    async def _meant(
        self, asked: Asked
    ) -> tuple[ChatModel, ChatRequest, tuple[Release, dict[str, Json]] | None]:
        """Return who answers what: a release fills its template, any other name takes the messages as they are."""
        assert self._pool is not None  # started
        served = (await self._served()).get(asked.model)
        if served is None:
            if asked.inputs is not None:
                raise Problem(
                    400, f"'inputs' are for releases, and {asked.model!r} is none", param="inputs"
                )
            return self._pool.model(asked.model), asked.request, None
        release, prompt = served
        inputs = inputs_of(release, asked)
        request = prompt.request(Example(inputs=inputs, reference=None))
        if asked.request.seed is not None:
            request = replace(request, seed=asked.request.seed)
        return self._pool.model(release.candidate.model), request, (release, inputs)

    def _keep(
        self,
        entry: dict[str, Any],
        asked: Asked | None,
        replies: list[ChatReply],
        started: float,
        meant: tuple[Release, dict[str, Json]] | None,
        problem: Problem | None,
    ) -> None:
        """Queue the log's line; a log that cannot be written is told of, and stops no reply."""
        used = usage_of(replies)
        costs = [reply.usage.cost_usd for reply in replies]
        known = [cost for cost in costs if cost is not None]
        body: dict[str, Json] = {
            "request": asked.body if asked else None,
            "replies": [
                {
                    "text": reply.text,
                    "tool_calls": [vars_of(call) for call in reply.tool_calls],
                    "finish_reason": reply.finish_reason,
                }
                for reply in replies
            ],
        }
        if meant:
            body |= {"release": meant[0].number, "task": meant[0].task.name, "inputs": meant[1]}
        logged = LoggedRequest(
            id=str(entry["id"]),
            at=float(entry["at"]),
            model=asked.model[:200] if asked else "",
            candidate_id=meant[0].candidate.id if meant else None,
            status=problem.status if problem else 200,
            problem=str(problem) if problem else None,
            streamed=bool(asked and asked.stream),
            end_user=asked.end_user if asked else None,
            prompt_tokens=used["prompt_tokens"],
            completion_tokens=used["completion_tokens"],
            cost_usd=sum(known) if len(known) == len(costs) else None,
            latency_s=time.perf_counter() - started,
            body=body,
        )
        try:
            assert self._writer is not None  # started
            self._writer.add(logged)
        except Exception:
            log.exception("the log cannot be written")

    async def _feedback(self, _scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = orjson.loads(await body_of(receive))
        except ValueError as error:
            raise Problem(400, f"the body is no JSON: {error}") from None
        said = feedback_of(body)
        known = await asyncio.to_thread(self._is_logged, str(body["id"]))
        if not known:
            raise Problem(404, f"no request has the id {body['id']!r}", param="id")
        feedback_id = f"fb-{token_hex(12)}"
        await asyncio.to_thread(
            add_feedback, self._engine, feedback_id, str(body["id"]), time.time(), said
        )
        answer = {"id": feedback_id, "object": "feedback", "request": body["id"], **said}
        await respond(send, 200, orjson.dumps(answer))

    def _is_logged(self, request_id: str) -> bool:
        """Return whether a request is in the log; one that was answered a moment ago may still be on its way there."""
        for _ in range(10):
            if has_request(self._engine, request_id):
                return True
            time.sleep(0.05)
        return False


class Told:
    """Where a reply goes to, and whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send a message on."""
        self.begun = True
        await self._send(message)

    async def body(self, content: bytes, *, more: bool = True) -> None:
        """Send a piece of the body."""
        await self({"type": "http.response.body", "body": content, "more_body": more})


async def answered(model: ChatModel, request: ChatRequest, n: int) -> list[ChatReply]:
    """Return `n` replies; with a seed each gets its own."""
    seeds = [None if request.seed is None else request.seed + k for k in range(n)]
    calls = (model.chat(replace(request, seed=seed) if n > 1 else request) for seed in seeds)
    return list(await asyncio.gather(*calls))


async def stream(
    told: Told,
    model: ChatModel,
    request: ChatRequest,
    asked: Asked,
    request_id: str,
    replies: list[ChatReply],
) -> None:
    """Send a reply piece by piece; the response begins with the first piece, so that an early error still has its status."""
    if asked.n > 1:
        raise Problem(400, "'n' must be 1 with 'stream'", param="n")

    async def begin() -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-request-id", request_id.encode()),
        ]
        await told({"type": "http.response.start", "status": 200, "headers": headers})
        first = {"role": "assistant", "content": ""}
        await told.body(chunk(request_id, asked.model, [choice(first)]))

    async for piece in model.stream(request):
        if not told.begun:
            await begin()
        if isinstance(piece, str):
            await told.body(chunk(request_id, asked.model, [choice({"content": piece})]))
            continue
        replies.append(piece)
        if piece.tool_calls:
            calls = [{"index": k, **call} for k, call in enumerate(tool_calls(piece, request_id))]
            await told.body(chunk(request_id, asked.model, [choice({"tool_calls": calls})]))
        await told.body(chunk(request_id, asked.model, [choice({}, piece.finish_reason)]))
        if asked.usage_wanted:
            await told.body(chunk(request_id, asked.model, [], usage=usage_of(replies)))
    await told.body(event(b"[DONE]"))
    await told.body(b"", more=False)


def choice(delta: dict[str, Json], finish: str | None = None) -> dict[str, Json]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def inputs_of(release: Release, asked: Asked) -> dict[str, Json]:
    """Return the fields of a release's task: by name from `inputs`, or the last user message where there is but one.

    Raises: Problem if a field is missing, or unknown.
    """
    names = release.task.input_names
    given = asked.inputs
    if given is None:
        users = [m["content"] for m in asked.request.messages if m["role"] == "user"]
        if len(names) != 1 or not users:
            raise Problem(
                400,
                f"the release {release.name!r} takes the fields {', '.join(names)}: give them as 'inputs'",
                param="inputs",
            )
        given = {names[0]: users[-1]}
    wrong = set(names) ^ set(given)
    if wrong:
        name = min(wrong)
        raise Problem(
            400,
            f"'inputs' for the release {release.name!r}: it takes {', '.join(names)}, and the request lacks {name!r}"
            if name in names
            else f"the release {release.name!r} has no field {name!r}; it takes {', '.join(names)}",
            param="inputs",
        )
    return given


def feedback_of(body: Json) -> dict[str, Json]:
    """Return what is said of a reply.

    Raises: Problem if it says nothing, or something unknown.
    """
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        raise Problem(400, "'id' must be the id of a reply", param="id")
    said = {name: value for name, value in body.items() if name != "id" and value is not None}
    unknown = said.keys() - {"thumb", "score", "comment", "answer"}
    if unknown or not said:
        raise Problem(
            400,
            "feedback is a 'thumb' (up, down), a 'score' (0 to 1), a 'comment', or an 'answer' that is right",
        )
    if "thumb" in said and said["thumb"] not in THUMBS:
        raise Problem(400, "'thumb' must be up or down", param="thumb")
    if "score" in said:
        score = said["score"]
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise Problem(400, "'score' must be a number from 0 to 1", param="score")
    return said


def vars_of(call: Any) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments}


async def body_of(receive: Receive) -> bytes:
    """Return the body of a request.

    Raises: Problem if it is too large.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(499, "the client closed the connection", kind="client_error")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST:
            raise Problem(413, f"the body is larger than {LARGEST // 2**20} MB")
        if not message.get("more_body"):
            return b"".join(parts)


async def respond(
    send: Send | Told, status: int, body: bytes, *, request_id: str | None = None
) -> None:
    """Send a whole JSON response."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if request_id:
        headers.append((b"x-request-id", request_id.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
