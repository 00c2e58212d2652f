"""Assertions about an answer: the mean of what they say, by weight. A reference is a list of them, as promptfoo writes its tests.

    {type: contains, value: Paris}   {type: not-regex, value: "sorry"}   {type: is-json, value: {…a schema…}, weight: 2}
    {type: assert-set, assert: [{type: contains, value: a}, {type: contains, value: b}]}

Types: equals, contains, icontains, contains-all, contains-any, icontains-all, icontains-any, starts-with, regex, is-json,
contains-json, levenshtein (at most `threshold` edits), word-count (a number, or `min` and `max`); each also with `not-` before it.
rouge-n, rouge-l, gleu, bleu and fuzzy-match are scores in [0, 1]; with `pass_at` they are 1 from there on, else 0. `python` calls
a function of a file that the task names in `metric.options.functions`. `llm-rubric`, `grader` and `similar` ask models: see
`judged_assertions`. `metric` names a part of the score, and `input` is what is looked at in place of the answer, `{{answer}}` in it.

Regular expressions are JavaScript's, schemas draft 7 with formats: a suite means here what it means there.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ratchet.core import Example, FailureKind, Json, Score
from ratchet.core.errors import MetricError, did_you_mean
from ratchet.core.functions import hash_sources, load_function
from ratchet.core.records import canonical_json
from ratchet.metrics.metric import Aggregate, failure_sentence, metric_id
from ratchet.metrics.text_checks import CHECKS

__all__ = ["KINDS", "MODEL_KINDS", "Assertions", "explain_problem", "flat_assertions"]

KINDS = (*CHECKS, "python")
MODEL_KINDS = ("llm-rubric", "grader", "similar")
"""Those that ask models."""
SET = "assert-set"
_SHOWN = 120
Checked = tuple[dict[str, Json], float]
"""An assertion, and its score."""


class Assertions:
    """The weighted mean of an example's assertions.

    Args:
        functions: Files, from the workspace's folder, whose functions an assertion of type `python` may call.
        root: The workspace's folder.
    Raises: MetricError if a file is missing.
    """

    aggregates: tuple[Aggregate, ...] = ()
    references_are_answers = False

    def __init__(self, *, functions: Sequence[str] = (), root: Path | None = None) -> None:
        self._root = root or Path.cwd()
        self._files = (functions,) if isinstance(functions, str) else tuple(functions)
        self._loaded: dict[str, Callable[..., Any]] = {}
        self.id = metric_id("assertions", 2, self.identity())

    def identity(self) -> dict[str, Json]:
        """Return what a change of the functions changes; nothing where there are none."""
        digests: dict[str, Json] = {}
        for name in self._files:
            path = self._root / name
            try:
                path.read_bytes()
                digests[name] = hash_sources(path, self._root)
            except OSError as error:
                raise MetricError(
                    f"metric 'assertions': metric.options.functions names {name!r}, and {path} cannot be read: {error}"
                ) from error
        return {"functions": digests} if digests else {}

    def score(self, example: Example, answer: Json) -> Score:
        """Try each assertion.

        Raises: MetricError if the reference holds none, one of an unknown type, or one that asks a model.
        """
        text = answer if isinstance(answer, str) else canonical_json(answer)
        checked = [
            (assertion, self.check(assertion, text, example))
            for assertion in flat_assertions(example)
        ]
        return combine_scores(example, checked)

    def failed(self, _example: Example, failure: FailureKind) -> Score:
        """Score 0."""
        return Score(value=0.0, feedback=failure_sentence(failure))

    def check(self, assertion: dict[str, Json], text: str, example: Example) -> float:
        """Return the score of one assertion, in [0, 1].

        Raises: MetricError if it cannot be tried.
        """
        kind = str(assertion["type"])
        plain = kind.removeprefix("not-")
        where = f"metric 'assertions', example {example.id} ({example.source})"
        if plain in MODEL_KINDS:
            raise MetricError(
                f"{where}: {kind} asks a model; name one in metric.options.judge of the task"
                if plain != "similar"
                else f"{where}: similar compares embeddings; name them in metric.options.embedding, as local:minilm"
            )
        if plain not in KINDS:
            raise MetricError(
                f"{where}: there is no type {kind!r}; there are {', '.join((*KINDS, *MODEL_KINDS))}, also with not- before them.{did_you_mean(plain, KINDS)}"
            )
        if "input" in assertion:
            text = str(assertion["input"]).replace("{{answer}}", text)
        try:
            if plain == "python":
                value = self._call(assertion, text, example)
            else:
                value = float(CHECKS[plain](text, assertion.get("value"), assertion))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise MetricError(f"{where}: {kind} cannot be read: {error}") from error
        return graded(assertion, value)

    def _call(self, assertion: dict[str, Json], text: str, example: Example) -> float:
        """Return what a function of the user says of an answer."""
        place = str(assertion.get("value"))
        if place.partition(":")[0] not in self._files:
            raise MetricError(
                f"metric 'assertions', example {example.id} ({example.source}): {place!r} is in none of the files of metric.options.functions ({', '.join(self._files) or 'none are named'})"
            )
        if place not in self._loaded:
            self._loaded[place] = load_function(
                place, self._root, setting="an assertion of type python", error=MetricError
            )
        function = self._loaded[place]
        try:
            if "item" in assertion:  # as a grader of OpenAI's is called
                outcome = function({"output_text": text}, assertion["item"])
            else:
                outcome = function(text, {"vars": dict(example.inputs)})
        except Exception as error:
            raise MetricError(
                f"the function {place!r} failed on example {example.id} ({example.source}): {error!r}"
            ) from error
        return outcome_score(outcome, place)


def outcome_score(outcome: object, place: str) -> float:
    """Return what a function returned as a score: a bool, a number, or an object with pass and score.

    Raises: ValueError if it is none of these.
    """
    if isinstance(outcome, dict):
        outcome = outcome.get("score", outcome.get("pass", outcome.get("pass_")))
    if isinstance(outcome, str):
        outcome = float(outcome)
    if outcome is None or not hasattr(outcome, "__float__"):
        raise ValueError(
            f"{place!r} returned {outcome!r}, and not a bool, a number or an object with score"
        )
    return float(outcome)


def graded(assertion: dict[str, Json], value: float) -> float:
    """Return a score in [0, 1], 1 or 0 where the assertion says from where on it passes, turned around by `not-`.

    Raises: ValueError if the value is not a number.
    """
    if math.isnan(value):
        raise ValueError("the score is not a number")
    limit = assertion.get("pass_at")
    if limit is not None:
        value = float(value >= float(limit))
    value = min(1.0, max(0.0, value))
    return 1 - value if str(assertion["type"]).startswith("not-") else value


def combine_scores(example: Example, checked: Sequence[Checked]) -> Score:
    """Return the weighted mean of the scores, with the named parts and what does not hold."""
    scores = iter([value for _, value in checked])
    value = _weighted(assertions_of(example), scores)
    named: dict[str, list[float]] = defaultdict(list)
    wrong = []
    for assertion, score in checked:
        if assertion.get("metric"):
            named[str(assertion["metric"])].append(score)
        if score < 1 and weight_of(assertion) > 0:
            wrong.append(f"{assertion['type']} {canonical_json(assertion.get('value'))[:_SHOWN]}")
    parts: dict[str, Json] = {name: sum(all_) / len(all_) for name, all_ in named.items()}
    return Score(
        value=value,
        parts={"named": parts} if parts else {},
        feedback=f"Does not hold: {'; '.join(wrong)}." if wrong else "All hold.",
    )


def weight_of(assertion: dict[str, Json]) -> float:
    """Return how much an assertion counts.

    Raises: MetricError if that is no number of at least 0.
    """
    weight = assertion.get("weight", 1)
    try:
        number = float(weight)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise MetricError(
            f"metric 'assertions': weight is a number, at least 0; got {weight!r} in {str(assertion)[:_SHOWN]}"
        )
    return number


def _weighted(assertions: Sequence[dict[str, Json]], scores: Iterator[float]) -> float:
    """Return the mean by weight; a set counts as one. Where all weights are 0 nothing counts, and the score is 0."""
    total = whole = 0.0
    for assertion in assertions:
        weight = weight_of(assertion)
        is_set = assertion["type"] == SET
        value = _weighted(assertion["assert"], scores) if is_set else next(scores)
        total += weight * value
        whole += weight
    return total / whole if whole else 0.0


def flat_assertions(example: Example) -> list[dict[str, Json]]:
    """Return an example's assertions in order, those of sets among them."""
    flat: list[dict[str, Json]] = []
    for assertion in assertions_of(example):
        flat += assertion["assert"] if assertion["type"] == SET else [assertion]
    return flat


