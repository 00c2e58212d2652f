"""What more data would bring: a learning curve through the scores of fine-tunes on ever more examples, drawn on.

The curve is the power law that learning curves usually follow, score(n) = c - a·n^-b (Hestness et al., 2017, "Deep learning scaling
is predictable, empirically"). Its interval comes from a bootstrap over the dev examples, whole groups at a time, of curves whose
form is itself uncertain: each is fitted with an exponent drawn anew. What another random order of training data would change is
not in it, so it is told as a guess, not as a verdict.
"""

from collections.abc import Sequence

import numpy as np

from ratchet.core import Interval, Record
from ratchet.core.errors import DataError
from ratchet.measure.intervals import Array, Clusters

__all__ = ["Curve", "Point", "learning_curve"]

EXPONENTS = np.linspace(0.1, 1.5, 29)
RESAMPLES = 400
LEVEL = 0.95


class Point(Record):
    """A size of training data, and the score that goes with it."""

    examples: int
    score: float
    interval: Interval


class Curve(Record):
    """A learning curve."""

    points: tuple[Point, ...]
    """What was measured."""
    ahead: tuple[Point, ...]
    """What is expected of more examples."""

    @property
    def sentence(self) -> str:
        """Return it in words."""
        last, next_ = self.points[-1], self.ahead[0]
        gain = 100 * (next_.score - last.score)
        low = 100 * (next_.interval.low - last.score)
        high = 100 * (next_.interval.high - last.score)
        return (
            f"{last.examples:,} examples score {100 * last.score:.1f}; {next_.examples:,} would bring about {gain:+.1f} points more "
            f"({low:+.1f} to {high:+.1f}, if the curve goes on as it does)."
        )


def learning_curve(
    sizes: Sequence[int],
    scores: Array,
    ahead: Sequence[int],
    *,
    clusters: Clusters | None = None,
    seed: int = 0,
) -> Curve:
    """Return the curve through scores at ever larger sizes, and what it says of sizes ahead.

    Args:
        sizes: How many examples each fine-tune was trained on, rising, shape (k,).
        scores: What each of them scored on each dev example, in [0, 1], shape (k, n).
        ahead: Sizes to draw the curve on to.
        clusters: The group of each dev example.
        seed: Of the bootstrap.
    Raises: DataError for fewer than three sizes, or sizes that do not rise.
    """
    if len(sizes) < 3 or list(sizes) != sorted(set(sizes)):
        raise DataError(
            f"a learning curve takes three sizes or more that rise, got {', '.join(map(str, sizes))}"
        )
    n = scores.shape[1]
    groups = np.arange(n) if clusters is None else clusters
    count = int(groups.max()) + 1
    sums = np.array([np.bincount(groups, row, count) for row in scores])
    sizes_of = np.bincount(groups, minlength=count)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(count, size=(RESAMPLES, count))
    means = sums[:, drawn].sum(2).T / sizes_of[drawn].sum(1)[:, None]
    at, far = np.asarray(sizes, float), np.asarray([*sizes, *ahead], float)
    exponents = rng.choice(EXPONENTS, RESAMPLES, p=likelihoods(at, scores.mean(1), means.std(0)))
    curves = np.array([fitted(at, row, b, far) for row, b in zip(means, exponents, strict=True)])
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(curves, tails, axis=0)
    middle = np.median(curves, axis=0)
    known = np.quantile(means, tails, axis=0)
    method = "bootstrap over examples or groups"
    return Curve(
        points=tuple(
            Point(
                examples=int(size),
                score=float(scores[k].mean()),
                interval=Interval(low=float(known[0, k]), high=float(known[1, k]), method=method),
            )
            for k, size in enumerate(sizes)
        ),
        ahead=tuple(
            Point(
                examples=int(size),
                score=float(middle[len(sizes) + k]),
                interval=Interval(
                    low=float(low[len(sizes) + k]), high=float(high[len(sizes) + k]), method=method
                ),
            )
            for k, size in enumerate(ahead)
        ),
    )


def likelihoods(at: Array, means: Array, errors: Array) -> Array:
    """Return how likely each exponent is, given the points and their standard errors; all are alike before."""
    spread = np.maximum(errors, 1e-3)
    misfits = np.array(
        [(((fitted(at, means, b, at) - means) / spread) ** 2).sum() for b in EXPONENTS]
    )
    weights = np.exp(-(misfits - misfits.min()) / 2)
    found: Array = weights / weights.sum()
    return found


def fitted(at: Array, means: Array, exponent: float, far: Array) -> Array:
    """Return the curve of that exponent through the points, at `far`: never falling, never above 1."""
    x = at**-exponent
    slope = ((x - x.mean()) * (means - means.mean())).sum() / ((x - x.mean()) ** 2).sum()
    a = max(0.0, -float(slope))
    c = min(1.0, float(means.mean() + a * x.mean()))
    if c == 1.0:  # through the points as well as it can be, below the ceiling
        a = max(0.0, float(((1 - means) * x).sum() / (x**2).sum()))
    found: Array = np.clip(c - a * far**-exponent, 0.0, 1.0)
    return found
