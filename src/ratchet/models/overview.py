"""The models that a workspace names, with what each takes and costs, and whether it answers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

from ratchet.core import Json
from ratchet.core.errors import RatchetError
from ratchet.models.addable import addable_models, added_folder
from ratchet.models.capabilities import Capabilities
from ratchet.models.chat import ChatRequest
from ratchet.models.discovery import LocalServer, list_remote_models
from ratchet.models.model_cache import is_model_folder
from ratchet.models.pool import ModelPool, endpoint_capabilities, protocol_of
from ratchet.models.prices import list_price
from ratchet.store import Workspace
from ratchet.store.capabilities import LearnedCapability, load_capabilities

__all__ = [
    "ModelSummary",
    "PingResult",
    "list_endpoint_models",
    "ping_model",
    "settings_lines",
    "summarize_model",
    "summarize_models",
]

PING = "Reply with the word OK."
PING_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """One model, and what is known of it."""

    name: str
    protocol: str
    """chat, responses or messages; `local` for a model of this machine."""
    base_url: str = ""
    capabilities: Capabilities = Capabilities()
    prices: dict[str, float | None]
    """Dollars a million tokens: input, cached_input, output; None where a price is unknown."""
    learned: tuple[LearnedCapability, ...] = ()

    def plain(self) -> dict[str, Json]:
        """Return the summary as JSON values; what is not known of the model is left out."""
        known = {
            field.name: getattr(self.capabilities, field.name)
            for field in fields(self.capabilities)
            if getattr(self.capabilities, field.name) not in (None, {})
        }
        known["sources"] = dict(self.capabilities.sources)
        return {
            "name": self.name,
            "protocol": self.protocol,
            "base_url": self.base_url,
            "capabilities": known,
            "prices": self.prices,
            "learned": [lesson._asdict() for lesson in self.learned],
        }


@dataclass(frozen=True, kw_only=True)
class PingResult:
    """What a model said to a word."""

    name: str
    reply: str | None
    """None where none came."""
    error: str | None = None
    latency_s: float = 0.0
    cost_usd: float | None = None


def summarize_models(workspace: Workspace, others: Sequence[str] = ()) -> list[ModelSummary]:
    """Return a summary of each model that the workspace names: in its settings, in its tasks, and in `others`."""
    roles = workspace.settings.models
    names = [roles.default, *([roles.teacher] if roles.teacher else [])]
    for endpoint, settings in workspace.settings.endpoints.items():
        names += [f"{endpoint}/{model}" for model in settings.models]
    for task in workspace.task_names():
        try:
            models = workspace.load_task(task).models
        except RatchetError:
            continue  # a task that cannot be read is told of where it is used
        names += [models.student, *([models.teacher] if models.teacher else [])]
    added = [f"local:{name}" for name in addable_models() if is_model_folder(added_folder(name))]
    known = dict.fromkeys(["local:nano", *added, *names, *others])
    return [summarize_model(workspace, name) for name in known]


def summarize_model(workspace: Workspace, name: str) -> ModelSummary:
    """Return what is known of a model."""
    endpoint, _, model = name.partition("/")
    settings = workspace.settings.endpoints.get(endpoint)
    if name.startswith("local:"):
        free: dict[str, float | None] = dict.fromkeys(("input", "cached_input", "output"), 0.0)
        return ModelSummary(name=name, protocol="local", prices=free)
    if settings is None:
        unknown: dict[str, float | None] = dict.fromkeys(("input", "cached_input", "output"))
        return ModelSummary(name=name, protocol="unknown endpoint", prices=unknown)
    prices = list_price(model, settings.base_url)
    if settings.price:
        named = {"input": settings.price.input, "output": settings.price.output}
        prices = {
            **prices,
            **named,
            "cached_input": settings.price.cached_input or settings.price.input,
        }
    return ModelSummary(
        name=name,
        protocol=protocol_of(settings),
        base_url=settings.base_url,
        capabilities=endpoint_capabilities(settings, model, workspace.database),
        prices=prices,
        learned=tuple(load_capabilities(workspace.database, settings.base_url, model)),
    )


async def list_endpoint_models(workspace: Workspace, key_of: dict[str, str | None]) -> list[str]:
    """Return the names of the models that the workspace's endpoints list, each as `<endpoint>/<model>`.

    Args:
        workspace: Whose endpoints are asked.
        key_of: The key of each endpoint that is to be asked.
    Raises: AccessError or ReplyError if one gives no list.
    """
    names: list[str] = []
    for endpoint, key in key_of.items():
        base_url = workspace.settings.endpoints[endpoint].base_url
        names += [f"{endpoint}/{model}" for model in await list_remote_models(base_url, key)]
    return names


async def ping_model(pool: ModelPool, name: str) -> PingResult:
    """Return what a model says to a short question; an error is part of the result."""
    request = ChatRequest(
        messages=[{"role": "user", "content": PING}],
        max_tokens=PING_TOKENS,
        optional=frozenset(("max_tokens",)),
    )
    started = time.perf_counter()
    try:
        reply = await pool.model(name).chat(request)
    except RatchetError as error:
        return PingResult(
            name=name, reply=None, error=str(error), latency_s=time.perf_counter() - started
        )
    return PingResult(
        name=name,
        reply=reply.text or reply.refusal or "",
        latency_s=reply.latency_s,
        cost_usd=reply.usage.cost_usd,
    )


def settings_lines(server: LocalServer) -> str:
    """Return the lines of ratchet.toml that make a server of this machine an endpoint."""
    name = server.kind.replace(".", "").replace("-", "_")
    return f'[endpoints.{name}]\nbase_url = "{server.base_url}"'
