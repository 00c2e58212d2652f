"""Discovery: real servers on loopback, each with the shape of one kind, and lists of every provider's shape."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from ratchet.core.errors import AccessError, ReplyError, UsageError
from ratchet.models.discovery import LocalServer, find_local_servers, list_remote_models

Routes = dict[str, Any]
KEY = "sk-very-secret"


@asynccontextmanager
async def serving(routes: Routes | Callable[[web.Request], Any]) -> AsyncIterator[int]:
    """Serve JSON by path, or by a function of the request, on a free port of loopback."""

    async def answer(request: web.Request) -> web.StreamResponse:
        found = routes(request) if callable(routes) else routes.get(request.path)
        if isinstance(found, web.StreamResponse):
            return found
        return web.Response(status=404) if found is None else web.json_response(found)

    application = web.Application()
    application.router.add_route("GET", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def models(*names: str, **more: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", **more} for name in names]}


SHAPES: dict[str, Routes] = {
    "ollama": {
        "/v1/models": models("qwen3:8b", "gemma3:4b", owned_by="library"),
        "/api/tags": {"models": [{"name": "qwen3:8b", "model": "qwen3:8b"}]},
    },
    "lmstudio": {
        "/v1/models": models("qwen3:8b", "gemma3:4b", owned_by="organization_owner"),
        "/api/v0/models": models("qwen3:8b", "gemma3:4b", state="loaded"),
    },
    "llama.cpp": {
        "/v1/models": {
            "models": [{"name": "qwen3:8b", "model": "qwen3:8b"}],
            **models("qwen3:8b", "gemma3:4b", owned_by="llamacpp"),
        },
        "/api/tags": {"models": [{"name": "qwen3:8b"}]},
        "/props": {"default_generation_settings": {}},
    },
    "vllm": {"/v1/models": models("qwen3:8b", "gemma3:4b", owned_by="vllm", root="/models/a")},
    "sglang": {"/v1/models": models("qwen3:8b", "gemma3:4b", owned_by="sglang")},
    "openai-compatible": {"/v1/models": models("qwen3:8b", "gemma3:4b", owned_by="acme")},
}


async def test_every_kind_of_server_is_known_by_its_shape() -> None:
    """All at once, in the order of the ports, with the address that ratchet.toml wants and the models' names."""
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serving(routes)) for routes in SHAPES.values()]

        servers = await find_local_servers(ports, timeout_s=10)

    assert servers == [
        LocalServer(
            kind=kind,  # type: ignore[arg-type]
            base_url=f"http://127.0.0.1:{port}/v1",
            models=("qwen3:8b", "gemma3:4b"),
        )
        for kind, port in zip(SHAPES, ports, strict=True)
    ]


@pytest.mark.parametrize("kind", ["ollama", "lmstudio", "llama.cpp"])
async def test_routes_tell_the_kind_where_no_owner_does(kind: str) -> None:
    """Without `owned_by` the routes that only one kind has decide."""
    routes = {**SHAPES[kind], "/v1/models": models("qwen3:8b")}
    async with serving(routes) as port:
        [server] = await find_local_servers([port], timeout_s=10)

    assert (server.kind, server.models) == (kind, ("qwen3:8b",))


async def test_an_old_ollama_is_found_by_its_own_list() -> None:
    """A server without /v1/models is Ollama where it has Ollama's list."""
    async with serving({"/api/tags": {"models": [{"name": "llama3.2:3b"}]}}) as port:
        [server] = await find_local_servers([port], timeout_s=10)

    assert (server.kind, server.models) == ("ollama", ("llama3.2:3b",))


async def test_a_server_without_models_is_one() -> None:
    """Ollama that was just installed lists null."""
    async with serving({"/v1/models": {"object": "list", "data": None}}) as port:
        [server] = await find_local_servers([port], timeout_s=10)

    assert server.models == ()


async def test_a_server_that_wants_a_key_says_so() -> None:
    """With --api-key vLLM answers 401: it is there, and needs a key."""
    refusal = lambda _: web.json_response({"error": "Unauthorized"}, status=401)  # noqa: E731
    async with serving(refusal) as port:
        [server] = await find_local_servers([port], timeout_s=10)

    assert server == LocalServer(
        kind="openai-compatible", base_url=f"http://127.0.0.1:{port}/v1", needs_key=True
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(text="<html>a page</html>", content_type="text/html"),
        lambda _: web.json_response({"hello": "world"}),
        lambda _: web.json_response("text"),
        lambda _: web.json_response([]),
        lambda _: web.json_response([1, 2]),
        lambda _: web.json_response({"data": [{"title": "a page"}]}),
        lambda _: web.json_response({"error": {"message": "no"}}, status=500),
        lambda _: web.Response(status=401, text="log in"),
        lambda _: web.Response(status=302, headers={"location": "http://127.0.0.1:1/v1/models"}),
    ],
)
async def test_other_servers_are_left_out(answer: Callable[[web.Request], Any]) -> None:
    """Whatever else listens at a usual port is no server of models."""
    async with serving(answer) as port:
        assert await find_local_servers([port], timeout_s=10) == []


