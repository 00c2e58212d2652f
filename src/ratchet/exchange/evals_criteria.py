"""Testing criteria of OpenAI's evals as assertions: filled in for each item, or noted as lost.

The service does not publish how it cuts texts into words: likeness by words is ours, by the published definitions.
"""

import ast
import json
import math
import re
from collections.abc import Mapping

from ratchet.core import Json, MetricSpec
from ratchet.core.errors import DataError
from ratchet.exchange.losses import Losses
from ratchet.metrics.assertions import explain_problem
from ratchet.metrics.judged_assertions import explain_grader

__all__ = ["Criteria", "as_list", "as_object", "names_of_items", "text_content"]

_FIELD = re.compile(r"\{\{\s*(item|sample)\.(\w+(?:\.\w+)*)\s*\}\}")
_ANY_FIELD = re.compile(r"\{\{(.*?)\}\}")
_OUTPUT = "output_text"
_STRINGS = {"eq": "equals", "ne": "not-equals", "like": "contains", "ilike": "icontains"}
_LIKENESS: dict[str, dict[str, Json]] = {
    "fuzzy_match": {"type": "fuzzy-match"},
    "bleu": {"type": "bleu"},
    "gleu": {"type": "gleu"},
    "rouge_l": {"type": "rouge-l"},
    "cosine": {"type": "similar"},
    **{f"rouge_{n}": {"type": "rouge-n", "size": n} for n in range(1, 6)},
}
_EMBEDDING = "local:minilm"


def _fill_items(text: str, item: Mapping[str, Json]) -> str:
    """Return a template with the item's fields filled in, and `{{answer}}` where the answer stands.

    Raises: DataError if it has a field that the item lacks, or another one of the sample.
    """

    def fill(match: re.Match[str]) -> str:
        space, path = match[1], match[2]
        if space == "sample":
            if path != _OUTPUT:
                raise DataError(
                    f"{{{{sample.{path}}}}} is not read, {{{{sample.{_OUTPUT}}}}} alone"
                )
            return "{{answer}}"
        value: Json = item
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise DataError(f"the item has no {path!r}")
            value = value[part]
        if isinstance(value, str):
            return value
        return "" if value is None else json.dumps(value, ensure_ascii=False)

    odd = next((f for f in _ANY_FIELD.findall(text) if not _FIELD.fullmatch(f"{{{{{f}}}}}")), None)
    if odd is not None:
        raise DataError(f"{{{{{odd}}}}} is no field of the item or the sample")
    return _FIELD.sub(fill, text)


def as_object(value: Json) -> dict[str, Json]:
    """Return an object; what is none has no parts."""
    return value if isinstance(value, dict) else {}


def as_list(value: Json) -> list[Json]:
    """Return a list; what is none has no items."""
    return value if isinstance(value, list) else []


def names_of_items(text: str) -> list[str]:
    """Return the fields of the item that a template names."""
    return [path.partition(".")[0] for space, path in _FIELD.findall(text) if space == "item"]


