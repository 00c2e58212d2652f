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

__all__ = ["redacted"]

CHECKED = "card"
"""Found by its digits, and only where they pass Luhn's check."""


def redacted(body: Json, kinds: tuple[str, ...]) -> bytes:
    """Return a body as JSON in which what the kinds (`secrets`, `pii`) name is replaced by its name in brackets."""
    try:
        text = orjson.dumps(body)
    except TypeError:  # half a surrogate pair, or a number of more than 64 bits
        text = json.dumps(storable(body), ensure_ascii=False).encode()
    for name, pattern in patterns(kinds):
        mark = f"[{name}]".encode()
        text = pattern.sub(checked if name == CHECKED else mark, text)
    return text


def checked(found: re.Match[bytes]) -> bytes:
    return b"[card]" if is_card(found[0]) else found[0]


@lru_cache
def patterns(kinds: tuple[str, ...]) -> list[tuple[str, re.Pattern[bytes]]]:
    """Return names and patterns in the order of the file."""
    known = yaml.safe_load((Path(__file__).parent / "redaction.yaml").read_text("utf-8"))
    return [
        (name, re.compile(pattern.encode(), re.DOTALL))
        for kind in kinds
        for name, pattern in known[kind].items()
    ]


def is_card(found: bytes) -> bool:
    """Return whether the digits of a text pass Luhn's check (ISO/IEC 7812-1)."""
    digits = [int(chr(byte)) for byte in found if chr(byte).isdigit()]
    doubled = [d if k % 2 == 0 else sum(divmod(2 * d, 10)) for k, d in enumerate(reversed(digits))]
    return len(digits) >= 13 and sum(doubled) % 10 == 0
