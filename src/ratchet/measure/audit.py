"""Look at training answers before anything is trained: do they look like the answers that the task wants?

Weights learn whatever the answers have in common: their length, their manner, their language. So each of these is compared
with the references that people checked. A difference is told when it is large, and too large for chance (Mann and Whitney's
test for lengths, Fisher's for shares).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from ratchet.answer import parse_answer, written_answer
from ratchet.core import Example, Task, canonical_json
from ratchet.data import find_leaks
from ratchet.measure.check import Finding
from ratchet.models import ChatReply, reply_in
from ratchet.tuning import Conversation

__all__ = ["audit", "audit_sentence"]

SHOWN = 5
SURE = 0.001
"""Chance, under no difference at all, below which one is told of: several things are looked at."""
LONGER = 1.5
"""A ratio of median lengths that matters."""
MORE = 0.25
"""A difference of shares that matters."""
NO_LANGUAGE = "zxx"
"""What ISO 639 calls a text that is in no language."""
LANGUAGE_FROM = 20
"""Characters from which a text's language can be told."""
STYLES: dict[str, Callable[[str], bool]] = {
    "end in a full stop": lambda text: text.rstrip().endswith("."),
    "begin with a small letter": lambda text: text[:1].islower(),
    "ask a question": lambda text: "?" in text,
    "exclaim": lambda text: "!" in text,
    "run over several lines": lambda text: "\n" in text.strip(),
    "use Markdown": lambda text: bool(re.search(r"\*\*|^#+ |^[-*] |```", text, re.MULTILINE)),
    "hold an emoji": lambda text: bool(re.search("[\U0001f300-\U0001faff☀-➿]", text)),
    "speak of themselves (I, we)": lambda text: bool(re.search(r"\b(I|I'm|I'll|we|We)\b", text)),
    "promise instead of doing": lambda text: bool(
        re.search(
            r"\b(I'll|I will|I can do|will do|let me|on it|get back to you)\b", text, re.IGNORECASE
        )
    ),
}


def audit(task: Task, rows: Sequence[Conversation], examples: Sequence[Example]) -> list[Finding]:
    """Return what every look found, in a fixed order; rows are named by their place, from 1.

    Args:
        task: What the weights shall do.
        rows: What they would be trained on; of each the last answer is looked at.
        examples: The task's own, with splits: their references are what answers shall look like.
    """
    replies = [reply_in(row.messages[row.taught[-1]]) for row in rows]
    texts = [text_of(reply) for reply in replies]
    wanted = [text_of(reply_in(written_answer(task, one.reference, 0))) for one in examples]
    return [
        form(task, replies),
        length(texts, wanted),
        style(texts, wanted),
        language(texts, wanted),
        sameness(texts, wanted),
        conflicts(rows, texts),
        leakage(rows, examples),
    ]


def audit_sentence(findings: Sequence[Finding]) -> str:
    """Return the audit in a sentence."""
    errors = [finding.check for finding in findings if finding.level == "error"]
    warnings = [finding.check for finding in findings if finding.level == "warning"]
    if errors:
        return f"do not train on this yet: {', '.join(errors)}"
    if warnings:
        return f"look at this first: {', '.join(warnings)}; start with a small run"
    return "the answers look like those that the task wants"


def text_of(reply: ChatReply) -> str:
    return reply.text + "".join(call.arguments for call in reply.tool_calls)


def told(
    check: str, places: Sequence[int], text: str, good: str, level: str = "warning"
) -> Finding:
    """Return a finding about rows at these places, or that all is well."""
    if not places:
        return Finding(check=check, level="ok", text=good)
    shown = tuple(f"row {place + 1}" for place in places[:SHOWN])
    return Finding(
        check=check, level="error" if level == "error" else "warning", text=text, examples=shown
    )


def form(task: Task, replies: Sequence[ChatReply]) -> Finding:
    """Name answers that do not have the form which the task declares."""
    wrong = [place for place, reply in enumerate(replies) if parse_answer(task, reply)[1]]
    return told(
        "form",
        wrong,
        f"{len(wrong)} of {len(replies)} answers are no {task.answer.kind} as the task declares it: the weights would learn to give such answers",
        f"every answer is a {task.answer.kind} as the task declares it",
        "error",
    )


def length(texts: Sequence[str], wanted: Sequence[str]) -> Finding:
    """Compare lengths in characters."""
    ours, theirs = np.array([len(t) for t in texts]), np.array([len(t) for t in wanted])
    if min(len(ours), len(theirs)) == 0:
        return Finding(check="length", level="ok", text="nothing to compare with")
    median, reference = float(np.median(ours)), float(np.median(theirs))
    ratio = (median + 1) / (reference + 1)
    p = float(stats.mannwhitneyu(ours, theirs).pvalue)
    is_off = p < SURE and not 1 / LONGER <= ratio <= LONGER
    far = np.argsort(-np.abs(np.log((ours + 1) / (reference + 1))), kind="stable")
    return told(
        "length",
        [int(place) for place in far] if is_off else [],
        f"the answers have {median:.0f} characters in the middle, the references {reference:.0f}",
        f"as long as the references ({median:.0f} and {reference:.0f} characters in the middle)",
    )


