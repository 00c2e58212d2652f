"""Real sets as tasks: nobody here wrote them, and none is part of the project."""

import csv
import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import yaml
from benchmarks.seeds.ladders import RealTask

from ratchet import Example
from ratchet.core import Json, Split

__all__ = [
    "banking",
    "insurance",
    "intents",
    "label_task",
    "personal_data",
    "prices",
    "replies",
    "sql",
]

ROOT = Path(__file__).resolve().parents[2]
MAX_MESSAGE_CHARS = 240
"""Of a message with personal data; longer ones are left out."""
MAX_PRODUCT_CHARS = 160
"""Of a product's text; the rest is cut off."""
MAX_COLUMNS = 24
"""Of a database: prompts that show a wider one are left out, for time's sake."""
KEYWORD_METRIC = '''"""How much of what must be said is said."""


def score(inputs, reference, answer):
    """Return the share of the keywords that the answer holds."""
    said = str(answer).casefold()
    words = inputs["keywords"].split("|")
    return sum(word.casefold() in said for word in words) / len(words)
'''


def banking(
    data: Path, model: str, *, name: str, labels: Sequence[str], train: int, dev: int
) -> RealTask:
    """Return customers' questions with one of these intents.

    Args:
        data: The folder of the sets.
        model: The student.
        name: Of the task.
        labels: The intents.
        train: Training examples, the same number of each intent as far as there are so many.
        dev: Examples to measure on, likewise.
    """
    rows = [(text, label) for text, label in _banking_rows(data) if label in labels]
    said = "Pick the intent of the message."
    return label_task(name, said, labels, rows, model=model, train=train, dev=dev)


def intents(data: Path) -> list[str]:
    """Return all intents, in the order of the file."""
    return list(dict.fromkeys(label for _, label in _banking_rows(data)))


def label_task(
    name: str,
    instructions: str,
    labels: Sequence[str],
    rows: Sequence[tuple[str, str]],
    *,
    model: str,
    train: int,
    dev: int,
) -> RealTask:
    """Return a task of labels from pairs of text and label, drawn by a fixed seed."""
    body: dict[str, Json] = {
        "name": name,
        "instructions": instructions,
        "inputs": [{"name": "message"}],
        "answer": {"kind": "label", "labels": list(labels)},
        "metric": {"name": "label"},
        "models": {"student": model, "teacher": model},
    }
    rng = Random(0)
    by_label = {label: [text for text, own in rows if own == label] for label in labels}
    for texts in by_label.values():
        rng.shuffle(texts)
    examples: list[Example] = []
    splits: tuple[tuple[Split, int], ...] = (("dev", dev), ("train", train))
    for split, count in splits:
        for number in range(count):
            label = labels[number % len(labels)]
            if by_label[label]:
                text = by_label[label].pop()
                examples.append(Example(inputs={"message": text}, reference=label, split=split))
    rng.shuffle(examples)
    return RealTask(body=body, examples=examples)


def personal_data(data: Path, model: str, *, train: int, dev: int) -> RealTask:
    """Return Presidio's messages with the task of examples/pii; messages of one template never straddle train and dev."""
    body = yaml.safe_load((ROOT / "examples" / "pii" / "pii.yaml").read_text("utf-8"))
    body["models"] = {"student": model}
    body["answer"]["max_tokens"] = 160
    rows = _module("benchmarks/pii/run.py").rows_of(
        data / "pii" / "presidio_synth_v2.json", None, 0
    )
    by_form: dict[str, list[dict[str, Any]]] = {}
    for row in {str(row["message"]): row for row in rows}.values():
        if len(row["message"]) <= MAX_MESSAGE_CHARS:
            by_form.setdefault(row["form"], []).append(row)
    forms, rng = list(by_form), Random(0)
    rng.shuffle(forms)
    examples: list[Example] = []
    splits: tuple[tuple[Split, int], ...] = (("dev", dev), ("train", train))
    for split, count in splits:
        while forms and sum(example.split == split for example in examples) < count:
            form = forms.pop()
            examples += [
                Example(
                    inputs={"message": row["message"]},
                    reference={"fields": row["fields"]},
                    group=form,
                    split=split,
                )
                for row in by_form[form]
            ]
    rng.shuffle(examples)
    return RealTask(body=body, examples=examples)


def prices(data: Path, model: str, *, train: int, dev: int) -> RealTask:
    """Return the beginnings of products' texts, and their prices in dollars."""
    body: dict[str, Json] = {
        "name": "prices",
        "instructions": "What does the product cost, in dollars? Reply with the number.",
        "inputs": [{"name": "text"}],
        "answer": {"kind": "number"},
        "metric": {"name": "number", "options": {"error": "squared log", "zero_at": 4}},
        "models": {"student": model},
    }
    rows = _read_lines(data / "prices" / "product_prices.jsonl")
    by_text = {str(row["text"])[:MAX_PRODUCT_CHARS]: float(row["price"]) for row in rows}
    pairs = list(by_text.items())
    Random(0).shuffle(pairs)
    return RealTask(body=body, examples=_split(pairs, "text", train=train, dev=dev))