class Criteria:
    """The testing criteria of an eval.

    Args:
        given: As they stand in the eval.
        task: The task's name; functions are written beside it.
        losses: Takes what is not kept.
    """

    def __init__(self, given: Json, task: str, losses: Losses) -> None:
        self._losses, self._home = losses, f"tasks/{task}"
        self.files: dict[str, str] = {}
        """Functions, by their path from the workspace's folder."""
        self.graders: dict[str, dict[str, Json]] = {}
        """Options of the models that grade, by name."""
        self._templates: list[dict[str, Json]] = []
        """Assertions whose texts are still templates."""
        for number, criterion in enumerate(as_list(given), start=1):
            name = str(criterion.get("name") or number) if isinstance(criterion, dict) else number
            where = f"criterion {name}"
            try:
                self._templates.append(self._read(criterion, where))
            except (DataError, KeyError, TypeError, AttributeError, ValueError) as error:
                what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
                self._losses.add(f"criterion {name!r}: {what}", where)

    @property
    def is_readable(self) -> bool:
        """Return whether there is one that can be tried."""
        return bool(self._templates)

    def compared_names(self) -> set[str]:
        """Return the fields of the item that answers are compared with."""
        texts = [str(one.get("value", "")) for one in self._templates if one["type"] != "grader"]
        return {name for text in texts for name in names_of_items(text)}

    @property
    def is_one_equality(self) -> bool:
        """Return whether all that counts is that the answer equals a text of the item."""
        if len(self._templates) != 1:
            return False
        (only,) = self._templates
        return only["type"] == "equals" and only.keys() == {"type", "value", "metric"}

    def metric(self) -> MetricSpec:
        """Return the metric with its options."""
        options: dict[str, Json] = {}
        if self.files:
            options["functions"] = sorted(self.files)
        if self.graders:
            options["graders"] = self.graders
        if any(one["type"] == "similar" for one in self._templates):
            options["embedding"] = _EMBEDDING
        return MetricSpec(name="assertions", options=options)

    def reference(self, item: dict[str, Json], where: str) -> list[dict[str, Json]]:
        """Return an item's assertions; one that it lacks a field for is noted."""
        reference = []
        for template in self._templates:
            try:
                assertion = _filled(template, item)
                if problem := explain_problem(assertion):
                    raise DataError(problem)
            except DataError as error:
                self._losses.add(f"criterion {template['metric']!r}: {error}", where)
            else:
                reference.append(assertion)
        if not reference:
            self._losses.add("item without a criterion that can be tried", where)
        return reference

    def _read(self, given: dict[str, Json], where: str) -> dict[str, Json]:
        """Return a criterion as an assertion whose texts are templates.

        Raises: DataError if it has no equal.
        """
        kind = given.get("type")
        base: dict[str, Json] = {"metric": str(given.get("name") or kind)}
        if given.get("pass_threshold") is not None:
            base["pass_at"] = _finite(given["pass_threshold"])
        if kind == "string_check":
            if given["operation"] not in _STRINGS:
                raise DataError(f"the operation {given['operation']!r} is not known")
            return {**base, "type": _STRINGS[given["operation"]], **_compared(given)}
        if kind == "text_similarity":
            likeness = _LIKENESS.get(given["evaluation_metric"])
            if likeness is None:
                raise DataError(f"text similarity by {given['evaluation_metric']!r}")
            return {**base, **likeness, **_compared(given)}
        if kind in ("label_model", "score_model"):
            return {**base, **self._model_grader(given, kind, where)}
        if kind == "python":
            return {**base, **self._function(given, where)}
        raise DataError(f"criteria of type {kind!r} have no equal")

    def _model_grader(self, given: dict[str, Json], kind: str, where: str) -> dict[str, Json]:
        messages = [
            {"role": str(m["role"]), "content": text_content(m.get("content"))}
            for m in given["input"]
        ]
        for message in messages:
            if any(
                path != _OUTPUT
                for space, path in _FIELD.findall(message["content"])
                if space == "sample"
            ):
                raise DataError(f"its messages use more of the sample than {_OUTPUT}")
        options: dict[str, Json] = {"model": f"openai/{given['model']}"}
        if kind == "label_model":
            options |= {"labels": given["labels"], "passing_labels": given["passing_labels"]}
        elif given.get("range"):
            options["range"] = given["range"]
        if problem := explain_grader(str(given.get("name") or kind), options):
            raise DataError(problem)
        if kind == "score_model" and given.get("pass_threshold") is not None:
            low, high = map(float, (given.get("range") or [0, 1])[:2])
            options_threshold = (_finite(given["pass_threshold"]) - low) / (high - low)
        else:
            options_threshold = None
        for name in sorted(given.get("sampling_params") or {}):
            if given["sampling_params"][name] is not None:
                self._losses.add(f"sampling parameter {name} of a grader", where)
        name = str(given.get("name") or kind)
        while name in self.graders:
            name += "_"
        self.graders[name] = options
        threshold = {} if options_threshold is None else {"pass_at": options_threshold}
        return {"type": "grader", "value": name, "messages": messages, **threshold}

    def _function(self, given: dict[str, Json], where: str) -> dict[str, Json]:
        source = str(given["source"])
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise DataError(f"its Python does not parse: {error}") from error
        if not any(isinstance(n, ast.FunctionDef) and n.name == "grade" for n in tree.body):
            raise DataError("its Python has no function grade(sample, item)")
        if given.get("image_tag"):
            self._losses.add("image_tag of a grader (its Python runs here)", where)
        stem = (
            re.sub(r"\W+", "_", str(given.get("name") or "grader")).strip("_").lower() or "grader"
        )
        while f"{self._home}/{stem}.py" in self.files:
            stem += "_"
        self.files[f"{self._home}/{stem}.py"] = source if source.endswith("\n") else f"{source}\n"
        return {"type": "python", "value": f"{self._home}/{stem}.py:grade", "item": True}


def text_content(content: Json) -> str:
    """Return the text of a message: a text, a part, or a list of parts.

    Raises: DataError if it has more than text.
    """
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise DataError(f"a message has a part of type {kind!r}, and only text is read")
        texts.append(text)
    return "\n".join(texts)


def _finite(value: Json) -> float:
    """Return a number.

    Raises: ValueError if it is none, or not finite.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def _compared(given: dict[str, Json]) -> dict[str, Json]:
    """Return what is compared, and with what; the answer as it is needs no word.

    Raises: DataError if neither side is of the sample.
    """
    left, right = str(given["input"]), str(given["reference"])
    symmetric = given.get("operation") not in ("like", "ilike")
    if "sample." not in left and "sample." in right and symmetric:
        left, right = right, left
    if "sample." not in left or "sample." in right:
        raise DataError("it does not look for a text in the sample's")
    for space, path in _FIELD.findall(left):
        if space == "sample" and path != _OUTPUT:
            raise DataError(f"{{{{sample.{path}}}}} is not read, {{{{sample.{_OUTPUT}}}}} alone")
    alone = _FIELD.fullmatch(left.strip())
    looked_at = {} if alone and alone[2] == _OUTPUT else {"input": left}
    return {"value": right, **looked_at}


def _filled(template: dict[str, Json], item: dict[str, Json]) -> dict[str, Json]:
    """Return an assertion with the item's fields in its texts.

    Raises: DataError if the item lacks one.
    """
    assertion = dict(template)
    if template["type"] == "grader":
        assertion["messages"] = [
            {**m, "content": _fill_items(m["content"], item)} for m in template["messages"]
        ]
        return assertion
    if template["type"] == "python":
        return {**assertion, "item": item}
    for part in ("value", "input"):
        if part in template:
            assertion[part] = _fill_items(str(template[part]), item)
    return assertion
