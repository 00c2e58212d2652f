"""A test of two arms that may be looked at after every word of feedback."""

import math

import numpy as np
import pytest

from ratchet.measure.live import live_test, mixture


def test_equal_arms_are_told_apart_in_five_of_a_hundred_at_most():
    """Though one looks after every pair, for 300 pairs; either side."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(300):
        old, new = (rng.random((2, 300)) < 0.8).astype(float)
        wins, losses = np.cumsum(new > old), np.cumsum(new < old)
        told += any(mixture(w, n) >= 20 for w, n in zip(wins, losses, strict=True))

    assert told / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def words_of(rng, old, new, *, share=0.5, count=400):
    """Return words on two arms whose answers are liked so often, at any moment of the time."""
    said = []
    for moment in np.linspace(0, 1, count):
        is_new = rng.random() < share
        said.append((is_new, float(rng.random() < (new if is_new else old)(moment))))
    return said


def test_an_arm_that_is_worse_is_found():
    """Thumbs up for 60 instead of 85 of a hundred, nearly always; and nobody is told that it is better."""
    rng = np.random.default_rng(1)
    words = [live_test(words_of(rng, lambda _: 0.85, lambda _: 0.6)).word for _ in range(100)]

    assert words.count("worse") >= 95
    assert words.count("better") == 0


def test_times_that_change_for_both_are_no_evidence():
    """A small share of the traffic, and people who grow unhappy with everything: pairs speak of the same time."""
    rng = np.random.default_rng(2)
    falling = lambda moment: 0.9 - 0.4 * moment  # noqa: E731
    words = [
        live_test(words_of(rng, falling, falling, share=0.1, count=2000)).word for _ in range(100)
    ]

    assert 100 - words.count("no evidence") <= 100 * 0.1 + 3 * (100 * 0.1 * 0.9) ** 0.5


def test_figures():
    """Means and pairs; nobody has spoken yet; very many wins are no evidence against it."""
    found = live_test([(False, 1.0), (True, 1.0), (False, 0.0), (True, 0.0), (False, 1.0), (False, 1.0)])  # fmt: skip

    assert (found.old, found.new) == ((4, 0.75), (2, 0.5))
    assert (found.wins, found.losses, found.word) == (1, 1, "no evidence")
    assert live_test([]).word == "no evidence"
    assert math.isnan(live_test([]).old[1])
    assert mixture(0, 0) == pytest.approx(1.0)
    assert mixture(0, 10) == pytest.approx(2 * 2**10 * (1 - 0.5**11) / 11, rel=1e-6)
    assert mixture(1200, 0) == 0.0
