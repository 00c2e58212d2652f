"""`/v1/chat/completions` and `/v1/completions`: read the request, answer it whole or as a stream, write it down."""

import asyncio
import logging
import time
from collections.abc import Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from opentelemetry.context import Context

from ratchet.core import Json, total
from ratchet.core.errors import StoreError
from ratchet.gateway.access import Access, Reservation
from ratchet.gateway.answering import Answering, Meant, Names
from ratchet.gateway.http import Receive, Scope, Send, Told, Vigil, respond, until_written
from ratchet.gateway.metrics import Metrics
from ratchet.gateway.shapes import (
    Asked,
    Problem,
    call_delta,
    chat_body,
    chunk,
    completion,
    event,
    logprobs_in,
    notes_of,
    problem_of,
    text_body,
    text_choice,
    text_completion,
    tool_calls,
    usage_of,
)
from ratchet.gateway.traces import are_taken, parent_of, record
from ratchet.models import CallPart, ChatReply
from ratchet.store.keys import Key
from ratchet.store.request_writer import RequestWriter
from ratchet.store.requests import LoggedRequest, new_id

__all__ = ["Chat"]

CLIENT_GONE = 499
log = logging.getLogger("ratchet.gateway")


@dataclass
class Passing:
    """One request on its way through."""

    id: str
    is_chat: bool
    """Or a text."""
    at: float
    started: float
    key: Key | None
    parent: Context | None = None
    """The span that it belongs to."""
    size: int = 0
    """Of the request's body, in bytes."""
    asked: Asked | None = None
    meant: Meant | None = None
    reserved: list[Reservation | None] = field(default_factory=list)
    """What is set aside for its calls."""
    replies: list[ChatReply] = field(default_factory=list)
    who: str | None = None
    """The model that answered, where it is another one than was asked for."""
    is_written: bool = False
    """Its line is in the log, or on its way there."""
    is_known: bool = False
    """The replies are those of a moment ago."""

    def answered_by(self, name: str) -> None:
        """Remember who answered, where it is not who was asked."""
        if self.meant and name != self.meant.model.name:
            self.who = name

    def headers(self) -> dict[str, str]:
        """Return what the response says beside its body."""
        return {
            "x-request-id": self.id,
            **({"x-ratchet-model": self.who} if self.who else {}),
            **({"x-ratchet-cache": "hit"} if self.is_known else {}),
            **(
                {"x-ratchet-ignored": ", ".join(self.meant.ignored)}
                if self.meant and self.meant.ignored
                else {}
            ),
        }


