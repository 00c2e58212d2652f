"""Find out how a chat template writes tool calls: it is given calls with known names and arguments, and its text is looked at.

What is found is believed only after a round trip: the form must write a set of difficult calls exactly as the template does, and read
them back as they were. Where it does not, or the template leaves tools or calls out, there is no form, and plain JSON is used.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ratchet.core import Json
from ratchet.models.tool_format import CALL_ID, NAME, KeyedArguments, ToolForm
from ratchet.models.tool_grammar import MARK
from ratchet.models.tool_values import (
    COMPACT,
    SPACED,
    MarkedNotation,
    Notation,
    PythonNotation,
    TextStyle,
    Values,
)

__all__ = ["PROBE_TOOL", "Writer", "find_form"]

PROBE_NAME = "probe_tool"
PROBE_TOOL: dict[str, Json] = {
    "type": "function",
    "function": {
        "name": PROBE_NAME,
        "description": "A probe.",
        "parameters": {
            "type": "object",
            "properties": {
                "key_b": {"type": "string", "description": "The first."},
                "key_a": {"type": "string", "description": "The second."},
            },
            "required": ["key_b", "key_a"],
        },
    },
}
FIRST, SECOND, THIRD, FOURTH = 48151, 62342, 48153, 62344
WORDS = "plainwords"
DIFFICULT: tuple[Json, ...] = (
    {"key_b": 'it\'s "so" <b> & Köln', "key_a": "two\nlines"},
    {"key_b": "3", "key_a": ""},
    {"key_b": 3, "key_a": -1.5},
    {"key_b": True, "key_a": None},
    {"key_b": ["p", 1, False, ["q"]], "key_a": {"deep": {"deeper": ["r"]}, "n": 2}},
    {"key_b": [], "key_a": {}},
    {"key_b": [{"start": 1, "text": "it's"}]},
    {},
)
"""Arguments that a form must write as the template does, and read as they were."""

Writer = Callable[[Sequence[tuple[str, Json]]], str]
"""Returns what a template writes for calls, without what begins and ends any turn; raises what the template raises."""


@dataclass(frozen=True)
class _Keyed:
    """Where the parts of two arguments stand in a template's text."""

    before: str
    key_separator: str
    item_separator: str
    after: str
    is_sorted: bool


def find_form(write: Writer, call_id: str, *, ends_as_words: bool) -> ToolForm | None:
    """Return the form of a template's calls, or None where it has none that is sure.

    Args:
        write: What the template makes of calls.
        call_id: The id that the calls are given.
        ends_as_words: Whether a turn of calls ends as a turn of words does, so that `write` has taken the end off.
    """
    numbers = {"key_b": FIRST, "key_a": SECOND}
    text = _mark_holes(write([(PROBE_NAME, numbers)]), call_id)
    form = _find_json(text, numbers) or _find_keyed(text, write, call_id)
    if form is None or NAME not in form.head:
        return None
    form = replace(form, joint=_find_joint(write, form, call_id))
    marks = MARK.findall(form.tail)
    if not ends_as_words and marks and form.tail.endswith(marks[-1]):
        form = replace(form, ending=marks[-1])
    return form if _is_sure(form, write, call_id) else None


def _mark_holes(text: str, call_id: str) -> str:
    return text.replace(PROBE_NAME, NAME).replace(call_id, CALL_ID)


def _find_json(text: str, arguments: Json) -> ToolForm | None:
    for notation in (SPACED, COMPACT):
        written = notation.write(arguments)
        if text.count(written) == 1:
            head, tail = text.split(written)
            return ToolForm(head=head, tail=tail, joint=None, arguments=notation)
    return None


