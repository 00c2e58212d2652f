"""A measurement: one candidate's trials on a list of examples, and every figure that is reported of them."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from ratchet.core import Candidate, Example, FailureKind, Interval, Json, Spend, Trial
from ratchet.measure.intervals import (
    Array,
    Clusters,
    as_array,
    clusters_of,
    example_means,
    mean_interval,
    standard_error,
)
from ratchet.measure.pooled import Parts, aggregate, pooled_intervals
from ratchet.metrics import Aggregate

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Measurement", "Missing", "Outcome", "grade_text", "number_text", "trials_frame"]


@dataclass(frozen=True)
class Missing:
    """An example without a score: the model did not answer (no trial, nothing paid), or the metric failed on the answer."""

    example_id: str
    kind: str
    message: str
    is_answered: bool = False
    """Whether there is an answer, which is kept and paid for, and the metric could not score it."""


class Outcome(NamedTuple):
    """What the figures need of a trial: a fraction of its size, so that a long measurement stays small."""

    example_id: str
    repeat: int
    value: float
    failure: FailureKind | None
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    latency_s: float
    """NaN where nobody knows."""
    has_tokens: bool = True
    """Whether the tokens are known; they are 0 where they are not."""
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def of(cls, trial: Trial) -> Self:
        """Return the outcome of a trial that is scored."""
        assert trial.score is not None  # every caller scores first
        usage = trial.usage
        return cls(
            trial.example_id,
            trial.repeat,
            trial.score.value,
            trial.failure,
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cost_usd,
            math.nan if "latency_s" in trial.unknown else trial.latency_s,
            "tokens" not in trial.unknown,
            usage.cached_tokens,
            usage.reasoning_tokens,
        )


@dataclass(kw_only=True)
class Measurement:
    """One candidate's outcomes on a list of examples; figures are computed, and trials read back, when asked for."""

    candidate: Candidate
    split: str
    metric_id: str
    examples: list[Example]
    outcomes: list[Outcome]
    """In the order of the examples."""
    read: Callable[[], list[Trial]]
    """Returns the whole trials, in the order of the outcomes."""
    missing: list[Missing] = field(default_factory=list)
    aggregates: tuple[Aggregate, ...] = ()
    grades: tuple[Json, ...] = ()
    """The grades that the metric's judges give, worst first; empty for a metric without judges."""
    bought: int = 0
    """Trials that this run paid for; the others were there."""
    bought_tokens: int = 0
    bought_usd: float = 0.0
    """What these took; votes of judges are not among them."""
    spend: Spend = field(default_factory=Spend)
    """What this run took."""
    stopped: str | None = None
    """Why it ended before all examples were answered, if it did."""

    @classmethod
    def of(cls, trials: list[Trial], **others: Any) -> Self:
        """Return a measurement of scored trials that are at hand."""
        return cls(outcomes=[Outcome.of(trial) for trial in trials], read=lambda: trials, **others)

    @cached_property
    def trials(self) -> list[Trial]:
        """Return the trials with outputs and feedback; the first use reads them from the database, where there is one."""
        return self.read()

    def first_trials(self) -> dict[str, Trial]:
        """Return the first repeat's trial of each answered example, by the example's id."""
        first: dict[str, Trial] = {}
        for trial in self.trials:
            known = first.get(trial.example_id)
            if known is None or trial.repeat < known.repeat:
                first[trial.example_id] = trial
        return first

    @cached_property
    def repeats(self) -> int:
        """Return how many answers to an example there are, at most; 0 without any."""
        return max(Counter(outcome.example_id for outcome in self.outcomes).values(), default=0)

    @cached_property
    def wanted(self) -> frozenset[str]:
        """Return the ids of the examples that were to be answered."""
        return frozenset(example.id for example in self.examples)

    def by_example(self) -> dict[str, float]:
        """Return each answered example's score, repeats averaged."""
        return example_means([(outcome.example_id, outcome.value) for outcome in self.outcomes])

    @cached_property
    def groups(self) -> dict[str, str | None]:
        """Return each example's group: members of one group are no independent evidence."""
        return {example.id: example.group for example in self.examples}

    @cached_property
    def _values(self) -> tuple[Array, Clusters | None]:
        means = self.by_example()
        return as_array(list(means.values())), clusters_of([self.groups[i] for i in means])

    @property
    def score(self) -> float:
        """Return the mean score in [0, 1]; NaN without trials."""
        values, _ = self._values
        return float(values.mean()) if len(values) else math.nan

    @property
    def grade(self) -> str:
        """Return the score in its judges' own scale; empty where that says no more than the score."""
        return grade_text(self.score, self.grades)

    @cached_property
    def interval(self) -> Interval:
        """Return the 95 % interval of the score."""
        return self.interval_at(0.95)

    def interval_at(self, level: float) -> Interval:
        """Return the interval of the score at another level; clustered where examples share a group."""
        return mean_interval(*self._values, level=level)

    @property
    def error(self) -> float:
        """Return the standard error of the score, clustered where examples share a group; NaN below two answers or groups."""
        return standard_error(*self._values)[0]

    @property
    def n(self) -> int:
        """Return the number of examples answered."""
        return len(self._values[0])

    @property
    def failures(self) -> dict[str, int]:
        """Return how many answers failed, by kind, and how many examples are missing one, by reason."""
        counts = Counter[str](outcome.failure for outcome in self.outcomes if outcome.failure)
        counts.update(
            f"{'not scored' if item.is_answered else 'no reply'} ({item.kind})"
            for item in self.missing
        )
        return dict(counts.most_common())

    @property
    def tokens(self) -> tuple[int, int]:
        """Return prompt and completion tokens of all trials, bought now or before."""
        return sum(o.prompt_tokens for o in self.outcomes), sum(
            o.completion_tokens for o in self.outcomes
        )

    @property
    def has_tokens(self) -> bool:
        """Return whether the tokens of all trials are known: those of answers that were collected elsewhere may not be."""
        return all(outcome.has_tokens for outcome in self.outcomes)

    @property
    def cached_tokens(self) -> int:
        """Return the prompt tokens that came from a provider's cache."""
        return sum(outcome.cached_tokens for outcome in self.outcomes)

    @property
    def reasoning_tokens(self) -> int:
        """Return the completion tokens that were thinking."""
        return sum(outcome.reasoning_tokens for outcome in self.outcomes)

    @property
    def cost_usd(self) -> float | None:
        """Return the cost of all trials, bought now or before; None where a price is unknown."""
        costs = [outcome.cost_usd for outcome in self.outcomes]
        return (
            None
            if any(cost is None for cost in costs)
            else sum(cost for cost in costs if cost is not None)
        )

    @property
    def cost_a_call(self) -> float | None:
        """Return dollars a call; None where a price is unknown, or without trials."""
        return (
            None
            if self.cost_usd is None or not self.outcomes
            else self.cost_usd / len(self.outcomes)
        )

    @property
    def tokens_a_call(self) -> float:
        """Return prompt and completion tokens a call; 0 without trials, NaN where they are not known of all."""
        if not self.has_tokens:
            return math.nan
        return sum(self.tokens) / max(1, len(self.outcomes))

    def latency(self, share: float) -> float:
        """Return the latency in seconds that `share` (0.5, 0.95) of the calls stay under; NaN without trials, or where one is unknown."""
        values = as_array([outcome.latency_s for outcome in self.outcomes])
        return float(np.quantile(values, share)) if len(values) else math.nan

    @property
    def totals(self) -> dict[str, float]:
        """Return the figures over the whole split that the metric asks for."""
        if not self.aggregates:
            return {}
        parts = [trial.score.parts for trial in self.trials if trial.score]
        return {
            name: value
            for kind in self.aggregates
            for name, value in aggregate(kind, parts).items()
        }

    def parts(self, examples: Collection[str] | None = None) -> list[Parts]:
        """Return the parts of all scores, or of those of some answered examples, each with its unit: a group, or an example.

        Units are numbered in the order of the measurement's examples, so that two measurements of the same ones agree.
        """
        chosen = self.by_example().keys() if examples is None else examples
        numbers: dict[str, int] = {}
        units: dict[str, int] = {}
        for example in self.examples:
            if example.id in chosen:
                name = f"\0{example.id}" if example.group is None else example.group
                units[example.id] = numbers.setdefault(name, len(numbers))
        return [
            (units[trial.example_id], trial.score.parts)
            for trial in self.trials
            if trial.score and trial.example_id in units
        ]

    @cached_property
    def total_intervals(self) -> dict[str, Interval]:
        """Return the 95 % interval of each total that is a figure of quality, by its name."""
        return pooled_intervals(self.aggregates, self.parts()) if self.aggregates else {}

    def plain(self) -> dict[str, Json]:
        """Return every figure as JSON values, NaN as None."""
        prompt, completion = self.tokens
        figures = {
            "candidate": self.candidate.id,
            "model": self.candidate.model,
            "split": self.split,
            "metric": self.metric_id,
            "n": self.n,
            "score": self.score,
            **({"grade": self.grade} if self.grade else {}),
            "low": self.interval.low,
            "high": self.interval.high,
            "level": self.interval.level,
            "method": self.interval.method,
            "failures": self.failures,
            "prompt_tokens": prompt if self.has_tokens else None,
            "completion_tokens": completion if self.has_tokens else None,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cost_usd": self.cost_usd,
            "latency_p50_s": self.latency(0.5),
            "latency_p95_s": self.latency(0.95),
            "bought": self.bought,
            "stopped": self.stopped,
            **self.totals,
            **{
                f"{name}_{end}": getattr(interval, end)
                for name, interval in self.total_intervals.items()
                for end in ("low", "high")
            },
        }
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in figures.items()
        }

    def frame(self) -> "pl.DataFrame":
        """Return one row a trial as a polars data frame."""
        return trials_frame(self.trials, self.examples)


