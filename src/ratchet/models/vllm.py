"""A model of this machine behind a vLLM server: one that runs, or one that is started; adapters are loaded into it as they are asked for.

The server's own API does it (`/v1/load_lora_adapter`, allowed by VLLM_ALLOW_RUNTIME_LORA_UPDATING), and an adapter is then a model by
its id. Read from vLLM 0.33; the server must see the folders of this machine.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import orjson

from ratchet.core import Json
from ratchet.core.errors import CandidateError, ReplyError, UnknownModelError
from ratchet.models.adapters import adapter_folder
from ratchet.models.chat import CallPart, ChatReply, ChatRequest, with_local_defaults
from ratchet.models.endpoint import EndpointModel, estimated_tokens, message_of
from ratchet.models.prices import Price
from ratchet.store import LocalSettings

__all__ = ["VllmModel"]

START_S = 900.0
"""Weights of tens of gigabytes are read, and graphs are compiled."""
LOOK_S = 0.25
END_S = 20.0


class VllmModel:
    """One base model in a vLLM server, and its adapters; the server starts with the first request where none is named.

    Args:
        name: The model's name here.
        folder: Holds the weights.
        settings: Where the server is, or how one is started.
        adapters: The folder that holds LoRA adapters by id.
    """

    concurrency = 256

    def __init__(
        self, name: str, folder: Path, settings: LocalSettings, *, adapters: Path | None = None
    ) -> None:
        self.name, self._folder, self._settings = name, folder.resolve(), settings
        self._adapters = adapters.resolve() if adapters else None
        self._base: EndpointModel | None = None
        self._open: dict[str, EndpointModel] = {}
        self._lock = asyncio.Lock()
        self._server: Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._url = (settings.vllm_url or "").rstrip("/").removesuffix("/v1")

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Return the reply; an adapter that the server has forgotten is loaded again."""
        plain = as_served(request)
        model = await self._model(request.adapter)
        try:
            return await model.chat(plain)
        except UnknownModelError:
            if request.adapter is None:
                raise
            await self._forget(request.adapter, model)
            return await (await self._model(request.adapter)).chat(plain)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | CallPart | ChatReply]:
        """Yield text and calls as the server sends it, then the whole reply."""
        plain, has_begun = as_served(request), False
        model = await self._model(request.adapter)
        try:
            async for piece in model.stream(plain):
                has_begun = True
                yield piece
        except UnknownModelError:
            if request.adapter is None or has_begun:
                raise
            await self._forget(request.adapter, model)
            async for piece in (await self._model(request.adapter)).stream(plain):
                yield piece

    def count_tokens(self, request: ChatRequest) -> tuple[int, bool]:
        """Return an estimate, as for any endpoint."""
        return estimated_tokens(request), False

    def price(self, _prompt_tokens: int, _completion_tokens: int) -> float | None:
        """Return 0: a local model costs time alone."""
        return 0.0

    async def close(self) -> None:
        """Close the connections, and end the server where it was started here."""
        for model in (*self._open.values(), *([self._base] if self._base else [])):
            await model.close()
        self._open.clear()
        self._base = None
        if self._session:
            await self._session.close()
            self._session = None
        if self._server and self._server.returncode is None:
            self._server.terminate()
            try:
                await asyncio.wait_for(self._server.wait(), END_S)
            except TimeoutError:
                self._server.kill()
                await self._server.wait()
        self._server = None

    async def _model(self, adapter: str | None) -> EndpointModel:
        """Return what answers for the base or an adapter, made ready.

        Raises: ReplyError if there is no such adapter, or the server does not take it; UnknownModelError if there is no server.
        """
        async with self._lock:
            if self._base is None:
                self._base = await self._connected()
            if adapter is None:
                return self._base
            if adapter not in self._open:
                await self._load(adapter)
                self._open[adapter] = self._endpoint(adapter)
            return self._open[adapter]

    async def _forget(self, adapter: str, model: EndpointModel) -> None:
        """Open an adapter anew, where nobody else has done so meanwhile."""
        if self._open.get(adapter) is model:
            del self._open[adapter]
            await model.close()

    def _endpoint(self, model: str) -> EndpointModel:
        free = Price(model, (0.0, 0.0))  # a local model costs time alone
        return EndpointModel(
            self.name, model, f"{self._url}/v1", concurrency=self.concurrency, price=free
        )

    async def _connected(self) -> EndpointModel:
        self._session = self._session or aiohttp.ClientSession()
        if not self._url:
            await self._start()
        try:
            async with self._session.get(f"{self._url}/v1/models") as response:
                cards = orjson.loads(await response.read())["data"]
        except (aiohttp.ClientError, OSError, ValueError, KeyError) as error:
            raise UnknownModelError(
                f"{self.name}: no vLLM server answers at {self._url} ({error}); start one, or leave out vllm_url in ratchet.toml and one is started"
            ) from error
        bases = {card["id"]: card.get("root") for card in cards if not card.get("parent")}
        fitting = [one for one, root in bases.items() if str(self._folder) in (one, root)]
        if not fitting and len(bases) != 1:
            raise UnknownModelError(
                f"{self.name}: the vLLM server at {self._url} serves {', '.join(bases) or 'nothing'}, and not {self._folder}"
            )
        return self._endpoint(fitting[0] if fitting else next(iter(bases)))

    async def _start(self) -> None:
        """Start a server, and wait until it answers.

        Raises: UnknownModelError if vLLM is not installed, or the server ends before it answers.
        """
        program = shutil.which("vllm")
        if program is None:
            raise UnknownModelError(
                f"{self.name}: engine = 'vllm' needs vLLM, which is not installed; pip install vllm on a machine with a GPU, or name a server's vllm_url in ratchet.toml"
            )
        port = free_port()
        log = (self._adapters.parent if self._adapters else self._folder) / "vllm.log"
        with log.open("ab") as file:
            self._server = await asyncio.create_subprocess_exec(
                *(program, "serve", str(self._folder), "--host", "127.0.0.1", "--port", str(port)),
                *("--enable-lora", "--max-lora-rank", "64", *self._settings.vllm_args),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=os.environ | {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"},
            )
        try:
            await self._begun(self._server, f"http://127.0.0.1:{port}", log)
        except BaseException:  # who waited may have gone away: nobody would end it
            with contextlib.suppress(ProcessLookupError):
                self._server.kill()
            await self._server.wait()
            raise

    async def _begun(self, server: Process, url: str, log: Path) -> None:
        """Wait until a server answers."""
        until = time.monotonic() + START_S
        assert self._session is not None  # opened before
        while time.monotonic() < until:
            if server.returncode is not None:
                text = await asyncio.to_thread(log.read_text, "utf-8", errors="replace")
                said = text.strip().splitlines() or ["nothing"]
                raise UnknownModelError(
                    f"{self.name}: vLLM ended before it answered: {said[-1][:300]}; all that it said is in {log}"
                )
            try:
                async with self._session.get(f"{url}/health") as response:
                    if response.status == 200:  # the one good status
                        self._url = url
                        return
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(LOOK_S)
        raise UnknownModelError(
            f"{self.name}: vLLM did not answer within {START_S / 60:.0f} minutes; see {log}"
        )

    async def _load(self, adapter: str) -> None:
        folder = adapter_folder(self._adapters, adapter)
        assert self._session is not None  # opened before
        body: dict[str, Json] = {"lora_name": adapter, "lora_path": str(folder)}
        try:
            address = f"{self._url}/v1/load_lora_adapter"
            async with self._session.post(address, json=body) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise ReplyError(
                f"{self.name}: the vLLM server at {self._url} does not answer ({error})",
                kind="connection",
            ) from error
        said = message_of(content)
        if (
            response.status == 200 or "already been loaded" in said
        ):  # ids are of content: it is the same one
            return
        if b'"detail"' in content:  # no such route
            said = "it does not take adapters while it runs; start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora"
        raise ReplyError(
            f"{self.name}: vLLM does not load the adapter {adapter!r}: {said}", kind="no adapter"
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def as_served(request: ChatRequest) -> ChatRequest:
    """Return a request as vLLM takes it: without the adapter, which has a name of its own there, and with its words for forced forms."""
    if request.decide:
        raise CandidateError(
            'decoding.decide needs the weights in this process; set [local] engine = "transformers", or leave decide out'
        )
    forced: dict[str, Json] = {}
    if request.choices:
        forced = {"choice": list(request.choices)}
    elif request.pattern:
        forced = {"regex": request.pattern}
    extra = {**request.extra, **({"structured_outputs": forced} if forced else {})}
    return replace(with_local_defaults(request), adapter=None, extra=extra)
