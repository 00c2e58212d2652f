"""Examples on which a challenger and the champion differ: what each answered, and what that scored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ratchet.core import Example, Trial, Verdict

__all__ = ["Changed", "changed_by"]


@dataclass(frozen=True)
class Changed:
    """An example on which challenger and champion differ."""

    example: Example
    before: Trial
    """The champion's answer; of several that whose score is nearest to their mean."""
    after: Trial
    before_score: float
    """The mean score of all answers that the champion gave to the example."""
    after_score: float
    answers: tuple[int, int] = (1, 1)
    """How many answers of champion and challenger these are."""

    @property
    def gain(self) -> float:
        """Return what the challenger gains on it, in score units."""
        return self.after_score - self.before_score


def changed_by(
    verdict: Verdict,
    trials: Iterable[Trial],
    examples: Iterable[Example],
    limit: int,
    *,
    tied: int = 0,
) -> list[Changed]:
    """Return up to `limit` examples that the challenger wins and up to `limit` that it loses, largest difference first; then some ties.

    An example's score is the mean of all answers to it, as in the verdict.
    """
    by_key: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        if trial.score:
            by_key.setdefault((trial.candidate_id, trial.example_id), []).append(trial)
    found = []
    for example in examples:
        before = by_key.get((verdict.champion_id, example.id))
        after = by_key.get((verdict.challenger_id, example.id))
        if before and after:
            (first, old), (second, new) = typical(before), typical(after)
            found.append(Changed(example, first, second, old, new, (len(before), len(after))))
    found.sort(key=lambda one: (one.gain, one.example.id))
    won = [one for one in reversed(found) if one.gain > 0][:limit]
    lost = [one for one in found if one.gain < 0][:limit]
    return [*won, *lost, *[one for one in found if one.gain == 0][:tied]]


def typical(trials: Sequence[Trial]) -> tuple[Trial, float]:
    """Return the trial whose score is nearest to the mean of all, the first of equals, and that mean."""
    scored = [(trial, trial.score.value) for trial in trials if trial.score]
    mean = sum(value for _, value in scored) / len(scored)
    return min(scored, key=lambda one: (abs(one[1] - mean), one[0].repeat))[0], mean
