"""Whether a challenger takes the champion's place: only on a verdict, at a level that accounts for all challengers before it.

The k-th comparison on a ladder is made at alpha_k = alpha · 6 / (π² k²). These sum to alpha over any number of rungs, so by
the union bound the chance that one or more rungs of a ladder are false stays at most alpha, however long one climbs.
Simulated in tests/ladder/test_admit.py.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ratchet.core import Example, Verdict
from ratchet.core.errors import DataError
from ratchet.core.policy import Policy
from ratchet.measure import Bench, Measurement, calibrate, compare, recall
from ratchet.metrics import JudgeMetric
from ratchet.store import find_candidate, load_grades

__all__ = ["ALPHA", "FEWEST", "SAVING", "admit", "distrust", "level_of", "refusals"]

ALPHA = 0.05
ANY = 0.99
"""A margin that no loss passes: of a slice it is asked only whether it is worse."""
GRADED = 20
"""Answers that people must have graded before anything is said of judges."""
FEWEST = 10
"""Examples that a slice needs to say anything."""
SAVING = 0.2
"""A challenger that is not worse takes the place if it saves at least this share of the cost, or of the tokens where cost is 0."""


def level_of(comparison: int, alpha: float = ALPHA) -> float:
    """Return the confidence level of the `comparison`-th verdict on a ladder, counted from 1."""
    return 1 - alpha * 6 / (math.pi**2 * comparison**2)


def refusals(policy: Policy, champion: Measurement, challenger: Measurement) -> list[str]:
    """Return the conditions of a policy that a challenger breaks, in words.

    A slice is broken where the verdict on its examples alone says worse; slices with few examples say nothing, and are passed over.
    """
    found = []
    cost, seconds, tokens = challenger.cost_a_call, challenger.latency(0.95), challenger.tokens_a_call  # fmt: skip
    if policy.most_usd is not None and (cost is None or cost > policy.most_usd):
        said = "an unknown price" if cost is None else f"${cost:.6f} a call"
        found.append(f"{said}, more than admit.most_usd {policy.most_usd:g}")
    if policy.most_seconds is not None and seconds > policy.most_seconds:
        found.append(f"{seconds:.2f} s for 95 %, more than admit.most_seconds {policy.most_seconds:g}")  # fmt: skip
    if policy.most_tokens is not None and tokens > policy.most_tokens:
        found.append(f"{tokens:.0f} tokens a call, more than admit.most_tokens {policy.most_tokens}")  # fmt: skip
    for field in policy.slices:
        values = Counter(str(example.inputs.get(field)) for example in champion.examples)
        for value, count in sorted(values.items()):
            if count < FEWEST:
                continue
            parts = (part_of(one, field, value) for one in (champion, challenger))
            verdict = compare(*parts, margin=ANY)
            if verdict.decision == "worse":
                found.append(f"worse where {field} is {value!r}: {100 * verdict.effect:+.1f} points on {count} examples")  # fmt: skip
    return found


def distrust(bench: Bench, examples: Sequence[Example]) -> list[str]:
    """Return why the scores of a task's judges are not to be relied on, where its policy asks how far they agree with people.

    Looks at stored votes and grades of answers to `examples`; nothing is called.
    """
    least, name = bench.task.admit.kappa, bench.task.name
    if least is None:
        return []
    if not isinstance(bench.metric, JudgeMetric) or bench.engine is None:
        return [f"admit.kappa is for a metric with judges, and {bench.task.metric.name} has none; take it out"]  # fmt: skip
    grades = load_grades(bench.engine, bench.task.asking_id)
    names = dict.fromkeys(grade.candidate_id for grade in grades)
    measured = [recall(bench, find_candidate(bench.engine, one), examples) for one in names]
    try:
        found = calibrate(bench.metric, measured, grades).agreement
    except DataError:
        found = None
    if found is None or found.n < GRADED:
        return [f"admit.kappa needs {GRADED} answers that people have graded, and there are {found.n if found else 0}; grade some with: ratchet grade {name}"]  # fmt: skip
    if not found.kappa >= least:
        return [f"the judges agree with people to a kappa of {found.kappa:.2f} on {found.n} answers, less than admit.kappa {least:g}; look at: ratchet calibrate {name}"]  # fmt: skip
    return []


def part_of(measured: Measurement, field: str, value: str) -> Measurement:
    """Return a measurement of the examples that have a value alone."""
    examples = [one for one in measured.examples if str(one.inputs.get(field)) == value]
    known = {one.id for one in examples}
    outcomes = [one for one in measured.outcomes if one.example_id in known]
    return replace(measured, examples=examples, outcomes=outcomes, missing=[m for m in measured.missing if m.example_id in known])  # fmt: skip


def admit(verdict: Verdict, champion: Measurement, challenger: Measurement) -> bool:
    """Return whether the challenger is kept: better, or not worse and cheaper by `SAVING`."""
    if verdict.decision == "better":
        return True
    return verdict.decision == "not worse" and saving(champion, challenger) >= SAVING


def saving(champion: Measurement, challenger: Measurement) -> float:
    """Return the share of the champion's cost a call that the challenger saves; negative where it is dearer."""
    before, after = (cost_of(measured) for measured in (champion, challenger))
    if champion.cost_a_call and challenger.cost_a_call == 0:  # from dollars to nothing
        return 1.0
    return (
        0.0
        if before is None or after is None or before[1] != after[1] or not before[0]
        else 1 - after[0] / before[0]
    )


def cost_of(measured: Measurement) -> tuple[float, str] | None:
    """Return dollars a call, or tokens a call where calls are free; None where the price is unknown."""
    cost = measured.cost_a_call
    if cost is None:
        return None
    return (cost, "usd") if cost else (measured.tokens_a_call, "tokens")
