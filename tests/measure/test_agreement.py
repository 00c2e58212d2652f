"""Agreement: against published examples and worked values."""

import math

import numpy as np
import pytest

from ratchet.measure.agreement import cohen_kappa, confusion, krippendorff_alpha

GAP = math.nan
FOUR_OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
        [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
    ]
)
"""The data of Krippendorff (2011), section C."""


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_that_of_the_paper(level: str, alpha: float) -> None:
    """Four observers, twelve units, five values, with gaps."""
    assert krippendorff_alpha(FOUR_OBSERVERS, level=level) == pytest.approx(alpha, abs=6e-4)


def test_kappa_of_a_worked_table() -> None:
    """Observed agreement 0.7 and 0.5 expected give 0.4; quadratic weights forgive near misses."""
    table = np.array([[20.0, 5.0], [10.0, 15.0]])
    assert cohen_kappa(table) == pytest.approx(0.4)
    near = np.array([[10.0, 5.0, 0.0], [5.0, 10.0, 5.0], [0.0, 5.0, 10.0]])
    far = np.array([[10.0, 0.0, 5.0], [5.0, 10.0, 5.0], [5.0, 0.0, 10.0]])
    assert cohen_kappa(near) == pytest.approx(0.4, abs=0.02)
    assert cohen_kappa(near, quadratic=True) > cohen_kappa(near) > cohen_kappa(far, quadratic=True)


def test_what_cannot_be_said_is_nan() -> None:
    """Nothing rated, one kind only, or nothing rated twice: no figure."""
    assert math.isnan(cohen_kappa(np.zeros((2, 2))))
    assert math.isnan(cohen_kappa(np.array([[9.0, 0.0], [0.0, 0.0]])))
    assert math.isnan(krippendorff_alpha(np.full((2, 3), GAP)))
    assert math.isnan(krippendorff_alpha(np.array([[1.0, GAP], [GAP, 2.0]])))
    assert math.isnan(krippendorff_alpha(np.ones((2, 5))))


def test_a_confusion_table_counts_pairs() -> None:
    """Rows are the first rater."""
    assert confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist() == [[1, 1], [0, 1]]
