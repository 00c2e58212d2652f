"""Content ids: the same content has the same name, on every machine and in every version."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import ratchet.core
from ratchet.core import STORED, Candidate, Decoding, Example, Json, Record, SplitSpec, Task
from ratchet.core.records import canonical_json, content_id

GOLDEN = json.loads(Path(__file__).with_name("ids.json").read_text("utf-8"))
IN_A_FRESH_PROCESS = """
import json, sys
import ratchet.core
golden = json.load(open(sys.argv[1], encoding="utf-8"))
records = {n: getattr(ratchet.core, g["kind"]).model_validate(g["record"]) for n, g in golden.items()}
print(json.dumps({n: getattr(r, "id", None) or r.content_id() for n, r in records.items()}))
"""
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # a half surrogate pair is no UTF-8
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


def made(name: str) -> Record:
    golden = GOLDEN[name]
    record: Record = getattr(ratchet.core, golden["kind"]).model_validate(golden["record"])
    return record


def identity(record: Record) -> str:
    return getattr(record, "id", None) or record.content_id()


def backwards(value: Json) -> Json:
    """Return the same value with every object's names in the opposite order."""
    if isinstance(value, dict):
        return {name: backwards(value[name]) for name in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", GOLDEN)
def test_an_id_is_the_one_in_the_golden_file(name: str) -> None:
    """The id of a record never changes; if this fails, trials that users paid for are lost."""
    record = made(name)

    found = identity(record)

    assert found == GOLDEN[name]["id"]


@pytest.mark.parametrize("name", GOLDEN)
def test_an_id_is_a_prefix_and_sixteen_hexadecimal_digits(name: str) -> None:
    """Every id says by its prefix which noun it names."""
    record = made(name)

    found = identity(record)

    assert re.fullmatch(rf"{record.prefix}_[0-9a-f]{{16}}", found)


@pytest.mark.parametrize("name", GOLDEN)
def test_an_id_does_not_depend_on_the_order_of_names(name: str) -> None:
    """The same fields in another order are the same record."""
    golden = GOLDEN[name]

    turned = getattr(ratchet.core, golden["kind"]).model_validate(backwards(golden["record"]))

    assert identity(turned) == golden["id"]


@pytest.mark.parametrize("name", GOLDEN)
def test_an_id_does_not_depend_on_defaults_being_written_out(name: str) -> None:
    """A field that is given its default leaves the id as it is."""
    record = made(name)

    explicit = type(record).model_validate(record.model_dump())

    assert identity(explicit) == GOLDEN[name]["id"]


@pytest.mark.parametrize("name", GOLDEN)
def test_a_record_survives_json(name: str) -> None:
    """A record that is written as JSON and read again is equal, and has the same id."""
    record = made(name)

    again = type(record).model_validate_json(record.model_dump_json())

    assert again.content_id() == record.content_id()
    assert identity(again) == GOLDEN[name]["id"]


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_ids_are_the_same_in_another_process(seed: str) -> None:
    """Ids do not depend on the process or on its hash seed."""
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS, str(Path(__file__).with_name("ids.json"))]

    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
        text=True,
    )

    assert json.loads(done.stdout) == {name: golden["id"] for name, golden in GOLDEN.items()}


def test_an_example_is_named_by_inputs_and_reference_alone() -> None:
    """The same row of another file is the same example; a corrected reference is another one."""
    first = Example(inputs={"text": "hi"}, reference="a", source="a.csv:1", split="train")

    elsewhere = Example(inputs={"text": "hi"}, reference="a", source="b.csv:9", group="g", name="7")
    corrected = Example(inputs={"text": "hi"}, reference="b")

    assert elsewhere.id == first.id
    assert corrected.id != first.id


def test_a_note_is_not_part_of_a_candidates_id() -> None:
    """Two candidates that differ only in their note are the same candidate."""
    plain = Candidate(model="m", user="{{text}}")

    noted = Candidate(model="m", user="{{text}}", note="why not")

    assert noted.id == plain.id
    assert "note" not in noted.plain()


@pytest.mark.parametrize(
    "parts",
    [
        {"model": "other"},
        {"adapter": "a"},
        {"system": "s"},
        {"user": "u"},
        {"decoding": Decoding(temperature=0.5)},
        {"demonstrations": ({"inputs": {}, "answer": 1},)},
    ],
)
def test_each_part_of_a_candidate_changes_its_id(parts: dict[str, Json]) -> None:
    """A candidate with another part is another candidate, keeps the parts that were not named, and not the note of how it was."""
    before = Candidate(model="m", user="{{text}}", answer="A: {{answer}}", note="before")

    after = before.changed(**parts)

    assert after.id != before.id
    assert (after.answer, after.note) == ("A: {{answer}}", "")


