"""Which family a model is of: judges tend to prefer answers of their own.

The families are data: `data/families.toml`. A name that is of none of them is of its maker's, where a router or a hub writes the
maker before it (`acme/foo-7b`), and else a family of its own.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["family_of"]

_DATA = Path(__file__).parent / "data" / "families.toml"
_WORD_ENDS = r"(?=v?\d|[^a-z0-9]|$)"
"""What must follow the beginning of a name: `phi-4` and `phi4` are of a family that `philosopher` is not of."""


def family_of(model: str) -> str:
    """Return the family of a model, by its name: its maker's, for example `anthropic`.

    Args:
        model: A name as Ratchet, an endpoint, a router or a hub writes it: `openai/gpt-5`, `local:models/qwen3-4b`,
            `openrouter/meta-llama/llama-4`, `ft:gpt-4.1-mini:acme::id`.
    Returns: the family; of no known one, the maker that stands before the name; else the name itself.
    """
    *owners, name = _segments(model)
    matches = [
        (match.start(), -len(match.group()), family)
        for family, pattern in _patterns().items()
        if (match := pattern.search(name))
    ]
    derived = [match for match in matches if match[2] in _data()["derived"]["families"]]
    if matches:
        return min(derived or matches)[2]
    endpoints = _data()["endpoints"]["names"]
    makers = [owner for owner in owners if owner and owner not in endpoints]
    return makers[-1] if makers and not model.startswith("local:") else name


def _segments(model: str) -> list[str]:
    """Return the parts of a name between its strokes; of a fine-tune's name the part that says what it was made from."""
    name = model.removeprefix("local:").strip().rstrip("/").lower()
    before, fine_tune, rest = name.rpartition("ft:")
    if fine_tune and (not before or before.endswith("/")):
        return [*before.rstrip("/").split("/"), rest.split(":")[0]]
    return name.split("/")


@cache
def _data() -> Mapping[str, Any]:
    return tomllib.loads(_DATA.read_text("utf-8"))


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Return a pattern a family: any of its beginnings, at the beginning of a word."""
    patterns = {}
    for family, starts in _data()["families"].items():
        inner = [rf"(?<![a-z0-9]){start}{_WORD_ENDS}" for start in starts if start[0] != "^"]
        first = [rf"{start}{_WORD_ENDS}" for start in starts if start[0] == "^"]
        patterns[family] = re.compile("|".join([*first, *sorted(inner, key=len, reverse=True)]))
    return patterns