def _find_keyed(text: str, write: Writer, call_id: str) -> ToolForm | None:
    keyed = _part_keys(text)
    if keyed is None:
        return None

    def write_value(value: Json) -> str:
        whole = _mark_holes(write([(PROBE_NAME, {"key_b": value})]), call_id)
        before = f"{keyed.before}key_b{keyed.key_separator}"
        if not whole.startswith(before) or not whole.endswith(keyed.after):
            raise ValueError("a value changes what stands around it")
        return whole[len(before) : len(whole) - len(keyed.after)]

    text_style = _find_text_style(write_value)
    words = tuple((write_value(value), value) for value in (True, False, None))
    if text_style is None or len({word for word, _ in words}) < len(words):
        return None
    marked = MarkedNotation(
        text_style, words, keyed.item_separator, keyed.key_separator, keyed.is_sorted
    )
    notations: tuple[Notation, ...] = (SPACED, COMPACT, PythonNotation(), marked)
    lists = _choose(notations, ["it's", 1, True, {"k": "v"}, ["w"]], write_value)
    objects = _choose(notations, {"kb": "it's", "ka": [1, "w"], "kc": True}, write_value)
    if lists is None or objects is None:
        return None
    return ToolForm(
        head=keyed.before,
        tail=keyed.after,
        joint=None,
        arguments=KeyedArguments(
            keyed.key_separator,
            keyed.item_separator,
            Values(text_style, words, lists, objects),
            keyed.is_sorted,
        ),
        empty=_mark_holes(write([(PROBE_NAME, {})]), call_id),
    )


def _part_keys(text: str) -> _Keyed | None:
    """Return how two arguments are written, if each is a key and a number."""
    is_sorted = text.find("key_a") < text.find("key_b")
    numbers = {"key_b": str(FIRST), "key_a": str(SECOND)}
    keys = sorted(numbers) if is_sorted else list(numbers)
    parts = []
    for part in (keys[0], numbers[keys[0]], keys[1], numbers[keys[1]]):
        before, found, text = text.partition(part)
        if not found:
            return None
        parts.append(before)
    if parts[1] != parts[3] or not parts[1] or not parts[2]:
        return None
    return _Keyed(parts[0], parts[1], parts[2], text, is_sorted)


def _find_text_style(write_value: Callable[[Json], str]) -> TextStyle | None:
    opening, found, closing = write_value(WORDS).partition(WORDS)
    if not found:
        return None
    for is_escaped in (False, True):
        if is_escaped and not closing:
            continue
        style = TextStyle(opening, closing, is_escaped)
        if style.write("a'b\\c\nd") == write_value("a'b\\c\nd"):
            return style
    return None


def _choose(
    notations: Sequence[Notation], value: Json, write_value: Callable[[Json], str]
) -> Notation | None:
    text = write_value(value)
    return next((one for one in notations if one.write(value) == text), None)


def _find_joint(write: Writer, form: ToolForm, call_id: str) -> str | None:
    """Return what stands between the arguments of two calls; None where a turn does not hold two."""
    first, second = ({"key_b": number} for number in (FIRST, SECOND))
    try:
        text = _mark_holes(write([(PROBE_NAME, first), (PROBE_NAME, second)]), call_id)
    except Exception:  # noqa: BLE001 - a template may raise anything
        return None
    writer = form.arguments.write
    begin = form.head + writer(first)
    end = writer(second) + form.tail
    if not text.startswith(begin) or not text.endswith(end) or len(text) < len(begin) + len(end):
        return None
    joint = text[len(begin) : len(text) - len(end)]
    return joint if NAME in joint else None


def _is_sure(form: ToolForm, write: Writer, call_id: str) -> bool:
    """Return whether a form writes difficult calls as the template does, and reads them as they were."""
    for arguments in DIFFICULT:
        written = write([(PROBE_NAME, arguments)])
        if form.write([(PROBE_NAME, arguments)]).replace(CALL_ID, call_id) != written:
            return False
        tool = _tool_taking(arguments)
        for text in {written, written.removesuffix(form.ending)}:
            read = [(one.call.name, one.call.arguments) for one in form.read(text, [tool])]
            if read != [(PROBE_NAME, COMPACT.write(arguments))] and not _is_same(read, arguments):
                return False
    return True


def _is_same(read: Sequence[tuple[str, str]], arguments: Json) -> bool:
    """Return whether one call was read with these arguments, in whatever order."""
    return [(name, json.loads(text)) for name, text in read] == [(PROBE_NAME, arguments)]


def _tool_taking(arguments: Json) -> dict[str, Json]:
    """Return the probe's tool with a schema that says which arguments are text."""
    properties = {
        key: {"type": "string"} if isinstance(value, str) else {}
        for key, value in arguments.items()
    }
    function = {"name": PROBE_NAME, "parameters": {"type": "object", "properties": properties}}
    return {"type": "function", "function": function}
