"""Our statistical claims, each as a simulation: what is promised, what came out, and whether it holds.

Every claim draws its own random numbers from its name, so that one claim can be run again alone and gives the same figures.
"""

import itertools
import json
import math
from collections.abc import Callable
from typing import Any
from zlib import crc32

import numpy as np
from benchmarks.proof.beside_mlflow import PYTHON, beside_mlflow
from benchmarks.proof.claim import DATA, Claim, Outcome, Rng, runs_of
from benchmarks.proof.climbs import equal_levers, worse_levers
from benchmarks.proof.imports import imports
from benchmarks.proof.looking import pooled_figures, price_of_looking
from benchmarks.proof.worlds import diagnoses, journeys
from numpy.typing import NDArray
from scipy.stats import binom, norm

from ratchet.core import Interval
from ratchet.ladder import level_of
from ratchet.measure.calibrate import corrected_mean
from ratchet.measure.compare import holm
from ratchet.measure.intervals import (
    bootstrap_interval,
    mean_interval,
    t_interval,
)
from ratchet.measure.paired import (
    mcnemar_interval,
    mcnemar_p,
    paired_t_interval,
    paired_t_p,
)
from ratchet.measure.power import mcnemar_power
from ratchet.measure.race import AT_ONCE, batch_size
from ratchet.measure.ratings import Bout, bradley_terry, rank, won
from ratchet.measure.selection import Selection
from ratchet.measure.sequential import Sequential

__all__ = ["CLAIMS"]

CONCURRENCY = 64
"""Calls under way in a race, as an endpoint allows them by default."""
Array = NDArray[np.float64]


def pair(rng: Rng, n: int, *, gain: float = 0.0, graded: bool = False) -> tuple[Array, Array]:
    """Return the scores of two candidates on n examples of shared difficulty; the second one is better by about `gain`."""
    hard = rng.random(n)
    a, b = (np.clip(0.6 * hard + 0.4 * rng.random(n) + shift, 0, 1) for shift in (0.0, gain))
    return (a, b) if graded else ((a > 0.5).astype(float), (b > 0.5).astype(float))


def grouped(rng: Rng, groups: int, spread: float = 0.3) -> tuple[Array, NDArray[np.intp]]:
    """Return null differences of `groups` groups of one to nine examples that move together, and their clusters."""
    clusters = np.repeat(np.arange(groups), rng.integers(1, 10, groups))
    return rng.normal(0, spread, groups)[clusters] + rng.normal(0, 0.3, len(clusters)), clusters


