"""Whether what comes in has changed: tests of two samples, one alarm."""

import numpy as np
import pytest

from ratchet.measure.drift import (
    drift_of,
    energy_test,
    labels_test,
    lengths_test,
    scores_test,
)


def vectors(rng, n, shift=0.0):
    """Return vectors of length 1."""
    rows = rng.normal(size=(n, 8)) + np.array([2.0 + shift, *[0.0] * 7])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_alarm_is_false_in_five_of_a_hundred_looks_at_most():
    """All tests together, where nothing has changed."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        tests = [
            energy_test(vectors(rng, 40), vectors(rng, 40), seed=int(rng.integers(99))),
            labels_test(*(list(rng.choice(["a", "b", "c"], 60)) for _ in range(2))),
            scores_test(*(list(rng.random(50)) for _ in range(2))),
        ]
        alarms += bool(drift_of(tests).alarms)

    assert alarms <= 60 * 0.05 + 3 * (60 * 0.05 * 0.95) ** 0.5


def test_what_changed_is_found_and_named():
    """Each by its own test, with figures."""
    rng = np.random.default_rng(1)
    tests = [
        energy_test(vectors(rng, 60), vectors(rng, 60, shift=-2.0)),
        labels_test(["a"] * 50 + ["b"] * 50, ["a"] * 80 + ["b"] * 20),
        scores_test([1.0] * 90 + [0.0] * 10, [1.0] * 40 + [0.0] * 40),
    ]

    found = drift_of(tests)

    assert found.alarms == ["inputs", "outputs", "scores"]
    assert found.tests[1].note == "a: 50 %, now 80 %"
    assert found.tests[2].note == "mean 90.0, now 50.0"
    assert lengths_test(list(range(20)), list(range(40, 60))).p_value < 1e-6


def test_too_little_says_nothing():
    """Nine values are no sample; one label then and now is no change; equal scores neither."""
    assert energy_test(np.zeros((9, 2), np.float32), np.zeros((50, 2), np.float32)) is None
    assert drift_of([None, None]).alarms == []
    assert labels_test(["a"] * 20, ["a"] * 20).p_value == 1.0
    assert scores_test([1.0] * 20, [1.0] * 20).p_value == pytest.approx(1.0)
