"""The power of the paired tests, and the examples that settle a difference, against simulation."""

import time

import numpy as np
import pytest
from scipy import stats

from ratchet.measure.power import mcnemar_n, mcnemar_power, mcnemar_visible, settling_n


def test_settling_n_gives_the_promised_power():
    """With the number of examples that is promised to settle it, 80 % (± 5) of repetitions do."""
    rng = np.random.default_rng(9)
    n = settling_n(rng.normal(0.1, 0.4, 4000))

    found = np.mean(
        [stats.ttest_1samp(rng.normal(0.1, 0.4, n), 0).pvalue < 0.05 for _ in range(800)]
    )

    assert 0.75 <= found <= 0.85


@pytest.mark.parametrize(
    ("up", "down", "n"), [(0.14, 0.06, 100), (0.3, 0.1, 60), (0.05, 0.03, 1500)]
)
def test_the_power_of_mcnemar_is_what_simulation_finds(up: float, down: float, n: int) -> None:
    """The exact test is discrete: its power is foretold within simulation error, not by a normal curve."""
    rng = np.random.default_rng(10)
    draws = rng.multinomial(n, [up, down, 1 - up - down], 3000)
    found = np.mean([a > b and stats.binomtest(a, a + b).pvalue < 0.05 for a, b, _ in draws])
    assert mcnemar_power(up, down, n) == pytest.approx(found, abs=0.03)


def test_the_n_that_settles_mcnemar_and_what_it_sees() -> None:
    """80 % at the n that is told, less at a tenth below; the visible difference has 80 % too; no difference needs no n."""
    n = mcnemar_n(0.14, 0.06)
    assert n is not None
    assert mcnemar_power(0.14, 0.06, n) >= 0.8 > mcnemar_power(0.14, 0.06, round(0.85 * n))
    seen = mcnemar_visible(0.2, 200)
    assert seen is not None
    assert mcnemar_power(0.1 + seen / 2, 0.1 - seen / 2, 200) == pytest.approx(0.8, abs=0.02)
    assert mcnemar_visible(0.1, 20) is None
    assert mcnemar_n(0.1, 0.1) is None


def test_nearly_equal_candidates_are_compared_as_fast_as_others() -> None:
    """A difference of one in ten thousand would take a hundred million examples to settle: told at once."""
    started = time.perf_counter()
    found = mcnemar_n(0.1001, 0.1)
    assert found is not None
    assert found > 10_000_000
    assert time.perf_counter() - started < 1
