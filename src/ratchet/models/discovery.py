"""Which models there are to be had: on servers of this machine, at their usual ports, and at an endpoint by its own list.

Lists come in several shapes: OpenAI's, Anthropic's (in pages), Ollama's, Google's, or a bare list; each is read for its names alone.
Only loopback is searched, and nothing is sent there but requests for lists.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import orjson

from ratchet.core.errors import AccessError, ReplyError, UsageError
from ratchet.models.catalogue import host_of

__all__ = ["USUAL_PORTS", "LocalServer", "find_local_servers", "list_remote_models"]

ServerKind = Literal["ollama", "lmstudio", "llama.cpp", "vllm", "sglang", "openai-compatible"]

USUAL_PORTS = (11434, 1234, 8080, 8000, 30000)
"""Where Ollama, LM Studio, llama.cpp, vLLM and SGLang listen unless they are told otherwise."""
LOOPBACK = "127.0.0.1"
SEARCH_TIMEOUT_S = 1.0
LIST_TIMEOUT_S = 20.0
MAX_LIST_BYTES = 32 * 2**20
MAX_PAGES = 50
_PAGE_SIZE = "1000"
_ANTHROPIC_VERSION = "2023-06-01"
_OWNERS: Mapping[str, ServerKind] = {
    "library": "ollama",
    "llamacpp": "llama.cpp",
    "organization_owner": "lmstudio",
    "sglang": "sglang",
    "vllm": "vllm",
}
"""Who a server says its models are owned by, where that tells what serves them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalServer:
    """A server of this machine that answers like one of language models."""

    kind: ServerKind
    base_url: str
    """What `base_url` of an endpoint in ratchet.toml would be."""
    models: tuple[str, ...] = ()
    needs_key: bool = False
    """The server keeps its list from who has no key."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Any
    """The JSON of the reply; None where it is none."""
    text: str


async def find_local_servers(
    ports: Sequence[int] = USUAL_PORTS, *, timeout_s: float = SEARCH_TIMEOUT_S
) -> list[LocalServer]:
    """Return the servers of language models on this machine, in the order of `ports`; what answers otherwise is left out.

    Args:
        ports: Where to look, all at once, on 127.0.0.1 alone.
        timeout_s: How long each port may take in all.
    """
    async with _session(timeout_s) as session:
        servers = await asyncio.gather(
            *(_probe_port(session, port, timeout_s) for port in dict.fromkeys(ports))
        )
    return [server for server in servers if server is not None]


async def list_remote_models(
    base_url: str, key: str | None = None, *, timeout_s: float = LIST_TIMEOUT_S
) -> list[str]:
    """Return the names of the models that an endpoint lists, in its order, each once.

    Args:
        base_url: The endpoint's address as in ratchet.toml; a query in it is sent along.
        key: The endpoint's key; no error shows it.
        timeout_s: How long the whole list may take.
    Raises:
        UsageError: if the address is none.
        AccessError: if the key is refused, or one is wanted.
        ReplyError: if nothing answers, or not with a list of models.
    """
    _check_address(base_url)
    if key is not None and not key.strip().isprintable():
        raise AccessError(
            f"{base_url}: the key holds a line break or another control character, so it is not a key; set it again"
        )
    is_anthropic = host_of(base_url).endswith("anthropic.com")
    headers = _headers(key, is_anthropic=is_anthropic)
    try:
        async with asyncio.timeout(timeout_s), _session(timeout_s) as session:
            return await _list_pages(session, base_url, headers, key)
    except TimeoutError as error:
        raise ReplyError(f"{base_url}: no list within {timeout_s:g} s", kind="timeout") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ReplyError(
            f"{base_url} does not answer ({_without_key(str(error) or repr(error), key)}). Is the server up, and base_url right?",
            kind="connection",
        ) from error


# --- one list ---


async def _list_pages(
    session: aiohttp.ClientSession, base_url: str, headers: Mapping[str, str], key: str | None
) -> list[str]:
    url = _below(base_url, "models")
    answer = await _get(session, url, headers)
    if answer.status == 401 and key and _is_anthropic_error(answer.body):
        headers = _headers(key, is_anthropic=True)
        answer = await _get(session, url, headers)
    if answer.status in (404, 405) and not urlsplit(base_url).path.rstrip("/").endswith("/v1"):
        url = _below(base_url, "v1/models")
        answer = await _get(session, url, headers)
    names: dict[str, None] = {}
    for _ in range(MAX_PAGES):
        page = _names_of(base_url, answer, key)
        is_new = any(name not in names for name in page)
        names.update(dict.fromkeys(page))
        following = _next_page(answer.body)
        if following is None or not is_new:
            break
        answer = await _get(session, url, headers, following)
    return list(names)


def _names_of(base_url: str, answer: _Answer, key: str | None) -> list[str]:
    """Return the names on one page.

    Raises: AccessError or ReplyError if it is none.
    """
    words = _without_key(answer.text[:200].strip() or "no message", key)
    if answer.status in (401, 403):
        remedy = "was refused" if key else "is wanted: set key_env in ratchet.toml"
        raise AccessError(f"{base_url}: a key {remedy} ({answer.status}): {words}")
    if answer.status != 200:
        raise ReplyError(
            f"{base_url}: status {answer.status}: {words}", kind=f"status {answer.status}"
        )
    names = _model_names(answer.body)
    if names is None:
        raise ReplyError(
            f"{base_url}: the reply is not a list of models: {words!r}. Does base_url end where /models begins?",
            kind="malformed",
        )
    return names


def _model_names(body: Any) -> list[str] | None:
    """Return the names in a list of models of any known shape; None if it is no such list."""
    rows = body
    if isinstance(body, Mapping):
        places = [place for place in ("data", "models") if place in body]
        if not places or isinstance(body.get("error"), Mapping | str):
            return None
        rows = next((body[place] for place in places if body[place]), [])
    if not isinstance(rows, list):
        return None
    return [name for row in rows if (name := _name_of_row(row))]


def _name_of_row(row: Any) -> str | None:
    if isinstance(row, str):
        return row or None
    if not isinstance(row, Mapping):
        return None
    name = next(
        (row[place] for place in ("id", "model", "name") if isinstance(row.get(place), str)), ""
    )
    return name.removeprefix("models/") or None


def _next_page(body: Any) -> dict[str, str] | None:
    """Return what a request for the next page says, after Anthropic's and Google's shape; None where this page is the last."""
    if not isinstance(body, Mapping):
        return None
    if body.get("has_more") is True and isinstance(body.get("last_id"), str):
        return {"after_id": body["last_id"], "limit": _PAGE_SIZE}
    if isinstance(body.get("nextPageToken"), str) and body["nextPageToken"]:
        return {"pageToken": body["nextPageToken"]}
    return None


def _is_anthropic_error(body: Any) -> bool:
    return isinstance(body, Mapping) and body.get("type") == "error"


# --- one port ---


async def _probe_port(
    session: aiohttp.ClientSession, port: int, timeout_s: float
) -> LocalServer | None:
    root = f"http://{LOOPBACK}:{port}"
    try:
        async with asyncio.timeout(timeout_s):
            return await _identify(session, root)
    except (aiohttp.ClientError, OSError, ValueError):  # a TimeoutError is an OSError
        return None


async def _identify(session: aiohttp.ClientSession, root: str) -> LocalServer | None:
    answer = await _get(session, f"{root}/v1/models")
    base_url = f"{root}/v1"
    if answer.status in (401, 403) and isinstance(answer.body, Mapping) and "error" in answer.body:
        return LocalServer(kind="openai-compatible", base_url=base_url, needs_key=True)
    names = _model_names(answer.body) if answer.status == 200 else None
    if names or (names is not None and _is_empty_list(answer.body)):
        kind = _kind_by_owner(answer.body) or await _kind_by_routes(session, root)
        return LocalServer(kind=kind, base_url=base_url, models=tuple(dict.fromkeys(names)))
    tags = await _get(session, f"{root}/api/tags")
    if tags.status == 200 and isinstance(tags.body, Mapping) and "models" in tags.body:
        names = _model_names(tags.body) or []
        return LocalServer(kind="ollama", base_url=base_url, models=tuple(dict.fromkeys(names)))
    return None


def _is_empty_list(body: Any) -> bool:
    """Return whether a reply is a list of no models, not just any JSON without names."""
    return isinstance(body, Mapping) and body.get("object") == "list" and not body.get("data")


def _kind_by_owner(body: Any) -> ServerKind | None:
    rows = body.get("data") if isinstance(body, Mapping) else None
    return next(iter(_kinds_of_owners(rows)), None) if isinstance(rows, list) else None


def _kinds_of_owners(rows: list[Any]) -> Iterator[ServerKind]:
    for row in rows:
        owner = row.get("owned_by") if isinstance(row, Mapping) else None
        if isinstance(owner, str) and owner in _OWNERS:
            yield _OWNERS[owner]


async def _kind_by_routes(session: aiohttp.ClientSession, root: str) -> ServerKind:
    """Return what serves a list that names no owner, by routes that only one kind has; llama.cpp answers Ollama's as well."""
    routes: tuple[tuple[str, str, ServerKind], ...] = (
        ("/props", "default_generation_settings", "llama.cpp"),
        ("/api/v0/models", "data", "lmstudio"),
        ("/api/tags", "models", "ollama"),
    )
    for route, field, kind in routes:
        answer = await _get(session, root + route)
        if answer.status == 200 and isinstance(answer.body, Mapping) and field in answer.body:
            return kind
    return "openai-compatible"


