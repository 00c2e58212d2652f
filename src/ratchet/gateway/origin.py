"""Under which names a server answers, and which requests another site makes in a visitor's browser.

A site whose name is made to point at this machine (DNS rebinding) comes with that name as the host. A site that is merely open in a
browser comes with its own name as the origin; the browser adds that, and no script can take it away.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from ratchet.gateway.http import Application, Receive, Scope, Send

__all__ = ["HostGuard", "header_of", "host_of", "is_cross_origin", "is_loopback_name"]

OTHER_SITES = {b"cross-site", b"same-site"}
"""What `Sec-Fetch-Site` says of a request that a page of another origin makes; another port is another origin."""
REFUSED = b"this server answers under its own names alone: open it as http://127.0.0.1 or http://localhost with its port, or add the name to hosts below [serve] in ratchet.toml"


class HostGuard:
    """Lets requests through that ask for a name of this server.

    Args:
        app: Answers them.
        names: The names beside those of the loopback addresses.
    """

    def __init__(self, app: Application, names: Iterable[str] = ()) -> None:
        self._app, self._names = app, frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the rules of ASGI 3."""
        if scope["type"] in ("http", "websocket"):
            name = host_of(scope)
            if name not in self._names and not is_loopback_name(name):
                await refuse(scope, send)
                return
        await self._app(scope, receive, send)


def is_loopback_name(name: str) -> bool:
    """Return whether a name is one of this machine for itself."""
    if name in ("localhost", "127.0.0.1", "::1"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def header_of(scope: Scope, name: bytes) -> str:
    """Return a header of a request; the first of several, and nothing where there is none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def host_of(scope: Scope) -> str:
    """Return the name that a request asks for, in lower case and without its port."""
    host = header_of(scope, b"host").lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def is_cross_origin(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a browser makes a request for a page of another origin than the server's own."""
    origin, host, site = b"", b"", b""
    for name, value in headers:
        if name == b"origin":
            origin = value
        elif name == b"host":
            host = value
        elif name == b"sec-fetch-site":
            site = value
    return site in OTHER_SITES or bool(origin and origin.split(b"://", 1)[-1] != host)


async def refuse(scope: Scope, send: Send) -> None:
    """Say no."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(REFUSED))]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSED})
