"""The same worlds judged by MLflow's `compare_evaluations` and by ours: ties, groups, the best of many, looking often.

MLflow runs in a Python of its own, which the environment variable RATCHET_MLFLOW_PYTHON names; it is no dependency of ours:

    python -m venv mlflow && mlflow/bin/pip install 'mlflow==3.18.*'
    RATCHET_MLFLOW_PYTHON=mlflow/bin/python make proof
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks.proof.claim import Outcome, Rng, runs_of
from numpy.typing import NDArray

from ratchet.measure.compare import holm
from ratchet.measure.paired import mcnemar_interval, mcnemar_p, paired_t_interval, paired_t_p
from ratchet.measure.sequential import Sequential

__all__ = ["PYTHON", "beside_mlflow"]

PYTHON = "RATCHET_MLFLOW_PYTHON"
Array = NDArray[np.float64]
Arms = tuple[Array, Array]
LOOKS = range(10, 201, 10)


def beside_mlflow(rng: Rng, size: float) -> list[Outcome]:
    """Return false winners of both, world by world, and how often p-value and interval contradict each other."""
    worlds = [Ties(rng, size), Groups(rng, size), BestOfMany(rng, size), LookingOften(rng, size)]
    pairs = [pair for world in worlds for pair in world.pairs]
    wanted = [world.wants_intervals for world in worlds for _ in world.pairs]
    version, results = asked_of_mlflow(pairs, wanted)
    found, start = [], 0
    for world in worlds:
        end = start + len(world.pairs)
        found += world.outcomes(results[start:end], f"MLflow {version}")
        start = end
    return found


def asked_of_mlflow(pairs: Sequence[Arms], intervals: Sequence[bool]) -> tuple[str, Array]:
    """Return MLflow's version, and p-value, low and high of each pair, shape (pairs, 3)."""
    arrays = {f"baseline_{k}": pair[0] for k, pair in enumerate(pairs)}
    arrays |= {f"candidate_{k}": pair[1] for k, pair in enumerate(pairs)}
    with tempfile.TemporaryDirectory() as folder:
        given, told = Path(folder) / "pairs.npz", Path(folder) / "told.json"
        np.savez(given, with_intervals=np.array(intervals), **arrays)
        script = Path(__file__).with_name("mlflow_peer.py")
        command = [os.environ[PYTHON], str(script), str(given), str(told)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        reply = json.loads(told.read_text("utf-8"))
    return reply["version"], np.array(reply["results"])


def beside(what: str, theirs: float, ours: float, runs: int, name: str) -> list[Outcome]:
    """Return theirs, of which nothing is promised, and ours, of which 5 % at most are."""
    return [
        Outcome(f"{what}: {name}", theirs, runs, 0.0, 1.0),
        Outcome(f"{what}: ours", ours, runs, 0.0, 0.05),
    ]


def shared(rng: Rng, n: int, arms: int = 2) -> list[Array]:
    """Return scores in [0, 1] of equal candidates on n examples of shared difficulty."""
    hard = rng.random(n)
    return [0.6 * hard + 0.4 * rng.random(n) for _ in range(arms)]


class Ties:
    """Two equal candidates that agree on most examples."""

    wants_intervals = True

    def __init__(self, rng: Rng, size: float) -> None:
        self.runs = runs_of(200, size)
        self.kinds = ("0/1 scores, n = 30", "graded scores, seven of ten equal, n = 40")
        self.pairs: list[Arms] = []
        for kind in self.kinds:
            for _ in range(self.runs):
                a, b = shared(rng, 30 if "0/1" in kind else 40)
                if "0/1" in kind:
                    a, b = (a > 0.5) * 1.0, (b > 0.5) * 1.0
                else:
                    b = np.where(rng.random(len(a)) < 0.7, a, b)
                self.pairs.append((a, b))

    def outcomes(self, results: Array, name: str) -> list[Outcome]:
        found = []
        for k, kind in enumerate(self.kinds):
            part = slice(k * self.runs, (k + 1) * self.runs)
            own = np.array([self.own(b - a) for a, b in self.pairs[part]])
            both = [(table[:, 0] < 0.05, (table[:, 1] > 0) | (table[:, 2] < 0)) for table in (results[part], own)]  # fmt: skip
            wrong = [float(by_p.mean()) for by_p, _ in both]
            odd = [float((by_p != by_interval).mean()) for by_p, by_interval in both]
            found += beside(f"ties, {kind}: a false winner", *wrong, self.runs, name)
            found += [
                Outcome(f"ties, {kind}: p-value and interval contradict each other: {name}", odd[0], self.runs, 0.0, 1.0),
                Outcome(f"ties, {kind}: p-value and interval contradict each other: ours", odd[1], self.runs, 0.0, 0.0),
            ]  # fmt: skip
        return found

    def own(self, differences: Array) -> tuple[float, float, float]:
        """Return our p-value and interval."""
        if np.isin(differences, (-1.0, 0.0, 1.0)).all():
            p, interval = mcnemar_p(differences), mcnemar_interval(differences)
        else:
            p, interval = paired_t_p(differences), paired_t_interval(differences)
        return p, interval.low, interval.high


class Groups:
    """Two equal candidates on conversations of one to nine messages that move together."""

    wants_intervals = False

    def __init__(self, rng: Rng, size: float) -> None:
        self.runs = runs_of(300, size)
        self.clusters = [np.repeat(np.arange(30), rng.integers(1, 10, 30)) for _ in range(self.runs)]  # fmt: skip
        self.pairs = [(np.zeros(len(c)), np.clip(rng.normal(0, 0.3, 30)[c] + rng.normal(0, 0.3, len(c)), -1, 1)) for c in self.clusters]  # fmt: skip

    def outcomes(self, results: Array, name: str) -> list[Outcome]:
        own = [paired_t_p(b - a, c) for (a, b), c in zip(self.pairs, self.clusters, strict=True)]
        wrong = float((results[:, 0] < 0.05).mean()), float((np.array(own) < 0.05).mean())
        return beside("30 groups: a false winner", *wrong, self.runs, name)


class BestOfMany:
    """The best of 32 equal challengers against the champion."""

    wants_intervals = False

    def __init__(self, rng: Rng, size: float) -> None:
        self.runs = runs_of(100, size)
        self.pairs = []
        for _ in range(self.runs):
            champion, *others = ((arm > 0.5) * 1.0 for arm in shared(rng, 100, 33))
            self.pairs += [(champion, other) for other in others]

    def outcomes(self, results: Array, name: str) -> list[Outcome]:
        gains = np.array([(b - a).mean() for a, b in self.pairs]).reshape(self.runs, 32)
        own = np.array([holm([mcnemar_p(b - a) for a, b in self.pairs[32 * k : 32 * k + 32]]) for k in range(self.runs)])  # fmt: skip
        theirs = results[:, 0].reshape(self.runs, 32)
        wrong = [float(((p < 0.05) & (gains > 0)).any(1).mean()) for p in (theirs, own)]
        return beside("the best of 32: a false winner", *wrong, self.runs, name)


class LookingOften:
    """Two equal candidates, looked at after every ten examples to 200."""

    wants_intervals = False

    def __init__(self, rng: Rng, size: float) -> None:
        self.runs = runs_of(300, size)
        self.whole = [((a > 0.5) * 1.0, (b > 0.5) * 1.0) for a, b in (shared(rng, LOOKS[-1]) for _ in range(self.runs))]  # fmt: skip
        self.pairs = [(a[:n], b[:n]) for a, b in self.whole for n in LOOKS]

    def outcomes(self, results: Array, name: str) -> list[Outcome]:
        theirs = (results[:, 0] < 0.05).reshape(self.runs, len(LOOKS)).any(1)
        own = [self.is_settled(a, b) for a, b in self.whole]
        wrong = float(theirs.mean()), float(np.mean(own))
        return beside("looked at every ten examples to 200: a false winner", *wrong, self.runs, name)  # fmt: skip

    def is_settled(self, a: Array, b: Array) -> bool:
        """Return whether our evidence names a winner at any look."""
        evidence = Sequential(margin=0.02)
        for count, (before, after) in enumerate(zip(a, b, strict=True), start=1):
            evidence.add(float(before), float(after))
            if count in LOOKS and evidence.e_value() >= 20:
                return True
        return False
