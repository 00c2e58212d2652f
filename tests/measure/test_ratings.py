"""Rankings: against evalica, and by simulation."""

import itertools

import evalica
import numpy as np
import pytest

from ratchet.core.errors import DataError
from ratchet.measure.ratings import Bout, bradley_terry, elo, rank, won


def played(strengths: list[float], examples: int, seed: int) -> list[Bout]:
    """Return every pair's bout on each example, with ties where it is close."""
    rng = np.random.default_rng(seed)
    bouts = []
    for example in range(examples):
        drawn = np.array(strengths) + rng.logistic(size=len(strengths))
        for a, b in itertools.combinations(range(len(strengths)), 2):
            gap = drawn[a] - drawn[b]
            bouts.append(Bout(a, b, 0.5 if abs(gap) < 0.4 else float(gap > 0), str(example)))
    return bouts


def test_strengths_are_those_of_evalica() -> None:
    """Without a prior the strengths have the ratios of evalica 0.4's Bradley-Terry, ties as halves."""
    bouts = played([0.0, 0.3, 0.8, 1.5], 60, 0)
    winner = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    theirs = evalica.bradley_terry(
        [b.first for b in bouts],
        [b.second for b in bouts],
        [winner[b.result] for b in bouts],
        tolerance=1e-10,
        limit=10_000,
    ).scores.sort_index()
    expected = 400 * np.log10(theirs.to_numpy())
    mine = bradley_terry(won(bouts, 4), prior=0.0)
    assert mine - mine.mean() == pytest.approx(expected - expected.mean(), abs=0.5)
    assert mine.mean() == pytest.approx(1000)


def test_one_order_of_elo_is_that_of_evalica() -> None:
    """Elo with K = 4 over one order of the bouts."""
    bouts = played([0.0, 1.0, 2.0], 20, 1)
    order = np.random.default_rng(3).permutation(len(bouts))
    winner = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    shuffled = [bouts[k] for k in order]
    theirs = evalica.elo(
        [b.first for b in shuffled],
        [b.second for b in shuffled],
        [winner[b.result] for b in shuffled],
    ).scores.sort_index()
    assert elo(bouts, 3, orders=1, seed=3) == pytest.approx(theirs.to_numpy(), abs=1e-6)


def test_ranks_are_as_sure_as_they_are() -> None:
    """A clear winner has one rank, equal candidates share a range, and the true rank is within it."""
    ratings = rank(played([3.0, 0.0, 0.0, 0.0], 80, 4), 4)
    assert [r.rank for r in ratings] == [1, 2, 3, 4]
    assert (ratings[0].candidate, ratings[0].ranks) == (0, "1")
    assert all(r.best_rank <= 2 and r.worst_rank >= 3 for r in ratings[1:])
    assert "–" in ratings[1].ranks


def test_the_intervals_of_strengths_cover() -> None:
    """Differences to the mean of true strengths are covered in about 95 % of samples, ties or not."""
    truth, hits = [0.0, 0.4, 0.8], []
    large = played(truth, 20_000, 5)
    expected = bradley_terry(won(large, 3))
    for seed in range(40):
        for rating in rank(played(truth, 60, 100 + seed), 3, resamples=200):
            inside = rating.interval.low <= expected[rating.candidate] <= rating.interval.high
            hits.append(inside)
    assert np.mean(hits) >= 0.89


def test_all_ties_and_all_losses_stay_finite() -> None:
    """Nobody wins: all alike. One loses everything: weak, not infinitely so."""
    tied = [Bout(0, 1, 0.5, str(k)) for k in range(10)]
    assert [r.ranks for r in rank(tied, 2)] == ["1", "1"]
    lost = [Bout(0, 1, 1.0, str(k)) for k in range(10)]
    strong, weak = rank(lost, 2)
    assert np.isfinite(strong.strength)
    assert weak.strength < strong.strength - 200


def test_groups_are_what_is_drawn() -> None:
    """Eight conversations whose answers move together: equal candidates are seldom surely told apart."""
    rng, sure = np.random.default_rng(6), 0
    for _ in range(60):
        winners = np.repeat(rng.random(8) < 0.5, 12)
        bouts = [Bout(0, 1, float(w), f"group {k // 12}") for k, w in enumerate(winners)]
        sure += rank(bouts, 2, resamples=200)[0].ranks == "1"
    assert sure / 60 <= 0.15


def test_nothing_to_rank_by_is_said() -> None:
    """Without a comparison there is no ranking."""
    with pytest.raises(DataError, match="no comparison to rank by"):
        rank([], 2)
