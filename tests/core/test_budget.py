"""A budget stops work at its limit, and counts what was used."""

import pytest

from ratchet.core import Budget, Spend


def test_a_budget_without_limits_is_never_spent() -> None:
    """A limit that is None does not bind."""
    budget = Budget()

    budget.charge(calls=10**9, tokens=10**12, cost_usd=10**6)

    assert not budget.is_spent()


@pytest.mark.parametrize(("calls", "spent"), [(2, False), (3, True), (4, True)])
def test_a_limit_in_calls_binds_when_it_is_reached(calls: int, *, spent: bool) -> None:
    """A budget is spent at its limit, not one call later."""
    budget = Budget(calls=3)

    for _ in range(calls):
        budget.charge(calls=1)

    assert budget.is_spent() is spent


def test_a_limit_in_dollars_binds_when_it_is_reached() -> None:
    """Costs add up to the limit."""
    budget = Budget(cost_usd=0.5)

    budget.charge(calls=1, cost_usd=0.25)
    before = budget.is_spent()
    budget.charge(calls=1, cost_usd=0.25)

    assert (before, budget.is_spent()) == (False, True)


@pytest.mark.parametrize(("seconds", "spent"), [(0.0, True), (3600.0, False)])
def test_a_limit_in_seconds_counts_from_the_start(seconds: float, *, spent: bool) -> None:
    """Time runs from the moment that the budget was made."""
    budget = Budget(seconds=seconds)

    assert budget.is_spent() is spent


def test_time_that_is_up_spends_a_budget() -> None:
    """A budget that started longer ago than its limit is spent."""
    budget = Budget(seconds=60)

    budget.started -= 61

    assert budget.is_spent()


def test_a_charge_counts_calls_tokens_and_dollars() -> None:
    """What was used is kept; an unknown cost counts calls and tokens only."""
    budget = Budget(cost_usd=1.0)

    budget.charge(calls=2, tokens=300, cost_usd=0.125)
    budget.charge(calls=1, tokens=50, cost_usd=None)

    assert (budget.spent.calls, budget.spent.tokens, budget.spent.cost_usd) == (3, 350, 0.125)
    assert budget.spent.seconds >= 0


def test_an_unknown_cost_stays_unknown_in_a_sum() -> None:
    """A sum with an unknown part is unknown, never too small."""
    known, unknown = Spend(calls=1, cost_usd=0.5), Spend(calls=2)

    assert known.plus(known) == Spend(calls=2, cost_usd=1.0)
    assert known.plus(unknown) == Spend(calls=3, cost_usd=None)


def test_no_more_calls_begin_than_a_limit_allows() -> None:
    """Calls under way count against a limit in calls, so that it is exact."""
    budget = Budget(calls=2)

    begun = [budget.begin() for _ in range(4)]

    assert begun == [True, True, False, False]


def test_calls_under_way_are_expected_to_cost_what_the_others_did() -> None:
    """With a dollar limit a call begins only if those under way leave room for it."""
    budget = Budget(cost_usd=1.0)
    budget.begin()
    budget.charge(calls=1, cost_usd=0.5)
    budget.end()

    begun = [budget.begin(), budget.begin()]

    assert begun == [True, False]


def test_an_unknown_price_is_remembered() -> None:
    """Dollars are known as long as every charge had a price; one without makes the sum unknown, not smaller."""
    budget = Budget()
    budget.charge(calls=1, cost_usd=0.5)
    known = budget.known_dollars

    budget.charge(calls=1, cost_usd=None)

    assert known == 0.5
    assert budget.known_dollars is None
    assert budget.dollars == 0.5
