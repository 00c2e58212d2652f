"""Open models by name, each once: `local:nano`, an added `local:smollm2`, `local:<folder>`, `local:<file>.gguf`, or `<endpoint>/<model>`
for an endpoint in ratchet.toml.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import sqlalchemy as sa

from ratchet.core import BROUGHT, Json
from ratchet.core.errors import UnknownModelError, did_you_mean
from ratchet.models.addable import addable_models, added_folder
from ratchet.models.brought import BroughtModel
from ratchet.models.capabilities import Capabilities, known_capabilities
from ratchet.models.chat import ChatModel
from ratchet.models.embed import Embedder, LocalEmbedder, minilm_folder
from ratchet.models.endpoint import EndpointModel
from ratchet.models.gguf import converted_folder, is_gguf_name
from ratchet.models.model_cache import is_model_folder
from ratchet.models.prices import Price
from ratchet.models.vllm import VllmModel
from ratchet.store import EndpointSettings, LocalSettings, SearchSettings, Workspace
from ratchet.store.capabilities import LearnedCapability, load_capabilities, save_capability
from ratchet.store.workspace import ModelCapabilities

__all__ = [
    "NANO",
    "ModelPool",
    "endpoint_capabilities",
    "local_folder",
    "start_temperature",
    "workspace_pool",
]

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
        self._open: OrderedDict[str, ChatModel] = OrderedDict(ready or {})
        """The one that was asked for last stands last."""
        self._theirs = set(self._open)
        self._embedders: OrderedDict[str, Embedder] = OrderedDict()
        self._evicted: list[Any] = []
        """Models that gave way to others, and are not closed yet."""
        self._closing = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def forget_gone(self) -> None:
        """Close the models that gave way to others, and the local ones whose folders are gone, as fine-tunes may be deleted, once what is under way has ended."""
        mine = [
            name for name in self._open if name.startswith("local:") and name not in self._theirs
        ]
        for name in mine:
            try:
                _local_place(name, self.root, confined=self._confined)
            except UnknownModelError:
                self._evicted.append(self._open.pop(name))
        while self._evicted:
            closing = asyncio.create_task(let_go(self._evicted.pop()))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close the models that this pool opened."""
        await asyncio.gather(*self._closing, *map(let_go, self._evicted))
        self._evicted.clear()
        for name in [name for name in self._open if name not in self._theirs]:
            await self._open.pop(name).close()
        while self._embedders:
            await self._embedders.popitem()[1].close()
        for one in [one for one in self.kept.values() if hasattr(one, "close")]:
            await one.close()

    def release_local(self) -> dict[str, Any]:
        """Take the local models that this pool opened out of it, open as they are; whoever gets them stops them."""
        names = [
            name
            for name, model in self._open.items()
            if name not in self._theirs and hasattr(model, "stop")
        ]
        return {name: self._open.pop(name) for name in names}

    def model(self, name: str) -> ChatModel:
        """Return the model of that name.

        Raises: UnknownModelError if there is no such model here; never another model in its place.
        """
        found = self._open.get(name)
        if found is None:
            found = self._opened(name)
            self._make_room(self._open, len(self._theirs))
            self._open[name] = found
        elif self._confined:
            self._open.move_to_end(name)
        return found

    def _opened(self, name: str) -> ChatModel:
        if name.startswith(BROUGHT) and not self._confined:
            return BroughtModel(name)
        return self._local(name) if name.startswith("local:") else self._remote(name)

    def _make_room(self, open_models: "OrderedDict[str, Any]", fixed: int = 0) -> None:
        """Let go of the models that were asked for the longest time ago: names come from strangers, and may be made up."""
        while self._confined and len(open_models) - fixed >= MOST_OPEN:
            oldest = next(name for name in open_models if name not in self._theirs)
            self._evicted.append(open_models.pop(oldest))

    def is_open(self, name: str) -> bool:
        """Return whether a model is there without opening it."""
        return name in self._open

    def embedder(self, name: str) -> Embedder:
        """Return the model of that name that turns texts into vectors.

        Raises: UnknownModelError if there is none.
        """
        if name in self._embedders:
            self._embedders.move_to_end(name)
        else:
            self._make_room(self._embedders)
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

        return LocalModel(
            name,
            folder,
            adapters=self._adapters,
            weights=self._settings.weights,
            load_timeout_s=self._settings.load_timeout_s,
        )

    def capabilities(self, name: str) -> Capabilities:
        """Return what is known of a model behind an endpoint: by the catalogue, by its own words, by the settings.

        Raises: UnknownModelError if the name is of no endpoint.
        """
        settings, model = self.endpoint(name)
        return endpoint_capabilities(settings, model, self.engine)

    def start_temperature(self, name: str) -> float | None:
        """Return the temperature of a new candidate of that model: 0 where it is known to take one, else none is named."""
        return (
            None if name in self._theirs else start_temperature(name, self._endpoints, self.engine)
        )

    def sampling_temperature(self, name: str, wanted: float) -> float | None:
        """Return the temperature to draw several answers at; None leaves it to a model that is not known to take one."""
        if name.startswith("local:") or name in self._theirs:
            return wanted
        return None if self.start_temperature(name) is None else wanted

    def _remote(self, name: str) -> EndpointModel:
        settings, model = self.endpoint(name)

        def remember(lesson: LearnedCapability) -> None:
            if self.engine is not None:
                save_capability(self.engine, settings.base_url, model, lesson)

        return EndpointModel(
            name,
            model,
            settings.base_url,
            key_env=settings.key_env,
            concurrency=settings.concurrency,
            timeout_s=settings.timeout_s,
            retries=settings.retries,
            price=Price(model, settings.price, base_url=settings.base_url),
            protocol=protocol_of(settings),
            capabilities=self.capabilities(name),
            remember=remember,
        )


