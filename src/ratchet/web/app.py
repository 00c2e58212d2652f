"""The page and the gateway on one port: what is not the API's goes to the page."""

import html
import os
import secrets
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from ratchet.gateway import Gateway
from ratchet.gateway.http import Application, Receive, Scope, Send
from ratchet.gateway.origin import HostGuard, is_cross_origin, refuse
from ratchet.store import Workspace

__all__ = ["make_page"]

API = ("/v1/", "/healthz", "/metrics")
TALK = "/_nicegui_ws"
"""Where a page and its server talk."""


def make_page(workspace: Workspace, gateway: Gateway, *, alone: bool) -> Application:
    """Return the server with both faces.

    Args:
        workspace: What the page shows.
        gateway: Answers the API.
        alone: Whether only this machine can reach the server.
    """
    # NiceGUI reads this as it is imported, so that it and all views are imported behind it
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(workspace.files / "page"))
    from fastapi import FastAPI
    from nicegui import app, background_tasks, ui

    from ratchet.web import (
        compare,
        examples,
        knowledge,
        ladder,
        people,
        playground,
        rating,
        release,
        runs,
        tasks,
        tune,
    )
    from ratchet.web.frame import Page

    page = Page(workspace, lambda: gateway.pool, alone=alone)
    for module in (tasks, examples, playground, compare, ladder, tune, knowledge, rating, release, runs, people):  # fmt: skip
        module.add_to(page)
    app.exception_handler(404)(nothing)
    app.on_startup(lambda: background_tasks.create(page.alarms.watch(), name="alarms"))
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        inner,
        title="Ratchet",
        favicon="⚙",
        dark=None,
        language="en-US",
        storage_secret=secret_of(workspace.files / "page.secret"),
        session_middleware_kwargs={"same_site": "strict", "max_age": 14 * 86_400},
        show_welcome_message=False,
        reconnect_timeout=30,
    )

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(inner, gateway, scope, receive, send)
        elif is_api(scope):  # asked most, so first
            await gateway(scope, receive, send)
        elif not is_ours(scope):
            await refuse(scope, send)
        else:
            await inner(scope, receive, framed(send))

    hosts = workspace.settings.serve.hosts
    return HostGuard(both, hosts) if alone or hosts else both


async def nothing(request: Request, _: Exception) -> HTMLResponse:
    """Say that there is nothing at that address, and lead back."""
    where = html.escape(request.url.path)
    return HTMLResponse(f'<!doctype html><html lang="en"><title>Not found · Ratchet</title><main style="font-family: system-ui; padding: 3rem"><h1>There is nothing at {where}</h1><p><a href="/">To the tasks</a></p></main></html>', 404)  # fmt: skip


def is_api(scope: Scope) -> bool:
    """Return whether a request is the gateway's."""
    path = str(scope.get("path", ""))
    return scope["type"] == "http" and (path.startswith(API) or path == "/v1")


def is_ours(scope: Scope) -> bool:
    """Return whether a request to the page may be answered: not one that changes something, or listens, for another site."""
    talks = scope["type"] == "websocket" or scope["path"].startswith(TALK)
    changes = talks or scope.get("method") not in ("GET", "HEAD")
    return not changes or not is_cross_origin(scope["headers"])


def framed(send: Send) -> Send:
    """Return what sends the same, and says that no other site may show it inside its own."""

    async def told(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"x-frame-options", b"DENY"), (b"content-security-policy", b"frame-ancestors 'none'")]  # fmt: skip
        await send(message)

    return told


async def live(inner: Any, gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
    """Start the gateway, then the page; end them the other way round."""

    async def told(message: Any) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            await gateway.stop()
        await send(message)

    await gateway.start()
    await inner(scope, receive, told)


def secret_of(path: Path) -> str:
    """Return what sessions are signed with: made once, for the owner's eyes."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    return path.read_text("utf-8")