class Chat:
    """Answers chats and texts."""

    def __init__(
        self,
        names: Names,
        answering: Answering,
        access: Access,
        writer: RequestWriter,
        metrics: Metrics,
    ) -> None:
        self._names, self._answering, self._access = names, answering, access
        self._writer, self._metrics = writer, metrics
        self._vigil = Vigil()

    async def chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/chat/completions`."""
        passing, told = self._begin(scope, is_chat=True), Told(send, receive)

        async def go() -> None:
            content = await told.read()
            passing.size = len(content)
            passing.asked = chat_body(content)
            await self._answer(passing, told)

        await self._guarded(passing, told, go())

    async def text(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/completions`."""
        passing, told = self._begin(scope, is_chat=False), Told(send, receive)

        async def go() -> None:
            content = await told.read()
            passing.size = len(content)
            prompts = text_body(content)
            passing.asked = prompts[0]
            if passing.asked.stream:
                await self._answer(passing, told)
                return
            for asked in prompts:
                meant = passing.meant = await self._names.meant(asked)
                self._reserve(passing, meant, asked.n)
                replies, who = await self._answering.answered(meant, asked.n)
                passing.answered_by(who)
                passing.replies += replies
            choices = [text_choice(reply, place) for place, reply in enumerate(passing.replies)]
            said = text_completion(
                passing.id,
                passing.asked.model,
                choices,
                usage=usage_of(passing.replies, is_chat=False),
            )
            await self._written(passing)
            await respond(told, 200, orjson.dumps(said), headers=passing.headers())

        await self._guarded(passing, told, go())

    def _begin(self, scope: Scope, *, is_chat: bool) -> Passing:
        at = time.time()
        return Passing(
            id=new_id("chatcmpl" if is_chat else "cmpl", at),
            is_chat=is_chat,
            at=at,
            started=time.perf_counter(),
            key=scope.get("ratchet.key"),
            parent=parent_of(scope["headers"]),
        )

    async def _guarded(self, passing: Passing, told: Told, work: Any) -> None:
        """Do the work, and tell of what goes wrong in it, in OpenAI's shape and in the log."""
        me = asyncio.current_task()
        assert me is not None  # within a request
        self._vigil.begin(told, me)
        try:
            await work
        except asyncio.CancelledError:  # the client went away
            self._keep(
                passing,
                Problem(CLIENT_GONE, "the client closed the connection", kind="client_error"),
            )
            if not told.is_gone:  # it is the server that ends
                raise
            me.uncancel()
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:  # ours
                log.exception("request %s failed", passing.id)
            if not isinstance(error, StoreError):  # it is the log that failed
                try:
                    await self._written(passing, problem)
                except StoreError as failure:
                    problem = problem_of(failure)
            if told.begun:  # too late for a status: the error is the stream's last event
                await told.body(event(problem.body()))
                await told.body(b"", more=False)
            else:
                headers = passing.headers() | problem.headers()
                await respond(told, problem.status, problem.body(), headers=headers)
        finally:
            self._vigil.end(told)

    async def _answer(self, passing: Passing, told: Told) -> None:
        asked = passing.asked
        assert asked is not None  # read before
        meant = passing.meant = await self._names.meant(asked)
        known = self._answering.known(meant, asked.n)
        passing.is_known = known is not None
        if known is None:
            self._reserve(passing, meant, asked.n)
        if asked.stream and known is None and asked.n == 1:
            await self._stream(passing, asked, meant, told)
            return
        if known is None:
            known, who = await self._answering.answered(meant, asked.n)
            passing.answered_by(who)
            if passing.who is None:  # what somebody else said is not what this model says
                self._answering.remember(meant, asked.n, known)
        passing.replies += known
        if asked.stream:
            await self._stream_whole(passing, asked, told)
            return
        said = orjson.dumps(completion(passing.id, asked.model, known))
        await self._written(passing)
        await respond(told, 200, said, headers=passing.headers())

    async def _stream(
        self,
        passing: Passing,
        asked: Asked,
        meant: Meant,
        told: Told,
    ) -> None:
        """Send a reply piece by piece; the response begins with the first piece, so that an early error still has its status."""
        is_chat = meant.request.raw is None

        def piece_of(text: str, reply: ChatReply | None = None) -> bytes:
            told_of = logprobs_in(reply) if reply else None
            if is_chat:
                return chunk(passing.id, asked.model, [choice({"content": text}, logprobs=told_of)])
            likely = reply.logprobs if reply else None
            said = text_choice(ChatReply(text=text, logprobs=likely), 0) | {"finish_reason": None}
            return event(orjson.dumps(text_completion(passing.id, asked.model, [said])))

        async def begin() -> None:
            await told.stream(passing.headers())
            if is_chat:
                first = {"role": "assistant", "content": ""}
                await told.body(chunk(passing.id, asked.model, [choice(first)]))

        held = ""  # with likelihoods the text comes with them, at the end
        begun_calls = set[int]()
        async for who, piece in self._answering.streamed(meant):
            passing.answered_by(who)
            if not told.begun:
                await begin()
            if isinstance(piece, str):
                if meant.request.logprobs is None:
                    await told.body(piece_of(piece))
                else:
                    held = piece
                continue
            if isinstance(piece, CallPart):
                begun_calls.add(piece.place)
                delta = {"tool_calls": [call_delta(piece, passing.id)]}
                await told.body(chunk(passing.id, asked.model, [choice(delta)]))
                continue
            passing.replies.append(piece)
            if held:
                await told.body(piece_of(held, piece))
            await self._end(passing, asked, piece, told, begun_calls, is_chat=is_chat)
        if passing.who is None:
            self._answering.remember(meant, asked.n, passing.replies)
        await self._finish_stream(passing, told)

    async def _stream_whole(self, passing: Passing, asked: Asked, told: Told) -> None:
        """Send replies that are known as a stream, one after another."""
        await told.stream(passing.headers())
        for place, reply in enumerate(passing.replies):
            if not passing.is_chat:
                said = text_completion(passing.id, asked.model, [text_choice(reply, place)])
                await told.body(event(orjson.dumps(said)))
                continue
            calls = [
                {"index": number, **call}
                for number, call in enumerate(tool_calls(reply, f"{passing.id}{place}"))
            ]
            deltas: list[dict[str, Json]] = [{"role": "assistant", "content": ""}]
            deltas += [{"content": reply.text}] if reply.text else []
            deltas += [{"refusal": reply.refusal}] if reply.refusal else []
            deltas += [{"tool_calls": calls}] if calls else []
            for delta in deltas:
                likely = logprobs_in(reply) if delta.get("content") else None
                part = choice(delta, logprobs=likely, place=place)
                await told.body(chunk(passing.id, asked.model, [part]))
            last = choice({}, reply.finish_reason, place=place)
            await told.body(chunk(passing.id, asked.model, [last], **notes_of([reply])))
        if asked.usage_wanted:
            used = usage_of(passing.replies, is_chat=passing.is_chat)
            whole = (
                chunk(passing.id, asked.model, [], usage=used)
                if passing.is_chat
                else event(orjson.dumps(text_completion(passing.id, asked.model, [], usage=used)))
            )
            await told.body(whole)
        await self._finish_stream(passing, told)

    async def _finish_stream(self, passing: Passing, told: Told) -> None:
        await self._written(passing)
        await told.body(event(b"[DONE]"))
        await told.body(b"", more=False)

    async def _end(
        self,
        passing: Passing,
        asked: Asked,
        reply: ChatReply,
        told: Told,
        begun_calls: Set[int],
        *,
        is_chat: bool,
    ) -> None:
        """Send what is known at the end: calls that did not come in parts, why it ended, and what it took."""
        if not is_chat:
            last = text_choice(ChatReply(finish_reason=reply.finish_reason), 0)
            await told.body(event(orjson.dumps(text_completion(passing.id, asked.model, [last]))))
            if asked.usage_wanted:
                used = usage_of(passing.replies)
                await told.body(
                    event(orjson.dumps(text_completion(passing.id, asked.model, [], usage=used)))
                )
            return
        calls = [
            {"index": place, **call}
            for place, call in enumerate(tool_calls(reply, passing.id))
            if place not in begun_calls
        ]
        if calls:
            await told.body(chunk(passing.id, asked.model, [choice({"tool_calls": calls})]))
        last_choice = choice({}, reply.finish_reason)
        await told.body(chunk(passing.id, asked.model, [last_choice], **notes_of([reply])))
        if asked.usage_wanted:
            used = usage_of(passing.replies)
            await told.body(chunk(passing.id, asked.model, [], usage=used))

    def _reserve(self, passing: Passing, meant: Meant, n: int) -> None:
        """Set aside what a request may cost.

        Raises: Problem if its key has not so much left.
        """
        most = partial(self._answering.most_usd, meant, n)
        passing.reserved.append(self._access.reserve(passing.key, most))

    def _settle(self, passing: Passing, cost: float | None, problem: Problem | None) -> None:
        """Count what a request did cost; one that its client left may have cost all that was set aside."""
        if problem and problem.status == CLIENT_GONE and not passing.replies:
            cost = None
        for place, reservation in enumerate(passing.reserved):
            self._access.settle(reservation, cost if place == 0 else 0.0)

    async def _written(self, passing: Passing, problem: Problem | None = None) -> None:
        """Write the request down, and wait until it is safe: in the database where the log is durable, else in its file.

        Raises: StoreError if a durable log cannot be written.
        """
        written = self._keep(passing, problem)
        if written is not None:
            await until_written(written)

    def _keep(self, passing: Passing, problem: Problem | None) -> Any:
        """Queue the log's line, and count; once a request."""
        if passing.is_written:
            return None
        passing.is_written = True
        asked, meant, replies = passing.asked, passing.meant, passing.replies
        used = usage_of(replies, is_chat=passing.is_chat)
        cost = total([reply.usage for reply in replies]).cost_usd
        latency_s = time.perf_counter() - passing.started
        body: dict[str, Json] = {
            "request": asked.body if asked else None,
            "replies": [shown(reply) for reply in replies],
        }
        if meant and meant.release:
            release = meant.release
            body |= {"release": release.number, "task": release.task.name, "inputs": meant.inputs}
        if passing.who:
            body["answered_by"] = passing.who
        status = problem.status if problem else 200
        if are_taken():
            span_of(passing, used, latency_s, problem)
        self._settle(passing, cost, problem)
        self._metrics.count(
            asked.model if asked and status != 404 else "",
            status,
            latency_s,
            used,
            cost,
            streamed=bool(asked and asked.stream),
        )
        return self._writer.add(
            LoggedRequest(
                id=passing.id,
                at=passing.at,
                model=asked.model[:200] if asked else "",
                candidate_id=meant.release.candidate.id
                if meant and meant.release and passing.who is None
                else None,
                status=status,
                problem=str(problem) if problem else None,
                streamed=bool(asked and asked.stream),
                end_user=asked.end_user if asked else None,
                prompt_tokens=used["prompt_tokens"],
                completion_tokens=used["completion_tokens"],
                cost_usd=cost,
                latency_s=latency_s,
                key=passing.key.name if passing.key else None,
                body=body,
            ),
            size=passing.size,
        )


