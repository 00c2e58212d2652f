"""What stands in an endpoint's refusals: whether it is about the key or about the input, and when to come again."""

import math
import re
import time
import zlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from ratchet.core.errors import ReplyError
from ratchet.models.protocol import ErrorDetails

__all__ = ["decompress", "is_about_access", "is_moderation", "retry_after"]

MODERATION_CODES = frozenset(
    ("content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked", "ResponsibleAIPolicyViolation")
)  # fmt: skip
MODERATION = re.compile(
    r"moderat|flagged|content[ _-](filter|management|polic)|safety|harmful|guardrail|prohibited content|responsible ai|"
    r"blocked|usage polic",
    re.IGNORECASE,
)
OF_THE_INPUT = re.compile(
    r"\b(input|prompt|message|content|request|text|conversation)s?\b", re.IGNORECASE
)
OF_THE_CALLER = re.compile(
    r"\b(accounts?|organi[sz]ations?|projects?|access|firewall|cloudflare|ip address|api[ _-]?keys?|credentials?|subscription)\b|<html",
    re.IGNORECASE,
)
ACCESS = re.compile(
    r"\bkeys?\b|permission|authori[sz]|authenti|credential|access|account|billing|quota|credit|token|region|country|"
    r"not allowed|forbidden|subscription|organi[sz]ation|project|plan\b",
    re.IGNORECASE,
)
MAX_PAGES = 64 << 20
"""Bytes that a compressed body may have once it is read."""


def is_moderation(details: ErrorDetails) -> bool:
    """Return whether a refusal is of this one input, by the provider's filter, and not of the caller or of a parameter."""
    if details.code in MODERATION_CODES or details.kind in MODERATION_CODES:
        return True
    message = details.message
    if details.param or OF_THE_CALLER.search(message):
        return False
    return bool(MODERATION.search(message) and OF_THE_INPUT.search(message))


def is_about_access(details: ErrorDetails) -> bool:
    """Return whether a refusal says that the caller may not, whatever the input."""
    words = " ".join(filter(None, (details.message, details.code, details.kind)))
    return bool(ACCESS.search(words))


def retry_after(header: bytes | None) -> float | None:
    """Return a Retry-After header in seconds from now, also where it is a date; None where it is missing or neither."""
    if header is None:
        return None
    text = header.decode("latin-1").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def decompress(content: bytes, headers: Mapping[bytes, bytes], name: str) -> bytes:
    """Return a body as it is without compression, which some servers use although none was asked for.

    Raises: ReplyError if it is compressed in a way that nobody asked for and that is not read here, or damaged.
    """
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding in (b"", b"identity"):
        return content
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        raise ReplyError(
            f"{name}: the endpoint compresses its replies ({encoding.decode('latin-1')!r}) although it is asked not to; "
            "switch that off there, or in the proxy before it",
            kind="malformed",
        )
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        body = reader.decompress(content, MAX_PAGES)
    except zlib.error as error:
        raise ReplyError(
            f"{name}: a compressed reply is damaged ({error})", kind="malformed"
        ) from error
    if not reader.eof:
        raise ReplyError(f"{name}: a compressed reply is cut short or too large", kind="malformed")
    return body