def style(texts: Sequence[str], wanted: Sequence[str]) -> Finding:
    """Compare manners: how many of the answers, and of the references, do each of `STYLES`."""
    found: list[str] = []
    places: list[int] = []
    for name, has in STYLES.items():
        ours, theirs = [has(text) for text in texts], [has(text) for text in wanted]
        share, reference = mean(ours), mean(theirs)
        if abs(share - reference) >= MORE and unlike(ours, theirs):
            found.append(f"{100 * share:.0f} % {name} (references: {100 * reference:.0f} %)")
            odd = share > reference
            places += [place for place, one in enumerate(ours) if one == odd]
    return told(
        "style",
        list(dict.fromkeys(places)),
        "; ".join(found),
        "the manner is that of the references",
    )


def language(texts: Sequence[str], wanted: Sequence[str]) -> Finding:
    """Compare languages, where texts are long enough to tell."""
    import py3langid  # the extra 'local'

    ours = [(k, py3langid.classify(t)[0]) for k, t in enumerate(texts) if len(t) >= LANGUAGE_FROM]
    theirs = [py3langid.classify(text)[0] for text in wanted if len(text) >= LANGUAGE_FROM]
    if min(len(ours), len(theirs)) < SHOWN:
        return Finding(
            check="language", level="ok", text="not looked at: the answers are too short to tell"
        )
    usual = Counter(theirs).most_common(1)[0][0]
    if usual == NO_LANGUAGE:
        return Finding(check="language", level="ok", text="not looked at: the answers are no prose")
    odd = [place for place, name in ours if name != usual]
    is_off = len(odd) / len(ours) - mean([name != usual for name in theirs]) >= MORE
    names = ", ".join(
        f"{name} {count}" for name, count in Counter(n for _, n in ours).most_common(3)
    )
    return told(
        "language",
        odd
        if is_off and unlike([n != usual for _, n in ours], [n != usual for n in theirs])
        else [],
        f"the references are in {usual!r}; the answers: {names}",
        f"in {usual!r}, as the references",
    )


def sameness(texts: Sequence[str], wanted: Sequence[str]) -> Finding:
    """Find one answer that far too many rows give."""
    if not texts:
        return Finding(check="sameness", level="ok", text="no rows")
    answer, count = Counter(texts).most_common(1)[0]
    share, reference = count / len(texts), mean([text == answer for text in wanted])
    is_off = share - reference >= MORE and unlike(
        [t == answer for t in texts], [t == answer for t in wanted]
    )
    return told(
        "sameness",
        [place for place, text in enumerate(texts) if text == answer] if is_off else [],
        f"{100 * share:.0f} % of the rows answer {answer[:60]!r} (references: {100 * reference:.0f} %)",
        "no answer is given far more often than in the references",
    )


def conflicts(rows: Sequence[Conversation], texts: Sequence[str]) -> Finding:
    """Find equal prompts with different answers."""
    answers: dict[str, dict[str, list[int]]] = {}
    for place, (row, text) in enumerate(zip(rows, texts, strict=True)):
        asked = canonical_json(list(row.messages[: row.taught[-1]]))
        answers.setdefault(asked, {}).setdefault(text, []).append(place)
    wrong = sorted(
        p
        for found in answers.values()
        if len(found) > 1
        for places in found.values()
        for p in places
    )
    return told(
        "label conflicts",
        wrong,
        f"{len(wrong)} rows have the prompt of another one and a different answer",
        "equal prompts have equal answers",
    )


def leakage(rows: Sequence[Conversation], examples: Sequence[Example]) -> Finding:
    """Find rows whose question is, or nearly is, a dev or test example: the verdict would be about memory."""
    sealed = [e.model_copy(update={"group": None}) for e in examples if e.split in ("dev", "test")]
    asked = {
        place: next(
            (
                str(m["content"])
                for m in reversed(row.messages[: row.taught[-1]])
                if m["role"] == "user"
            ),
            "",
        )
        for place, row in enumerate(rows)
    }
    names = tuple(sealed[0].inputs) if sealed else ()
    if len(names) != 1:  # a prompt of several fields cannot be taken apart again
        known = {
            str(value)
            for e in sealed
            for value in e.inputs.values()
            if len(str(value)) >= LANGUAGE_FROM
        }
        wrong = [place for place, text in asked.items() if any(value in text for value in known)]
    else:
        theirs = [
            Example(inputs={names[0]: text}, reference=None, split="train")
            for text in asked.values()
        ]
        found = {leak.first.id for leak in find_leaks([*theirs, *sealed])} | {
            leak.second.id for leak in find_leaks([*theirs, *sealed])
        }
        wrong = [place for place, example in enumerate(theirs) if example.id in found]
    return told(
        "leakage",
        wrong,
        f"{len(wrong)} rows ask what dev or test examples ask, or nearly",
        "no row asks what a dev or test example asks",
        "error",
    )


def mean(flags: Sequence[bool]) -> float:
    return float(np.mean(flags)) if len(flags) else math.nan


def unlike(ours: Sequence[bool], theirs: Sequence[bool]) -> bool:
    """Return whether two shares differ by more than chance explains."""
    table = np.array([[sum(ours), len(ours) - sum(ours)], [sum(theirs), len(theirs) - sum(theirs)]])
    return float(stats.fisher_exact(table).pvalue) < SURE
