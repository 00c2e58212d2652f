"""Which answers a race asks for: against simulated candidates whose true scores are known."""

import math

import numpy as np
import pytest
from scipy import stats

from ratchet.measure.intervals import Array
from ratchet.measure.selection import Cell, Selection, highest_mean, regret_bound
from ratchet.measure.twoway import TwoWay


def world(rng: np.random.Generator, accuracies: Array, n: int = 200, shared: float = 0.6) -> Array:
    """Return 0/1 scores of shape (candidates, n); `shared` is the part of a latent score that all candidates have in common."""
    ease = rng.standard_normal(n)
    own = rng.standard_normal((len(accuracies), n))
    latent = math.sqrt(shared) * ease + math.sqrt(1 - shared) * own
    return (latent < stats.norm.ppf(accuracies)[:, None]).astype(float)


def run(selection: Selection, scores: Array, size: int = 16) -> Selection:
    """Ask until the selection is settled."""
    while cells := selection.ask(size):
        for cell in cells:
            selection.put(cell, float(scores[cell]))
    return selection


def test_the_pick_is_right_for_a_fraction_of_the_grid() -> None:
    """Twelve candidates on 200 examples, 40 races: the pick is within the tolerance as often as it says, at half of the grid or less."""
    rng = np.random.default_rng(0)
    right, asked, said = [], [], []
    for seed in range(40):
        scores = world(rng, rng.uniform(0.55, 0.75, 12))
        selection = run(Selection(12, 200, tolerance=0.02, seed=seed), scores)
        means = scores.mean(1)
        right.append(means[selection.pick] >= means.max() - 0.02 - 1e-12)
        asked.append(selection.seen.mean())
        said.append(selection.chances()[selection.pick])
    assert np.mean(right) >= 0.88
    assert np.mean(said) >= 0.95
    assert np.mean(asked) < 0.5


def test_graded_scores_take_fewer_answers_than_right_and_wrong() -> None:
    """Scores that scatter less need fewer answers: the dispersion is found from the data."""
    rng = np.random.default_rng(1)
    truth = np.linspace(0.5, 0.7, 8)
    mean = np.clip(truth[:, None] + 0.1 * rng.standard_normal(150), 0.02, 0.98)
    graded = rng.beta(mean * 20, (1 - mean) * 20)
    binary = (rng.random(mean.shape) < mean).astype(float)
    fine, coarse = (run(Selection(8, 150, seed=2), scores) for scores in (graded, binary))
    assert fine.pick == int(graded.mean(1).argmax())
    assert fine.seen.sum() < coarse.seen.sum()


def test_the_forecast_covers_what_is_not_seen_yet() -> None:
    """The model's 95 % intervals of the mean on all examples hold about as often as they say."""
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(60):
        scores = world(rng, rng.uniform(0.4, 0.8, 10))
        seen = np.zeros_like(scores)
        seen[:, :40] = 1
        seen[:4, 40:90] = 1
        model = TwoWay(10)
        model.fit(scores * seen, seen)
        found = model.forecast(scores * seen, seen)
        half = 1.96 * np.sqrt(np.diag(found.covariance))
        hits.append(np.abs(found.means - scores.mean(1)) <= half)
    assert 0.92 <= np.mean(hits) <= 0.98


@pytest.mark.parametrize("accuracy", [0.05, 0.5, 0.95])
def test_the_bound_on_the_regret_holds_at_every_look(accuracy: float) -> None:
    """Equal candidates, where chance alone makes a pick look good: the bound misses at some look in fewer than 5 % of races."""
    rng = np.random.default_rng(4)
    missed = 0
    for seed in range(60):
        scores = world(rng, np.full(6, accuracy), n=80, shared=0.3)
        means = scores.mean(1)
        selection, failed = Selection(6, 80, seed=seed), False
        while cells := selection.ask(24):
            for cell in cells:
                selection.put(cell, float(scores[cell]))
            failed |= selection.regret() < means.max() - means[selection.pick] - 1e-9
        missed += failed
    assert missed <= 60 * 0.05


def test_a_mean_without_replacement_is_bounded_at_every_look() -> None:
    """The upper bound fails at any of all looks at most as often as the wall says."""
    rng = np.random.default_rng(5)
    wall, failed = math.log(1 / 0.1), 0
    for _ in range(300):
        values = rng.choice([-1.0, 0.0, 1.0], size=60, p=[0.2, 0.6, 0.2])
        failed += any(
            highest_mean(values[:m], 60, wall) < values.mean() - 1e-9 for m in range(1, 61, 3)
        )
    assert failed <= 300 * 0.1


def test_a_bound_falls_to_the_truth_when_all_is_seen() -> None:
    """With every answer seen the regret is known."""
    scores = np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    seen = np.ones_like(scores)
    assert regret_bound(scores, seen, np.arange(4), 0) == 0.25
    assert regret_bound(scores, seen, np.arange(4), 1) == 0.0


def test_candidates_that_always_agree_are_settled_at_once() -> None:
    """All ties: any pick is the best, and the first round shows it, or nearly."""
    scores = np.tile(world(np.random.default_rng(6), np.array([0.6])), (5, 1))
    selection = run(Selection(5, 200), scores)
    assert selection.chances()[selection.pick] >= 0.95
    assert selection.regret() <= 1


def test_a_dear_candidate_must_earn_its_answers() -> None:
    """Of two equal rivals the one that costs thirty times as much is asked less."""
    rng = np.random.default_rng(7)
    counts = []
    for seed in range(12):
        scores = world(rng, np.array([0.7, 0.69, 0.69]))
        selection = Selection(3, 200, seed=seed)
        selection.costs = np.array([1.0, 1.0, 30.0])
        run(selection, scores)
        counts.append(selection.seen.sum(1))
    _, cheap, dear = np.mean(counts, axis=0)
    assert dear < 0.9 * cheap


def test_the_same_scores_lead_to_the_same_questions() -> None:
    """Two races on the same scores ask for the same cells in the same order."""
    scores = world(np.random.default_rng(8), np.linspace(0.5, 0.7, 6))
    asked: list[list[Cell]] = []
    for _ in range(2):
        selection, cells = Selection(6, 200, seed=9), list[Cell]()
        while batch := selection.ask(16):
            cells += batch
            for cell in batch:
                selection.put(cell, float(scores[cell]))
        asked.append(cells)
    assert asked[0] == asked[1]


def test_an_answer_that_never_comes_is_not_asked_for_again() -> None:
    """Cells without a score end the race, with what can be said."""
    selection = Selection(2, 30)
    asked: list[Cell] = []
    while cells := selection.ask(16):
        asked += cells
        for cell in cells:
            selection.put(cell, None if cell.candidate else 1.0)
    assert len(asked) == len(set(asked))
    assert selection.places()[0].candidate == 0
    assert selection.regret() <= 1
