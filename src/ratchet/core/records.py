"""The base of all nouns: a frozen record that is named by the hash of its content.

An id is a prefix and the first 16 hexadecimal digits of the SHA-256 of the record's canonical JSON. Canonical JSON is:
UTF-8, keys sorted, no spaces, non-ASCII characters written as themselves, and fields that equal their default left out, so
that a field added in a later version leaves the ids of records that do not use it unchanged. `tests/core/test_records.py`
pins ids of each noun in a golden file.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

__all__ = ["Json", "Record", "canonical_json", "comparable", "content_id", "written"]

Json = Any
"""A value that JSON can hold; typed loosely because mypy has no finite recursive form that pydantic validates quickly."""


def canonical_json(value: Json) -> str:
    """Return the one JSON text of `value`; NaN and infinities are refused with ValueError."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def written(value: Json) -> str:
    """Return a value as a reader is shown it: a text as it is, none as nothing, anything else as canonical JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_json(value)


def comparable(value: Json) -> str:
    """Return what two answers have in common that count as the same one: case and outer spaces aside."""
    return canonical_json(value).strip().casefold()


def content_id(prefix: str, value: Json) -> str:
    """Return `prefix` and the first 16 hexadecimal digits of the SHA-256 of the canonical JSON of `value`."""
    return f"{prefix}_{hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]}"


class Record(BaseModel):
    """A frozen record; unknown fields are refused, so that a misspelt setting never passes silently."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",  # the default writes null, which is read back as no number
    )
    prefix: ClassVar[str] = "r"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; what the original has computed and kept, such as its id, is computed anew of changed content."""
        copy = super().model_copy(update=update, deep=deep)
        if update:
            for name in copy.__dict__.keys() - type(copy).model_fields.keys():
                del copy.__dict__[name]
        return copy

    def plain(self) -> dict[str, Json]:
        """Return the record as JSON values, fields at their default left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def content_id(self) -> str:
        """Return the id that the content of this record has."""
        return content_id(self.prefix, self.plain())
