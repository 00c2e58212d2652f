"""Real sets as tasks for the small local model: what it can do of them, with a fine-tune where it needs one."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ratchet import AnswerForm, Example, InputField, MetricSpec, Roles, Task
from ratchet.core import Json
from ratchet.store.workspace import load_task

__all__ = ["SETS", "RealSet"]

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
INTENTS, LONGEST, SHORT = 8, 140, 80
"""Intents; characters of a message, and of a product's text."""


@dataclass(frozen=True)
class RealSet:
    """A task with its examples, and how many of them train an adapter first."""

    task: Task
    examples: list[Example]
    tuned_on: int = 0
    validation: int = 100
    test: int = 150


def banking() -> RealSet:
    """Eight of the 77 intents, drawn once; the model cannot name one unseen, so it is tuned on some messages first."""
    with (DATA / "banking77" / "train.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = Random(1).sample(sorted({row["category"] for row in rows}), INTENTS)
    named = [(row["text"], row["category"]) for row in rows]
    return labelled("banking", "Pick the intent of the message.", "message", labels, named, tuned_on=450)  # fmt: skip


def prices() -> RealSet:
    """The first words of a product's text, and its price; tuned first."""
    rows = read("prices/product_prices.jsonl")
    task = text_task(
        "prices",
        "What does it cost, in dollars? Reply with the number.",
        "text",
        AnswerForm(kind="number", max_tokens=8),
        MetricSpec(name="number", options={"error": "squared log", "zero_at": 4}),
    )
    examples = [
        Example(inputs={"text": str(row["text"])[:SHORT]}, reference=float(row["price"]))
        for row in rows
    ]
    return RealSet(task, examples, tuned_on=300, validation=50, test=120)


def presidio() -> RealSet:
    """Personal data in messages, the task of examples/pii; the model can do it as it is."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "pii"))
    import run as pii

    task = load_task(ROOT / "examples" / "pii" / "pii.yaml")
    examples = [
        Example(inputs={"message": row["message"]}, reference={"fields": row["fields"]})
        for row in pii.rows_of(pii.DATA, None, 0)
        if len(str(row["message"])) <= LONGEST
    ]
    return RealSet(task, examples, validation=50, test=120)


def spider() -> RealSet:
    """Which of eight databases a question is for, of those that are asked most; each is named by its tables' theme, so the model is tuned first."""
    rows = json.loads((DATA / "spider" / "train.json").read_text("utf-8"))
    asked = Counter(row["db_id"] for row in rows)
    labels = [name for name, _ in asked.most_common(INTENTS)]
    named = [(row["question"], row["db_id"]) for row in rows if len(row["question"]) <= LONGEST]
    return labelled("routing", "Pick the database that the question is for.", "question", labels, named, tuned_on=480)  # fmt: skip


def gsm8k() -> RealSet:
    """Word problems; too hard for the model, tuned or not."""
    task = text_task(
        "gsm8k",
        "Solve the problem. Reply with the number.",
        "question",
        AnswerForm(kind="number", max_tokens=48),
        MetricSpec(name="number"),
    )
    examples = [
        Example(
            inputs={"question": row["question"]},
            reference=float(str(row["answer"]).rsplit("####", 1)[1].replace(",", "")),
        )
        for row in read("gsm8k/train.jsonl")
        if len(str(row["question"])) <= 2 * LONGEST
    ]
    return RealSet(task, examples, tuned_on=600)


def labelled(
    name: str,
    words: str,
    field: str,
    labels: Sequence[str],
    rows: Iterable[tuple[str, str]],
    tuned_on: int,
) -> RealSet:
    """Return the rows whose label is one of these, as a task."""
    form = AnswerForm(kind="label", labels=tuple(labels), max_tokens=24)
    task = text_task(name, words, field, form, MetricSpec(name="label"))
    examples = [
        Example(inputs={field: text}, reference=label) for text, label in rows if label in labels
    ]
    return RealSet(task, examples, tuned_on=tuned_on, validation=80, test=120)


def text_task(name: str, words: str, field: str, form: AnswerForm, metric: MetricSpec) -> Task:
    return Task(
        name=name,
        instructions=words,
        inputs=(InputField(name=field),),
        answer=form,
        metric=metric,
        models=Roles(student="local:nano"),
    )


def read(name: str) -> list[dict[str, Json]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


SETS: dict[str, Callable[[], RealSet]] = {
    "banking77": banking,
    "prices": prices,
    "presidio": presidio,
    "spider": spider,
    "gsm8k": gsm8k,
}
