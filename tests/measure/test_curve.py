"""Learning curves: the truth ahead lies in the interval, and odd input is refused."""

import numpy as np
import pytest
from scipy.stats import norm

from ratchet.core.errors import DataError
from ratchet.measure import learning_curve


@pytest.mark.parametrize(("c", "a", "b"), [(0.9, 3, 0.6), (0.75, 1.5, 0.4), (0.6, 0, 0.5)])
def test_what_is_ahead_is_covered(c, a, b):
    """Of 60 simulated tasks with 200 dev examples, 85 % or more have the true score at twice the data in the interval."""
    rng, sizes, held = np.random.default_rng(1), (50, 100, 200, 400), 0
    for _ in range(60):
        hard = rng.standard_normal(200) * 0.6**0.5
        scores = [
            hard + 0.4**0.5 * rng.standard_normal(200) < norm.ppf(c - a * s**-b) for s in sizes
        ]
        curve = learning_curve(sizes, np.array(scores, float), [800])
        interval = curve.ahead[0].interval
        held += interval.low <= c - a * 800**-b <= interval.high

    assert held / 60 >= 0.85


def test_a_perfect_start_has_nothing_to_gain():
    """All right at every size: more data bring nothing, and the sentence says so."""
    curve = learning_curve((50, 100, 200), np.ones((3, 40)), [400])

    assert curve.ahead[0].score == pytest.approx(1)
    assert curve.sentence.startswith("200 examples score 100.0; 400 would bring about +0.0")


def test_groups_make_the_interval_wider():
    """Dev examples that move together count once."""
    rng = np.random.default_rng(0)
    means = rng.random(10)
    scores = np.array([np.repeat(means * f, 20) for f in (0.6, 0.8, 0.9)])
    alone = learning_curve((50, 100, 200), scores, [400])
    grouped = learning_curve((50, 100, 200), scores, [400], clusters=np.repeat(np.arange(10), 20))

    def width(curve):
        return curve.ahead[0].interval.high - curve.ahead[0].interval.low

    assert width(grouped) > 2 * width(alone)


def test_two_sizes_are_no_curve():
    """Fewer than three sizes, and sizes that do not rise, are refused."""
    for sizes in ((50, 100), (100, 50, 200)):
        with pytest.raises(DataError, match="three sizes or more that rise"):
            learning_curve(sizes, np.ones((len(sizes), 5)), [400])
