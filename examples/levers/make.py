"""Write four small tasks, each of which one lever helps: examples, task files, templates and a handbook, all made up.

    python examples/levers/make.py folder

`staff` asks for facts that only a handbook has (retrieval), `form` for answers in a form that only examples show (demos), `words` for
something that the task's own instruction does not say (prompt), `records` for JSON that is free to go wrong (decoding).
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

__all__ = ["TASKS", "main"]

SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "ki",
    "lo",
    "mu",
    "na",
    "pe",
    "ri",
    "so",
    "tu",
    "va",
    "we",
    "zi",
    "bren",
    "dor",
    "fal",
    "gim",
    "hul",
]
FRUIT = [
    "apple",
    "banana",
    "cherry",
    "fig",
    "grape",
    "lemon",
    "lime",
    "mango",
    "olive",
    "peach",
    "pear",
    "plum",
]
PETS = ["cat", "dog", "fox", "hamster", "horse", "owl", "parrot", "rabbit", "snake", "turtle"]
CITIES = [
    "Bergen",
    "Cork",
    "Derby",
    "Essen",
    "Fargo",
    "Ghent",
    "Hilo",
    "Izmir",
    "Jena",
    "Kyoto",
    "Lima",
    "Malmo",
    "Nice",
    "Oslo",
    "Perth",
    "Quito",
]
COMPANIES = ["Labs", "Foods", "Group", "Partners", "Works"]
COUNT = 600
Row = dict[str, object]


def name(rng: Random) -> str:
    """Return a made-up word with a capital."""
    return "".join(rng.sample(SYLLABLES, 2)).capitalize()


def words(rng: Random) -> list[str]:
    """Return a few made-up words."""
    return ["".join(rng.sample(SYLLABLES, 2)) for _ in range(rng.randint(3, 5))]


def staff(rng: Random) -> tuple[list[Row], str]:
    """Return questions about people, and the handbook that answers them."""
    facts: list[Callable[[str], tuple[str, str, str]]] = [
        lambda who: (f"{who} likes {(one := rng.choice(FRUIT))}.", f"What does {who} like?", one),
        lambda who: (
            f"{who} works for {(one := f'{name(rng)} {rng.choice(COMPANIES)}')}.",
            f"Who does {who} work for?",
            one,
        ),
        lambda who: (f"{who} lives in {(one := rng.choice(CITIES))}.", f"Where does {who} live?", one),
    ]  # fmt: skip
    rows: list[Row] = []
    lines = []
    for number in range(COUNT):
        said, asked, answer = facts[number % 3](f"{name(rng)} {name(rng)}")
        lines.append({"text": said, "title": said.split()[0]})
        rows.append({"question": asked, "answer": answer})
    return rows, "\n".join(json.dumps(line) for line in lines) + "\n"


def form(rng: Random) -> list[Row]:
    """Return records of which one field is wanted, in a form that nothing says."""
    rows: list[Row] = []
    for _ in range(COUNT):
        owner = name(rng)
        record = f"owner is {owner}, city is {rng.choice(CITIES)}, pet is {rng.choice(PETS)}"
        rows.append({"record": record, "answer": f"{owner} it is"})
    return rows


def last_left_out(rng: Random) -> list[Row]:
    """Return words, and all of them but the last."""
    drawn = [words(rng) for _ in range(COUNT)]
    return [{"words": " ".join(some), "answer": " ".join(some[:-1])} for some in drawn]


def records(rng: Random) -> list[Row]:
    """Return records, and a part of each as JSON."""
    rows: list[Row] = []
    for _ in range(COUNT):
        found = {"holder_name": name(rng), "rank_number": rng.randint(2, 999), "home": rng.choice(CITIES)}  # fmt: skip
        said = ", ".join(f"{key.split('_')[0]} is {value}" for key, value in found.items())
        rows.append({"record": f"{said}, pet is {rng.choice(PETS)}", "answer": found})
    return rows


TASKS = {
    "staff": """name: staff
instructions: Answer the question.
inputs: [{name: question}]
metric: {name: match}
models: {student: local:nano}
""",
    "form": """name: form
instructions: Answer.
inputs: [{name: record}]
metric: {name: exact}
models: {student: local:nano}
""",
    "words": """name: words
instructions: Do what must be done with the words.
inputs: [{name: words}]
metric: {name: exact}
models: {student: local:nano}
""",
    "records": """name: records
instructions: "Answer as JSON: {{schema}}"
inputs: [{name: record}]
answer:
  kind: json
  json_schema:
    type: object
    properties:
      holder_name: {type: string}
      rank_number: {type: integer}
      home: {type: string}
    required: [holder_name, rank_number, home]
    additionalProperties: false
metric: {name: fields}
models: {student: local:nano}
""",
}
TEMPLATES = {
    "words/told.yaml": 'system: Leave out the last word.\nuser: "{{words}}"\nnote: told what to do\n',
    "records/free.yaml": "decoding: {constrained: false}\nnote: in a free form\n",
}


def main() -> None:
    """Write all of it."""
    parser = argparse.ArgumentParser(description="Write four small tasks, one for each of four levers.")  # fmt: skip
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rng = Random(0)
    asked, handbook = staff(rng)
    rows = {"staff": asked, "form": form(rng), "words": last_left_out(rng), "records": records(rng)}
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    (folder / "handbook.jsonl").write_text(handbook, "utf-8")
    for task, text in TASKS.items():
        (folder / "tasks" / f"{task}.yaml").write_text(text, "utf-8")
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows[task])
        (folder / f"{task}.jsonl").write_text(lines, "utf-8")
    for place, text in TEMPLATES.items():
        path = folder / "tasks" / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