def span_of(
    passing: Passing, used: dict[str, int], latency_s: float, problem: Problem | None
) -> None:
    """Write the span of a request that has ended."""
    asked, meant = passing.asked, passing.meant
    record(
        passing.parent,
        "chat" if passing.is_chat else "text_completion",
        asked.model if asked else "",
        {
            "response.id": passing.id,
            "response.model": passing.who or (meant.model.name if meant else None),
            "response.finish_reasons": [reply.finish_reason for reply in passing.replies] or None,
            "request.temperature": meant.request.temperature if meant else None,
            "request.max_tokens": meant.request.max_tokens if meant else None,
            "usage.input_tokens": used["prompt_tokens"],
            "usage.output_tokens": used["completion_tokens"],
        },
        started_s=passing.at,
        seconds=latency_s,
        problem=str(problem) if problem else None,
    )


def shown(reply: ChatReply) -> dict[str, Json]:
    calls = [{"name": call.name, "arguments": call.arguments} for call in reply.tool_calls]
    notes = {"notes": reply.notes} if reply.notes else {}
    return {"text": reply.text, "tool_calls": calls, "finish_reason": reply.finish_reason, **notes}


def choice(
    delta: dict[str, Json],
    finish: str | None = None,
    logprobs: dict[str, Json] | None = None,
    *,
    place: int = 0,
) -> dict[str, Json]:
    return {"index": place, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