def false_verdicts(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(10_000, size)
    found = []
    for n in (10, 30, 200):
        for graded in (False, True):
            test = paired_t_p if graded else mcnemar_p
            wrong = 0
            for _ in range(runs):
                a, b = pair(rng, n, graded=graded)
                wrong += test(b - a) < 0.05
            what = f"{'paired t' if graded else 'exact McNemar'}, n = {n}"
            found.append(Outcome(what, wrong / runs, runs, 0.0, 0.05))
    for groups in (8, 15, 60):
        wrong = sum(paired_t_p(*grouped(rng, groups)) < 0.05 for _ in range(runs))
        found.append(Outcome(f"paired t, {groups} groups", wrong / runs, runs, 0.0, 0.05))
    return found


def peeking(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(2000, size)
    found = []
    for graded in (False, True):
        wrong = 0
        for _ in range(runs):
            evidence, named = Sequential(margin=0.02), False
            for count, (a, b) in enumerate(zip(*pair(rng, 200, graded=graded), strict=True), 1):
                evidence.add(a, b)
                if count % 5 == 0:
                    named = named or evidence.e_value() >= 20
            wrong += named
        what = f"{'graded' if graded else '0/1'} scores, looked at every 5 examples to 200"
        found.append(Outcome(what, wrong / runs, runs, 0.0, 0.05))
    return found


def best_of_many(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(3000, size)
    plain = corrected = 0
    for _ in range(runs):
        hard = rng.random(100)
        champion, *others = ((0.6 * hard + 0.4 * rng.random(100) > 0.5) * 1.0 for _ in range(33))
        p_values = [mcnemar_p(other - champion) for other in others]
        gains = [float((other - champion).mean()) for other in others]
        best = max(range(32), key=gains.__getitem__)
        plain += p_values[best] < 0.05 and gains[best] > 0
        corrected += any(p < 0.05 and g > 0 for p, g in zip(holm(p_values), gains, strict=True))
    return [
        Outcome("the winner of 32 equal challengers, by Holm", corrected / runs, runs, 0.0, 0.05),
        Outcome("the same without a correction (why there is one)", plain / runs, runs, 0.06, 1.0),
    ]


def long_ladders(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(2000, size)
    false_rungs = 0
    for _ in range(runs):
        hard = rng.random(100)
        champion = (0.6 * hard + 0.4 * rng.random(100) > 0.5) * 1.0
        for rung in range(1, 101):
            challenger = (0.6 * hard + 0.4 * rng.random(100) > 0.5) * 1.0
            difference = challenger - champion
            if difference.mean() > 0 and mcnemar_p(difference) < 1 - level_of(rung):
                false_rungs += 1
                break
    return [
        Outcome("a false rung among 100 equal challengers", false_rungs / runs, runs, 0.0, 0.05)
    ]


def power(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(5000, size)
    found = []
    for n, gain in ((100, 0.05), (300, 0.05), (1000, 0.02)):
        large = np.subtract(*pair(rng, 200_000, gain=gain)[::-1])
        effect = float(large.mean())
        promised = mcnemar_power(float((large > 0).mean()), float((large < 0).mean()), n)
        right = 0
        for _ in range(runs):
            a, b = pair(rng, n, gain=gain)
            right += mcnemar_p(b - a) < 0.05 and (b - a).mean() > 0
        what = (
            f"McNemar, n = {n}, true difference {100 * effect:.1f} points, foretold {promised:.2f}"
        )
        found.append(Outcome(what, right / runs, runs, promised - 0.02, promised + 0.02))
    return found


def coverage(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(10_000, size)
    found = []
    for n in (5, 10, 30, 200):
        for p in (0.02, 0.5, 0.9):
            table = [mean_interval(np.repeat([1.0, 0.0], [k, n - k])) for k in range(n + 1)]
            held = [table[k].low <= p <= table[k].high for k in rng.binomial(n, p, runs)]
            low = 0.94 if n >= 30 else 0.95  # exact, and so conservative, below
            what = f"{table[0].method}, n = {n}, p = {p}"
            found.append(Outcome(what, float(np.mean(held)), runs, low, 1.0))
        if n >= 30:  # below it is exact for any p
            held = enumerated(table)
            found.append(
                Outcome(
                    f"the same, n = {n}, lowest of all p (enumerated)",
                    float(min(held)),
                    len(held),
                    0.933,
                    1.0,
                    0.0,
                )
            )
            found.append(
                Outcome(
                    f"the same, n = {n}, mean of all p (enumerated)",
                    float(np.mean(held)),
                    len(held),
                    0.94,
                    0.965,
                    0.0,
                )
            )
    for n in (10, 30, 200):
        intervals = (mean_interval(rng.beta(2, 5, n)) for _ in range(runs))
        held = [i.low <= 2 / 7 <= i.high for i in intervals]
        found.append(
            Outcome(f"Student's t, graded, n = {n}", float(np.mean(held)), runs, 0.935, 0.965)
        )
    for n in (30, 200):
        draws = (rng.choice([1.0, -1.0, 0.0], size=n, p=[0.15, 0.05, 0.8]) for _ in range(runs))
        held = [i.low <= 0.1 <= i.high for i in map(mcnemar_interval, draws)]
        what = f"exact McNemar, inverted, n = {n}"
        found.append(Outcome(what, float(np.mean(held)), runs, 0.95, 0.99))
    few = runs_of(2000, size)
    for make, name, groups in (
        (t_interval, "t", 15),
        (t_interval, "t", 60),
        (bootstrap_interval, "BCa bootstrap", 30),
        (bootstrap_interval, "BCa bootstrap", 60),
    ):
        intervals = (make(*grouped(rng, groups)) for _ in range(few))
        held = [i.low <= 0 <= i.high for i in intervals]
        found.append(Outcome(f"{name}, {groups} groups", float(np.mean(held)), few, 0.94, 0.97))
    for n in (30, 100):
        intervals = (bootstrap_interval(rng.beta(1, 4, n)) for _ in range(few))
        held = [i.low <= 0.2 <= i.high for i in intervals]
        found.append(
            Outcome(
                f"BCa bootstrap, skewed scores, n = {n}", float(np.mean(held)), few, 0.935, 0.965
            )
        )
    for n in (10, 30):
        pairs = ((rng.beta(0.5, 1.5, n), rng.beta(0.8, 1.2, n)) for _ in range(few))
        intervals = (paired_t_interval(b - a) for a, b in pairs)
        held = [i.low <= 0.15 <= i.high for i in intervals]
        what = f"paired t and flipped signs, inverted, skewed scores, n = {n}"
        found.append(Outcome(what, float(np.mean(held)), few, 0.94, 0.975))
    return found


def enumerated(table: list[Interval]) -> Array:
    """Return how often the intervals of k successes out of n, given for each k, hold p, for 997 proportions p: exact, nothing drawn."""
    p, k = np.linspace(0.002, 0.998, 997)[:, None], np.arange(len(table))
    low, high = np.array([(i.low, i.high) for i in table]).T
    held: Array = (binom.pmf(k, len(k) - 1, p) * ((low <= p) & (p <= high))).sum(1)
    return held


def openings(rng: Rng, size: float) -> list[Outcome]:
    runs = runs_of(5000, size)
    missed = 0
    for _ in range(runs):
        for number in range(1, 11):
            values = rng.beta(2, 5, 60)
            interval = mean_interval(values, level=level_of(number))
            if not interval.low <= 2 / 7 <= interval.high:
                missed += 1
                break
    return [Outcome("one or more of ten openings misses", missed / runs, runs, 0.0, 0.05)]


def repeats(rng: Rng, size: float) -> list[Outcome]:
    """Repeats of examples are no evidence: with ten repeats of ten examples the clustered interval still covers."""
    runs = runs_of(5000, size)
    held = 0
    for _ in range(runs):
        hard = rng.beta(2, 2, 12)
        means = rng.binomial(10, hard) / 10
        interval = t_interval(means)
        held += interval.low <= 0.5 <= interval.high
    return [
        Outcome("12 examples, ten repeats each, averaged first", held / runs, runs, 0.935, 0.965)
    ]


def world(rng: Rng, accuracies: Array, n: int, shared: float) -> Array:
    """Return 0/1 scores, shape (candidates, n): `shared` is what all candidates have in common of a latent normal score."""
    own = rng.standard_normal((len(accuracies), n))
    latent = math.sqrt(shared) * rng.standard_normal(n) + math.sqrt(1 - shared) * own
    return (latent < norm.ppf(accuracies)[:, None]).astype(np.float64)


def raced(scores: Array, seed: int, *, batch: int, ahead: int) -> tuple[int, int, bool]:
    """Return the pick of a race, how many answers it took, and whether its bound on the regret held at every look.

    `ahead` batches are under way at once, as when answers take their time.
    """
    selection = Selection(*scores.shape, seed=seed)
    means, held = scores.mean(1), True
    flying = [selection.ask(batch)]
    while flying:
        for cell in flying.pop(0):
            selection.put(cell, float(scores[cell]))
        while len(flying) < ahead and (cells := selection.ask(batch)):
            flying.append(cells)
        if is_time_to_look(selection):
            held &= selection.regret() >= means.max() - means[selection.pick] - 1e-9
    held &= selection.regret() >= means.max() - means[selection.pick] - 1e-9
    return selection.pick, int(selection.seen.sum()), held


def is_time_to_look(selection: Selection) -> bool:
    """Return whether to look at the bound now: every tenth batch or so, as it costs more than the batch."""
    return int(selection.seen.sum()) % 10 == 0


def halved(rng: Rng, scores: Array, budget: int) -> tuple[int, int]:
    """Return the pick of successive halving, and how many answers it took: an equal share of the budget a round.

    Source: Karnin, Koren and Somekh (2013), "Almost optimal exploration in multi-armed bandits"; the examples are shared.
    """
    alive, n = np.arange(len(scores)), scores.shape[1]
    order, rounds = rng.permutation(n), math.ceil(math.log2(len(scores)))
    reach = used = 0
    for _ in range(rounds):
        more = min(n - reach, max(1, budget // (rounds * len(alive))))
        reach, used = reach + more, used + more * len(alive)
        means = scores[alive][:, order[:reach]].mean(1)
        alive = alive[np.argsort(-means, kind="stable")[: math.ceil(len(alive) / 2)]]
    return int(alive[0]), used


def races(rng: Rng, size: float) -> list[Outcome]:
    return raced_worlds(rng, size, 0.58, 0.38)


def races_of_likes(rng: Rng, size: float) -> list[Outcome]:
    return raced_worlds(rng, size, 0.84, 0.61)


def raced_worlds(rng: Rng, size: float, shared: float, correlation: float) -> list[Outcome]:
    runs = max(6, round(240 * size))
    worlds = [world(rng, rng.uniform(0.6, 0.75, 32), 500, shared) for _ in range(runs)]
    return race_outcomes(rng, worlds, f"answers correlate {correlation}", 0.2)


def race_outcomes(rng: Rng, worlds: list[Array], name: str, most: float) -> list[Outcome]:
    """Return how often races and successive halving are right, within a point of the best, and what they take of the grid."""
    grid, runs = worlds[0].size, len(worlds)

    def is_right(scores: Array, pick: int) -> bool:
        means = scores.mean(1)
        return bool(means[pick] >= means.max() - 0.01 - 1e-12)

    ended = [
        raced(scores, seed, batch=batch_size(CONCURRENCY), ahead=AT_ONCE)
        for seed, scores in enumerate(worlds)
    ]
    used = np.array([taken for _, taken, _ in ended]) / grid
    right = [is_right(s, pick) for s, (pick, _, _) in zip(worlds, ended, strict=True)]
    others = [halved(rng, scores, round(used.mean() * grid)) for scores in worlds]
    theirs = [is_right(s, pick) for s, (pick, _) in zip(worlds, others, strict=True)]
    cost = float(np.mean([taken for _, taken in others])) / grid
    return [
        Outcome(f"{name}: the pick is within a point of the best", float(np.mean(right)), runs, 0.95, 1.0),
        Outcome(f"{name}: share of the full grid", float(used.mean()), runs, 0.0, most, float(used.std())),
        Outcome(f"{name}: the bound on the regret fails at some look", 1 - float(np.mean([h for *_, h in ended])), runs, 0.0, 0.05),
        Outcome(f"{name}: successive halving, {cost:.3f} of the grid, is right no more often", float(np.mean(theirs)), runs, 0.0, float(np.mean(right))),
    ]  # fmt: skip


def real_prompts(rng: Rng, size: float) -> list[Outcome]:
    """Races between 32 real prompts: their accuracies as measured, their answers drawn."""
    runs = max(6, round(150 * size))
    populations = [
        column
        for file in sorted(
            (DATA / "prompts/multi_prompt/data/paraphrases-accuracies").rglob("*.csv")
        )
        for column in np.genfromtxt(file, delimiter=",", skip_header=1, filling_values=np.nan).T[1:]
        if np.isfinite(column).sum() >= 32 and 0.2 <= np.nanmax(column) <= 0.98
    ]
    worlds = []
    for _ in range(runs):
        column = populations[rng.integers(len(populations))]
        chosen = rng.choice(column[np.isfinite(column)], 32, replace=False)
        worlds.append(world(rng, np.clip(chosen, 0.005, 0.995), 500, 0.7))
    return race_outcomes(rng, worlds, f"prompts of {len(populations)} populations", 0.25)


def judged_scores(rng: Rng, size: float) -> list[Outcome]:
    """The corrected mean of judges, three of them poor, of 885 real pairs: how often people prefer the first answer."""
    runs = runs_of(2000, size)
    files = sorted((DATA / "judges" / "llmbar").glob("*.json"))
    pairs = [pair for file in files for pair in json.loads(file.read_text("utf-8"))]
    people = np.array([float(pair["label"] == 1) for pair in pairs])
    truth = float(people.mean())
    found = []
    for name, judge in JUDGES.items():
        judged = np.array([judge(pair) for pair in pairs])
        held, widths = [], []
        for _ in range(runs):
            drawn = rng.integers(len(pairs), size=400)
            few, rest = drawn[:60], drawn[60:]
            _, interval = corrected_mean(people[few], judged[few], judged[rest])
            held.append(interval.low <= truth <= interval.high)
            widths.append(interval.high - interval.low)
        what = (
            f"{name} says {100 * judged.mean():.0f} %, people {100 * truth:.0f} %; 60 graded, 340 not: "
            f"± {50 * float(np.mean(widths)):.1f} points"
        )
        found.append(Outcome(what, float(np.mean(held)), runs, 0.935, 1.0))
    return found


def few_grades(rng: Rng, size: float) -> list[Outcome]:
    """Few grades, and answers that are nearly all good: where a plain estimate of the spread is often zero."""
    runs = runs_of(4000, size)
    found = []
    for n, rate, errors in ((5, 0.8, 0.2), (20, 0.95, 0.05), (60, 0.95, 0.05), (60, 0.5, 0.2)):
        held = []
        for _ in range(runs):
            truth = (rng.random(n + 300) < rate).astype(float)
            judged = np.where(rng.random(n + 300) < errors, 1 - truth, truth)
            _, interval = corrected_mean(truth[:n], judged[:n], judged[n:])
            held.append(interval.low <= rate <= interval.high)
        what = (
            f"{n} graded, 300 not, {100 * rate:.0f} % pass, the judge errs on {100 * errors:.0f} %"
        )
        found.append(Outcome(what, float(np.mean(held)), runs, 0.935, 1.0))
    return found


def words(text: str) -> set[str]:
    return set(text.lower().split())


JUDGES: dict[str, Callable[[dict[str, Any]], float]] = {
    "the longer answer": lambda p: float(len(p["output_1"]) > len(p["output_2"])),
    "more words of the question": lambda p: float(
        len(words(p["output_1"]) & words(p["input"]))
        > len(words(p["output_2"]) & words(p["input"]))
    ),
    "always the first": lambda _: 1.0,
    "one that errs on every fifth pair": lambda p: float(
        (p["label"] == 1) != (crc32(p["output_1"].encode()) % 5 == 0)
    ),
}


def rankings(rng: Rng, size: float) -> list[Outcome]:
    runs = max(20, round(400 * size))
    strengths = np.array([0.0, 0.0, 0.4, 0.8])

    def bouts(examples: int) -> list[Bout]:
        drawn = strengths + rng.logistic(size=(examples, len(strengths)))
        return [
            Bout(a, b, 0.5 if abs(row[a] - row[b]) < 0.4 else float(row[a] > row[b]), str(k))
            for k, row in enumerate(drawn)
            for a, b in itertools.combinations(range(len(strengths)), 2)
        ]

    truth = bradley_terry(won(bouts(20_000), len(strengths)))
    held, ranked = [], []
    for _ in range(runs):
        ratings = rank(bouts(60), len(strengths))
        held += [r.interval.low <= truth[r.candidate] <= r.interval.high for r in ratings]
        ranked += [r.best_rank == r.rank == r.worst_rank == 1 for r in ratings if r.candidate != 3]
    return [
        Outcome("strengths of four candidates, 60 examples", float(np.mean(held)), runs, 0.94, 0.965),
        Outcome("one that is not the best is surely ranked first", float(np.mean(ranked)), len(ranked), 0.0, 0.05),
    ]  # fmt: skip


CLAIMS = (
    Claim("false verdicts", "two equal candidates are told apart in at most 5 % of comparisons", false_verdicts),
    Claim("peeking", "the same, though one looks all along", peeking),
    Claim("price of looking", "looking all along at graded scores takes at most 1.5 times the examples of a fixed t-test, and tells equal candidates apart in at most 5 %", price_of_looking),
    Claim("pooled figures", "macro-F1 tells two equal candidates apart in at most 5 % of comparisons, and its interval holds the truth", pooled_figures),
    Claim("beside mlflow", "where MLflow's compare_evaluations judges the same worlds, ours names a false winner in at most 5 %, and never contradicts itself (MLflow itself promises nothing for groups, for several challengers or for looking often)", beside_mlflow, peer=PYTHON),
    Claim("best of many", "the same for the best of 32 challengers", best_of_many),
    Claim("long ladders", "a ladder of 100 equal challengers has a false rung in at most 5 % of ladders", long_ladders),
    Claim("levers, equal", "with levers whose candidates are no better than the start, the champion is worse on test in at most 5 % of climbs", equal_levers),
    Claim("levers, worse", "the same where every candidate is three points worse", worse_levers),
    Claim("diagnoses", "in worlds with a known cause the diagnosis of 100 examples names it in 90 % of them", diagnoses),
    Claim("journeys", "a climb by diagnosis ends at 95 % of what can be reached, for a third of the calls that every lever in turn takes", journeys, is_long=True),
    Claim("power", "a verdict finds a true difference as often as it foretells", power),
    Claim("coverage", "95 % intervals hold the truth 95 % of the time, small samples and the ends of the scale included", coverage),
    Claim("openings", "the intervals of ten openings of a test split hold together with 95 %", openings),
    Claim("repeats", "repeating examples adds no false certainty", repeats),
    Claim("races", "32 candidates with accuracies from 0.60 to 0.75 on 500 examples: the pick is right in 95 % of races, for a fifth of the grid", races),
    Claim("races of likes", "the same where candidates answer more alike", races_of_likes),
    Claim("real prompts", "the same between prompts whose accuracies were measured on real models", real_prompts, needs="prompts/multi_prompt"),
    Claim("judged scores", "a judge's mean, corrected by 60 grades of people, covers what people would say, however poor the judge", judged_scores, needs="judges/llmbar"),
    Claim("few grades", "the same where few are graded, and nearly all answers pass", few_grades),
    Claim("imports", "of 20,000 generated files whatever the importer accepts comes in row by row, can be shown and can be planned", imports),
    Claim("rankings", "intervals of strengths hold the truth, and nobody is surely first who is not", rankings),
)  # fmt: skip
