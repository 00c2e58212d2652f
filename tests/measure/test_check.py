"""Each check finds the thing that it is for, and says so of sound data too."""

import re
from pathlib import Path

import numpy as np
import pytest

from ratchet import Candidate, Example, InputField, MetricSpec, Roles, Task
from ratchet.core import AnswerForm, Demonstration, Score, Trial
from ratchet.measure import Measurement, check_task, compare
from ratchet.measure.check import power
from ratchet.metrics import make_metric

WORDS = [
    "ash",
    "birch",
    "cedar",
    "dogwood",
    "elm",
    "fir",
    "ginkgo",
    "hazel",
    "ivy",
    "juniper",
    "kauri",
    "larch",
    "maple",
    "nutmeg",
    "oak",
    "pine",
]


def task(kind="label", **form):
    """Return a task of that answer form."""
    if kind == "label":
        form = {"labels": ("a", "b"), **form}
    name = {"label": "label", "number": "number"}.get(kind, "exact")
    return Task(
        name="t", instructions="Say.", inputs=(InputField(name="q"),), answer=AnswerForm(kind=kind, **form),
        metric=MetricSpec(name=name), models=Roles(student="m"),
    )  # fmt: skip


def text(number):
    """Return a text that is like no other one."""
    return " ".join(WORDS[(number * step + step) % 16] + str(number) for step in range(1, 9))


def sound(count=40):
    """Return examples with nothing wrong."""
    splits = ["train", "train", "dev", "test"]
    return [
        Example(inputs={"q": text(i)}, reference="ab"[i % 2], split=splits[i % 4])
        for i in range(count)
    ]


def found(examples, *, of=None, candidates=(), root=Path()):
    """Return the findings by the name of their check."""
    chosen = of or task()
    metric = make_metric(chosen.metric)
    return {f.check: f for f in check_task(chosen, examples, metric, candidates, root=root)}


def test_references_that_the_tasks_own_check_refuses_are_named(tmp_path):
    """A right answer would be sent back for repair; a check that fails is told with what it says."""
    (tmp_path / "checks.py").write_text(
        "def odd(inputs, answer):\n    assert answer != 3\n    return None if answer % 2 else f'{answer} is even'\n"
    )
    examples = [e.model_copy(update={"reference": 1 + 2 * (n > 1)}) for n, e in enumerate(sound(8))]
    form = {"kind": "number", "check": "checks.py:odd"}

    fine = found(examples[:2], of=task(**form), root=tmp_path)["own checks"]
    even = [*examples[:2], examples[2].model_copy(update={"reference": 4})]
    refused = found(even, of=task(**form), root=tmp_path)["own checks"]
    broken = found(examples, of=task(**form), root=tmp_path)["own checks"]

    assert (fine.level, refused.level, broken.level) == ("ok", "error", "error")
    assert refused.examples == (even[2].id,)
    assert "4.0 is even" in refused.text or "4 is even" in refused.text
    assert "answer.check 'odd' failed on the answer 3" in broken.text
    assert "own checks" not in found(examples, of=task("number"))


def test_sound_data_pass():
    """Nothing is found but what a small dev split cannot show."""
    levels = {name: f.level for name, f in found(sound(1000)).items()}

    assert set(levels.values()) == {"ok"}
    assert set(levels) == {
        "leakage", "demonstrations", "duplicates", "label conflicts", "references", "class balance", "reachable answers",
        "metric ceiling", "metric contrast", "power",
    }  # fmt: skip


def test_a_near_duplicate_in_another_split_is_a_leak():
    """The example in the other split is named."""
    twin = Example(inputs={"q": text(0) + " end"}, reference="a", split="test")

    leak = found([*sound(), twin])["leakage"]

    assert (leak.level, leak.examples) == ("error", (twin.id,))


