"""Files of other programs with parts of wrong types, missing and misplaced: read, or refused in words."""

import json
import random

import pytest

from ratchet.answer import Prompt
from ratchet.core.errors import DataError
from ratchet.exchange import read_evals, read_suite

SUITE = {
    "description": "d",
    "prompts": [
        "{{q}} {{r}}",
        {"label": "l", "raw": "{{q}}"},
        '[{"role":"user","content":"{{q}}"}]',
    ],
    "providers": ["openai:x", {"id": "azure:y", "config": {"apiHost": "h", "temperature": 1}}],
    "defaultTest": {
        "vars": {"r": "1"},
        "assert": [{"type": "contains", "value": "a"}],
        "options": {"prefix": "p"},
    },
    "tests": [
        {
            "vars": {"q": ["a", "b"], "z": {"k": 1}},
            "assert": [
                {"type": "equals", "value": "x"},
                {"type": "assert-set", "assert": [{"type": "regex", "value": "a"}], "weight": 2},
                {"type": "python", "value": "len(output)"},
                {"type": "llm-rubric", "value": "r"},
                {"type": "is-json", "value": {"type": "object"}},
                {"type": "levenshtein", "value": "x", "threshold": 2},
            ],
            "options": {"suffix": "s"},
        },
        {"vars": {"q": "c"}},
    ],
    "scenarios": [
        {
            "config": [{"vars": {"q": "s"}}],
            "tests": [{"assert": [{"type": "icontains", "value": "a"}]}],
        }
    ],
}
OUTPUT = "{{sample.output_text}}"
EVAL = [
    {
        "object": "eval",
        "id": "e",
        "name": "n",
        "testing_criteria": [
            {
                "type": "string_check",
                "name": "a",
                "operation": "eq",
                "input": OUTPUT,
                "reference": "{{item.l}}",
            },
            {
                "type": "text_similarity",
                "name": "b",
                "evaluation_metric": "bleu",
                "pass_threshold": 0.5,
                "input": OUTPUT,
                "reference": "{{item.l}}",
            },
            {
                "type": "label_model",
                "name": "c",
                "model": "m",
                "labels": ["y", "n"],
                "passing_labels": ["y"],
                "input": [{"role": "user", "content": OUTPUT}],
            },
            {
                "type": "score_model",
                "name": "d",
                "model": "m",
                "range": [1, 5],
                "pass_threshold": 3,
                "input": [{"role": "user", "content": OUTPUT}],
            },
            {"type": "python", "name": "f", "source": "def grade(sample, item):\n    return 1.0\n"},
        ],
    },
    {
        "object": "eval.run",
        "eval_id": "e",
        "name": "r",
        "data_source": {
            "type": "completions",
            "source": {"type": "file_content", "content": [{"item": {"t": "x", "l": "y"}}]},
            "input_messages": {
                "type": "template",
                "template": [{"role": "user", "content": "{{item.t}}"}],
            },
            "model": "m",
            "sampling_params": {"temperature": 0.5},
        },
    },
    {
        "object": "eval.run.output_item",
        "eval_id": "e",
        "datasource_item": {"t": "z", "l": "y"},
        "datasource_item_id": 1,
    },
]
ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    "file://x",
    "{{q}}",
    "{{q",
    "[",
    [],
    {},
    [[]],
    [None],
    {"a": None},
    {"type": 5},
    "a\u2028b",
    "\ud800x",
    "file://.",
    float("inf"),
    float("nan"),
    "9" * 400,
    [1, "a"],
    {"$ref": "#/tests"},
    "..",
    "*",
]


def places(value, place=()):
    """Yield the way to each part of a value."""
    if place:
        yield place
    for key in (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    ):
        yield from places(value[key], (*place, key))


def damaged(value, rng):
    """Return a copy with one to three parts replaced, removed or renamed."""
    copy = json.loads(json.dumps(value))
    for _ in range(rng.choice([1, 1, 2, 3])):
        *way, last = rng.choice(list(places(copy)) or [(None,)])
        if last is None:
            break
        holder = copy
        for key in way:
            holder = holder[key]
        if rng.random() < 0.7:
            holder[last] = rng.choice(ODD)
            continue
        part = holder.pop(last)
        if isinstance(holder, dict) and rng.random() < 0.5:
            holder[rng.choice(["x", "type", "", "a-b", "vars"])] = part
    return copy


@pytest.mark.parametrize("kind", ["suite", "eval"])
def test_damaged_files_are_read_or_refused_in_words(tmp_path, kind):
    """Never with a traceback; what is read can be sent, and has an id."""
    rng = random.Random(7)
    path, num_read, num_refused = tmp_path / "c.json", 0, 0
    for _ in range(250):
        path.write_text(json.dumps(damaged(SUITE if kind == "suite" else EVAL, rng)))
        try:
            suite = read_suite(path, "t") if kind == "suite" else read_evals([path], "t")
        except DataError:
            num_refused += 1
            continue
        num_read += 1
        for example in suite.examples:
            assert example.id
            for candidate in suite.candidates:
                assert Prompt(suite.task, candidate).request(example).messages

    assert num_read > 100
    assert num_refused > 5