def number_text(value: float, form: str) -> str:
    """Return a figure in a form such as `.2f`; "n/a" where it is NaN."""
    return "n/a" if math.isnan(value) else format(value, form)


def grade_text(score: float, grades: Sequence[Json]) -> str:
    """Return a score as the mean grade that it stands for: "grade 1.97 of 1 to 5".

    Empty where there are no grades, no numbers among them, or only two, of which the score is the share of the better one.
    """
    numbers = [grade for grade in grades if isinstance(grade, int | float)]
    if len(numbers) < 3 or len(numbers) < len(grades) or math.isnan(score):
        return ""
    place = min(max(score, 0.0), 1.0) * (len(numbers) - 1)
    mean = float(np.interp(place, np.arange(len(numbers)), numbers))
    return f"grade {mean:.2f} of {numbers[0]:g} to {numbers[-1]:g}"


def trials_frame(trials: Sequence[Trial], examples: Sequence[Example]) -> "pl.DataFrame":
    """Return one row a trial as a polars data frame."""
    import polars as pl  # takes a moment to load

    references = {example.id: example for example in examples}
    rows = [
        {
            "example": t.example_id,
            "repeat": t.repeat,
            **{f"input_{k}": str(v) for k, v in references[t.example_id].inputs.items()},
            "reference": str(references[t.example_id].reference),
            "answer": None if t.answer is None else str(t.answer),
            "output": t.output,
            "failure": t.failure,
            "score": t.score.value if t.score else None,
            "feedback": t.score.feedback if t.score else None,
            "prompt_tokens": None if "tokens" in t.unknown else t.usage.prompt_tokens,
            "completion_tokens": None if "tokens" in t.unknown else t.usage.completion_tokens,
            "cost_usd": t.usage.cost_usd,
            "latency_s": None if "latency_s" in t.unknown else t.latency_s,
        }
        for t in trials
    ]
    return pl.DataFrame(rows, infer_schema_length=None)
