"""What a metric can tell apart is measured on its own references: shuffled, and changed by a little."""

from pathlib import Path

import pytest

from ratchet.core import AnswerForm, Example, InputField, Json, MetricSpec, Roles, Task
from ratchet.measure import Contrast, check_task, measure_contrasts
from ratchet.metrics import FunctionMetric, Metric, make_metric


def task(kind: str, name: str, **form: Json) -> Task:
    """Return a task of that form and metric."""
    return Task(
        name="t",
        instructions="Say.",
        inputs=(InputField(name="q"),),
        answer=AnswerForm(kind=kind, **form),
        metric=MetricSpec(name=name),
        models=Roles(student="m"),
    )


def contrasts(
    of: Task, references: list[Json], metric: Metric | None = None
) -> dict[str, Contrast]:
    """Return what the metric says of each kind of change."""
    pairs = [
        (Example(inputs={"q": f"{number}"}, reference=reference), reference)
        for number, reference in enumerate(references)
    ]
    chosen = metric or make_metric(of.metric)
    return {item.change: item for item in measure_contrasts(of, chosen, pairs)}


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "number"}, "ok": {"type": "boolean"}, "tags": {"type": "array"}},
}
OBJECTS: list[Json] = [
    {"n": 5.0, "ok": True, "tags": ["a", "b"]},
    {"n": 7.0, "ok": False, "tags": ["c"]},
]


def test_a_sound_metric_is_blind_to_nothing() -> None:
    """Of objects each kind of change that fits is made, and told apart."""
    made = contrasts(task("json", "fields", json_schema=SCHEMA), OBJECTS)

    assert set(made) == {
        "other reference",
        "sign",
        "digit",
        "letter case",
        "type",
        "missing key",
        "missing item",
    }
    assert not any(item.is_blind for item in made.values())
    assert made["letter case"].equal == 2
    assert made["other reference"].score < 1


def test_a_blind_metric_is_named_with_what_it_takes_for_right() -> None:
    """A function that looks at digits alone cannot see a sign."""

    def digits(_inputs: Json, reference: Json, answer: Json) -> bool:
        return [c for c in str(reference) if c.isdigit()] == [c for c in str(answer) if c.isdigit()]

    made = contrasts(task("text", "exact"), ["-5 km", "x < 12"], FunctionMetric(digits))

    assert {name for name, item in made.items() if item.is_blind} == {"sign", "operator"}
    assert (made["sign"].before, made["sign"].after, made["sign"].equal) == ("-5 km", "5 km", 2)
    assert (made["operator"].before, made["operator"].after) == ("x < 12", "x > 12")
    assert (made["digit"].n, made["digit"].equal, made["digit"].score) == (2, 0, 0.0)


@pytest.mark.parametrize("name", ["match", "exact"])
def test_texts_are_told_apart_by_sign_digit_and_operator(name: str) -> None:
    """And `match` forgives case, where `exact` does not."""
    made = contrasts(task("text", name), ["It is -5", "x < 7", "Paris"])

    assert not any(item.is_blind for item in made.values())
    assert made["letter case"].equal == (3 if name == "match" else 0)


def test_labels_are_told_from_other_labels() -> None:
    """A changed label that is none has not the form, and is wrong."""
    made = contrasts(task("label", "label", labels=("spam", "ham")), ["spam", "ham", "spam"])

    assert (made["other reference"].n, made["other reference"].equal) == (3, 0)


def test_check_names_what_the_metric_takes_for_right() -> None:
    """As a warning with an example, and as a table."""

    def generous(_inputs: Json, _reference: Json, _answer: Json) -> float:
        return 1.0

    examples = [Example(inputs={"q": f"{n}"}, reference=f"{n}", split="dev") for n in range(1, 9)]
    of = task("number", "number")

    blind = _finding(check_task(of, examples, FunctionMetric(generous), root=Path()))
    sound = _finding(check_task(of, examples, make_metric(of.metric), root=Path()))

    assert (blind.level, sound.level) == ("warning", "ok")
    assert "other reference: 8 of 8" in blind.text
    assert "references of other examples score 100.0" in blind.text
    assert {item.change for item in blind.contrasts} == {"other reference", "sign", "digit"}
    assert blind.model_dump(mode="json")["contrasts"][0]["equal"] == 8


def test_check_names_every_example_that_the_metric_fails_on() -> None:
    """All ids, not the first few; an error where a measurement would end there."""

    def picky(_inputs: Json, reference: Json, _answer: Json) -> float:
        if str(reference).startswith("1"):
            raise ValueError("odd")
        return 1.0

    examples = [Example(inputs={"q": f"{n}"}, reference=f"{n}", split="dev") for n in range(2, 22)]
    found = {
        item.check: item
        for item in check_task(task("text", "exact"), examples, FunctionMetric(picky), root=Path())
    }

    assert found["metric errors"].level == "error"
    assert len(found["metric errors"].examples) == 10
    assert "cannot score 10 of 20 examples" in found["metric errors"].text
    assert "ValueError('odd')" in found["metric errors"].text


def _finding(findings: list) -> object:
    return next(item for item in findings if item.check == "metric contrast")