def test_a_change_is_checked_like_a_new_candidate() -> None:
    """A misspelt part or a value out of range is refused."""
    candidate = Candidate(model="m", user="{{text}}")

    with pytest.raises(ValidationError, match="sytem"):
        candidate.changed(sytem="x")
    with pytest.raises(ValidationError, match="temperature"):
        candidate.changed(decoding={"temperature": 3})


def test_a_copy_is_named_by_its_own_content() -> None:
    """An id that the original has computed is not the copy's where its content changed, and stays where it did not."""
    before = Example(inputs={"text": "a"}, reference="x")
    first = before.id

    corrected = before.model_copy(update={"reference": "y"})
    moved = before.model_copy(update={"split": "dev"})

    assert corrected.id == Example(inputs={"text": "a"}, reference="y").id != first
    assert moved.id == before.model_copy().id == first


@pytest.mark.parametrize("name", GOLDEN)
def test_unknown_fields_are_refused(name: str) -> None:
    """A misspelt setting never passes silently."""
    golden = GOLDEN[name]

    with pytest.raises(ValidationError, match="colour"):
        getattr(ratchet.core, golden["kind"]).model_validate({**golden["record"], "colour": 1})


@pytest.mark.parametrize("name", GOLDEN)
def test_records_are_frozen(name: str) -> None:
    """A field of a record cannot be assigned."""
    record = made(name)
    field = next(iter(type(record).model_fields))

    with pytest.raises(ValidationError, match="frozen"):
        setattr(record, field, None)


def test_unknown_fields_of_parts_are_refused_too() -> None:
    """A misspelt setting inside a part names its place."""
    with pytest.raises(ValidationError, match=r"splits\.sed"):
        Task.model_validate({**GOLDEN["smallest task"]["record"], "splits": {"sed": 1}})


def test_an_explicit_default_part_is_no_change() -> None:
    """A whole part that equals its default leaves the id as it is."""
    record = GOLDEN["smallest task"]["record"]

    explicit = Task.model_validate({**record, "splits": SplitSpec(seed=0)})

    assert explicit.content_id() == GOLDEN["smallest task"]["id"]


@given(JSON_VALUES)
def test_canonical_json_reads_back(value: Json) -> None:
    """Canonical JSON loses nothing."""
    text = canonical_json(value)

    assert json.loads(text) == value


@given(JSON_VALUES)
def test_canonical_json_is_one_text(value: Json) -> None:
    """Values that differ in the order of names alone have one canonical text, so one id."""
    turned = backwards(value)

    assert canonical_json(turned) == canonical_json(value)
    assert content_id("x", turned) == content_id("x", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_what_json_cannot_hold_has_no_id(value: Json) -> None:
    """NaN and infinities are refused, not written as something else."""
    with pytest.raises(ValueError, match="JSON"):
        content_id("x", value)


def test_an_unset_field_at_an_endpoint_is_another_candidate() -> None:
    """One that names no temperature is not the one that was stored when 0 was what no name meant."""
    unset = Candidate(model="openai/gpt", user="{{text}}")

    named = Candidate(
        model="openai/gpt", user="{{text}}", decoding=Decoding(temperature=0, max_tokens=512)
    )

    assert unset.id != named.id
    assert unset.plain()["decoding"] == {"temperature": None, "max_tokens": None}
    assert "decoding" not in named.plain()


def test_a_stored_candidate_keeps_its_id_and_its_meaning() -> None:
    """What was stored before fields could be unset is read with the defaults of then, and named as it was."""
    stored = {"model": "openai/gpt", "user": "{{text}}", "decoding": {"top_p": 0.9}}

    found = Candidate.model_validate(stored, context=STORED)

    assert (found.decoding.temperature, found.decoding.max_tokens) == (0.0, 512)
    assert found.plain() == stored
    assert found.id == content_id("c", stored)


@pytest.mark.parametrize("model", ["openai/gpt", "local:nano"])
@pytest.mark.parametrize("temperature", [None, 0.0, 0.7])
def test_what_is_stored_is_read_as_the_same_candidate(
    model: str, temperature: float | None
) -> None:
    """Writing without defaults and reading as stored gives the same id, whatever is unset."""
    candidate = Candidate(model=model, user="{{text}}", decoding=Decoding(temperature=temperature))

    again = Candidate.model_validate_json(
        candidate.model_dump_json(exclude_defaults=True), context=STORED
    )

    assert again.id == candidate.id


def test_a_local_model_answers_alike_named_or_not() -> None:
    """Without a temperature it takes the likeliest token, so that the two are one candidate."""
    unset = Candidate(model="local:nano", user="{{text}}")

    named = unset.changed(decoding=Decoding(temperature=0.0, max_tokens=512))

    assert unset.id == named.id


def test_all_of_the_probability_is_no_limit() -> None:
    """A top_p of 1 is the same as none."""
    assert Decoding(top_p=1) == Decoding()
