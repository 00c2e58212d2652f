"""Who dominates whom, and the cheapest that is not worse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
            candidate_id=candidate.id,
            example_id=e.id,
            usage=usage,
            latency_s=latency,
            score=Score(value=float(i < share * 200)),
        )
        for i, e in enumerate(EXAMPLES)
    ]
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
    """Each verdict has its adjusted p, never below its own, and an interval of the level at which Holm's method reached it."""
    verdicts = compare_all(GOOD, [CHEAP, FAST, BAD], margin=0.02)

    assert [v.decision for v in verdicts] == ["not worse", "worse", "worse"]
    assert all(v.adjusted_p >= v.p_value for v in verdicts)
    assert [v.interval.level for v in verdicts] == pytest.approx(
        [1 - 0.05 / 3, 1 - 0.05 / 2, 1 - 0.05 / 3]
    )


@given(st.lists(st.integers(0, 30), min_size=2, max_size=5))
def test_intervals_agree_with_verdicts_of_many(shares):
    """Of several challengers each is better or worse exactly where its interval leaves 0 out, and Holm's method rejects."""
    champion = measured("base", 0.5, cost=1.0, latency=1.0)
    others = [
        measured(f"{i}", 0.4 + share / 150, cost=1.0, latency=1.0) for i, share in enumerate(shares)
    ]

    for verdict in compare_all(champion, others, margin=0.02):
        is_clear = verdict.interval.low > 0 or verdict.interval.high < 0
        assert is_clear == (verdict.adjusted_p < 0.05) == (verdict.decision in ("better", "worse"))


def tokens(name, share, *, cost=0.001, tokens, latency=0.5):
    """Return a measurement whose answers take so many prompt tokens."""
    made = measured(name, share, cost=cost, latency=latency)
    usage = Usage(prompt_tokens=tokens, completion_tokens=1, cost_usd=cost)
    trials = [trial.model_copy(update={"usage": usage}) for trial in made.trials]
    return Measurement.of(
        trials, candidate=made.candidate, split="dev", metric_id="m", examples=EXAMPLES
    )


@pytest.mark.parametrize("salt", range(6))
def test_ties_go_to_cost_then_tokens_then_latency(salt):
    """Whatever the ids are, of equal scores the cheapest is the pick, of equal costs the shortest, of equal lengths the fastest."""
    dear = tokens(f"dear {salt}", 0.9, cost=0.01, tokens=10)
    long = tokens(f"long {salt}", 0.9, cost=0.001, tokens=50)
    slow = tokens(f"slow {salt}", 0.9, cost=0.001, tokens=10, latency=0.9)
    fast = tokens(f"fast {salt}", 0.9, cost=0.001, tokens=10, latency=0.1)

    for among in ([dear, long, slow, fast], [dear, long, slow], [dear, long]):
        assert cheapest_not_worse(among, margin=0.02) is among[-1]
        assert standings(among)[0].measured is among[-1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.5, 0.9, 0.905, 0.91]),
            st.sampled_from([0.0, 0.001, None]),
            st.sampled_from([10, 20]),
            st.sampled_from([0.1, 0.2]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_the_pick_is_never_dominated(parts):
    """Whatever scores, prices, lengths and latencies are, no candidate dominates the pick."""
    among = [
        tokens(f"{i}", score, cost=cost, tokens=count, latency=latency)
        for i, (score, cost, count, latency) in enumerate(parts)
    ]

    pick = cheapest_not_worse(among, margin=0.02)

    (by,) = [s.dominated_by for s in standings(among) if s.measured is pick]
    assert by is None


def test_an_unknown_price_dominates_nobody():
    """A candidate whose price is unknown is not taken to be free."""
    unknown = measured("unknown", 0.9, cost=None, latency=0.5)

    assert all(standing.dominated_by is None for standing in standings([GOOD, unknown]))
