"""A small version of `make proof`: each claim holds, and a claim that does not would be told."""

import pytest
from benchmarks.proof.claims import CLAIMS, Outcome


@pytest.mark.slow
@pytest.mark.parametrize(
    "claim", [one for one in CLAIMS if not one.is_long], ids=lambda claim: claim.name
)
def test_claims_hold(claim):
    """With forty runs and a few more every claim holds, within the wider error of so few."""
    if not claim.can_run:
        pytest.skip(f"what it needs is not at hand: {claim.lacks}")
    for outcome in claim.outcomes(0.004):
        assert outcome.holds, outcome


def test_a_false_claim_would_be_told():
    """7 % of 2,000 runs do not pass for at most 5 %; 6 % pass, as three standard errors are 1.5 points."""
    assert not Outcome("x", 0.07, 2000, 0.0, 0.05).holds
    assert Outcome("x", 0.06, 2000, 0.0, 0.05).holds
