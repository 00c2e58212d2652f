"""Read trials back, and put candidates down."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ratchet.core import BROUGHT, STORED, Candidate, Score, Trial, Usage, brought_candidate
from ratchet.core.errors import UsageError
from ratchet.store.database import connect, transaction, upsert
from ratchet.store.tables import candidates, scores, trials

__all__ = [
    "candidates_labelled",
    "candidates_with_id",
    "find_candidate",
    "keep_candidate",
    "load_trials",
    "measured_candidates",
    "read_trials",
]


def keep_candidate(engine: sa.Engine, candidate: Candidate) -> None:
    """Store a candidate under its id; one that is there stays as it is."""
    row = {
        "id": candidate.id,
        "created_at": now(),
        "note": candidate.note,
        "body": candidate.model_dump_json(exclude_defaults=True),
    }
    with transaction(engine) as connection:
        connection.execute(upsert(engine, candidates), [row])


def find_candidate(engine: sa.Engine, name: str) -> Candidate:
    """Return the candidate whose id is `name` or starts with it, or that stands for the answers that were brought under that name.

    Raises: UsageError if there is none, or more than one.
    """
    if not name.startswith(f"{Candidate.prefix}_"):  # a name may be the beginning of no id
        own = brought_candidate(name.removeprefix(BROUGHT))
        if own.id in stored_candidate_ids(engine, [own.id]):
            return own
    found = candidates_with_id(engine, name)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(one.id for one in found)
        raise UsageError(
            f"more than one candidate has an id that begins with {name!r}: {listed}; `ratchet ladder TASK` tells what each is"
        )
    raise UsageError(
        f"no candidate has the id {name!r}; `ratchet ladder TASK` and `ratchet front TASK` list ids"
    )


def candidates_with_id(engine: sa.Engine, name: str, limit: int = 9) -> list[Candidate]:
    """Return up to `limit` stored candidates whose id is `name` or starts with it, in the order of their ids."""
    found = candidates.c.id.startswith(name, autoescape=True)
    return selected(
        engine, sa.select(candidates).where(found).order_by(candidates.c.id).limit(limit)
    )


def candidates_labelled(engine: sa.Engine, label: str) -> list[Candidate]:
    """Return the stored candidates of that very label, in the order of their making."""
    ordered = sa.select(candidates).order_by(candidates.c.created_at, candidates.c.id)
    return selected(engine, ordered.where(candidates.c.note == label))


def selected(engine: sa.Engine, query: sa.Select[Any]) -> list[Candidate]:
    with connect(engine) as connection:
        return [candidate_of(row) for row in connection.execute(query)]


def stored_candidate_ids(engine: sa.Engine, ids: Iterable[str]) -> set[str]:
    """Return those of the ids that are stored."""
    query = sa.select(candidates.c.id).where(candidates.c.id.in_(list(ids)))
    with connect(engine) as connection:
        return set(connection.scalars(query))


def candidate_of(row: Any) -> Candidate:
    return Candidate.model_validate({**json.loads(row.body), "note": row.note}, context=STORED)


def measured_candidates(engine: sa.Engine, task_id: str) -> list[Candidate]:
    """Return the candidates that have trials under a form of the task (its `asking_id`), in the order of their making."""
    query = (
        sa.select(candidates.c.id, candidates.c.note, candidates.c.body)
        .where(
            candidates.c.id.in_(sa.select(trials.c.candidate_id).where(trials.c.task_id == task_id))
        )
        .order_by(candidates.c.created_at, candidates.c.id)
    )
    return selected(engine, query)


def load_trials(
    engine: sa.Engine,
    candidate_ids: Iterable[str],
    *,
    metric_id: str | None = None,
    task_id: str | None = None,
) -> list[Trial]:
    """Return what `read_trials` yields."""
    return list(read_trials(engine, candidate_ids, metric_id=metric_id, task_id=task_id))


def read_trials(
    engine: sa.Engine,
    candidate_ids: Iterable[str],
    *,
    metric_id: str | None = None,
    task_id: str | None = None,
) -> Iterator[Trial]:
    """Yield the stored trials of some candidates, with their scores under `metric_id` where there are any.

    With `task_id` (a task's `asking_id`), only those that were answered under that form of the task.
    """
    ids = list(candidate_ids)
    key = ("candidate_id", "task_id", "example_id", "repeat")
    joined = sa.and_(
        *(scores.c[name] == trials.c[name] for name in key),
        scores.c.metric_id == metric_id,
    )
    query = (
        sa.select(trials, scores.c.value, scores.c.parts, scores.c.feedback)
        .select_from(trials.outerjoin(scores, joined))
        .where(trials.c.candidate_id.in_(ids))
        .order_by(trials.c.candidate_id, trials.c.example_id, trials.c.repeat)
    )
    if task_id is not None:
        query = query.where(trials.c.task_id == task_id)
    with connect(engine) as connection:
        for row in connection.execution_options(yield_per=1000).execute(query):
            yield trial(row)


def trial(row: sa.Row[tuple[object, ...]]) -> Trial:
    score = None
    if row.value is not None:
        score = Score(value=row.value, parts=json.loads(row.parts), feedback=row.feedback)
    return Trial(
        candidate_id=row.candidate_id,
        task_id=row.task_id,
        example_id=row.example_id,
        repeat=row.repeat,
        output=row.output,
        answer=None if row.answer is None else json.loads(row.answer),
        failure=row.failure,
        usage=Usage(
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            cost_usd=row.cost_usd,
            cached_tokens=row.cached_tokens or 0,
            cache_write_tokens=row.cache_write_tokens or 0,
            reasoning_tokens=row.reasoning_tokens or 0,
        ),
        latency_s=row.latency_s,
        sent=json.loads(row.sent) if row.sent else {},
        probabilities=json.loads(row.probabilities) if row.probabilities else {},
        passages=tuple(json.loads(row.passages)) if row.passages else (),
        score=score,
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