# --- one request ---


def _session(timeout_s: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s))


async def _get(
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> _Answer:
    """Return what a URL answers; a redirection is not followed, so that a key goes nowhere else.

    Raises: ValueError if the reply is longer than any list of models.
    """
    async with session.get(url, headers=headers, params=params, allow_redirects=False) as response:
        content = await response.content.read(MAX_LIST_BYTES)
        while not response.content.at_eof():
            piece = await response.content.read(MAX_LIST_BYTES)
            content += piece
            if len(content) > MAX_LIST_BYTES:
                raise ValueError(f"more than {MAX_LIST_BYTES} bytes")
    try:
        body = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        body = None
    return _Answer(response.status, body, content[:1000].decode("utf-8", "replace"))


def _headers(key: str | None, *, is_anthropic: bool) -> dict[str, str]:
    key = (key or "").strip()
    if is_anthropic:
        return {"anthropic-version": _ANTHROPIC_VERSION, **({"x-api-key": key} if key else {})}
    return {"authorization": f"Bearer {key}"} if key else {}


def _check_address(base_url: str) -> None:
    try:
        url = urlsplit(base_url)
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(
            f"base_url is an address such as https://api.example.org/v1, got {base_url!r}"
        )


def _below(base_url: str, path: str) -> str:
    """Return a URL below an address, with the address's own query."""
    url = urlsplit(base_url)
    return urlunsplit((url.scheme, url.netloc, f"{url.path.rstrip('/')}/{path}", url.query, ""))


def _without_key(text: str, key: str | None) -> str:
    return text.replace(key.strip(), "[key]") if key and key.strip() else text
