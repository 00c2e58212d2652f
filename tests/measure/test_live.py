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


def test_an_arm_that_is_worse_is_found():
    """Thumbs up for 60 instead of 85 of a hundred: within 200 words on each side, nearly always."""
    rng = np.random.default_rng(1)
    words = [
        live_test(list((rng.random(200) < 0.85).astype(float)), list((rng.random(200) < 0.6).astype(float))).word
        for _ in range(100)
    ]  # fmt: skip

    assert words.count("worse") >= 95
    assert words.count("better") == 0


def test_figures():
    """Means and pairs; nobody has spoken yet."""
    found = live_test([1, 0, 1, 1], [1, 1, 0])

    assert (found.old, found.new) == ((4, 0.75), (3, pytest.approx(2 / 3)))
    assert (found.wins, found.losses, found.word) == (1, 1, "no evidence")
    assert live_test([], []).word == "no evidence"
    assert math.isnan(live_test([], []).old[1])
    assert mixture(0, 0) == pytest.approx(1.0)
    assert mixture(0, 10) == pytest.approx(2 * 2**10 * (1 - 0.5**11) / 11, rel=1e-6)
