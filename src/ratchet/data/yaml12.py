"""YAML 1.2 as its core schema has it: `yes`, `no`, `on`, `12:30` and `2024-05-12` are text.

PyYAML reads YAML 1.1, where these are booleans, a number in base 60 and a date.
"""

import re
from itertools import count
from typing import Any

import yaml

from ratchet.core import Json

__all__ = ["parse_yaml"]

_MAX_NODES = 2_000_000
"""Values of a document, aliases written out: a few lines of aliases of aliases would fill any memory."""

_TYPES: tuple[tuple[str, str, list[str]], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
)


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the types of the core schema alone."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    aliases = True

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node; an alias only where they are allowed."""
        if not self.aliases and self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping by texts: as Python's keys, 1 and true would be one."""
        self.flatten_mapping(node)
        mapping = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, dict | list):
                raise yaml.YAMLError(f"a key is a list or an object: {str(key)[:60]}")
            mapping[_key_text(key)] = self.construct_object(value_node, deep=deep)
        return mapping

    def construct_core_int(self, node: yaml.ScalarNode) -> int:
        """Return a whole number; a leading zero is no octal mark."""
        text = str(self.construct_scalar(node))
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)

    def construct_core_float(self, node: yaml.ScalarNode) -> float:
        """Return a decimal number."""
        text = str(self.construct_scalar(node)).lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))


for _name, _pattern, _first in _TYPES:
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _first
    )
_CoreLoader.add_constructor("tag:yaml.org,2002:int", _CoreLoader.construct_core_int)
_CoreLoader.add_constructor("tag:yaml.org,2002:float", _CoreLoader.construct_core_float)


class _PlainLoader(_CoreLoader):
    """Reads no aliases: for text that a model wrote."""

    aliases = False


def parse_yaml(text: str, *, aliases: bool = True) -> Json:
    """Return what a YAML document says.

    Args:
        text: One document.
        aliases: Whether `*name` may stand for what `&name` marks; not in text of a stranger.
    Raises: ValueError if it is not valid YAML, nests too deeply, or its aliases make too much of it.
    """
    try:
        value: Any = yaml.load(text, Loader=_CoreLoader if aliases else _PlainLoader)  # noqa: S506 - derived from the safe loader
        return _copied(value, count())
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error


def _copied(value: Json, seen: "count[int]") -> Json:
    """Return a value of JSON's types, aliases written out."""
    if next(seen) > _MAX_NODES:
        raise ValueError(f"the document has more than {_MAX_NODES:,} values")
    if isinstance(value, dict):
        return {key: _copied(part, seen) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part, seen) for part in value]
    return value if isinstance(value, str | int | float | None) else str(value)


def _key_text(key: object) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    return str(key)
