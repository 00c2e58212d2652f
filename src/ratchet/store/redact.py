"""Black out secrets, and where wanted personal data, before a request is logged: a log is read by more people than a request.

The patterns are in `redaction.yaml`. They find forms — keys, e-mail addresses, card numbers that pass Luhn's check — and no
names: whoever must hide those too should not log bodies at all.
"""

import json
import re
from functools import lru_cache
from pathlib import Path

import orjson
import yaml

from ratchet.core import Json
from ratchet.store.writer import storable

__all__ = ["clean", "redacted"]

CHECKED = "card"
"""Found by its digits, and only where they pass Luhn's check."""


def redacted(body: Json, kinds: tuple[str, ...]) -> bytes:
    """Return a body as JSON in which what the kinds (`secrets`, `pii`) name is replaced by its name in brackets, text by text."""
    known = patterns(kinds)
    try:
        whole = orjson.dumps(body)
        if b"\\u0000" not in whole and not found(body, known):
            return whole
    except TypeError:  # half a character, or a number of more than 64 bits
        pass
    plain = clean(body, kinds)
    try:
        return orjson.dumps(plain)
    except TypeError:  # a number of more than 64 bits
        return json.dumps(plain, ensure_ascii=False).encode()


def clean(value: Json, kinds: tuple[str, ...]) -> Json:
    """Return a value as a database takes it, with what the kinds name replaced."""
    return cleaned(storable(value), patterns(kinds))


def found(value: Json, known: list[tuple[str, re.Pattern[str]]]) -> bool:
    """Return whether there is anything to clean: the texts are looked through all at once, which may find too much."""
    texts = list[str]()
    gather(value, texts)
    whole = "\n".join(texts)
    return any(pattern.search(whole) for _, pattern in known)


def gather(value: Json, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, dict):
        texts += value
        for item in value.values():
            gather(item, texts)
    elif isinstance(value, list | tuple):
        for item in value:
            gather(item, texts)


def cleaned(value: Json, known: list[tuple[str, re.Pattern[str]]]) -> Json:
    """Return a value with every text in it cleaned, names of fields too."""
    if isinstance(value, str):
        for name, pattern in known:
            value = pattern.sub(checked if name == CHECKED else f"[{name}]", value)
        return value
    if isinstance(value, dict):
        return {cleaned(name, known): cleaned(item, known) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item, known) for item in value]
    return value


def checked(found: re.Match[str]) -> str:
    return "[card]" if is_card(found[0]) else found[0]


@lru_cache
def patterns(kinds: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    """Return names and patterns in the order of the file."""
    known = yaml.safe_load((Path(__file__).parent / "redaction.yaml").read_text("utf-8"))
    return [
        (name, re.compile(pattern, re.DOTALL))
        for kind in kinds
        for name, pattern in known[kind].items()
    ]


def is_card(found: str) -> bool:
    """Return whether the digits of a text pass Luhn's check (ISO/IEC 7812-1)."""
    digits = [int(one) for one in found if one.isdigit()]
    doubled = [d if k % 2 == 0 else sum(divmod(2 * d, 10)) for k, d in enumerate(reversed(digits))]
    return len(digits) >= 13 and sum(doubled) % 10 == 0
