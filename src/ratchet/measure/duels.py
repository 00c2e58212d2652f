"""Pairwise judging: which of two candidates' answers to one example is better, asked in both orders.

A judge that prefers the answer it reads first contradicts itself when the order is turned; that is a tie, and is counted.
"""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ratchet.answer import Prompt
from ratchet.core import Candidate, Example, Interval, Task, Trial
from ratchet.core.errors import BudgetError, ReplyError
from ratchet.core.records import written
from ratchet.measure.asking import Bench, Votes, writing
from ratchet.measure.intervals import as_array, mean_interval
from ratchet.measure.measurement import Measurement
from ratchet.measure.ratings import Bout

__all__ = ["Duels", "judged_bouts", "scored_bouts"]

Winner = Literal["first", "second", "tie"]
FOR_FIRST: dict[Winner, float] = {"first": 1.0, "tie": 0.5, "second": 0.0}
AT_ONCE = 64


@dataclass(kw_only=True)
class Duels:
    """What a judge said of pairs of answers."""

    judge: Candidate
    bouts: list[Bout]
    asked: int = 0
    """Pairs that the judge saw, in both orders."""
    contradictions: int = 0
    """Of these, pairs of which it said one thing in one order and another in the other."""
    first: int = 0
    second: int = 0
    """Votes for the answer that stood first, and for the one that stood second."""
    without_vote: int = 0
    """Pairs that it gave no usable vote on; they are left out."""
    stopped: str | None = None

    @property
    def position(self) -> tuple[float, Interval]:
        """Return the share of votes for what stood first, ties left out: a half for a judge that the order does not sway."""
        votes = as_array([1.0] * self.first + [0.0] * self.second)
        return float(votes.mean()) if len(votes) else float("nan"), mean_interval(votes)


def scored_bouts(measured: Sequence[Measurement]) -> list[Bout]:
    """Return a bout for each pair of candidates on each example that both answered: the higher score wins."""
    scores = [one.by_example() for one in measured]
    return [
        Bout(a, b, 0.5 + 0.5 * ((x > y) - (x < y)), measured[a].groups[example] or example)
        for a, b in itertools.combinations(range(len(scores)), 2)
        for example, x in scores[a].items()
        if (y := scores[b].get(example)) is not None
    ]


async def judged_bouts(
    bench: Bench,
    task: Task,
    judge: Candidate,
    measured: Sequence[Measurement],
    examples: Sequence[Example],
) -> Duels:
    """Return what `judge` says of each pair of candidates on each example that both answered.

    Equal answers tie, and an answer that failed loses, without a call.

    Args:
        bench: Where votes are kept, and who pays.
        task: The task of pairs.
        judge: Its candidate.
        measured: The candidates' measurements.
        examples: The examples that they were measured on.
    Raises: ReplyError if the judge gave no reply at all.
    """
    found, prompt = Duels(judge=judge, bouts=[]), Prompt(task, judge)
    answers = [{t.example_id: t for t in one.trials if t.repeat == 0} for one in measured]
    pairs = [
        (example, a, b)
        for example in examples
        for a, b in itertools.combinations(range(len(measured)), 2)
        if example.id in answers[a] and example.id in answers[b]
    ]
    turn, errors = asyncio.Semaphore(AT_ONCE), list[ReplyError]()
    with writing(bench) as writer:
        votes = Votes(bench, [(task, [judge])], writer)

        async def one(example: Example, a: int, b: int) -> None:
            first, second = answers[a][example.id], answers[b][example.id]
            plain = without_judge(first, second)
            if plain is not None:
                found.bouts.append(Bout(a, b, plain, example.group or example.id))
                return
            async with turn:
                if found.stopped:
                    return
                try:
                    there = await votes.ask(prompt, shown(task, example, first, second), 0)
                    back = await votes.ask(prompt, shown(task, example, second, first), 0)
                except BudgetError as error:
                    found.stopped = str(error)
                    return
                except ReplyError as error:
                    errors.append(error)
                    found.without_vote += 1
                    return
            count(found, (winner_of(there), winner_of(back)), a, b, example.group or example.id)

        try:
            votes.check_budget()
            async with asyncio.TaskGroup() as group:
                for pair in pairs:
                    group.create_task(one(*pair))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            await votes.end()
    if errors and not found.asked:
        raise errors[0]
    found.bouts.sort()
    return found


def count(
    found: Duels, said: tuple[Winner | None, Winner | None], a: int, b: int, unit: str
) -> None:
    there, back = said
    if there is None or back is None:
        found.without_vote += 1
        return
    found.asked += 1
    found.first += (there == "first") + (back == "first")
    found.second += (there == "second") + (back == "second")
    for_a, again = FOR_FIRST[there], 1 - FOR_FIRST[back]
    found.contradictions += for_a != again
    found.bouts.append(Bout(a, b, for_a if for_a == again else 0.5, unit))


def without_judge(first: Trial, second: Trial) -> float | None:
    if first.failure or second.failure:
        return 0.5 + 0.5 * (bool(second.failure) - bool(first.failure))
    return 0.5 if first.answer == second.answer else None


def shown(task: Task, example: Example, first: Trial, second: Trial) -> Example:
    known = {
        **example.inputs,
        "first": written(first.answer),
        "second": written(second.answer),
        "reference": written(example.reference),
    }
    return Example(inputs={name: known[name] for name in task.input_names}, reference=None)


def winner_of(vote: Trial) -> Winner | None:
    said = vote.answer.get("winner") if isinstance(vote.answer, dict) else None
    return said if said in FOR_FIRST and vote.failure is None else None
