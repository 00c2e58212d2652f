"""promptfoo's providers as models of endpoints, and their settings as decoding."""

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from ratchet.core import Decoding, Json
from ratchet.core.errors import DataError
from ratchet.exchange.losses import Losses
from ratchet.exchange.promptfoo.files import find_files, load_structure

__all__ = ["Endpoint", "Provider", "known_base_url", "read_provider", "read_providers"]

_TABLE = Path(__file__).with_name("providers.toml")
_CALLS = ("chat", "completion", "completions", "messages", "responses", "embedding", "embeddings")
_BASE_URLS = ("apiBaseUrl", "apiBaseURL", "baseUrl", "baseURL", "api_base")
_DECODING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "num_predict": "max_tokens",
    "maxOutputTokens": "max_tokens",
    "topP": "top_p",
    "reasoning_effort": "effort",
}
_PLACES = ("apiHost", "apiKeyEnvar", "region", "projectId", *_BASE_URLS)
_PARTS = ("id", "config", "label")


@dataclass(frozen=True)
class Endpoint:
    """What stands in `ratchet.toml` for a provider."""

    base_url: str
    key_env: str | None = None

    def as_toml(self, name: str) -> str:
        """Return it as lines of `ratchet.toml`."""
        key = f'\nkey_env = "{self.key_env}"' if self.key_env else ""
        return f'[endpoints.{name}]\nbase_url = "{self.base_url}"{key}'


@dataclass(frozen=True)
class Provider:
    """A model with how it is asked."""

    model: str
    """`<endpoint>/<model>`."""
    name: str
    """Of the endpoint."""
    endpoint: Endpoint
    decoding: Decoding = field(default_factory=Decoding)


def read_providers(given: Json, folder: Path, losses: Losses) -> list[Provider]:
    """Return the providers that can be asked here; the others are noted.

    Args:
        given: A name, an object, a file, or a list of these.
        folder: Where files are looked for.
        losses: Takes what is not kept.
    """
    entries = given if isinstance(given, list) else [] if given is None else [given]
    providers: list[Provider] = []
    for entry in entries:
        if isinstance(entry, str) and re.search(r"\.(ya?ml|json)$", entry):
            try:
                for path in find_files(folder, entry):
                    providers += read_providers(load_structure(path), path.parent, losses)
            except DataError as error:
                losses.add(f"provider {entry!r}: {error}")
            continue
        provider = read_provider(entry, losses)
        if provider is not None:
            providers.append(provider)
    return providers


def read_provider(given: Json, losses: Losses) -> Provider | None:
    """Return one provider; None where it is none that can be asked here."""
    if isinstance(given, dict) and "id" not in given and len(given) == 1:
        name, settings = next(iter(given.items()))
        given = {"id": name, **settings} if isinstance(settings, dict) else {"id": name}
    body = given if isinstance(given, dict) else {"id": given}
    name = str(body.get("id"))
    given_config = body.get("config")
    config: dict[str, Json] = given_config if isinstance(given_config, dict) else {}
    for part in sorted(set(body) - set(_PARTS)):
        losses.add(f"{part} of a provider", f"provider {name!r}")
    platform, *rest = name.split(":")
    if rest and rest[0] in _CALLS:
        rest = rest[1:]
    row = _platforms().get(platform)
    model = ":".join(rest)
    if row is None or not model:
        losses.add(f"provider {name!r}: name its endpoint in ratchet.toml by hand")
        return None
    label, endpoint = _endpoint(platform, row, config)
    return Provider(
        model=f"{label}/{row.get('prefix', '')}{model}",
        name=label,
        endpoint=endpoint,
        decoding=_decoding(config, name, losses),
    )


def known_base_url(platform: str) -> str | None:
    """Return the address of a platform that promptfoo knows by name; None where it has none, or one that settings make."""
    base_url = _platforms().get(platform, {}).get("base_url")
    return None if base_url is None or "{" in base_url else base_url


@cache
def _platforms() -> dict[str, dict[str, str]]:
    return tomllib.loads(_TABLE.read_text("utf-8"))


def _endpoint(platform: str, row: dict[str, str], config: dict[str, Json]) -> tuple[str, Endpoint]:
    """Return the endpoint's name and settings; one with an address of its own is named after its host."""
    name = row.get("endpoint", platform)
    key_env = config.get("apiKeyEnvar") or row.get("key_env")
    own = next((str(config[part]) for part in _BASE_URLS if config.get(part)), None)
    if own is not None:
        host = urlsplit(own).hostname or "own"
        if host != urlsplit(row["base_url"]).hostname:
            name = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-") or "own"
        return name, Endpoint(own.rstrip("/"), key_env)
    base_url = re.sub(
        r"\{(\w+)\}",
        lambda found: str(config.get(found[1]) or row.get(found[1]) or found[0]),
        row["base_url"],
    )
    if platform == "openai" and config.get("apiHost"):
        base_url = f"https://{config['apiHost']}/v1"
    return name, Endpoint(base_url, key_env)


def _decoding(config: dict[str, Json], name: str, losses: Losses) -> Decoding:
    """Return what a provider's settings say of decoding; what has no equal here is noted."""
    settings: dict[str, Json] = {}
    for option, value in config.items():
        if option in _DECODING and value is not None:
            try:
                Decoding.model_validate({_DECODING[option]: value})
            except ValidationError:
                losses.add(f"provider setting {option} = {value!r}"[:120], f"provider {name!r}")
                continue
            settings[_DECODING[option]] = value
        elif option not in _PLACES:
            losses.add(f"provider setting {option}", f"provider {name!r}")
    return Decoding.model_validate(settings)