def test_a_demonstration_from_dev_is_found():
    """A candidate that shows a dev example is named as an error; one that shows a train example is sound."""
    examples = sound()
    by_split = {e.split: e for e in examples}

    def shows(example):
        shown = Demonstration(inputs=example.inputs, answer=example.reference)
        return Candidate(model="m", user="{{q}}", demonstrations=(shown,))

    bad = found(examples, candidates=[shows(by_split["dev"])])["demonstrations"]

    assert (bad.level, bad.examples) == ("error", (by_split["dev"].id,))
    assert found(examples, candidates=[shows(by_split["train"])])["demonstrations"].level == "ok"


def test_duplicates_and_conflicts_are_told_apart():
    """Equal inputs with another reference are a conflict; nearly equal inputs in one split are duplicates."""
    conflict = Example(inputs={"q": text(0)}, reference="b", split="train")
    twin = Example(inputs={"q": text(1) + " end"}, reference="b", split="train")

    both = found([*sound(), conflict, twin])

    assert (both["label conflicts"].level, len(both["label conflicts"].examples)) == ("error", 2)
    assert twin.id in both["duplicates"].examples


def test_a_lopsided_task_is_named():
    """Always answering the commonest label would score 95 %, and the rare one has too few examples."""
    examples = [
        e.model_copy(update={"reference": "a" if i else "b"}) for i, e in enumerate(sound())
    ]

    balance = found(examples)["class balance"]

    assert balance.level == "warning"
    assert "98 %" in balance.text
    assert balance.text.endswith("fewer than 5 examples: b")


@pytest.mark.parametrize(("kind", "reference"), [("label", "c"), ("number", "many")])
def test_a_reference_that_no_reply_can_give_is_found(kind, reference):
    """A label that is not on the list, and a number in words, are out of reach."""
    odd = Example(inputs={"q": text(99)}, reference=reference, split="dev")
    of = task(kind)
    examples = sound() if kind == "label" else []

    assert found([*examples, odd], of=of)["reachable answers"].examples == (odd.id,)


def test_power_tells_what_dev_can_show():
    """What exact McNemar finds with a power of 80 %, by groups where there are some."""
    small, large = found(sound(40))["power"], found(sound(600))["power"]
    grouped = found([e.model_copy(update={"group": str(i % 8)}) for i, e in enumerate(sound(40))])[
        "power"
    ]

    assert small.level == "warning"
    assert "10 dev examples you can see only differences of 68 points and more" in small.text
    assert large.level == "warning"
    assert "150 dev examples you can see differences of 10.6 points" in large.text
    assert "10 dev examples in 2 groups are too few for any verdict" in grouped.text


@pytest.mark.parametrize("dev", [40, 150, 600, 640, 660, 700, 3000])
def test_power_tells_two_figures_that_differ(dev):
    """What dev shows is never what more examples are said to show too."""
    examples = [e.model_copy(update={"split": "dev"}) for e in sound(dev)]

    said = power(examples).text
    seen, wanted = (float(x) for x in re.findall(r"([\d.]+) points", said))

    assert wanted < seen


def test_power_goes_by_the_scores_that_are_known():
    """Graded scores that hardly vary show a few points on 30 examples, and a verdict on as much is no contradiction."""
    examples = [e.model_copy(update={"split": "dev"}) for e in sound(30)]
    rng = np.random.default_rng(1)

    def measured(name, shift):
        candidate = Candidate(model="m", user=name)
        trials = [
            Trial(candidate_id=candidate.id, example_id=e.id, score=Score(value=0.5 + shift + x))
            for e, x in zip(examples, rng.normal(0, 0.02, 30), strict=True)
        ]
        return Measurement.of(
            trials, candidate=candidate, split="dev", metric_id="m", examples=examples
        )

    pair = [measured("a", 0.0), measured("b", 0.1)]

    said = power(examples, pair)

    assert compare(*pair, margin=0.02).decision == "better"
    assert said.level == "ok"
    assert float(re.findall(r"differences of ([\d.]+) points", said.text)[0]) < 3
    assert "2 measured candidates" in said.text
