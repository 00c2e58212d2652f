"""Open models by name, each once: `local:nano`, `local:<folder>`, or `<endpoint>/<model>` for an endpoint in ratchet.toml."""

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import sqlalchemy as sa

from ratchet.core.errors import UnknownModelError, did_you_mean
from ratchet.models.chat import ChatModel
from ratchet.models.embed import Embedder, LocalEmbedder, minilm_folder
from ratchet.models.endpoint import EndpointModel
from ratchet.models.prices import Price
from ratchet.models.vllm import VllmModel
from ratchet.store import EndpointSettings, LocalSettings, SearchSettings, Workspace

__all__ = ["NANO", "ModelPool", "local_folder", "workspace_pool"]

MOST_OPEN = 500
"""So many models a confined pool opens: made-up names must not fill the memory."""
NANO = Path(__file__).parent / "nano"


class ModelPool:
    """The models in use; close it, or use it as an async context manager.

    Args:
        endpoints: The endpoints that names may refer to.
        adapters: The folder that holds LoRA adapters by id.
        root: The folder that relative model folders are meant from.
        confined: Folders of local models must lie under `root`: names come from strangers.
        ready: Models that are open already, by name; tests and notebooks bring their own.
        local: What runs the models of this machine.
        engine: The database, where the vectors of knowledge bases are.
        files: The folder for what is made of them: graphs of neighbours.
        search: The server that searches vectors, if the workspace names one.
    """

    def __init__(
        self,
        endpoints: Mapping[str, EndpointSettings] | None = None,
        *,
        adapters: Path | None = None,
        root: Path | None = None,
        ready: Mapping[str, ChatModel] | None = None,
        confined: bool = False,
        local: LocalSettings | None = None,
        engine: sa.Engine | None = None,
        files: Path | None = None,
        search: SearchSettings | None = None,
    ) -> None:
        self.engine, self.files, self.search = engine, files, search
        self.kept: dict[str, Any] = {}
        """What is opened with the models, and lives as long: indexes of knowledge bases."""
        self._endpoints, self._adapters, self.root = (
            dict(endpoints or {}),
            adapters,
            root or Path.cwd(),
        )
        self._confined, self._settings = confined, local or LocalSettings()
        self._open: dict[str, ChatModel] = dict(ready or {})
        self._theirs = set(self._open)
        self._embedders: dict[str, Embedder] = {}
        self._closing = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def forget_gone(self) -> None:
        """Close the local models whose folders are gone, as fine-tunes may be deleted: their weights are let go once what is under way has ended."""
        mine = [
            name for name in self._open if name.startswith("local:") and name not in self._theirs
        ]
        for name in mine:
            try:
                self.folder(name)
            except UnknownModelError:
                closing = asyncio.create_task(self._open.pop(name).close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close the models that this pool opened."""
        await asyncio.gather(*self._closing)
        for name in [name for name in self._open if name not in self._theirs]:
            await self._open.pop(name).close()
        while self._embedders:
            await self._embedders.popitem()[1].close()
        for one in [one for one in self.kept.values() if hasattr(one, "close")]:
            await one.close()

    def model(self, name: str) -> ChatModel:
        """Return the model of that name.

        Raises: UnknownModelError if there is no such model here; never another model in its place.
        """
        if name not in self._open:
            found = self._local(name) if name.startswith("local:") else self._remote(name)
            self._check_room(name)
            self._open[name] = found
        return self._open[name]

    def _check_room(self, name: str) -> None:
        count = len(self._open) + len(self._embedders)
        if self._confined and count >= MOST_OPEN:
            raise UnknownModelError(f"{count} models are open, and there is no room for {name!r}")

    def is_open(self, name: str) -> bool:
        """Return whether a model is there without opening it."""
        return name in self._open

    def embedder(self, name: str) -> Embedder:
        """Return the model of that name that turns texts into vectors.

        Raises: UnknownModelError if there is none.
        """
        if name not in self._embedders:
            self._check_room(name)
            if name == "local:minilm":
                self._embedders[name] = LocalEmbedder(minilm_folder())
            elif name.startswith("local:"):
                self._embedders[name] = LocalEmbedder(
                    local_folder(name, self.root, confined=self._confined)
                )
            else:
                self._embedders[name] = self._remote(name)
        return self._embedders[name]

    def endpoint(self, name: str) -> tuple[EndpointSettings, str]:
        """Return the endpoint of a model, and the model's name there.

        Raises: UnknownModelError if the name is of no endpoint.
        """
        endpoint, slash, model = name.partition("/")
        settings = self._endpoints.get(endpoint)
        if not slash or settings is None:
            known = ["local:nano", *(f"{known}/<model>" for known in self._endpoints)]
            meant = ["local:nano", *(f"{known}/{model or '<model>'}" for known in self._endpoints)]
            raise UnknownModelError(
                f"unknown model {name!r}: a name is one of {', '.join(known)}; endpoints are listed in ratchet.toml."
                f"{did_you_mean(name, meant)}"
            )
        return settings, model

    def folder(self, name: str) -> Path:
        """Return the folder of a `local:` model of any kind.

        Raises: UnknownModelError if it holds none.
        """
        return local_folder(name, self.root, confined=self._confined)

    def _local(self, name: str) -> ChatModel:
        folder = local_folder(name, self.root, confined=self._confined)
        if self._settings.engine == "vllm":
            return VllmModel(name, folder, self._settings, adapters=self._adapters)
        from ratchet.models.local import LocalModel  # torch is an extra

        return LocalModel(name, folder, adapters=self._adapters)

    def _remote(self, name: str) -> EndpointModel:
        settings, model = self.endpoint(name)
        override = (settings.price.input, settings.price.output) if settings.price else None
        own = override is None and is_on_this_machine(settings.base_url)
        return EndpointModel(
            name,
            model,
            settings.base_url,
            key_env=settings.key_env,
            concurrency=settings.concurrency,
            timeout_s=settings.timeout_s,
            retries=settings.retries,
            price=None if own else Price(model, override),
        )


def is_on_this_machine(base_url: str) -> bool:
    """Return whether a URL names a loopback address: no provider's price list is meant for what runs there."""
    host = urlsplit(base_url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def local_folder(name: str, root: Path, *, confined: bool = False) -> Path:
    """Return the folder of a `local:` model; a confined one must be named plainly, and lie under `root`.

    Raises: UnknownModelError if it holds no model.
    """
    rest = name.removeprefix("local:")
    folder = NANO if rest == "nano" else (root / rest)
    if confined and rest != "nano":
        plain = root.resolve() / rest
        if str(plain) != str(folder.resolve()) or not plain.is_relative_to(root.resolve()):
            raise UnknownModelError(f"unknown model {name!r}")
    if not (folder / "config.json").is_file():
        if confined:
            raise UnknownModelError(
                f"unknown model {name!r}: there is no such folder with a config.json"
            )
        raise UnknownModelError(
            f"unknown model {name!r}: {folder} holds no config.json; name local:nano, or local:<folder> with a model that transformers can load"
        )
    return folder


def workspace_pool(
    workspace: Workspace,
    models: Mapping[str, ChatModel] | None = None,
    *,
    confined: bool = False,
) -> ModelPool:
    """Return the models of a workspace, and those that are handed over."""
    return ModelPool(
        workspace.settings.endpoints,
        adapters=workspace.files / "adapters",
        root=workspace.root,
        ready=models,
        confined=confined,
        local=workspace.settings.local,
        engine=workspace.database,
        files=workspace.files,
        search=workspace.settings.search,
    )
