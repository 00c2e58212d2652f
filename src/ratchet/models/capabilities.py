"""What a model takes: which parameters, which efforts, which way of forcing JSON, how much it reads and writes.

Layers, of which a later one wins: the open catalogue of models; what is known of families beyond it (`data/capabilities.toml`); what
the endpoint itself said; what `ratchet.toml` says. This module has the first two: `known_capabilities`. The others come on top by
`Capabilities.updated`. What nobody knows is None, and is tried: an endpoint says what it does not take.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from ratchet.core.errors import UsageError, did_you_mean
from ratchet.models.catalogue import (
    catalogue_entries,
    catalogue_entry,
    host_of,
    is_on_this_machine,
    maker_entry,
    name_keys,
)

__all__ = ["Capabilities", "Effort", "known_capabilities"]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_DATA = Path(__file__).parent / "data" / "capabilities.toml"
_OF_THE_SERVER = ("structured", "context_tokens", "output_tokens")
"""What depends on the server more than on the weights: a catalogue says nothing of it where a model runs on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What one model takes at one address; None is not known.

    Example: `Capabilities().updated("settings", temperature=False).temperature` is False.
    """

    temperature: bool | None = None
    """Whether a temperature other than 1 is taken."""
    top_p: bool | None = None
    seed: bool | None = None
    stop: bool | None = None
    penalties: bool | None = None
    """Whether presence and frequency penalties are taken."""
    logprobs: bool | None = None
    tools: bool | None = None
    images: bool | None = None
    stream_usage: bool | None = None
    """Whether the usage may be asked for at the end of a stream (`stream_options`)."""
    reasoning: bool | None = None
    """Whether the model thinks before it answers."""
    efforts: tuple[Effort, ...] | None = None
    """The efforts that are taken; empty where none may be named."""
    default_effort: Effort | None = None
    """How much it thinks where the request does not say."""
    sampling_needs_effort_none: bool | None = None
    """Temperature, top_p and log probabilities are taken only with the effort `none`."""
    structured: Literal["strict", "schema", "object", "none"] | None = None
    """How JSON can be forced: by a schema that is followed to the letter, by a schema, as any object, not at all."""
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] | None = None
    tools_protocol: Literal["chat", "responses"] | None = None
    """By which protocol alone function tools are taken."""
    tools_effort: Effort | None = None
    """The effort that function tools over chat completions need."""
    context_tokens: int | None = None
    """Tokens of prompt and answer together."""
    output_tokens: int | None = None
    """The most tokens of an answer, thinking included."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """By field where its value is from: `catalogue`, `ratchet`, `settings` or `learned`."""

    @property
    def samples_unasked(self) -> bool:
        """Whether sampling may be named without an effort beside it."""
        return not self.sampling_needs_effort_none or self.default_effort == "none"

    def updated(self, source: str, **values: Any) -> "Capabilities":
        """Return the capabilities with other values, which are from `source`; a value of None says nothing and changes nothing.

        Raises: UsageError if there is no such field, or the value is none of its own.
        """
        known = {name: _checked(name, value) for name, value in values.items() if value is not None}
        sources = {**self.sources, **dict.fromkeys(known, source)}
        return replace(self, **known, sources=sources)


@lru_cache(maxsize=1024)
def known_capabilities(model: str, base_url: str = "") -> Capabilities:
    """Return what the catalogue and Ratchet know of a model at an address.

    Each field is from the first of these that says something: the catalogue's entry at the provider of that address; its entry at the
    model's maker; what most providers say of a model of that name. `data/capabilities.toml` wins over all of them. Of a model on this
    machine nothing is taken from the catalogue that depends on the server: lengths, and ways of forcing JSON.

    Args:
        model: The model's name as its endpoint has it; of a fine-tune, what it was made from counts.
        base_url: The endpoint's address; empty where it is not known.
    """
    capabilities = Capabilities().updated("catalogue", **_from_catalogue(model, base_url))
    for rule in _rules(model, base_url):
        capabilities = capabilities.updated("ratchet", **rule)
    return capabilities


def _checked(name: str, value: Any) -> Any:
    """Return a value as a field of `Capabilities` has it."""
    if name not in _ALLOWED:
        raise UsageError(
            f"a model has no capability {name!r}; there are {', '.join(_ALLOWED)}.{did_you_mean(name, _ALLOWED)}"
        )
    allowed = _ALLOWED[name]
    if allowed is int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} is a number of tokens of at least 1, got {value!r}")
        return value
    if name == "efforts":
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise UsageError(f"efforts is a list of some of {', '.join(allowed)}, got {value!r}")
        return tuple(_one_of(name, effort, allowed) for effort in value)
    return _one_of(name, value, allowed)


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if not any(
        value is choice or (isinstance(value, str) and value == choice) for choice in allowed
    ):
        choices = ", ".join(str(choice).lower() for choice in allowed)
        raise UsageError(f"{name} is one of {choices}, got {value!r}")
    return value


def _choices(name: str) -> tuple[Any, ...] | type[int]:
    """Return what a field may be: `int`, or its values."""
    efforts = get_args(Effort)
    special: dict[str, tuple[Any, ...] | type[int]] = {
        "efforts": efforts,
        "default_effort": efforts,
        "tools_effort": efforts,
        "structured": ("strict", "schema", "object", "none"),
        "max_tokens_name": ("max_tokens", "max_completion_tokens"),
        "tools_protocol": ("chat", "responses"),
        "context_tokens": int,
        "output_tokens": int,
    }
    return special.get(name, (True, False))


_ALLOWED: Mapping[str, Any] = {
    each.name: _choices(each.name) for each in fields(Capabilities) if each.name != "sources"
}


def _from_catalogue(model: str, base_url: str) -> dict[str, Any]:
    at_address = _read_entry(catalogue_entry(model, base_url) or {})
    at_maker = _read_entry(maker_entry(model) or {})
    elsewhere = [_read_entry(entry) for entry in catalogue_entries(model)]
    merged: dict[str, Any] = {}
    for name in _FIELDS_OF_CATALOGUE:
        votes = [entry[name] for entry in elsewhere if name in entry]
        value = at_address.get(name, at_maker.get(name, _most_common(votes)))
        if value is not None:
            merged[name] = value
    if is_on_this_machine(base_url):
        merged = {name: value for name, value in merged.items() if name not in _OF_THE_SERVER}
    return merged


_FIELDS_OF_CATALOGUE = ("temperature", "reasoning", "tools", "images", *_OF_THE_SERVER)


def _read_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry of the catalogue says, by fields of `Capabilities`.

    `structured_output: false` is passed over: whether JSON can be forced in a weaker way, the entry does not say. So is a
    length of answers that is the whole context: it stands where nobody knew.
    """
    limit, modalities = entry.get("limit") or {}, entry.get("modalities") or {}
    context, output = limit.get("context") or 0, limit.get("output") or 0
    said = {
        "temperature": entry.get("temperature"),
        "reasoning": entry.get("reasoning"),
        "tools": entry.get("tool_call"),
        "images": "image" in modalities["input"] if "input" in modalities else None,
        "structured": "strict" if entry.get("structured_output") else None,
        "context_tokens": context or None,
        "output_tokens": output if 0 < output < (context or output + 1) else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _most_common(values: list[Any]) -> Any:
    """Return what more say than anything else; None where no value has most, the smaller one of lengths."""
    ranked = Counter(values).most_common()
    if not ranked:
        return None
    first = [value for value, count in ranked if count == ranked[0][1]]
    if len(first) == 1:
        return first[0]
    return min(first) if isinstance(first[0], int) and not isinstance(first[0], bool) else None


def _rules(model: str, base_url: str) -> Iterator[dict[str, Any]]:
    """Yield what `data/capabilities.toml` says of a model and an address, later entries later."""
    host = host_of(base_url)
    names = name_keys(model)
    for rule in _data().get("models", ()):
        if host in rule.get("hosts", (host,)) and any(
            _matches(rule["match"], key) for key in names
        ):
            yield {name: value for name, value in rule.items() if name not in ("match", "hosts")}
    for rule in _data().get("endpoints", ()):
        if host in rule["hosts"]:
            yield {name: value for name, value in rule.items() if name != "hosts"}


def _matches(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


@cache
def _data() -> Mapping[str, list[dict[str, Any]]]:
    return tomllib.loads(_DATA.read_text("utf-8"))
