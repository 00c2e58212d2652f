"""Black out secrets, and where wanted personal data, before a request is logged: a log is read by more people than a request.

The patterns are in `redaction.yaml`. They find forms — keys, e-mail addresses, card numbers that pass Luhn's check — and no
names: whoever must hide those too should not log bodies at all.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson
import yaml

from ratchet.core import Json
from ratchet.store.storable import storable

__all__ = ["clean", "redacted"]

COMMON = "zqjxkvbywgpfmucdlhrsnioate_"
"""Letters of texts in JSON, the rare ones first (P. Norvig, English letter frequency counts, 2012), and what stands in its names; any other is rarer."""
CHECKED = "card"
"""Found by its digits, and only where they pass Luhn's check."""


@dataclass(frozen=True)
class Kind:
    """Something that is blacked out."""

    name: str
    pattern: re.Pattern[str]
    signs: tuple[tuple[bytes, bytes], ...]
    """Whatever it finds holds one of them; without any, it may be anywhere. Each with its rarest letter, which is found ten times as fast."""

    def may_be_in(self, whole: bytes) -> bool:
        """Return whether JSON may hold it: to look for signs takes a fraction of the time."""
        for rare, sign in self.signs:
            if rare in whole and sign in whole:
                return True
        return not self.signs


def redacted(body: Json, kinds: tuple[str, ...]) -> bytes:
    """Return a body as JSON in which what the kinds (`secrets`, `pii`) name is replaced by its name in brackets, text by text."""
    known = patterns(kinds)
    try:
        whole = orjson.dumps(body)
        likely = [kind for kind in known if kind.may_be_in(whole)]
        has_nul = b"\\" in whole and b"\\u0000" in whole
        if not has_nul and not (likely and found(body, likely)):
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


def found(value: Json, known: list[Kind]) -> bool:
    """Return whether there is anything to clean: the texts are looked through all at once, which may find too much."""
    texts = list[str]()
    gather(value, texts)
    whole = "\n".join(texts)
    return any(kind.pattern.search(whole) for kind in known)


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


def cleaned(value: Json, known: list[Kind]) -> Json:
    """Return a value with every text in it cleaned, names of fields too."""
    if isinstance(value, str):
        for kind in known:
            value = kind.pattern.sub(checked if kind.name == CHECKED else f"[{kind.name}]", value)
        return value
    if isinstance(value, dict):
        return {cleaned(name, known): cleaned(item, known) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item, known) for item in value]
    return value


def checked(found: re.Match[str]) -> str:
    return "[card]" if is_card(found[0]) else found[0]


@lru_cache
def patterns(kinds: tuple[str, ...]) -> list[Kind]:
    """Return what the file knows of the kinds, in its order."""
    known = yaml.safe_load((Path(__file__).parent / "redaction.yaml").read_text("utf-8"))
    return [
        Kind(
            name,
            re.compile(one["pattern"], re.DOTALL),
            tuple(
                (min(sign, key=COMMON.find).encode(), sign.encode())
                for sign in one.get("signs", ())
            ),
        )
        for kind in kinds
        for name, one in known[kind].items()
    ]


def is_card(found: str) -> bool:
    """Return whether the digits of a text pass Luhn's check (ISO/IEC 7812-1)."""
    digits = [int(one) for one in found if one.isdigit()]
    doubled = [d if k % 2 == 0 else sum(divmod(2 * d, 10)) for k, d in enumerate(reversed(digits))]
    return len(digits) >= 13 and sum(doubled) % 10 == 0
