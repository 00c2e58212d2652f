"""The wheel: what passed through a release, held against what it was admitted on, and chosen for the next dataset.

`drift_since` compares; `queue_of` chooses what a person should look at first: answers that somebody disliked, that a guard held back, and
inputs that are far from all that is known, spread over what came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ratchet.answer.nearest import text_of
from ratchet.core import Example, Json, Release, Task
from ratchet.ladder.canary import score_of
from ratchet.measure import Measurement
from ratchet.measure.drift import (
    Drift,
    drift_of,
    energy_test,
    labels_test,
    lengths_test,
    scores_test,
)
from ratchet.models import ModelPool

__all__ = ["Passed", "Queued", "Why", "drift_since", "passed_of", "queue_of"]

MOST = 300
"""Requests, and examples, that are compared at most."""
NOVEL = 0.35
"""An input is new whose nearest known example has a cosine below 1 less this."""
DOUBTED = 0.5
"""From this doubt on a person should look at an answer."""
DUPLICATE = 0.97
"""From this cosine on two inputs are alike."""
EMBEDDING = "local:minilm"
Why = Literal["disliked", "held back", "in doubt", "new", "sampled"]


@dataclass(frozen=True)
class Passed:
    """A request that a release answered."""

    id: str
    inputs: dict[str, Json]
    reply: str
    score: float | None
    """What somebody said of it."""
    held_back: bool


@dataclass(frozen=True)
class Queued:
    """A request that a person should look at, and why."""

    passed: Passed
    why: Why
    nearest: float
    """Cosine of its nearest known example, or of what stands before it in the queue."""


def passed_of(
    engine: sa.Engine, task: Task, name: str, *, of: Release | None = None
) -> list[Passed]:
    """Return what a release answered, the newest first, each input once; with `of` only what that promotion's candidate did since."""
    since = datetime.fromisoformat(of.at).timestamp() if of else 0.0
    from ratchet.store.requests import read_requests  # needs zstandard, which is an extra

    found: dict[str, Passed] = {}
    for one in read_requests(engine, model=name):
        inputs = one.body.get("inputs")
        if of and (one.at < since or one.candidate_id != of.candidate.id):
            continue
        if one.status != 200 or not isinstance(inputs, dict) or set(inputs) != set(task.input_names):  # fmt: skip
            continue
        reply = one.body["replies"][0]
        scores = [score for said in one.feedback if (score := score_of(said)) is not None]
        held = bool(reply.get("notes", {}).get("guard", {}).get("blocked"))
        text = reply["text"] or next((call["arguments"] for call in reply["tool_calls"]), "")
        score = scores[-1] if scores else None
        known = found.get(text_of(inputs))
        if known is None or (known.score is None and score is not None):
            found[text_of(inputs)] = Passed(one.id, inputs, text, score, held)
    return list(found.values())


async def drift_since(
    pool: ModelPool, release: Release, admitted: Measurement, passed: Sequence[Passed]
) -> Drift:
    """Return what has changed since a candidate was admitted.

    Args:
        pool: Has who embeds inputs.
        release: What is served.
        admitted: Its candidate's measurement on the dataset that it was admitted on.
        passed: What it answered since.
    """
    recent = list(passed[:MOST])
    known = admitted.examples[:MOST]
    texts = [text_of(one.inputs) for one in known] + [text_of(one.inputs) for one in recent]
    rows, _ = await pool.embedder(EMBEDDING).embed(texts)
    before = [trial.output for trial in admitted.read()]
    after = [one.reply for one in recent]
    spoken = [one.score for one in passed if one.score is not None]  # the newest first
    outputs = (
        labels_test(before, after)
        if release.task.answer.kind == "label"
        else lengths_test([len(one) for one in before], [len(one) for one in after])
    )
    return drift_of(
        [
            energy_test(rows[: len(known)], rows[len(known) :]),
            outputs,
            scores_test(spoken[len(spoken) // 2 :], spoken[: len(spoken) // 2]),
        ]
    )


async def queue_of(
    pool: ModelPool,
    passed: Sequence[Passed],
    known: Sequence[Example],
    *,
    count: int,
    doubts: Mapping[str, float] | None = None,
) -> list[Queued]:
    """Return what a person should look at: what was disliked or held back, what is in doubt, then what is new, spread over all that came.

    Near-duplicates of known examples, and of what is queued already, are left out: they would teach nothing. Source of the spread:
    greedy k-centres (Gonzalez 1985; as core-sets for active learning, Sener and Savarese 2018).
    """
    if not passed:
        return []
    rows, _ = await pool.embedder(EMBEDDING).embed([text_of(one.inputs) for one in passed])
    near = np.full(len(passed), -1.0)
    if known:
        there, _ = await pool.embedder(EMBEDDING).embed([text_of(one.inputs) for one in known])
        near = (rows @ there.T).max(1)
    urgent = [k for k, one in enumerate(passed) if one.held_back or (one.score is not None and one.score < 1)]  # fmt: skip
    doubt = [(doubts or {}).get(one.id, 0.0) for one in passed]
    doubted = sorted((k for k in range(len(passed)) if doubt[k] >= DOUBTED and k not in urgent), key=lambda k: -doubt[k])  # fmt: skip
    chosen: list[Queued] = []
    left = set(range(len(passed)))
    for place in [*urgent, *doubted]:
        if len(chosen) >= count or (place in doubted and near[place] > DUPLICATE):
            continue
        liked: Why = "in doubt" if place in doubted else "disliked"
        why: Why = "held back" if passed[place].held_back else liked
        take(chosen, left, near, rows, place, Queued(passed[place], why, float(near[place])))
    while left and len(chosen) < count:
        place = min(left, key=lambda k: (near[k], k))
        if near[place] > DUPLICATE:
            break
        why = "new" if near[place] < 1 - NOVEL else "sampled"
        take(chosen, left, near, rows, place, Queued(passed[place], why, float(near[place])))
    return chosen


def take(
    chosen: list[Queued],
    left: set[int],
    near: NDArray[np.float64],
    rows: NDArray[np.float32],
    place: int,
    queued: Queued,
) -> None:
    chosen.append(queued)
    left.discard(place)
    np.maximum(near, rows @ rows[place], out=near)
