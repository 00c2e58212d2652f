"""Who dominates whom, and the cheapest that is not worse."""

import pytest
from statsmodels.stats.multitest import multipletests

from ratchet.core import Candidate, Example, Score, Trial, Usage
from ratchet.measure import Measurement, cheapest_not_worse, compare_all, standings
from ratchet.measure.compare import holm

EXAMPLES = [Example(inputs={"x": str(i)}, reference="") for i in range(200)]


def measured(name, share, *, cost, latency):
    """Return a measurement in which the first `share` of the answers are right."""
    candidate = Candidate(model="m", user=name)
    usage = Usage(prompt_tokens=10, completion_tokens=1, cost_usd=cost)
    trials = [
        Trial(
            candidate_id=candidate.id, example_id=e.id, usage=usage, latency_s=latency, score=Score(value=float(i < share * 200))
        )
        for i, e in enumerate(EXAMPLES)
    ]  # fmt: skip
    return Measurement.of(
        trials, candidate=candidate, split="dev", metric_id="m", examples=EXAMPLES
    )


GOOD = measured("good", 0.9, cost=0.01, latency=0.5)
CHEAP = measured("cheap", 0.9, cost=0.002, latency=0.5)
FAST = measured("fast", 0.5, cost=0.01, latency=0.1)
BAD = measured("bad", 0.4, cost=0.02, latency=0.9)


def test_the_dominated_are_named():
    """Who is dearer at equal quality, or worse in all, is dominated; the fast and bad one is a choice."""
    found = {s.measured.candidate.id: s.dominated_by for s in standings([GOOD, CHEAP, FAST, BAD])}

    assert found[CHEAP.candidate.id] is None
    assert found[FAST.candidate.id] is None
    assert found[GOOD.candidate.id] == CHEAP.candidate.id
    assert found[BAD.candidate.id] is not None


def test_the_cheapest_that_is_not_worse():
    """Equal answers at a fifth of the price win; a cheap one that is much worse never does."""
    assert cheapest_not_worse([GOOD, CHEAP, FAST, BAD], margin=0.02) is CHEAP
    assert cheapest_not_worse([GOOD, FAST], margin=0.02) is GOOD
    assert cheapest_not_worse([GOOD], margin=0.02) is GOOD


def test_holm_equals_statsmodels():
    """The adjusted p-values are those of statsmodels; a comparison that could not be made stays out."""
    values = [0.04, 0.001, 0.2, 0.012]

    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert holm([0.03, float("nan")])[0] == 0.03


def test_challengers_are_compared_together():
    """Each verdict has its adjusted p, never below its own, and an interval wider than alone."""
    verdicts = compare_all(GOOD, [CHEAP, FAST, BAD], margin=0.02)

    assert [v.decision for v in verdicts] == ["not worse", "worse", "worse"]
    assert all(v.adjusted_p >= v.p_value for v in verdicts)
    assert all(v.interval.level == pytest.approx(1 - 0.05 / 3) for v in verdicts)
