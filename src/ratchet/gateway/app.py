"""The server, as a plain ASGI application: nothing stands between a request and its model but what is read here.

A name is a release, a local model, or one behind an endpoint; an unknown one is 404, never another model's answer. What passes is
logged off the path of the reply, in batches.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import sqlalchemy as sa

from ratchet.answer import Prompt
from ratchet.core import Example, Json, Release
from ratchet.gateway.access import Access
from ratchet.gateway.feedback import Feedback
from ratchet.gateway.http import Application, Receive, Scope, Send, Told, body_of, respond
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
from ratchet.store.adapters import NamedAdapter, list_adapters
from ratchet.store.requests import LoggedRequest, RequestWriter

__all__ = ["Gateway"]

FRESH_S = 2.0
"""A promotion is served after so many seconds at most."""
PLATFORM = ("/v1/files", "/v1/fine_tuning/", "/v1/adapters", "/v1/models/")
log = logging.getLogger("ratchet.gateway")


class Gateway:
    """Serve `/v1/chat/completions`, `/v1/models`, `/v1/feedback` and `/healthz`.

    Args:
        engine: The database: releases are read from it, the log is written to it.
        make_pool: Makes the models, once the server's loop runs.
        names: Models to list beside the releases.
        platform: Answers for files, fine-tuning jobs and adapters.
    """

    def __init__(
        self,
        engine: sa.Engine,
        make_pool: Callable[[], ModelPool],
        *,
        names: tuple[str, ...] = (),
        platform: Application | None = None,
    ) -> None:
        self._platform = platform
        self._engine, self._make_pool, self._names = engine, make_pool, names
        self._pool: ModelPool | None = None
        self._writer: RequestWriter | None = None
        self._open = ExitStack()
        self._releases: dict[str, tuple[Release, Prompt]] = {}
        self._adapters: dict[str, NamedAdapter] = {}
        self._read_at = -FRESH_S
        self._random = Random()  # ids, not secrets
        self._access = Access(engine)
        self._routes = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("GET", "/v1/models"): self._models,
            ("POST", "/v1/feedback"): Feedback(engine).take,
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
            route: Application | None = self._routes.get((method, path))
            if route is None and path.startswith("/v1/models/") and method == "GET":
                route = self._model
            if route is None and self._platform and path.startswith(PLATFORM):
                await self._access.check(scope["headers"], "tune")
                await self._platform(scope, receive, send)
                if method != "GET":
                    self._read_at = -FRESH_S  # names may have changed
                return
            if route is None:
                known = {where for _, where in self._routes}
                if path in known:
                    raise Problem(405, f"{method} is not allowed on {path}")
                raise Problem(404, f"there is no {path}; there are {', '.join(sorted(known))}")
            if path != "/healthz":
                await self._access.check(scope["headers"], "chat")
            await route(scope, receive, send)
        except Problem as problem:
            await respond(send, problem.status, problem.body())
        except Exception as error:
            log.exception("request failed: %s %s", method, path)
            told = problem_of(error)
            await respond(send, told.status, told.body())

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
        await self._access.read()

    async def stop(self) -> None:
        """Write the log to its end, and let go of the models."""
        await asyncio.to_thread(self._open.close)
        if self._pool:
            await self._pool.close()

    async def _health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, 200, b'{"status":"ok"}')

    async def _models(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        body = {"object": "list", "data": list((await self._listed()).values())}
        await respond(send, 200, orjson.dumps(body))

    async def _model(self, scope: Scope, _receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix("/v1/models/")
        found = (await self._listed()).get(name)
        if found is None:
            raise Problem(404, f"there is no model {name!r}", param="model", code="model_not_found")
        await respond(send, 200, orjson.dumps(found))

    async def _listed(self) -> dict[str, dict[str, Json]]:
        await self._refresh(at_once=True)
        owned = {
            **dict.fromkeys(self._names, ("ratchet", 0)),
            **{one.name: ("fine-tune", int(one.at)) for one in self._adapters.values()},
            **dict.fromkeys(self._releases, ("release", 0)),
        }
        return {
            name: {"id": name, "object": "model", "created": at, "owned_by": owner}
            for name, (owner, at) in owned.items()
        }

    async def _refresh(self, *, at_once: bool = False) -> None:
        """Read what the names of releases and fine-tunes stand for; every few seconds, or at once."""
        if at_once or time.monotonic() - self._read_at > FRESH_S:
            found = await asyncio.to_thread(load_releases, self._engine)
            named = await asyncio.to_thread(list_adapters, self._engine)
            self._releases = {one.name: (one, Prompt(one.task, one.candidate)) for one in found}
            self._adapters = {one.name: one for one in named}
            self._read_at = time.monotonic()

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
        await self._refresh()
        served = self._releases.get(asked.model)
        if served is None:
            if asked.inputs is not None:
                raise Problem(
                    400, f"'inputs' are for releases, and {asked.model!r} is none", param="inputs"
                )
            return *await self._named(asked), None
        if asked.peft:
            raise Problem(
                400, f"{asked.model!r} is a release, and has its own weights", param="peft"
            )
        release, prompt = served
        inputs = inputs_of(release, asked)
        request = prompt.request(Example(inputs=inputs, reference=None))
        if asked.request.seed is not None:
            request = replace(request, seed=asked.request.seed)
        return self._pool.model(release.candidate.model), request, (release, inputs)

    async def _named(self, asked: Asked) -> tuple[ChatModel, ChatRequest]:
        """Return the model that a name stands for, with the adapter where it is a fine-tune."""
        assert self._pool is not None  # started
        wanted = asked.peft or (asked.model if asked.model.startswith("ft:") else None)
        if wanted and wanted not in self._adapters:
            await self._refresh(at_once=True)
        adapter = self._adapters.get(wanted or asked.model)
        if adapter is None:
            if wanted:
                raise Problem(
                    404,
                    f"there is no adapter {wanted!r}",
                    param="peft" if asked.peft else "model",
                    code="model_not_found",
                )
            return self._pool.model(asked.model), asked.request
        if asked.peft and asked.model not in (adapter.base, adapter.name):
            raise Problem(
                400,
                f"the adapter {adapter.name!r} is for {adapter.base}, not for {asked.model!r}",
                param="peft",
            )
        request = replace(asked.request, adapter=adapter.adapter)
        return self._pool.model(adapter.base), request

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


def vars_of(call: Any) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments}
