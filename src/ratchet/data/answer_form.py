"""Guess the form of a task's answers from a survey of their column: number, labels, JSON or text, and the metric that fits."""

import re

from ratchet.core import AnswerForm, Json, MetricSpec, escape_template
from ratchet.data.published import UNANSWERABLE
from ratchet.data.survey import MAX_LABELS, ColumnSurvey, Survey

__all__ = ["guess_form"]

NAMES_OF_DIGITS = (
    "id",
    "ids",
    "code",
    "codes",
    "zip",
    "zipcode",
    "postcode",
    "plz",
    "phone",
    "tel",
    "telephone",
    "fax",
    "mobile",
    "version",
    "sku",
    "isbn",
    "ean",
    "iban",
    "serial",
)
NUMBERED = (
    *NAMES_OF_DIGITS,
    "order",
    "invoice",
    "account",
    "customer",
    "ticket",
    "case",
    "tracking",
    "part",
    "model",
    "flight",
    "room",
)
"""A column whose name ends in such a word, or in one of these and "number", holds names that are made of digits."""
LABEL_NAMES = ("label", "type", "tag", "category", "class", "kind", "entity_type", "entity_group")
TEXT_NAMES = ("text", "value", "entity", "word", "span", "mention")
OFFSET_NAMES = ("start", "end", "begin", "stop", "offset", "length")


def guess_form(column: str, rows: Survey) -> tuple[AnswerForm, MetricSpec, str]:
    """Return form, metric and instructions for the answers of a column."""
    survey, said = rows.columns.get(column, ColumnSurvey()), escape_template(column)
    if survey.num_values and survey.is_structured:
        return structured_form(column, survey)
    if survey.num_values and (survey.is_solution or is_amount(column, survey)):
        return (
            AnswerForm(kind="number"),
            MetricSpec(name="number"),
            f"Give the {said}: one number and nothing else.",
        )
    if survey.num_values and survey.is_query:
        return (
            AnswerForm(kind="sql"),
            MetricSpec(name="exact"),
            f"Give the {said}: one SQL query and nothing else.",
        )
    labels = labels_of(survey, has_gaps=survey.num_values < rows.num_rows)
    if labels:
        return (
            AnswerForm(kind="label", labels=labels),
            MetricSpec(name="label"),
            f"Choose the {said}. Answer with the label alone.",
        )
    return (
        AnswerForm(absent=UNANSWERABLE if survey.num_unanswerable else None),
        MetricSpec(name="match"),
        f"Give the {said} and nothing else.",
    )


def is_amount(column: str, survey: ColumnSurvey) -> bool:
    """Return whether a column holds numbers to compute with: many different ones, and no names made of digits."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).lower())
    last, before = [*["", ""], *words][-1], [*["", ""], *words][-2]
    is_name = last in NAMES_OF_DIGITS or (last in ("number", "no", "nr") and before in NUMBERED)
    is_varied = survey.labels is None or len(survey.labels) > 10  # fewer look like labels
    return survey.is_amount and is_varied and not is_name


def labels_of(survey: ColumnSurvey, *, has_gaps: bool) -> tuple[str, ...]:
    """Return the labels of a column whose values repeat often enough to be some, by a rule of thumb.

    A table with gaps writes its integers as floats, because only those know NaN: they are integers again.
    """
    if not survey.labels or not 2 <= len(survey.labels) <= MAX_LABELS:
        return ()
    if survey.num_values < 3 * len(survey.labels):
        return ()
    cut = len(".0") if survey.is_whole_float and has_gaps else 0
    return tuple(sorted({label[: len(label) - cut] for label in survey.labels}))


def structured_form(column: str, survey: ColumnSurvey) -> tuple[AnswerForm, MetricSpec, str]:
    schema = survey.schema(column)
    form, instructions = (
        AnswerForm(kind="json", json_schema=schema),
        "Answer with a JSON object: {{schema}}",
    )
    for name, part in schema.get("properties", {}).items():
        items = part.get("items", {}) if part.get("type") == "array" else {}
        if items.get("type") != "object":
            continue
        label, text = span_names(items["properties"])
        if label and text:
            options: dict[str, Json] = {"list": name, "text": text, "label": label}
            return form, MetricSpec(name="spans", options=options), instructions
        break
    return form, MetricSpec(name="fields"), instructions


def span_names(properties: dict[str, Json]) -> tuple[str | None, str | None]:
    """Return which parts of an item are its label and its text: by their values, else by their names where they are all that it has."""
    texts = {n: s for n, s in properties.items() if s.get("type") == "string"}
    low = {name.lower(): name for name in texts}
    label = next((name for name, part in texts.items() if "enum" in part), None)
    text = next((name for name, part in texts.items() if part == {"type": "string"}), None)
    if label and text:
        return label, text
    if any(name.lower() not in (*LABEL_NAMES, *TEXT_NAMES, *OFFSET_NAMES) for name in properties):
        return None, None
    label = next((low[name] for name in LABEL_NAMES if name in low), None)
    return label, next((low[name] for name in TEXT_NAMES if name in low), None)