async def let_go(model: Any) -> None:
    """Close a model that nobody asks any more; what it has been asked already it answers."""
    if hasattr(model, "stop"):
        model.stop()
    else:
        await model.close()


def protocol_of(settings: EndpointSettings) -> str:
    """Return how an endpoint is spoken to."""
    is_anthropic = urlsplit(settings.base_url).hostname == "api.anthropic.com"
    return settings.protocol or ("messages" if is_anthropic else "chat")


def endpoint_capabilities(
    settings: EndpointSettings, model: str, engine: sa.Engine | None = None
) -> Capabilities:
    """Return what is known of an endpoint's model: by the catalogue, by the endpoint's own words, by the settings; the last counts."""
    known = known_capabilities(model, settings.base_url)
    if engine is not None:
        for lesson in load_capabilities(engine, settings.base_url, model):
            if lesson.field in Capabilities.__dataclass_fields__:  # else of another version
                known = known.updated("learned", **{lesson.field: plain_value(lesson.value)})
    named = settings.models.get(model)
    return known.updated("settings", **named_in(named)) if named else known


def start_temperature(
    name: str, endpoints: Mapping[str, EndpointSettings], engine: sa.Engine | None = None
) -> float | None:
    """Return the temperature that a new candidate of a model names: 0 where the model is known to take one, else none.

    A local model needs none: without a temperature it takes the likeliest token.
    """
    endpoint, slash, model = name.partition("/")
    settings = endpoints.get(endpoint)
    if name.startswith("local:") or not slash or settings is None:
        return None
    known = endpoint_capabilities(settings, model, engine)
    return 0.0 if known.temperature and known.samples_unasked else None


def named_in(settings: ModelCapabilities) -> dict[str, Any]:
    """Return the fields that the settings name of a model."""
    return settings.model_dump(exclude_none=True)


def plain_value(value: Json) -> Any:
    """Return a value that was stored as JSON as a record holds it: lists are tuples there."""
    return tuple(value) if isinstance(value, list) else value


def local_folder(name: str, root: Path, *, confined: bool = False) -> Path:
    """Return the folder of a `local:` model; that of a GGUF file is made in the user's cache the first time, which takes seconds.

    Args:
        name: `local:nano`, `local:<added model>`, `local:<folder>` or `local:<file>.gguf`.
        root: What relative paths are meant from.
        confined: The path must be named plainly, and lie under `root`: names come from strangers.
    Raises: UnknownModelError if it holds no model, or none that can be read.
    """
    place = _local_place(name, root, confined=confined)
    return place if place.is_dir() else converted_folder(place)


def _local_place(name: str, root: Path, *, confined: bool) -> Path:
    """Return the folder or the GGUF file of a `local:` model.

    Raises: UnknownModelError if there is none.
    """
    rest = name.removeprefix("local:")
    if rest == "nano":
        return NANO
    place = root / rest
    if confined:
        plain = root.resolve() / rest
        if str(plain) != str(place.resolve()) or not plain.is_relative_to(root.resolve()):
            raise UnknownModelError(f"unknown model {name!r}")
    if is_model_folder(place) or (is_gguf_name(rest) and place.is_file()):
        return place
    if rest in addable_models():
        if is_model_folder(added_folder(rest)):
            return added_folder(rest)
        raise UnknownModelError(
            f"the model {name!r} is not on this machine; add it with: ratchet models add {rest}"
        )
    raise UnknownModelError(_explain_missing(name, place, confined=confined))


def _explain_missing(name: str, place: Path, *, confined: bool) -> str:
    if is_gguf_name(name):
        where = "" if confined else f": {place} is not a file"
        return f"unknown model {name!r}{where or ': there is no such file'}"
    if confined:
        return f"unknown model {name!r}: there is no such folder with a config.json"
    others = ", ".join(f"local:{known}" for known in ("nano", *addable_models()))
    return (
        f"unknown model {name!r}: {place} holds no config.json; name {others}, local:<folder> with a model that transformers can load, or local:<file>.gguf"
        f"{did_you_mean(name.removeprefix('local:'), ['nano', *addable_models()])}"
    )


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
