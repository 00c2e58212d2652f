"""The model behind a race: how able each candidate is, how hard each example, and what that says of answers not asked for yet.

A score is expected to be sigmoid(ability of the candidate + ease of the example). Abilities are normal around their own mean,
eases are normal and integrated out on a grid (a Rasch model, fitted by marginal maximum likelihood). For graded scores the
likelihood is tempered by the dispersion of the scores, as in quasi-likelihood. Sources: Bock and Aitkin (1981) for the fit, Louis
(1982) for the information, McCullagh and Nelder (1989), ch. 9, for the dispersion.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ratchet.measure.intervals import Array

__all__ = ["Forecast", "TwoWay"]

NODES = np.linspace(-3, 3, 13)
"""Where the standard normal ease is evaluated."""
FIRST_ROUNDS, ROUNDS = 25, 2
"""Rounds of the fit at the start, and after new scores: it goes on from the last one."""


@dataclass(frozen=True)
class Forecast:
    """The mean score of each candidate on all n examples, as far as it is known: jointly normal."""

    means: Array
    """Shape (candidates,)."""
    covariance: Array
    """Shape (candidates, candidates); 0 for a candidate all of whose scores are seen."""
    expected: Array
    """Expected score of each candidate on each example, shape (candidates, n)."""

    def draws(self, normal: Array) -> Array:
        """Return random mean scores, made of standard normal numbers; both of shape (draws, candidates)."""
        values, vectors = np.linalg.eigh((self.covariance + self.covariance.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0))
        drawn: Array = self.means + normal @ root.T
        return drawn


class TwoWay:
    """Fitted again and again as scores come in.

    Args:
        candidates: How many there are.
    """

    def __init__(self, candidates: int) -> None:
        self._abilities = np.zeros(candidates)
        self._centre = 0.0
        self._spread = 1.5
        """Standard deviation of the eases."""
        self._prior = 0.5
        """Standard deviation of the abilities."""
        self._dispersion = 1.0
        self._is_new = True

    def fit(self, scores: Array, seen: Array) -> None:
        """Take what is known now.

        Args:
            scores: Shape (candidates, n), in [0, 1]; 0 where not seen.
            seen: Shape (candidates, n), 1 where a score is seen, else 0.
        """
        if self._is_new:
            means = (scores.sum(1) + 0.5) / (seen.sum(1) + 1)
            self._abilities = 1.3 * np.log(means / (1 - means))
            self._centre = float(self._abilities.mean())
        for _ in range(FIRST_ROUNDS if self._is_new else ROUNDS):
            self._improve(scores, seen)
        self._is_new = False
        if not np.isin(scores, (0.0, 1.0)).all():  # 0/1 scores have no freedom left
            self._dispersion = dispersion(scores, seen, *self._curves(scores, seen))

    def _curves(self, scores: Array, seen: Array) -> tuple[Array, Array]:
        """Return the expected score of each candidate at each node, and the weight of each node for each example."""
        curves = expit(self._abilities[:, None] + self._spread * NODES)
        evidence = scores.T @ np.log(curves) + (seen - scores).T @ np.log1p(-curves)
        log_weights = evidence / self._dispersion - NODES**2 / 2
        weights = np.exp(log_weights - log_weights.max(1, keepdims=True))
        return curves, weights / weights.sum(1, keepdims=True)

    def _improve(self, scores: Array, seen: Array) -> None:
        """Do one round of expectation and one Newton step."""
        curves, weights = self._curves(scores, seen)
        count = seen @ weights
        surprise = (scores @ weights - count * curves) / self._dispersion
        information = count * curves * (1 - curves) / self._dispersion
        precision = 1 / self._prior**2
        slope = surprise.sum(1) - (self._abilities - self._centre) * precision
        curvature = information.sum(1) + precision
        self._abilities = self._abilities + np.clip(slope / curvature, -1, 1)
        step = (surprise @ NODES).sum() / max(1e-9, (information @ NODES**2).sum())
        self._spread = float(np.clip(self._spread + np.clip(step, -1, 1), 0.1, 4))
        self._centre = float(self._abilities.mean())
        squares = (self._abilities - self._centre) ** 2 + 1 / curvature
        self._prior = float(np.clip(np.sqrt(squares.mean()), 0.1, 3))

    def expected(self, scores: Array, seen: Array) -> Array:
        """Return the expected score of each candidate on each example, shape (candidates, n)."""
        curves, weights = self._curves(scores, seen)
        expected: Array = curves @ weights.T
        return expected

    def forecast(self, scores: Array, seen: Array) -> Forecast:
        """Return what the fit says of the mean scores on all examples."""
        curves, weights = self._curves(scores, seen)
        phi, unseen = self._dispersion, 1 - seen
        n = seen.shape[1]
        expected = curves @ weights.T
        noise = (curves * (1 - curves)) @ weights.T
        both, one, neither = shared(curves, weights, expected, seen)
        prior = np.eye(len(curves)) / self._prior**2
        information = np.diag((seen * noise).sum(1)) / phi - both / phi**2 + prior
        abilities = np.linalg.pinv(information, hermitian=True)
        slopes = (np.diag((unseen * noise).sum(1)) - one / phi) / n
        rest = (neither + phi * np.diag((unseen * noise).sum(1))) / n**2
        return Forecast(
            means=(scores.sum(1) + (unseen * expected).sum(1)) / n,
            covariance=slopes @ abilities @ slopes.T + rest,
            expected=expected,
        )


def shared(
    curves: Array, weights: Array, expected: Array, seen: Array
) -> tuple[Array, Array, Array]:
    """Return the covariance of two candidates' expected scores over the ease, summed over three sets of examples.

    Those that both have seen, those that the column's candidate has seen and the row's has not, and those that neither has; each
    of shape (candidates, candidates).
    """
    count, nodes = curves.shape
    met = (seen[:, None, :] * weights.T).reshape(count * nodes, -1) @ seen.T
    met = met.reshape(count, nodes, count)
    asked, all_ = (seen @ weights).T, weights.sum(0)
    seen_expected = seen * expected
    square, part, whole = (
        seen_expected @ seen_expected.T,
        expected @ seen_expected.T,
        expected @ expected.T,
    )
    both = np.einsum("ig,igk,kg->ik", curves, met, curves) - square
    column = np.einsum("ig,gk,kg->ik", curves, asked, curves) - part
    everything = (curves * all_) @ curves.T - whole
    return both, column - both, everything - column - column.T + both


def dispersion(scores: Array, seen: Array, curves: Array, weights: Array) -> float:
    """Return the variance of scores around what is expected of them, as a share of that of 0/1 scores.

    From differences between candidates on examples that all have been asked, where the ease drops out.
    """
    common = seen.all(0)
    block = scores[:, common]
    if min(block.shape) < 2:  # needs two of each
        return 1.0
    residuals = block - block.mean(1, keepdims=True)
    residuals -= residuals.mean(0)
    freedom = (block.shape[0] - 1) * (block.shape[1] - 1)
    noise = (curves * (1 - curves)) @ weights[common].T
    return float(np.clip((residuals**2).sum() / freedom / noise.mean(), 0.02, 1))