def assertions_of(example: Example) -> list[dict[str, Json]]:
    """Return the list that a reference is; a set holds no sets.

    Raises: MetricError if it is none.
    """
    reference = example.reference
    if isinstance(reference, str):  # as a column of a file holds it
        try:
            reference = json.loads(reference)
        except ValueError:
            reference = None
    if not _is_list_of_assertions(reference) or not all(
        _is_list_of_assertions(part.get("assert")) for part in reference if part["type"] == SET
    ):
        raise MetricError(
            f"metric 'assertions': the reference of example {example.id} ({example.source}) is a list as [{{type: contains, value: …}}]; got {str(example.reference)[:100]!r}"
        )
    return list(reference)


def _is_list_of_assertions(value: Json) -> bool:
    return isinstance(value, list) and all(
        isinstance(part, dict) and isinstance(part.get("type"), str) for part in value
    )


def explain_problem(assertion: dict[str, Json]) -> str | None:
    """Return why an assertion can never be tried; None where it can."""
    plain = str(assertion.get("type")).removeprefix("not-")
    try:
        weight_of(assertion)
        if plain not in CHECKS:
            return None
        CHECKS[plain]("x", assertion.get("value"), assertion)
    except (TypeError, ValueError, OverflowError, RecursionError, MetricError) as error:
        return str(error)
    return None