async def test_nothing_listens_and_nothing_fails() -> None:
    """Closed ports, and one that takes a connection and never answers, are left out when the time is over."""
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        ports = [silent.getsockname()[1], closed.getsockname()[1]]

        assert await find_local_servers(ports, timeout_s=0.2) == []
    assert await find_local_servers([]) == []


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (models("a", "b", "a"), ["a", "b"]),
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
        ({"models": [{"name": "models/gemini-2.5-pro"}]}, ["gemini-2.5-pro"]),
        ({"models": [{"name": "a:latest", "model": "a:latest"}]}, ["a:latest"]),
        ({"models": ["a", "b"]}, ["a", "b"]),
        ({"data": None}, []),
        ({"data": [], "models": None}, []),
        ({"data": [{"id": None}, 7, {"id": "a"}, {}]}, ["a"]),
    ],
)
async def test_lists_of_every_shape_are_read(body: Any, names: list[str]) -> None:
    """OpenAI's, a bare list, Google's, Ollama's, empty ones and ones with rows that are none."""
    async with serving({"/v1/models": body}) as port:
        assert await list_remote_models(f"http://127.0.0.1:{port}/v1", KEY) == names
        assert await list_remote_models(f"http://127.0.0.1:{port}/v1/") == names


async def test_an_address_without_v1_is_tried_with_it() -> None:
    """Ollama's and Anthropic's addresses are often written without /v1."""
    async with serving({"/v1/models": models("a")}) as port:
        assert await list_remote_models(f"http://127.0.0.1:{port}") == ["a"]


async def test_the_query_of_an_address_is_sent_along() -> None:
    """Azure's address ends in ?api-version=…"""

    def answer(request: web.Request) -> Any:
        return models(request.path_qs, request.headers["authorization"])

    async with serving(answer) as port:
        base_url = f"http://127.0.0.1:{port}/openai?api-version=preview"
        assert await list_remote_models(base_url, KEY) == [
            "/openai/models?api-version=preview",
            f"Bearer {KEY}",
        ]


async def test_anthropic_is_spoken_to_by_its_own_header_and_in_pages() -> None:
    """A 401 of Anthropic's shape is asked again with its header, and a list goes on while it says so."""

    def answer(request: web.Request) -> Any:
        if request.headers.get("x-api-key") != KEY:
            return web.json_response({"type": "error", "error": {"type": "a"}}, status=401)
        if request.query.get("after_id") == "claude-b":
            return {"data": [{"id": "claude-c", "type": "model"}], "has_more": False}
        rows = [{"id": "claude-a", "type": "model"}, {"id": "claude-b", "type": "model"}]
        return {"data": rows, "has_more": True, "last_id": "claude-b"}

    async with serving(answer) as port:
        names = await list_remote_models(f"http://127.0.0.1:{port}/v1", KEY)

    assert names == ["claude-a", "claude-b", "claude-c"]


async def test_pages_that_repeat_come_to_an_end() -> None:
    """A server that passes over the place it is asked from does not keep us for ever."""
    body = {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}
    async with serving({"/v1/models": body}) as port:
        assert await list_remote_models(f"http://127.0.0.1:{port}/v1") == ["a"]


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, {"error": {"message": f"wrong key {KEY}"}}, AccessError, "was refused (401)"),
        (403, {}, AccessError, "was refused (403)"),
        (500, {"error": "down"}, ReplyError, "status 500"),
        (307, {}, ReplyError, "status 307"),
        (200, {"hello": 1}, ReplyError, "not a list of models"),
        (200, {"error": {"message": "x"}, "data": []}, ReplyError, "not a list of models"),
        (200, "text", ReplyError, "not a list of models"),
    ],
)
async def test_what_is_no_list_is_an_error_without_the_key(
    status: int, body: Any, error: type[Exception], words: str
) -> None:
    """The message says what came, and never the key."""
    async with serving(lambda _: web.json_response(body, status=status)) as port:
        with pytest.raises(error) as raised:
            await list_remote_models(f"http://127.0.0.1:{port}/v1", KEY)

    assert words in str(raised.value)
    assert KEY not in str(raised.value)


async def test_a_key_that_is_wanted_is_named() -> None:
    """Without a key a 401 says where to set it."""
    async with serving(lambda _: web.Response(status=401)) as port:
        with pytest.raises(AccessError, match="set key_env"):
            await list_remote_models(f"http://127.0.0.1:{port}/v1")


async def test_nothing_at_an_address_is_a_reply_error() -> None:
    """A closed port, and a server that never answers."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(ReplyError, match="does not answer"):
            await list_remote_models(base_url)
        closed.listen()
        with pytest.raises(ReplyError, match=r"no list within 0\.2 s"):
            await list_remote_models(base_url, timeout_s=0.2)


@pytest.mark.parametrize(
    "base_url", ["", "api.openai.com/v1", "ftp://x/v1", "http://[::1", "http://x:99999"]
)
async def test_an_address_that_is_none_is_said(base_url: str) -> None:
    """The value stands in the message."""
    with pytest.raises(UsageError, match="base_url is an address"):
        await list_remote_models(base_url)


async def test_a_key_with_a_line_break_is_no_key() -> None:
    """It would be sent as a header of its own."""
    with pytest.raises(AccessError, match="control character"):
        await list_remote_models("http://127.0.0.1:1/v1", "a\nb")
