"""The server, as a plain ASGI application: nothing stands between a request and its model but what is read here.

A name is a release, a fine-tune, a local model, or one behind an endpoint; an unknown one is 404, never another model's answer.
What passes is logged off the path of the reply, in batches, or before its end where the log is durable.
"""

import gc
import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import orjson
import sqlalchemy as sa

from ratchet.core import Json
from ratchet.gateway.access import Access
from ratchet.gateway.answering import Answering, Names
from ratchet.gateway.chat import Chat
from ratchet.gateway.embeddings import Embeddings
from ratchet.gateway.feedback import Feedback
from ratchet.gateway.http import Application, Receive, Scope, Send, respond
from ratchet.gateway.metrics import Metrics
from ratchet.gateway.origin import is_cross_origin
from ratchet.gateway.shapes import Problem, problem_of
from ratchet.models import ModelPool
from ratchet.store import ServeSettings
from ratchet.store.request_writer import RequestWriter

__all__ = ["Gateway"]

PLATFORM = ("/v1/files", "/v1/fine_tuning/", "/v1/adapters", "/v1/models/")
OPEN = ("/healthz",)
"""Answered without a key."""
SCOPES = {"/metrics": "admin"}
"""What a key must have, where it is not chat."""
log = logging.getLogger("ratchet.gateway")


class Gateway:
    """Serve OpenAI's API.

    Args:
        engine: The database: releases are read from it, the log is written to it.
        make_pool: Makes the models, once the server's loop runs.
        names: Models to list beside the releases.
        settings: How to serve.
        platform: Answers for files, fine-tuning jobs and adapters.
        log_folder: Holds what is not in the log yet, and what it refused.
    """

    def __init__(
        self,
        engine: sa.Engine,
        make_pool: Callable[[], ModelPool],
        *,
        names: tuple[str, ...] = (),
        settings: ServeSettings | None = None,
        platform: Application | None = None,
        log_folder: Path | None = None,
    ) -> None:
        self._engine, self._make_pool, self._listed = engine, make_pool, names
        self._settings, self._platform = settings or ServeSettings(), platform
        self._log_folder = log_folder
        self._access = Access(engine, is_log_behind=self._is_log_behind)
        self._metrics = Metrics()
        self._open = ExitStack()
        self._pool: ModelPool | None = None
        self._writer: RequestWriter | None = None
        self._names: Names | None = None
        self._routes: dict[tuple[str, str], Application] = {
            ("POST", "/v1/feedback"): Feedback(engine).take,
            ("GET", "/v1/models"): self._models,
            ("GET", "/healthz"): self._health,
            ("GET", "/metrics"): self._figures,
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
            route, needed = self._route(path, method)
            if path not in OPEN:
                key = await self._access.check(scope["headers"], needed)
                if key is None and is_cross_origin(scope["headers"]):
                    raise Problem(
                        403,
                        "without API keys this server answers no page of another site; make a key with `ratchet keys add NAME` and send it",
                        kind="permission_error",
                        code="cross_origin",
                    )
                scope["ratchet.key"] = key
            await route(scope, receive, send)
            if route is self._platform and method != "GET" and self._names:
                self._names.expire()
        except Problem as problem:
            await respond(send, problem.status, problem.body(), headers=problem.headers())
        except Exception as error:
            told = problem_of(error)
            if told.status == 500:
                log.exception("request failed: %s %s", method, path)
            await respond(send, told.status, told.body())

    def _route(self, path: str, method: str) -> tuple[Application, str]:
        """Return who answers, and the scope that a key needs for it."""
        route = self._routes.get((method, path))
        if route:
            return route, SCOPES.get(path, "chat")
        if path.startswith("/v1/models/") and method == "GET":
            return self._model, "chat"
        if self._platform and path.startswith(PLATFORM):
            return self._platform, "tune"
        known = {where for _, where in self._routes}
        if path in known:
            raise Problem(405, f"{method} is not allowed on {path}")
        raise Problem(404, f"there is no {path}; there are {', '.join(sorted(known))}")

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
        durable = self._settings.log == "durable"
        writer = RequestWriter(
            self._engine, redact=self._settings.redact, durable=durable, folder=self._log_folder
        )
        self._writer = self._open.enter_context(writer)
        self._names = Names(self._engine, self._pool)
        answering = Answering(self._pool, self._settings)
        chat = Chat(self._names, answering, self._access, writer, self._metrics)
        embeddings = Embeddings(self._pool, self._access, writer, self._metrics)
        self._routes |= {
            ("POST", "/v1/chat/completions"): chat.chat,
            ("POST", "/v1/completions"): chat.text,
            ("POST", "/v1/embeddings"): embeddings.embed,
        }
        await self._access.ready()

    @property
    def pool(self) -> ModelPool:
        """Return the models, once the server runs."""
        assert self._pool is not None
        return self._pool

    async def stop(self) -> None:
        """Write the log to its end, and let go of the models."""
        self._open.close()
        if self._pool:
            await self._pool.close()

    def _is_log_behind(self) -> bool:
        writer = self._writer
        return writer is not None and (writer.failing is not None or writer.waiting > 0)

    async def _health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        failing = self._writer.failing if self._writer else None
        body: dict[str, Json] = {
            "status": "ok" if failing is None else "log failing",
            "log": self._settings.log,
        }
        if self._writer and self._writer.refused:
            body["log_refused"] = self._writer.refused
        await respond(send, 200, orjson.dumps(body))

    async def _figures(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        writer = self._writer
        text = self._metrics.text(
            failing=writer is not None and writer.failing is not None,
            lost=writer.lost if writer else 0,
            refused=writer.refused if writer else 0,
            waiting=writer.waiting if writer else 0,
        )
        kind = "text/plain; version=0.0.4; charset=utf-8"
        await respond(send, 200, text, headers={"content-type": kind})

    async def _models(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        body = {"object": "list", "data": list((await self._all()).values())}
        await respond(send, 200, orjson.dumps(body))

    async def _model(self, scope: Scope, _receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix("/v1/models/")
        found = (await self._all()).get(name)
        if found is None:
            raise Problem(404, f"there is no model {name!r}", param="model", code="model_not_found")
        await respond(send, 200, orjson.dumps(found))

    async def _all(self) -> dict[str, dict[str, Json]]:
        names = self._names
        assert names is not None  # started
        names.expire()
        await names.ready()
        owned = {
            **dict.fromkeys(self._listed, ("ratchet", 0)),
            **{one.name: ("fine-tune", int(one.at)) for one in names.adapters.values()},
            **dict.fromkeys(names.releases, ("release", 0)),
        }
        return {
            name: {"id": name, "object": "model", "created": at, "owned_by": owner}
            for name, (owner, at) in owned.items()
        }
