"""The sealed test split: opened once a champion, counted, and corrected for how often it was opened.

The k-th candidate that a test split is opened for gets its interval at the confidence of the k-th rung of a ladder
(`level_of`), so that all intervals ever read off one split hold together at 95 %, however often it is opened.
"""

import getpass
import os
from datetime import UTC, datetime

from scipy import integrate, stats

from ratchet.core import Candidate, Example, Opening
from ratchet.core.errors import DataError
from ratchet.core.running import WHO
from ratchet.ladder.admit import level_of
from ratchet.ladder.climb import Ground
from ratchet.measure import evaluate
from ratchet.store import add_opening, load_openings, load_steps

__all__ = ["expected_maximum", "open_test"]


async def open_test(
    ground: Ground, champion: Candidate, test: list[Example], *, dataset_id: str
) -> Opening:
    """Return the champion's opening of `test`; one that was made before is read again, and costs nothing.

    Raises: DataError if the test split is empty, or the measurement could not be finished.
    """
    evidence = ground.evidence
    task = evidence.task.name
    before = load_openings(ground.engine, task)
    for opening in before:
        if (opening.candidate_id, opening.dataset_id) == (champion.id, dataset_id):
            return opening
    model = evidence.pool.model(champion.model)
    evidence.say(f"final: measuring {champion.note or champion.id} on dev and test")
    dev = await evaluate(evidence.bench, champion, model, ground.dev, split="dev")
    seen = await evaluate(evidence.bench, champion, model, test, split="test")
    if stopped := dev.stopped or seen.stopped:
        raise DataError(
            f"the test split is not answered to its end: {stopped}; run the same command again with a larger budget"
        )
    steps = load_steps(ground.engine, task)
    challengers = sum(step.tried for step in steps if step.verdict)
    was_chosen = any(step.kept and step.verdict for step in steps)
    number = len(before) + 1
    opening = Opening(
        task=task,
        dataset_id=dataset_id,
        candidate_id=champion.id,
        number=number,
        who=login_name(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        dev_score=dev.score,
        dev_interval=dev.interval,
        score=seen.score,
        interval=seen.interval_at(level_of(number)),
        n=seen.n,
        missing=len(seen.missing),
        challengers=challengers,
        expected_shrinkage=dev.error * expected_maximum(challengers + 1) if was_chosen else 0.0,
    )
    add_opening(ground.engine, opening)
    return opening


def login_name() -> str:
    """Return who runs this process, or whom it works for; a user number where the system has no name for it."""
    if WHO in os.environ:
        return os.environ[WHO]
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def expected_maximum(count: int) -> float:
    """Return the mean of the largest of `count` standard normal values: 0 for one, 0.56 for two, 2.04 for 31."""
    if count < 2:  # the mean of one is 0
        return 0.0
    value, _ = integrate.quad(
        lambda x: x * count * stats.norm.pdf(x) * stats.norm.cdf(x) ** (count - 1), -8, 8
    )
    return float(value)