def sql(data: Path, model: str, folder: Path, *, train: int, dev: int) -> RealTask:
    """Return Spider's questions about databases that are not wide, and write these into the workspace `folder`.

    Development questions are dev; training questions are about other databases, which are made empty.
    """
    spider = _module("examples/spider/run.py")
    tables = {one["db_id"]: one for one in json.loads((data / "spider/tables.json").read_text())}
    narrow = {
        name for name, one in tables.items() if len(one["column_names_original"]) <= MAX_COLUMNS
    }
    examples: list[Example] = []
    splits: tuple[tuple[Split, str, int], ...] = (
        ("dev", "questions.json", dev),
        ("train", "train.json", train),
    )
    for split, file, count in splits:
        rows = json.loads((data / "spider" / file).read_text("utf-8"))
        rows = [row for row in rows if row["db_id"] in narrow]
        for row in Random(0).sample(rows, min(count, len(rows))):
            inputs = {"question": row["question"], "db_id": row["db_id"]}
            examples.append(Example(inputs=inputs, reference=row["query"], split=split))
    databases = folder / "databases"
    databases.mkdir(parents=True, exist_ok=True)
    for name in {str(example.inputs["db_id"]) for example in examples}:
        place, real = databases / f"{name}.sqlite", data / f"spider/database/{name}/{name}.sqlite"
        if real.is_file():
            shutil.copyfile(real, place)
        elif not place.exists():
            spider.make_empty(tables[name], place)
    body: dict[str, Json] = {
        "name": "sql",
        "instructions": "Write one SQLite query that answers the question. Reply with the query and nothing else.",
        "inputs": [{"name": "question"}, {"name": "db_id"}],
        "answer": {"kind": "sql", "database": "databases/{{db_id}}.sqlite", "max_tokens": 96},
        "metric": {"name": "execution"},
        "models": {"student": model},
    }
    return RealTask(body=body, examples=examples)


def insurance(data: Path, model: str, folder: Path, *, dev: int) -> RealTask:
    """Return questions that Insurellm's documents answer; the score is the share of their keywords that an answer holds.

    The metric is a function, and its file is written into the workspace `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "score.py").write_text(KEYWORD_METRIC, "utf-8")
    body: dict[str, Json] = {
        "name": "insurance",
        "instructions": "Answer the question about the company Insurellm in a sentence.",
        "inputs": [{"name": "question"}, {"name": "keywords"}],
        "answer": {"kind": "text", "max_tokens": 48},
        "metric": {"name": "function", "options": {"path": "score.py:score"}},
        "models": {"student": model},
    }
    rows = [
        row
        for row in _read_lines(data / "retrieval" / "insurellm" / "tests.jsonl")
        if row["category"] == "direct_fact"
    ]
    Random(0).shuffle(rows)
    examples = [
        Example(
            inputs={"question": row["question"], "keywords": "|".join(row["keywords"])},
            reference=row["reference_answer"],
            split="dev" if number < dev else "train",
        )
        for number, row in enumerate(rows)
    ]
    return RealTask(body=body, examples=examples)


def replies(data: Path, model: str, *, dev: int) -> RealTask:
    """Return a few customers' messages that want a reply, graded 1 to 5 by the small model itself."""
    body: dict[str, Json] = {
        "name": "replies",
        "instructions": "Reply to the customer of a bank in one short sentence.",
        "inputs": [{"name": "message"}],
        "answer": {"kind": "text", "max_tokens": 40},
        "metric": {
            "name": "judge",
            "options": {
                "rubric": "The reply is polite and helps the customer.",
                "scale": "grade",
                "reference": False,
                "judges": [model],
            },
        },
        "models": {"student": model},
    }
    texts = [text for text, _ in _banking_rows(data)]
    Random(0).shuffle(texts)
    examples = [
        Example(inputs={"message": text}, reference="", split="dev" if number < dev else "train")
        for number, text in enumerate(texts[: dev + 8])
    ]
    return RealTask(body=body, examples=examples)


def _banking_rows(data: Path) -> list[tuple[str, str]]:
    """Return the distinct messages with their intents, in the order of the file."""
    with (data / "banking77" / "train.csv").open(encoding="utf-8") as file:
        rows = [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]
    return list(dict.fromkeys(rows))


def _split(pairs: Sequence[tuple[str, Json]], field: str, *, train: int, dev: int) -> list[Example]:
    """Return the first pairs as dev, the next as train."""
    return [
        Example(inputs={field: text}, reference=answer, split="dev" if number < dev else "train")
        for number, (text, answer) in enumerate(pairs[: dev + train])
    ]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]


def _module(path: str) -> ModuleType:
    """Return a script of the repository as a module: benchmarks and examples are no packages of ours."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_")[:-3], ROOT / path)
    assert spec is not None  # the file is part of the repository
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
