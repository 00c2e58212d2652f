"""Alarms are looked at by themselves: seldom, and by chance wrong for at most five of a hundred promotions."""

import math

import pytest

from ratchet.measure.drift import ALARM

alarms = pytest.importorskip("ratchet.web.alarms")


def test_the_levels_of_all_looks_sum_to_one_level():
    """However long a release is served."""
    assert math.isclose(sum(alarms.level_of(k) for k in range(100_000)), ALARM, rel_tol=1e-4)


@pytest.mark.parametrize(("count", "number"), [(0, -1), (19, -1), (20, 0), (39, 0), (40, 1), (79, 1), (80, 2), (20_480, 10)])  # fmt: skip
def test_a_look_is_due_when_the_log_has_doubled(count, number):
    """So that a long log is not looked at a thousand times."""
    assert alarms.look_at(count) == number
