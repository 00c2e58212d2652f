"""What a metric can tell apart: answers that are wrong by a little, and answers to other examples, scored beside the right ones."""

import re
from collections.abc import Callable, Sequence
from typing import Literal

from ratchet.answer import parse_answer, written_answer
from ratchet.core import Example, Json, Record, Task, canonical_json
from ratchet.core.errors import TaskError
from ratchet.core.records import written
from ratchet.metrics import Metric
from ratchet.metrics.metric import takes_time
from ratchet.models import reply_in

__all__ = ["Contrast", "measure_contrasts"]

MAX_EXAMPLES = 200
MAX_QUERIES = 20
"""Examples that are looked at where scoring one runs a query."""
SHOWN_CHARACTERS = 120
FULL = 1 - 1e-9
Change = Literal[
    "other reference",
    "sign",
    "digit",
    "operator",
    "letter case",
    "type",
    "missing key",
    "missing item",
]


class Contrast(Record):
    """What a metric says of references that were changed in one way."""

    change: Change
    n: int
    """References that could be changed so."""
    score: float
    """The mean score of what came of it; the references themselves score 1, or about."""
    equal: int
    """Changed references that score 1 too: the metric, or the answer's form, cannot tell them from the right ones."""
    example: str = ""
    """The id of the first of these."""
    before: str = ""
    after: str = ""
    """What it is, and what it was changed into."""

    @property
    def is_blind(self) -> bool:
        """Whether what was changed makes another answer, and the metric says that it is right."""
        return self.equal > 0 and self.change != "letter case"


def measure_contrasts(
    task: Task, metric: Metric, references: Sequence[tuple[Example, Json]]
) -> list[Contrast]:
    """Return what a metric says of wrong answers, a kind of change each; kinds that fit no reference are left out.

    Args:
        task: Its form reads a changed answer first, as it would read a reply.
        metric: One without judges.
        references: Examples with their references in the task's form; the first few hundred are looked at.
    """
    some = list(references[: MAX_QUERIES if takes_time(metric) else MAX_EXAMPLES])
    found = []
    for change, make in _CHANGES.items():
        pairs = [
            (example, answer, changed)
            for place, (example, answer) in enumerate(some)
            if (changed := make(answer, place, some)) is not None
            and canonical_json(changed) != canonical_json(answer)
        ]
        if contrast := _contrast(change, task, metric, pairs):
            found.append(contrast)
    return found


def _contrast(
    change: Change, task: Task, metric: Metric, pairs: Sequence[tuple[Example, Json, Json]]
) -> Contrast | None:
    scores: list[tuple[float, tuple[Example, Json, Json]]] = []
    for pair in pairs:
        value = _score(task, metric, pair[0], pair[2])
        if value is not None:
            scores.append((value, pair))
    if not scores:
        return None
    equal = [pair for value, pair in scores if value >= FULL]
    example, before, after = equal[0] if equal else (None, "", "")
    return Contrast(
        change=change,
        n=len(scores),
        score=sum(value for value, _ in scores) / len(scores),
        equal=len(equal),
        example=example.id if example else "",
        before=written(before)[:SHOWN_CHARACTERS],
        after=written(after)[:SHOWN_CHARACTERS],
    )


def _score(task: Task, metric: Metric, example: Example, changed: Json) -> float | None:
    """Return the score of an answer that goes the way of a reply; None where the metric cannot score it."""
    answer, failure = parse_answer(task, reply_in(written_answer(task, changed, 0)))
    if failure:
        return 0.0
    try:
        return metric.score(example, answer).value
    except TaskError:
        return None


def _other_reference(
    answer: Json, place: int, references: Sequence[tuple[Example, Json]]
) -> Json | None:
    """Return the next reference that is another one."""
    mine = canonical_json(answer)
    for step in range(1, min(len(references), 50)):
        other = references[(place + step) % len(references)][1]
        if canonical_json(other) != mine:
            return other
    return None


def _first_changed(value: Json, change: Callable[[Json], Json | None]) -> Json | None:
    """Return a value with the first part changed that can be; None where none can."""
    if isinstance(value, dict):
        for name, part in value.items():
            if (changed := _first_changed(part, change)) is not None:
                return {**value, name: changed}
        return None
    if isinstance(value, list):
        for place, part in enumerate(value):
            if (changed := _first_changed(part, change)) is not None:
                return [*value[:place], changed, *value[place + 1 :]]
        return None
    return change(value)


def _sign(value: Json) -> Json | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return -value if value else None
    if isinstance(value, str):
        found = re.search(r"(?<![\w.,:/\-])-?\d", value)
        if found:
            digit = found.group().removeprefix("-") if "-" in found.group() else f"-{found.group()}"
            return value[: found.start()] + digit + value[found.end() :]
    return None


def _digit(value: Json) -> Json | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int | float):
        return value + 1
    found = re.search(r"\d(?!.*\d)", value, re.DOTALL)
    if not found:
        return None
    return value[: found.start()] + str((int(found.group()) + 1) % 10) + value[found.end() :]


def _operator(value: Json) -> Json | None:
    if not isinstance(value, str):
        return None
    found = re.search(r"(?<=[\w\s])[<>+](?=[\w\s=])", value)
    if not found:
        return None
    other = {"<": ">", ">": "<", "+": "-"}[found.group()]
    return value[: found.start()] + other + value[found.end() :]


def _letter_case(value: Json) -> Json | None:
    changed = value.swapcase() if isinstance(value, str) else None
    return changed if changed != value else None


def _type(value: Json) -> Json | None:
    """Return a value of another JSON type that looks alike: 1 for true, "5" for 5."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return written(value)
    return None


def _missing_key(value: Json) -> Json | None:
    """Return an object without its last field."""
    return dict(list(value.items())[:-1]) if isinstance(value, dict) and value else None


def _missing_item(value: Json) -> Json | None:
    """Return a value whose first list lacks its last item."""
    if isinstance(value, list):
        return value[:-1] if value else None
    if isinstance(value, dict):
        for name, part in value.items():
            if (changed := _missing_item(part)) is not None:
                return {**value, name: changed}
    return None


def _of_parts(change: Callable[[Json], Json | None], *, inside_only: bool = False) -> "_Maker":
    def make(answer: Json, _place: int, _all: Sequence[tuple[Example, Json]]) -> Json | None:
        if inside_only and not isinstance(answer, dict | list):
            return None
        return _first_changed(answer, change)

    return make


def _of_whole(change: Callable[[Json], Json | None]) -> "_Maker":
    return lambda answer, _place, _all: change(answer)


_Maker = Callable[[Json, int, Sequence[tuple[Example, Json]]], Json | None]
_CHANGES: dict[Change, _Maker] = {
    "other reference": _other_reference,
    "sign": _of_parts(_sign),
    "digit": _of_parts(_digit),
    "operator": _of_parts(_operator),
    "letter case": _of_parts(_letter_case),
    "type": _of_parts(_type, inside_only=True),
    "missing key": _of_whole(_missing_key),
    "missing item": _of_whole(_missing_item),
}
